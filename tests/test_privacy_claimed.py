"""Claims put to the test: verdicts, how many canaries they take, and bounds that assume more."""

from dataclasses import replace

import numpy as np
import pytest
from canary_rows import (
    GAME,
    check,
    claiming,
    estimate,
    facts,
    found,
    guessed,
    rows,
    series,
)

from probes.privacy import claimed
from probes.privacy.canaries import Canaries
from probes.protocol import PrivacyClaim

# The three verdicts


@pytest.mark.parametrize(
    ("epsilon", "outcome", "said"),
    [
        (1.0, "refuted", "81 or more refute it"),
        (2.0, "not refuted", "94 or more refute it"),
        (8.0, "could not have been refuted", "the largest that could have been is 3.465"),
    ],
)
def test_a_claim_is_refuted_or_not_or_beyond_reach(epsilon, outcome, said):
    verdict = check(found(guessed(1000, 100, 90), Canaries(guess_share=0.1), claiming(epsilon)))
    assert verdict.outcome == outcome
    assert said in verdict.evidence
    assert "90 of 100 guesses right" in verdict.evidence


def test_the_verdict_agrees_with_the_bound_and_the_ceiling():
    for seen in (60, 75, 90, 100):
        game = replace(GAME, right=seen)
        for epsilon in np.linspace(0.05, 4, 30):
            outcome = next(claimed.verdicts(game, PrivacyClaim(epsilon=epsilon, delta=1e-5))).outcome
            assert (outcome == "refuted") == (epsilon < game.bound.value)
            assert (outcome == "could not have been refuted") == (epsilon >= game.ceiling)


@pytest.mark.parametrize("right", [90, 50])
def test_the_largest_that_could_have_been_refuted_is_said_whatever_the_verdict(right):
    said = next(claimed.verdicts(replace(GAME, right=right), PrivacyClaim(epsilon=1.0, delta=1e-5))).evidence
    assert "the largest that could have been refuted is 3.465" in said


def test_the_claimed_mechanism_falls_by_its_own_curve_where_no_guesses_could_refute_its_epsilon():
    claim = PrivacyClaim(epsilon=4.668, delta=1e-5, noise_multiplier=0.8, sample_rate=0.02, steps=500, accounted=True)
    told = [check(found(guessed(1000, 250, v), known=facts(claim=claim)), "claimed mechanism") for v in (236, 237)]
    assert [one.outcome for one in told] == ["not refuted", "refuted"]
    assert "noise multiplier 0.8, sample rate 0.02 and 500 steps; 237 of 250" in told[1].evidence
    assert "237 or more refute it" in told[1].evidence
    assert check(found(guessed(1000, 250, 250), known=facts(claim=claim))).outcome == "could not have been refuted"


def test_a_claim_without_a_mechanism_is_tested_as_a_gaussian_one():
    claim = PrivacyClaim(epsilon=4.668, delta=1e-5)
    told = list(claimed.verdicts(replace(GAME, guesses=250, right=242), claim))[1]
    assert told.outcome == "refuted"
    assert "a Gaussian mechanism with epsilon 4.668 at delta 1e-05" in told.evidence
    assert "242 or more refute it" in told.evidence


def test_a_claim_that_promises_nothing_has_no_curve():
    assert claimed.curve_of(PrivacyClaim(epsilon=1000.0, delta=1e-5)) is None
    outcomes = [one.outcome for one in claimed.verdicts(GAME, PrivacyClaim(epsilon=1000.0, delta=1e-5))]
    assert outcomes == ["could not have been refuted"]


# How many canaries a claim needs


def test_the_canaries_a_claim_needs_just_refute_it():
    claim, probe = PrivacyClaim(epsilon=2.0, delta=1e-5), Canaries()
    needed = {name: said.if_all_right for name, said in probe.canaries_sufficing(claim).items()}
    for m, outcome in (
        (needed[claimed.OF_EPSILON], "refuted"),
        (needed[claimed.OF_EPSILON] - 4, "could not have been refuted"),
    ):
        some = guessed(m, probe.guesses(m), probe.guesses(m))
        assert check(found(some, probe, facts(claim=claim))).outcome == outcome
    assert needed[claimed.OF_MECHANISM] < needed[claimed.OF_EPSILON]


def test_a_claim_that_is_out_of_reach_says_how_many_canaries_could_reach_it():
    said = check(found(guessed(200, 50, 50), known=claiming(4.0))).evidence
    needed = Canaries().canaries_sufficing(claiming(4.0).claim)[claimed.OF_EPSILON]
    assert needed.if_realistic is None  # 95 % right is within what epsilon 4 allows: e⁴ / (1 + e⁴) = 0.98
    assert said.endswith(
        f"; it could be refuted with a guess share of 0.25 by {needed.if_all_right} canaries if all guesses "
        "were right, by no number if 95 % were"
    )


