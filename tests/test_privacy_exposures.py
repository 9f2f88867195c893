"""Exposure of secrets, by rank and extrapolated."""

from itertools import combinations

import numpy as np
import pytest
from canary_rows import FACTS, PROBE, RANKS, canaries, drawn, estimate, facts, found, secrets, series, table

from probes.privacy import exposures
from probes.protocol import Rows
from probes.results import Estimate, Finding, NotMeasured
from probes.stats.exposure import expected_exposure, extrapolated_bits
from probes.stats.skew_normal import SkewNormal

# Exposure


def test_exposure_is_the_rank_among_references_in_bits():
    # References 1 to 16 and perplexities 0, 3.5 and 20 have ranks 1, 4 and 17.
    references = table([[-float(x)] for x in range(1, 17)]).assign(cluster=["card-1"] * 16)
    answered = PROBE.answers({"arm": canaries([[0.0], [-3.5], [-20.0]]), "references": references}, FACTS)
    np.testing.assert_allclose(answered["exposure_bits"], [4, 2, -0.087463], atol=1e-6)
    assert answered["exposure_ceiling"].tolist() == [4.0] * 3


def test_perplexity_is_that_of_the_whole_text_however_many_tokens_it_has():
    references = table([[-3.0], [-4.0], [-5.0]]).assign(cluster=["card-1"] * 3)
    answered = PROBE.answers({"arm": canaries([[-2.0, -2.5]]), "references": references}, FACTS)
    assert answered["exposure_bits"][0] == pytest.approx(np.log2(3) - np.log2(3))


def test_a_secret_is_ranked_among_its_own_form_and_other_canaries_are_not_ranked():
    references = table([[-1.0], [-9.0], [-1.0]]).assign(cluster=["card-1", "digits-2", "card-1"])
    arm = canaries([[-5.0]] * 3, ["card-1", "digits-2", "random"])
    answered = PROBE.answers({"arm": arm, "references": references}, FACTS)
    np.testing.assert_allclose(answered["exposure_bits"], [np.log2(2 / 3), 0.0, np.nan])


def test_a_masked_models_exposure_is_by_pseudo_log_likelihood():
    names = {"item_id": ["a", "b", "c"], "cluster": ["card-1"] * 3}
    told = Rows({**names, "logprob_nats": np.array([-1.0, -3.0, None], dtype=object), "n_tokens": np.array([2, 2, 0])})
    arm = told.assign(is_member=[True, False, True], repetitions=[1] * 3, form=["card-1"] * 3)
    bits, ceilings = exposures.exposures(arm, told)
    np.testing.assert_allclose(bits, [np.log2(2 / 1.5), np.log2(2 / 2.5), np.nan])
    assert ceilings.tolist() == [1.0] * 3  # the reference without a score is none


def test_secrets_that_are_all_known_by_heart_have_an_interval_below_the_ceiling():
    some = secrets(0, 1.0)
    exposure = estimate(found(some), "exposure", "repetitions=4")
    assert exposure.value == exposure.high == np.log2(RANKS)
    assert 6.5 < exposure.low < 7.5  # 1 - 0.025 ** (1 / 10) of the range could have been missed
    assert (exposure.n, exposure.unit_of_n) == (10, "planted secret")
    assert exposure.null.value == pytest.approx(expected_exposure(RANKS))


def test_secrets_that_are_known_show_a_gain():
    gain = estimate(found(secrets(0, 1.0)), "exposure_gain", "repetitions=4")
    assert gain.low > 4
    assert gain.null.p == pytest.approx(1 / 5000)  # none of 4,999 shuffles is like it
    assert 0 < gain.detectable < gain.value


def test_the_gains_p_value_is_that_of_all_ways_the_coins_could_have_fallen():
    bits = np.array([4.0, 3.5, 0.2, 3.0, 1.0, 0.5, 0.1, 0.3, 2.0, 1.5])
    is_planted = np.arange(10) < 5
    gains = [bits[list(c)].mean() * 2 - bits.mean() * 2 for c in combinations(range(10), 5)]
    every = np.mean(np.abs(gains) >= abs(gains[0]) - 1e-9)
    gain = exposures.gain(bits, np.full(10, 10.0), is_planted, np.random.default_rng(0), level=0.95)
    assert gain.null.p == pytest.approx(every, abs=0.015)


def test_secrets_that_nobody_learnt_show_no_gain_more_often_than_the_level_says(monkeypatch):
    monkeypatch.setattr(exposures, "SHUFFLES", 199)
    gains = [estimate(found(secrets(seed, 0.0)), "exposure_gain", "repetitions=4") for seed in range(100)]
    assert sum(gain.null.p <= 0.05 for gain in gains) <= 11  # more than 11 of 100 would happen once in 200 times
    assert sum(gain.low > 0 for gain in gains) <= 7  # one side only


