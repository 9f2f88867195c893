"""Epsilon from two error rates: known answers, slow integrals, and rates that are simulated.

What others print, and this project has deliberately not: the ratio bounds of tensorflow/privacy (Katz's logarithm, the
adjusted logarithm, Bailey's, the inverse hyperbolic sine), as they are approximations for large counts and an audit
reads them at few false positives; Jeffreys' limits of each rate apart, as the joint posterior of both is the sharper
form; jax_privacy's bound from raw counts, as it needs a least count chosen by hand; its Gaussian fit over all
thresholds, as a Gaussian through the best of many corners is no bound; and its hull, as it draws between two
thresholds, which no rule that accuses by score alone does.
"""

import numpy as np
import pytest
from games import threshold_counts
from scipy.integrate import quad
from scipy.stats import beta

from probes.results import NotMeasured
from probes.stats.intervals import lower_limit, upper_limit
from probes.stats.two_sample import (
    Accusations,
    clopper_pearson_epsilon,
    joint_beta_epsilon,
    probability_private,
)


def counts(tp: int, fn: int, fp: int, tn: int) -> Accusations:
    return Accusations(true_positives=tp, planted=tp + fn, false_positives=fp, left_out=fp + tn)


# Limits of both rates


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 500, 0, 0.00735061), (10, 1000, 0.00480551, 0.01831324), (3, 300, 0.00206701, 0.02894451)],
)
def test_the_limits_of_a_rate_are_the_tabled_ones(k, n, low, high):
    assert lower_limit(k, n, level=0.975) == pytest.approx(low, abs=1e-8)
    assert upper_limit(k, n, level=0.975) == pytest.approx(high, abs=1e-8)


@pytest.mark.parametrize(
    ("n", "epsilon"), [(100, 3.2813), (200, 3.9838), (500, 4.9056), (1000, 5.6006), (5000, 7.2115)]
)
def test_the_most_that_clopper_pearson_certifies_is_tabled(n, epsilon):
    assert clopper_pearson_epsilon(counts(n, 0, 0, n), delta=0).value == pytest.approx(epsilon, abs=5e-5)


def test_the_bound_is_the_published_one():
    # Jagielski et al. (2020), and tensorflow/privacy's test: 4.54
    assert clopper_pearson_epsilon(counts(500, 0, 0, 500), delta=0, level=0.99).value == pytest.approx(
        4.54192, abs=1e-5
    )
    found = clopper_pearson_epsilon(counts(500, 500, 5, 995), delta=1e-5).value
    assert found == pytest.approx(3.696077, abs=1e-6)  # the lower end of microsoft's 90 % interval


def test_the_upper_end_is_made_of_the_same_limits():
    # microsoft/responsible-ai-toolbox-privacy, 500 of 1000 and 5 of 1000 at 90 %: up to 5.789826
    most, least = upper_limit(500, 1000, level=0.975), lower_limit(5, 1000, level=0.975)
    assert np.log((most - 1e-5) / least) == pytest.approx(5.789826, abs=1e-6)


def test_the_best_of_all_thresholds_is_the_published_one():
    # google-deepmind/jax_privacy on normals a distance of 1 apart, its level shared by the thresholds, delta 1e-6
    accused = [(right, guesses - right) for right, guesses in threshold_counts(1)]
    level = 1 - 0.05 / len(accused)
    found = [
        clopper_pearson_epsilon(counts(tp, 10_000 - tp, fp, 10_000 - fp), delta=1e-6, level=level) for tp, fp in accused
    ]
    assert max(one.value for one in found) == pytest.approx(1.78717, abs=5e-6)


def test_the_better_of_both_errors_is_taken():
    accusing, clearing = (
        clopper_pearson_epsilon(c, delta=1e-5).value for c in (counts(90, 910, 0, 1000), counts(1000, 0, 910, 90))
    )
    assert accusing == pytest.approx(clearing)
    assert clopper_pearson_epsilon(counts(1000, 0, 1000, 0), delta=1e-5).value == 0.0
    assert clopper_pearson_epsilon(counts(0, 10, 0, 10), delta=1e-5).value == 0.0


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_a_claim_that_is_kept_is_rarely_exceeded(epsilon):
    rng = np.random.default_rng(0)
    rate = 1 / (1 + np.exp(-epsilon))  # randomized response attains both rates' limits
    outcomes = zip(rng.binomial(100, rate, 1000), rng.binomial(100, 1 - rate, 1000), strict=True)
    bounds = [clopper_pearson_epsilon(counts(tp, 100 - tp, fp, 100 - fp), delta=0).value for tp, fp in outcomes]
    assert sum(b > epsilon for b in bounds) <= 67


