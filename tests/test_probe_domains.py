import math

import numpy as np
import pytest

from probes.protocol import Facts, Items, Rows
from probes.results import ALL, Finding, NotApplicable, Series
from probes.robustness.domain_shift import DomainShift
from probes.robustness.domains import other_domains
from probes.robustness.language_shift import LanguageShift
from probes.summary import findings

FACTS = Facts(arm="a", role="candidate", seed=0, head="classifier", task="text-classification", classes=("no", "yes"))
LANGUAGE = Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm")
PROBE = DomainShift()


def table(name: str, labels, logits, **more) -> Rows:
    ids = [f"{name}{i:03d}" for i in range(len(labels))]
    return Rows({"item_id": ids, "cluster": ids, "label": labels, "logits": [np.array(x) for x in logits], **more})


def sure(decisions, of: float = 2.0) -> np.ndarray:
    return np.eye(2)[decisions] * of


def rows(test: Rows, **others: Rows) -> Rows:
    return PROBE.answers({"test": test, **others}, FACTS)


def values(some: Rows) -> dict:
    return PROBE.statistics(some, np.ones(some.n))


def five() -> Rows:
    """Right on 3 of 3 in the training domain, on 1 of 2 in another."""
    return rows(table("t", [0, 1, 1], sure([0, 1, 1])), chat=table("c", [0, 1], sure([0, 0])))


def test_five_rows_by_hand():
    found = values(five())
    confidence = 1 / (1 + math.exp(-2))
    assert found["accuracy", "domain=in-domain"] == 1
    assert found["accuracy", "domain=chat"] == 0.5
    assert found["accuracy_drop", "domain=chat"] == 0.5
    assert found["worst_accuracy_drop", ALL] == 0.5
    assert found["expected_calibration_error", "domain=in-domain"] == pytest.approx(1 - confidence)
    assert found["expected_calibration_error", "domain=chat"] == pytest.approx(confidence - 0.5)
    assert found["brier_score", "domain=in-domain"] == pytest.approx((1 - confidence) ** 2)
    assert found["brier_score", "domain=chat"] == pytest.approx(((1 - confidence) ** 2 + confidence**2) / 2)
    assert ("accuracy_drop", "domain=in-domain") not in found


def test_the_worst_drop_is_the_largest():
    test, chat = table("t", [0, 1], sure([0, 1])), table("c", [0, 1], sure([0, 0]))
    sea = table("s", [0, 1], sure([1, 0]))
    assert values(rows(test, chat=chat, sea=sea))["worst_accuracy_drop", ALL] == 1


def test_exchanging_the_domains_turns_the_drop_around():
    test, chat = table("t", [0, 1, 1, 0], sure([0, 1, 0, 0])), table("c", [0, 1], sure([0, 0]))
    there, back = values(rows(test, chat=chat)), values(rows(chat, chat=test))
    assert there["accuracy_drop", "domain=chat"] == pytest.approx(-back["accuracy_drop", "domain=chat"])


def test_the_training_domain_bears_the_name_the_data_give_it():
    test = table("t", [0], sure([0]), domain=np.array(["mail"], dtype=object))
    assert ("accuracy", "domain=mail") in values(rows(test, chat=table("c", [0], sure([0]))))


def test_domains_are_resampled_apart():
    assert (five()["stratum"] == five()["domain"]).all()


def many(right_out: float) -> Rows:
    labels = np.tile([0, 1], 100)
    wrong = np.random.default_rng(0).random(200) > right_out
    return rows(table("t", labels, sure(labels)), chat=table("c", labels, sure(np.where(wrong, 1 - labels, labels))))


def estimates(some: Rows) -> dict:
    given = findings(PROBE, some, FACTS, np.random.default_rng(0), draws=200)
    return {(one.metric, one.slice): one.estimate for one in given if isinstance(one, Finding)}


def test_a_planted_drop_is_shown_and_none_is_not():
    assert estimates(many(0.6))["accuracy_drop", "domain=chat"].low > 0.2
    none = estimates(many(1.0))["accuracy_drop", "domain=chat"]
    assert none.low < 0 < none.high


def test_calibration_is_compared_with_what_perfect_calibration_shows():
    labels = np.zeros(300, dtype=int)
    decisions = (np.arange(300) < 300 / (1 + math.exp(2))).astype(int)  # wrong as often as the confidence says
    calibrated, overconfident = table("t", labels, sure(decisions)), table("c", labels, sure(decisions, of=6.0))
    found = estimates(rows(calibrated, chat=overconfident))
    assert found["expected_calibration_error", "domain=in-domain"].null.p > 0.05
    assert found["expected_calibration_error", "domain=chat"].null.p < 0.01


def test_charts_are_of_accuracy_by_domain_and_of_reliability_in_each():
    given = findings(PROBE, many(0.6), FACTS, np.random.default_rng(0), draws=50)
    series = {one.name: one for one in given if isinstance(one, Series)}
    assert set(series) == {"domains", "reliability:in-domain", "reliability:chat"}
    assert series["domains"].columns["domain"] == ("in-domain", "chat")
    assert sum(series["reliability:chat"].columns["n"]) == 200


def test_without_another_domain_there_is_nothing_to_ask():
    items = Items({"item_id": ["a"], "cluster": ["a"], "text": ["b"], "label": [0]})
    with pytest.raises(NotApplicable, match="no other domain"):
        PROBE.needs(FACTS, {"test": items})
    with pytest.raises(NotApplicable, match="no test items"):
        other_domains({"domain:chat": items})


def texts(name: str, logprobs, n_tokens, characters) -> Rows:
    ids = [f"{name}{i}" for i in range(len(logprobs))]
    columns = {"item_id": ids, "cluster": ids, "logprob_nats": logprobs, "n_tokens": n_tokens}
    return Rows({**columns, "characters": characters, "truncated": [False] * len(ids)})


def shift(facts: Facts = LANGUAGE) -> dict:
    tables = {"test": texts("t", [-2.0, -4.0], [2, 4], [10, 20]), "chat": texts("c", [-6.0], [3], [10])}
    some = LanguageShift().answers(tables, facts)
    return LanguageShift().statistics(some, np.ones(some.n))


def test_three_texts_by_hand():
    found = shift()
    assert found["perplexity", "domain=in-domain"] == pytest.approx(math.e)
    assert found["perplexity", "domain=chat"] == pytest.approx(math.e**2)
    assert found["perplexity_ratio", "domain=chat"] == pytest.approx(math.e)
    assert found["bits_per_character", "domain=chat"] == pytest.approx(0.6 / math.log(2))
    assert found["bits_per_character_increase", "domain=chat"] == pytest.approx(0.4 / math.log(2))


def test_a_masked_models_ratio_is_of_pseudo_perplexities():
    found = shift(Facts(arm="a", role="candidate", seed=0, head="masked", task="masked-lm"))
    assert found["perplexity_ratio", "domain=chat"] == pytest.approx(math.e)
    assert ("bits_per_character", "domain=chat") not in found


def test_a_classification_head_says_nothing_of_texts_elsewhere():
    items = Items({"item_id": ["a"], "cluster": ["a"], "text": ["b"]})
    with pytest.raises(NotApplicable, match="no probability"):
        LanguageShift().needs(FACTS, {"test": items, "domain:chat": items})
