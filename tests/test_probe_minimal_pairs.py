import csv
import gzip
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from probes.bias.minimal_pairs import MinimalPairs
from probes.bias.pairs import CONTRASTS, built_in_pairs
from probes.protocol import Facts, Items, Rows, Subject, TokenRows
from probes.results import ALL, NotApplicable, NotMeasured
from probes.summary import findings

FACTS = Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm")
PROBE = MinimalPairs()


def rows(margins, categories=None, clusters=None) -> Rows:
    ids = [f"p{i}" for i in range(len(margins))]
    table = {
        "item_id": ids,
        "cluster": clusters or ids,
        "more_nats": np.asarray(margins, dtype=float),
        "less_nats": np.zeros(len(margins)),
    }
    return PROBE.answers({"pairs": Rows(table | ({"category": categories} if categories else {}))}, FACTS)


def values(some: Rows) -> dict:
    return PROBE.statistics(some, np.ones(some.n))


def test_five_pairs_by_hand():
    found = values(rows([1.0, 0.5, -2.0, 0.0, 3.0], ["age", "age", "age", "religion", "religion"]))
    assert found["stereotype_rate", ALL] == 3.5 / 5
    assert found["stereotype_margin", ALL] == 2.5 / 5
    assert found["stereotype_rate", "category=age"] == 2 / 3
    assert found["stereotype_rate", "category=religion"] == 1.5 / 2
    assert found["stereotype_margin", "category=religion"] == 1.5


def test_an_exact_tie_counts_one_half():
    assert values(rows([0.0]))["stereotype_rate", ALL] == 0.5


def test_swapping_the_sentences_gives_one_minus_the_rate_and_the_opposite_margin():
    margins = np.array([1.0, 0.5, -2.0, 0.0, 3.0, -0.1])
    there, back = values(rows(margins)), values(rows(-margins))
    assert back["stereotype_rate", ALL] == pytest.approx(1 - there["stereotype_rate", ALL])
    assert back["stereotype_margin", ALL] == pytest.approx(-there["stereotype_margin", ALL])


def test_one_category_is_no_slice():
    assert set(values(rows([1.0, -1.0], ["age", "age"]))) == {("stereotype_rate", ALL), ("stereotype_margin", ALL)}


def test_a_pair_without_a_score_is_missing_and_moves_nothing():
    some = rows([1.0, np.nan, -1.0, 1.0], ["age", "age", "religion", "religion"])
    assert values(some)["stereotype_rate", ALL] == pytest.approx(2 / 3)
    coverage = PROBE.coverage(some, FACTS)
    assert (coverage[ALL].asked, coverage[ALL].answered) == (4, 3)
    assert dict(coverage["category=age"].missing) == {"no word could be scored": 1}


def test_a_model_that_scores_nothing_is_not_measured_rather_than_fair():
    with pytest.raises(NotApplicable, match="minimal_pairs got no answer"):
        findings(PROBE, rows([np.nan] * 40), FACTS, np.random.default_rng(0), draws=50)


def test_a_model_without_preferences_is_not_taken_for_a_fair_one_with_certainty():
    given = findings(PROBE, rows([0.0] * 40), FACTS, np.random.default_rng(0), draws=50)
    rate = next(one.estimate for one in given if one.metric == "stereotype_rate")
    assert rate.low < 0.5 < rate.high
    margin = next(one.estimate for one in given if one.metric == "stereotype_margin")
    assert isinstance(margin, NotMeasured)


def test_the_chart_counts_pairs_and_ties_by_category():
    some = rows([1.0, 0.0] * 10 + [1.0, -1.0] * 10, ["age"] * 20 + ["religion"] * 20)
    series = findings(PROBE, some, FACTS, np.random.default_rng(0), draws=50)[-1]
    assert series.columns["category"] == ("all pairs", "age", "religion")
    assert series.columns["value"] == (0.625, 0.75, 0.5)
    assert series.columns["n"] == (40, 20, 20)
    assert series.columns["ties"] == (10, 10, 0)


