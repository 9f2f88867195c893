import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss, recall_score

from probes.protocol import Decision, Facts, Items, Rows
from probes.results import ALL, NotApplicable
from probes.summary import findings
from probes.utility.decisions import decisions_of, labelled_items
from probes.utility.language import LanguageQuality, ask_texts
from probes.utility.task import Utility

FACTS = Facts(
    arm="a", role="candidate", seed=0, head="classifier", task="text-classification", classes=("cat", "dog", "eel")
)
LANGUAGE = Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm")


def table(logits, labels) -> Rows:
    ids = [f"i{i:03d}" for i in range(len(labels))]
    return Rows({"item_id": ids, "cluster": ids, "label": labels, "logits": [np.array(row) for row in logits]})


def five() -> Rows:
    """Labels cat, cat, cat, dog, dog; decided cat, cat, dog, dog, eel."""
    logits = [[2, 0, 0], [2, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2]]
    return Utility().answers({"test": table(logits, [0, 0, 0, 1, 1])}, FACTS)


def values(rows: Rows) -> dict:
    return Utility().statistics(rows, np.ones(rows.n))


def test_five_rows_by_hand():
    found = values(five())
    loss = math.log(math.exp(2) + 2)
    assert found["accuracy", ALL] == 3 / 5
    assert found["recall", "class=cat"] == 2 / 3
    assert found["recall", "class=dog"] == 1 / 2
    assert ("recall", "class=eel") not in found
    assert found["balanced_accuracy", ALL] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["macro_f1", ALL] == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)  # cat: 2·2/(3+2); dog: 2·1/(2+2); eel: 0
    assert found["log_loss", ALL] == pytest.approx((3 * (loss - 2) + 2 * loss) / 5)


def test_values_are_scikit_learns():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    rows = Utility().answers({"test": table(logits, labels)}, FACTS)
    decision = logits.argmax(axis=1)
    found = values(rows)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["accuracy", ALL] == pytest.approx(accuracy_score(labels, decision))
    assert found["balanced_accuracy", ALL] == pytest.approx(balanced_accuracy_score(labels, decision))
    assert found["macro_f1", ALL] == pytest.approx(f1_score(labels, decision, average="macro"))
    assert found["log_loss", ALL] == pytest.approx(log_loss(labels, probabilities))
    assert found["brier_score", ALL] == pytest.approx(brier_score_loss(labels, probabilities))
    recalls = recall_score(labels, decision, average=None)
    assert [found["recall", f"class={name}"] for name in FACTS.classes] == pytest.approx(list(recalls))


def test_no_skill_is_the_most_frequent_class_and_the_shares_entropy():
    nulls = Utility().nulls(five(), FACTS, np.random.default_rng(0))
    assert nulls["accuracy", ALL].value == 3 / 5
    assert nulls["balanced_accuracy", ALL].value == 1 / 2
    assert nulls["brier_score", ALL].value == pytest.approx(1 - 0.6**2 - 0.4**2)
    assert nulls["log_loss", ALL].value == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)))


def test_the_null_of_macro_f1_is_that_of_naming_the_most_frequent_class():
    labels = [0, 0, 0, 1, 1]
    nulls = Utility().nulls(five(), FACTS, np.random.default_rng(0))
    assert nulls["macro_f1", ALL].value == pytest.approx(f1_score(labels, [0] * 5, average="macro", zero_division=0))


def test_a_threshold_decides_instead_of_the_most_likely_class():
    facts = replace(FACTS, decision=Decision(positive=2, threshold=0.2))
    rows = decisions_of(table([[1.0, 0.0, 0.0]], [0]), facts)
    assert rows["decision"].tolist() == [2]  # probability 1 / (e + 2) = 0.212
    assert rows["confidence"].tolist() == pytest.approx([1 / (math.e + 2)])


def test_huge_logits_neither_overflow_nor_lose_the_loss():
    rows = decisions_of(table([[1e4, 0.0, 0.0]], [1]), FACTS)
    assert rows["loss_nats"].tolist() == [1e4]