def test_a_weaker_claim_says_also_how_many_canaries_a_realistic_leak_takes():
    said = Canaries().canaries_sufficing(PrivacyClaim(epsilon=2.0, delta=1e-5))["claimed epsilon"]
    assert (said.if_all_right, said.if_realistic) == (92, 476)
    assert said.words.endswith(f"by {said.if_realistic:,}, 4 times in 5, if 95 % were")


def test_where_a_share_of_guesses_refutes_nothing_one_is_named_that_could():
    # By hand: at epsilon 8 and delta 1e-5 no number does at a share of 0.25 or 0.5, and 12,978 do at 1.
    none, at_half = (
        Canaries().canaries_sufficing(PrivacyClaim(epsilon=8.0, delta=delta))["claimed epsilon"]
        for delta in (1e-5, 5e-6)
    )
    assert (none.if_all_right, none.other_share, none.with_other_share) == (None, 1.0, 12_978)
    assert (at_half.other_share, at_half.with_other_share) == (0.5, 25_955)
    assert none.words.endswith("up to 100,000, with one of 1 by 12,978 if all guesses were right")


def test_deltas_of_many_canaries_may_put_a_claim_out_of_reach_for_good():
    needed = Canaries().canaries_sufficing(PrivacyClaim(epsilon=8.0, delta=1e-5))
    assert needed[claimed.OF_EPSILON].if_all_right is None
    assert needed[claimed.OF_MECHANISM].if_all_right == pytest.approx(1093, abs=2)
    said = check(found(guessed(200, 50, 50), known=claiming(8.0))).evidence
    assert "with a guess share of 0.25 by no number of canaries up to 100,000" in said


def test_weaker_leaks_need_more_canaries():
    claim = PrivacyClaim(epsilon=1.0, delta=1e-5)
    by_right = [Canaries().canaries_sufficing(claim, right=r)[claimed.OF_EPSILON] for r in (0.95, 0.9, 0.8, 0.7)]
    needed = [by_right[0].if_all_right, *(said.if_realistic for said in by_right)]
    assert needed[:4] == sorted(needed[:4])
    assert needed[4] is None  # below e / (1 + e) = 0.73


# Bounds that assume more, and evidence


def test_the_bounds_that_assume_more_stand_beside_the_one_that_gates_judge():
    given = found(guessed(1000, 100, 90), Canaries(guess_share=0.1))
    gaussian, independent = (estimate(given, f"epsilon_if_{what}") for what in ("gaussian", "independent"))
    assert gaussian.value == pytest.approx(2.456405, abs=1e-6)
    assert (gaussian.low, gaussian.high) == (gaussian.value, None)
    assert gaussian.detectable == pytest.approx(5.549028, abs=1e-6)
    assert independent.low < independent.value < independent.high
    assert "no bound" in independent.method


def test_a_night_without_a_claim_has_no_evidence_against_one():
    assert not [one for one in found(guessed(400, 100, 60)) if getattr(one, "metric", "") == "log_e_value"]


@pytest.mark.parametrize("accounted", [True, False])
def test_the_evidence_against_a_claim_rises_with_the_right_guesses(accounted):
    mechanism = {"noise_multiplier": 4.0, "sample_rate": 1.0, "steps": 1} if accounted else {}
    claim = PrivacyClaim(epsilon=1.0, delta=1e-5, accounted=accounted, **mechanism)
    values = [estimate(found(guessed(400, 100, v), known=facts(claim=claim)), "log_e_value") for v in (50, 80, 90, 100)]
    assert [v.value for v in values] == sorted(v.value for v in values)
    assert values[0].value < 0 < 3 < values[-1].value
    assert values[-1].null.p == pytest.approx(np.exp(-values[-1].value))
    assert ("DP-SGD" if accounted else "any mechanism") in values[0].method


# What is said where little is known


def test_a_claim_that_was_not_accounted_here_is_said_to_be_claimed():
    some, probe = guessed(1000, 100, 90), Canaries(guess_share=0.1)
    accounted, claimed = (check(found(some, probe, claiming(2.0, accounted=a))).evidence for a in (True, False))
    assert "accounted here" in accounted
    assert "claimed, not accounted here" not in accounted
    assert "epsilon 2 at delta 1e-05 (claimed, not accounted here)" in claimed


def test_one_canary_is_too_few_to_guess_and_the_claim_is_not_checked():
    given = found(rows([1.0], [True]), known=claiming(8.0))
    assert estimate(given, "epsilon_lower_bound").reason == "canaries planted at most once: 1, too few to guess any"
    assert estimate(given, "auc", "repetitions=1").reason.startswith("canaries planted and left out: 1 and 0")
    assert check(given).outcome == "not checked"
    assert series(given, "epsilon") is None


def test_the_level_reaches_the_bound_and_the_verdict():
    some, probe = guessed(1000, 100, 95), Canaries(guess_share=0.1)
    bound = estimate(found(some, probe, level=0.99), "epsilon_lower_bound")
    assert (bound.level, bound.value) == (0.99, pytest.approx(1.917159, abs=1e-6))
    outcomes = [check(found(some, probe, claiming(2.0), level=level)).outcome for level in (0.95, 0.99)]
    assert outcomes == ["refuted", "not refuted"]