@pytest.mark.parametrize(("learnt", "at_least"), [(0.0, 0.91), (0.5, 0.91), (0.9, 0.94), (1.0, 0.94)])
def test_the_gains_interval_covers_the_truth_with_ten_secrets_a_side(learnt, at_least, monkeypatch):
    monkeypatch.setattr(exposures, "SHUFFLES", 1)
    truth = learnt * (np.log2(RANKS) - expected_exposure(RANKS))
    covered = 0
    for seed in range(200):
        some = secrets(1000 + seed, learnt)
        rng = np.random.default_rng(seed)
        gain = exposures.gain(some["exposure_bits"], some["exposure_ceiling"], some["is_member"], rng, level=0.95)
        covered += gain.low <= truth <= gain.high
    assert covered / 200 >= at_least  # a standard error at 95 % is 0.015


def test_too_few_secrets_are_not_measured():
    given = found(secrets(0, 1.0, n=8))
    assert estimate(given, "exposure", "repetitions=4").reason == "planted secrets: 4, where an interval needs 5"
    assert estimate(given, "exposure_gain", "repetitions=4").reason.startswith("secrets planted and left out: 4 and 4")


def test_without_references_exposure_is_not_measured():
    given = found(drawn(0, 1.0))
    for metric in ("exposure", "exposure_gain"):
        assert estimate(given, metric) == NotMeasured(reason="no canary is a secret that could be ranked among others")
    assert series(given, "exposure") is None


def test_a_classifier_has_no_exposure_and_says_so():
    given = found(drawn(0, 1.0), known=facts(head="classifier", task="text-classification"))
    assert "classification head" in estimate(given, "exposure").reason


def test_secrets_that_were_all_unscored_are_not_measured():
    some = secrets(0, 1.0)
    given = found(some.assign(exposure_bits=np.full(some.n, np.nan)))
    assert isinstance(estimate(given, "exposure", "repetitions=4"), NotMeasured)
    assert series(given, "exposure") is None


def test_statistics_are_the_values_found():
    some = secrets(4, 0.5, 40)
    given, values = found(some), PROBE.statistics(some, np.ones(some.n))
    assert set(values) == {(metric, "repetitions=4") for metric in ("auc", "exposure", "exposure_gain")}
    for (metric, part), value in values.items():
        assert estimate(given, metric, part).value == pytest.approx(value)
    assert all(isinstance(estimate(given, *key), Estimate) for key in values)


# Extrapolated exposure


def fitted_secrets(seed: int, shift: float, n: int = 40, references: int = 400, shape: float = 2.0) -> Rows:
    """Canaries whose planted half is liked better than all that the model has not seen by a shift."""
    rng = np.random.default_rng(seed)
    space = SkewNormal(40.0, 3.0, shape)
    liked = np.where(np.arange(n) % 2 == 0, shift, 0.0)
    arm = canaries([[-x] for x in space.sample(rng, (n,)) - liked], copies=4)
    pool = table([[-x] for x in space.sample(rng, (references,))]).assign(cluster=["card-1"] * references)
    return PROBE.answers({"arm": arm, "references": pool}, FACTS)


def test_extrapolated_exposure_is_that_of_the_space_of_secrets():
    rows = fitted_secrets(0, 4.0, references=2000)
    given = estimate(found(rows), "exposure_extrapolated", "repetitions=4")
    planted = rows["log_perplexity"][rows["is_member"]]
    truth = extrapolated_bits(planted, SkewNormal(40.0, 3.0, 2.0)).mean()
    assert given.low < truth < given.high
    assert given.value > estimate(found(rows), "exposure", "repetitions=4").value
    assert given.null.value == pytest.approx(1.4427, abs=1e-4)


def test_a_secret_nobody_learnt_has_the_extrapolated_exposure_of_chance():
    given = estimate(found(fitted_secrets(1, 0.0)), "exposure_extrapolated", "repetitions=4")
    assert given.low < given.null.value < given.high


def test_nothing_is_extrapolated_more_than_ten_bits_beyond_the_ranks():
    given = estimate(found(fitted_secrets(2, 60.0)), "exposure_extrapolated", "repetitions=4")
    assert given.value == pytest.approx(np.log2(400) + 10)
    assert given.high is None
    assert "20 lie beyond what is extrapolated and count as 18.6 bits" in given.method


def test_a_form_whose_references_fit_no_skew_normal_is_not_extrapolated():
    rng = np.random.default_rng(0)
    pool = table([[-x] for x in rng.exponential(size=400)]).assign(cluster=["card-1"] * 400)
    rows = PROBE.answers({"arm": canaries([[-1.0]] * 20), "references": pool}, FACTS)
    given = next(one for one in found(rows) if isinstance(one, Finding) and one.metric == "exposure_extrapolated")
    assert given.estimate.reason.startswith("the log-perplexities of 400 references are not skew-normal (p = 0.005")
    assert (given.coverage.asked, given.coverage.answered) == (10, 0)


def test_few_references_are_not_extrapolated():
    pool = table([[-float(x)] for x in range(20)]).assign(cluster=["card-1"] * 20)
    given = estimate(
        found(PROBE.answers({"arm": canaries([[-1.0]] * 20), "references": pool}, FACTS)),
        "exposure_extrapolated",
        "repetitions=1",
    )
    assert "too few references for a fit" in given.reason