def test_what_is_personal_does_not_stand_in_rows_that_do_not_need_it():
    grouped = table([[1.0, 0.0, 0.0]], [0]).assign(**{"group:region": ["north"]})
    assert "personal" not in Utility().answers({"test": grouped}, FACTS).sensitivity.values()


def test_a_task_without_classes_has_no_accuracy():
    with pytest.raises(NotApplicable, match="causal-lm, which has no classes"):
        Utility().needs(LANGUAGE, {})


def test_items_must_be_there_and_have_labels():
    unlabelled = Items({"item_id": ["a"], "cluster": ["a"], "text": ["b"]})
    with pytest.raises(NotApplicable, match="no test items"):
        labelled_items(FACTS, {})
    with pytest.raises(NotApplicable, match="no labels"):
        labelled_items(FACTS, {"test": unlabelled})


def texts(logprobs, n_tokens, characters, truncated=None) -> Rows:
    ids = [f"t{i}" for i in range(len(logprobs))]
    return Rows(
        {
            "item_id": ids,
            "cluster": ids,
            "logprob_nats": np.array(logprobs, dtype=object),
            "n_tokens": n_tokens,
            "characters": characters,
            "truncated": truncated or [False] * len(logprobs),
        }
    )


def quality(table: Rows, facts: Facts = LANGUAGE) -> dict:
    rows = LanguageQuality().answers({"test": table}, facts)
    return LanguageQuality().statistics(rows, np.ones(rows.n))


def test_perplexity_is_over_all_tokens_together():
    found = quality(texts([-2.0, -10.0], [1, 5], [4, 20]))
    assert found["perplexity", ALL] == pytest.approx(math.exp(12 / 6))
    assert found["bits_per_character", ALL] == pytest.approx(12 / math.log(2) / 24)


def test_a_text_that_is_cut_counts_for_perplexity_and_not_for_bits_per_character():
    found = quality(texts([-2.0, -10.0], [1, 5], [4, 900], [False, True]))
    assert found["perplexity", ALL] == pytest.approx(math.exp(2))
    assert found["bits_per_character", ALL] == pytest.approx(2 / math.log(2) / 4)


def test_a_text_without_a_scored_token_is_missing():
    table = texts([None, -3.0], [0, 3], [0, 9])
    rows = LanguageQuality().answers({"test": table}, LANGUAGE)
    coverage = LanguageQuality().coverage(rows, LANGUAGE)[ALL]
    assert (coverage.asked, coverage.answered) == (2, 1)
    assert quality(table)["perplexity", ALL] == pytest.approx(math.e)


def test_a_masked_model_has_a_pseudo_perplexity_alone():
    masked = Facts(arm="a", role="candidate", seed=0, head="masked", task="masked-lm")
    assert quality(texts([-2.0], [2], [4]), masked) == {("pseudo_perplexity", ALL): pytest.approx(math.e)}


def test_a_classification_head_says_nothing_of_texts():
    with pytest.raises(NotApplicable, match="no probability to the text itself"):
        ask_texts(FACTS, Items({"item_id": ["a"], "cluster": ["a"], "text": ["b"]}))


def test_characters_are_those_of_the_text_as_given():
    ask = ask_texts(LANGUAGE, Items({"item_id": ["a"], "cluster": ["a"], "text": ["naïve 😀"]}))
    assert ask.on["characters"].tolist() == [7]


def test_a_perfect_classifier_still_has_an_interval():
    labels = [0, 1] * 15
    rows = Utility().answers({"test": table(np.eye(3)[labels] * 5, labels)}, FACTS)
    found = {f.metric: f.estimate for f in findings(Utility(), rows, FACTS, np.random.default_rng(0), draws=100)}
    assert found["accuracy"].value == 1.0
    assert found["accuracy"].low < 0.95
    assert found["balanced_accuracy"].low < 0.95