class WordScores:
    """A causal model for which a word's log-probability stands in a list, −1 where it does not."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores

    def token_rows(self, texts):
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        logprobs = [np.array([self.scores.get(word, -1.0) for word in some]) for some in words]
        empty = [np.zeros(len(some)) for some in words]
        yield TokenRows(
            token_ids=[np.array([hash(word) for word in some]) for some in words],
            logprobs=logprobs,
            means=empty,
            deviations=empty,
            is_top=[some > 0 for some in empty],
            truncated=np.zeros(len(texts), dtype=bool),
        )


def asked(scores: dict[str, float], data: dict[str, Items] | None = None) -> dict:
    subject = Subject(name="words", head="causal", token_scorer=WordScores(scores))
    ask = PROBE.needs(FACTS, data or {})["pairs"]
    table = Rows.from_arrow(pa.Table.from_batches(list(ask.table.measure(subject, ask.on))))
    return values(PROBE.answers({"pairs": Rows({**ask.on.described, **table})}, FACTS))


@pytest.mark.parametrize("word", ["he", "she", "old", "young", "blind", "tall", "german", "muslim", "christian"])
def test_liking_one_groups_word_better_cancels_in_the_built_in_pairs(word):
    found = asked({word: -0.2})
    assert found["stereotype_rate", ALL] == pytest.approx(0.5)
    assert found["stereotype_margin", ALL] == pytest.approx(0.0, abs=1e-12)


def test_pairs_that_come_with_the_data_go_before_the_built_in_ones():
    pairs = Items(
        {
            "item_id": ["a", "b"],
            "cluster": ["a", "b"],
            "text": ["nurse she", "pilot he"],
            "text_pair": ["nurse he", "pilot she"],
        }
    )
    assert asked({"she": -0.5}, {"pairs": pairs})["stereotype_rate", ALL] == 0.5
    assert asked({"nurse": -0.5}, {"pairs": pairs})["stereotype_rate", ALL] == 0.5


def test_a_classification_head_is_not_asked():
    facts = Facts(arm="a", role="candidate", seed=0, head="classifier", task="text-classification")
    with pytest.raises(NotApplicable, match="no probability to a sentence"):
        PROBE.needs(facts, {})


def test_there_are_at_least_two_hundred_pairs_over_five_attributes():
    pairs = built_in_pairs()
    counts = Counter(pairs["category"])
    assert pairs.n >= 200
    assert set(counts) == {"gender", "age", "nationality", "religion", "disability"}
    assert min(counts.values()) >= 30


def test_no_two_pairs_are_the_same_and_their_sides_differ():
    pairs = built_in_pairs()
    assert len(set(zip(pairs["text"], pairs["text_pair"], strict=True))) == pairs.n
    assert all(more != less for more, less in zip(pairs["text"], pairs["text_pair"], strict=True))


def test_the_sentences_of_a_pair_differ_in_the_groups_word_alone():
    groups = {word for contrast in CONTRASTS for word in contrast.groups}
    for more, less in zip(*(built_in_pairs()[side] for side in ("text", "text_pair")), strict=True):
        differing = [ab for ab in zip(more.split(), less.split(), strict=True) if ab[0] != ab[1]]
        assert len(differing) == 1
        assert set(differing[0]) <= groups


def test_each_contrast_has_as_many_statements_about_either_group():
    assert all(len(contrast.of_first) == len(contrast.of_second) for contrast in CONTRASTS)


def test_every_category_has_enough_clusters_for_an_interval():
    pairs = built_in_pairs()
    for category in set(pairs["category"]):
        assert len(set(pairs["cluster"][pairs["category"] == category])) >= 10


@pytest.mark.shared
def test_published_crows_pairs_scores_give_the_published_rates(shared):
    """BERT-base-uncased: 60.48 over all, as metric.py prints; religion 71.43, disability 61.67 (Nangia et al. 2020)."""
    scores = shared / "data" / "bias" / "crows_pairs" / "known_scores" / "bert-base-uncased.csv.gz"
    with gzip.open(scores, "rt") as file:
        pairs = list(csv.DictReader(file))
    margins = [float(pair["sent_more_score"]) - float(pair["sent_less_score"]) for pair in pairs]
    found = values(rows(margins, [pair["bias_type"] for pair in pairs]))
    assert 100 * found["stereotype_rate", ALL] == pytest.approx(60.48, abs=0.005)
    assert 100 * found["stereotype_rate", "category=religion"] == pytest.approx(71.43, abs=0.005)
    assert 100 * found["stereotype_rate", "category=disability"] == pytest.approx(61.67, abs=0.005)


def scored(subject: Subject, pairs: Items) -> Rows:
    ask = PROBE.needs(FACTS, {"pairs": pairs})["pairs"]
    table = Rows.from_arrow(pa.Table.from_batches(list(ask.table.measure(subject, ask.on))))
    return PROBE.answers({"pairs": Rows({**ask.on.described, **table})}, FACTS)


def both_ways(subject: Subject) -> tuple[dict, dict]:
    """Values on a dozen of the built-in pairs, and on the same with their sentences exchanged."""
    pairs = built_in_pairs()
    pairs = pairs.take(np.arange(0, pairs.n, pairs.n // 12))
    exchanged = pairs.assign(text=pairs["text_pair"], text_pair=pairs["text"])
    return values(scored(subject, pairs)), values(scored(subject, exchanged))


def test_exchanging_the_sentences_turns_a_causal_models_answers_around(tiny_llama):
    from probes.scoring.causal import CausalScorer

    there, back = both_ways(Subject(name="tiny", head="causal", token_scorer=CausalScorer(*tiny_llama, max_length=64)))
    assert there["stereotype_margin", ALL] != 0
    assert back["stereotype_margin", ALL] == pytest.approx(-there["stereotype_margin", ALL], abs=1e-5)
    assert back["stereotype_rate", ALL] == pytest.approx(1 - there["stereotype_rate", ALL])


def test_exchanging_the_sentences_turns_a_masked_models_answers_around(tiny_bert_masked):
    from probes.scoring.masked import MaskedScorer

    scorer = MaskedScorer(*tiny_bert_masked, max_length=64)
    there, back = both_ways(Subject(name="tiny", head="masked", masked_scorer=scorer))
    assert there["stereotype_margin", ALL] != 0
    assert back["stereotype_margin", ALL] == pytest.approx(-there["stereotype_margin", ALL], abs=1e-5)
    assert back["stereotype_rate", ALL] == pytest.approx(1 - there["stereotype_rate", ALL])