# The joint posterior


@pytest.mark.parametrize(
    ("tp", "fn", "fp", "tn", "ends"),
    [
        # microsoft/responsible-ai-toolbox-privacy: [0.145164, 6.398729] and [3.926580, 5.389423], to its tolerance of
        # 0.01 in epsilon and of 0.005 in probability
        (487, 0, 512, 1, (0.1439, 6.4156)),
        (500, 500, 5, 995, (3.9284, 5.3872)),
    ],
)
def test_the_joint_interval_is_the_tabled_one(tp, fn, fp, tn, ends):
    found = joint_beta_epsilon(counts(tp, fn, fp, tn), delta=1e-5, level=0.9)
    assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)


@pytest.mark.parametrize(
    ("case", "delta"),
    [
        ((487, 0, 512, 1), 1e-5),
        ((5, 5, 5, 5), 0.0),
        ((3, 0, 0, 4), 1e-3),
        ((0, 10, 10, 0), 0.0),
        ((9, 1, 30, 970), 0.1),
    ],
)
def test_the_joint_interval_is_that_of_rates_drawn_from_their_posteriors(case, delta):
    tp, fn, fp, tn = case
    rng = np.random.default_rng(0)
    fnr, fpr = rng.beta(0.5 + fn, 0.5 + tp, 400_000), rng.beta(0.5 + fp, 0.5 + tn, 400_000)
    with np.errstate(all="ignore"):
        ratios = [
            (1 - delta - fnr) / fpr,
            (1 - delta - fpr) / fnr,
            (fnr - delta) / (1 - fpr),
            (fpr - delta) / (1 - fnr),
        ]
        drawn = np.nanmax([*np.log(ratios), np.zeros(len(fnr))], axis=0)
    found = joint_beta_epsilon(counts(*case), delta=delta)
    for end, share in ((found.low, 0.025), (found.value, 0.5), (found.high, 0.975)):
        assert np.mean(drawn <= end) == pytest.approx(share, abs=1.5e-3)  # five standard errors of 0.5


@pytest.mark.parametrize("epsilon", [0.0, 0.7, 3.0, 9.0])
def test_the_probability_of_the_region_is_a_double_integral(epsilon):
    a, b, c, d, delta = 3.5, 8.5, 2.5, 6.5, 0.01
    growth = np.exp(epsilon)

    def within(x: float) -> float:
        least = max(0.0, 1 - delta - growth * x, (1 - delta - x) / growth)
        most = min(1.0, growth * (1 - x) + delta, 1 - (x - delta) / growth)
        return beta.pdf(x, a, b) * (beta.cdf(most, c, d) - beta.cdf(least, c, d))

    corner = (1 - delta) / (1 + growth)
    slow, _ = quad(within, 0, 1, points=[corner, 1 - corner, 1 - delta], limit=2000, epsabs=1e-12)
    assert probability_private(counts(8, 3, 2, 6), epsilon, delta) == pytest.approx(slow, abs=1e-9)


def test_swapping_planted_and_left_out_changes_nothing():
    there, back = (joint_beta_epsilon(c, delta=1e-5) for c in (counts(40, 60, 5, 95), counts(95, 5, 60, 40)))
    assert (back.low, back.value, back.high) == pytest.approx((there.low, there.value, there.high), abs=1e-7)


def test_more_canaries_of_the_same_rates_narrow_the_interval():
    few, many = (joint_beta_epsilon(counts(5 * k, 5 * k, k, 9 * k), delta=0) for k in (10, 10_000))
    assert few.low < many.low < np.log(5) < many.high < few.high
    assert many.value == pytest.approx(np.log(5), abs=0.01)


def test_runs_add_up():
    total = counts(3, 1, 2, 4) + counts(1, 2, 0, 5)
    assert total == counts(4, 3, 2, 9)


@pytest.mark.parametrize("bound", [clopper_pearson_epsilon, joint_beta_epsilon])
def test_both_sides_are_needed(bound):
    for one in (counts(0, 0, 0, 10), counts(3, 2, 0, 0)):
        assert isinstance(bound(one, delta=1e-5), NotMeasured)


@pytest.mark.parametrize("wrong", [(5, 4, 0, 1), (-1, 4, 0, 1), (1, 4, 2, 1)])
def test_impossible_counts_are_refused(wrong):
    tp, planted, fp, left_out = wrong
    with pytest.raises(ValueError, match="no more can be accused"):
        Accusations(true_positives=tp, planted=planted, false_positives=fp, left_out=left_out)
