import math

import numpy as np
import pytest
from games import most_right_guesses
from scipy.optimize import linprog
from scipy.stats import binom

from probes.stats.curve_audit import mmc_tails
from probes.stats.epsilon import snj_tails
from probes.stats.evalues import largest_log_e_value, log_e_value, log_wealth, refuting_wealth
from probes.stats.tradeoff import gdp_curve

TAILS = {
    "any mechanism": snj_tails(200, 50, 1.0, 1e-5),
    "pure": snj_tails(50, 50, 1.0, 0.0),
    "no leak": snj_tails(200, 50, 0.0, 0.0),
    "a curve": mmc_tails(gdp_curve(1.0), 200, 50),
    "out of reach": snj_tails(200, 50, 8.0, 1e-5),
}


def values(tails) -> np.ndarray:
    return np.exp([log_e_value(tails, v) for v in range(len(tails))])


@pytest.mark.parametrize("tails", TAILS.values(), ids=TAILS)
def test_the_mean_is_one_at_most_whatever_keeps_the_tails(tails):
    e = values(tails)
    assert e[0] + (np.diff(e) * tails[1:]).sum() == pytest.approx(1.0, abs=1e-9)  # where every tail is attained


def test_no_distribution_within_the_tails_does_better_than_the_one_that_attains_them():
    tails = snj_tails(6, 6, 1.0, 0.0)
    worst = linprog(
        -values(tails), A_ub=np.triu(np.ones((7, 7))), b_ub=tails, A_eq=np.ones((1, 7)), b_eq=[1.0], method="highs"
    )
    assert -worst.fun == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("tails", TAILS.values(), ids=TAILS)
def test_more_right_guesses_are_more_evidence(tails):
    e = values(tails)
    assert (np.diff(e) >= 0).all()
    assert e[0] <= 1 <= e[-1]
    assert math.log(e[-1]) == pytest.approx(largest_log_e_value(tails))


def test_no_private_mechanism_is_expected_to_gain():
    # The best of all (1, 0.01)-private mechanisms that guess three coins, for this e-value.
    e = values(snj_tails(3, 3, 1.0, 0.01))
    tails = [most_right_guesses(3, 3, v, [(1.0, 0.01)]) for v in range(4)]
    assert e[0] + (np.diff(e) * tails[1:]).sum() <= 1 + 1e-6


def test_by_hand_where_nothing_may_leak():
    # r = 1: the coin is guessed right with 1/2; the alternatives' rates are spread over (1/2, 1), 3/4 on average.
    assert values(np.array([1.0, 0.5])).tolist() == pytest.approx([0.25 / 0.5, 0.75 / 0.5])


def test_tails_that_allow_everything_give_no_evidence():
    assert [log_e_value(np.ones(5), v) for v in range(5)] == [0.0] * 5


def test_evidence_grows_where_the_claim_is_broken():
    tails, rng = snj_tails(200, 50, 1.0, 1e-5), np.random.default_rng(0)
    right = rng.binomial(50, 0.95, 2000)
    assert np.mean([log_e_value(tails, v) for v in right]) > 2


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_a_claim_that_is_kept_is_rarely_refuted_however_often_one_looks(epsilon):
    # Randomized response is the worst mechanism; the evidence of 60 nights is looked at every night.
    rng, r = np.random.default_rng(1), 50
    logs = np.log(values(snj_tails(200, r, epsilon, 0.0)))
    nights = logs[rng.binomial(r, 1 / (1 + np.exp(-epsilon)), size=(1000, 60))]
    ever = [log_wealth(series).max() >= refuting_wealth(0.95) for series in nights]
    assert sum(ever) <= 67  # 50 expected at most


def test_a_weak_leak_that_no_night_could_show_is_refuted_by_many():
    r, tails = 50, snj_tails(200, 50, 1.0, 0.0)
    assert binom.sf(42, r, 0.8) < 0.2  # 43 right guesses would refute in one night
    rng = np.random.default_rng(2)
    logs = np.log(values(tails))[rng.binomial(r, 0.8, size=(200, 60))]
    assert np.mean([log_wealth(series).max() >= refuting_wealth(0.95) for series in logs]) > 0.8


def test_evidence_is_the_mean_over_the_nights_on_which_a_leak_may_begin():
    e = np.array([2.0, 0.5, 3.0])
    slow = [
        sum(e[s:t].prod() / ((s + 1) * (s + 2)) for s in range(t)) + 1 / (t + 1)  # s counts from 0 here
        for t in (1, 2, 3)
    ]
    np.testing.assert_allclose(np.exp(log_wealth(np.log(e).tolist())), slow)
    assert slow[0] == pytest.approx(1.5)
    assert refuting_wealth(0.95) == pytest.approx(math.log(20))


def test_nights_without_evidence_change_nothing():
    np.testing.assert_allclose(log_wealth([0.0] * 5), 0.0, atol=1e-12)
    assert len(log_wealth([])) == 0


@pytest.mark.parametrize("tails", [[0.9, 0.5], [1.0, 0.2, 0.3], [1.0, 0.0], []])
def test_what_are_no_tails_is_refused(tails):
    with pytest.raises(ValueError, match="tails must fall from 1"):
        log_e_value(np.array(tails), 0)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match=r"right must lie in \[0, 1\]; got 2"):
        log_e_value(np.array([1.0, 0.5]), 2)
