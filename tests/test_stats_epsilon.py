import math
from functools import partial

import numpy as np
import pytest
from games import most_right_guesses, threshold_counts
from published_audits import GAUSSIAN, SAMPLED_FIFTH, SAMPLED_HALF
from scipy.optimize import brentq
from scipy.stats import binom

from probes.results import NotMeasured
from probes.stats.epsilon import (
    fewest_right_guesses,
    largest_refutable,
    snj_lower_bound,
    snj_p_value,
    snj_tails,
)

# m, r, v, delta: at 95 %, at 99 %. Computed from the main theorem of Steinke, Nasr and Jagielski (2023),
# https://arxiv.org/abs/2305.08846, by other code than ours (numpy, scipy); the loop of its listing is a test below.
BOUNDS = [
    (1000, 100, 100, 0, 3.492965, 3.054876),
    (1000, 100, 100, 1e-5, 3.465376, 2.989193),
    (1000, 100, 95, 1e-5, 2.165176, 1.917159),
    (1000, 100, 90, 1e-5, 1.626143, 1.427312),
    (1000, 100, 75, 1e-5, 0.699467, 0.547143),
    (1000, 100, 60, 1e-5, 0.049549, 0),
    (1000, 100, 50, 1e-5, 0, 0),
    (1000, 1000, 600, 1e-5, 0.297227, 0.253051),
    (1000, 1000, 1000, 1e-5, 5.782283, 5.315612),
    (200, 50, 45, 1e-5, 1.391977, 1.139499),
    (100, 10, 10, 1e-3, 0.613793, 0),
    (500, 250, 200, 1e-6, 1.118945, 1.017589),
    (5000, 500, 300, 1e-5, 0.249258, 0.181886),
]

# m, r: fewest right guesses that refute epsilon 1, 2, 4, 8 at a delta of 1e-5; by the same code as BOUNDS
POWER = [
    (200, 50, (43, 49, None, None)),
    (200, 100, (81, 94, None, None)),
    (1000, 100, (81, 94, None, None)),
    (1000, 250, (195, 229, 250, None)),
    (1000, 500, (383, 453, 497, None)),
    (5000, 500, (383, 453, 497, None)),
]


@pytest.mark.parametrize(
    ("m", "r", "v", "epsilon", "delta", "p"),
    [
        (1000, 100, 90, 1.0, 1e-5, 8.412886e-4),
        (1000, 100, 100, 3.0, 1e-3, 0.27285785),
        (100, 10, 9, 0.5, 1e-6, 0.06173547),
    ],
)
def test_the_p_value_is_the_tabled_one(m, r, v, epsilon, delta, p):
    assert snj_p_value(m, r, v, epsilon, delta) == pytest.approx(p, rel=1e-6)


def test_the_p_value_is_that_of_the_papers_loop():
    m, r, v, epsilon, delta = 300, 40, 31, 0.7, 1e-3
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    beta, total, alpha = binom.sf(v - 1, r, q), 0.0, 0.0
    for i in range(1, v + 1):
        total += binom.pmf(v - i, r, q)
        alpha = max(alpha, total / i)

    assert snj_p_value(m, r, v, epsilon, delta) == pytest.approx(beta + 2 * m * delta * alpha, rel=1e-12)


@pytest.mark.parametrize(("m", "r", "v", "delta", "at_95", "at_99"), BOUNDS)
def test_the_bounds_are_the_tabled_ones(m, r, v, delta, at_95, at_99):
    assert snj_lower_bound(m, r, v, delta=delta).value == pytest.approx(at_95, abs=1e-6)
    assert snj_lower_bound(m, r, v, delta=delta, level=0.99).value == pytest.approx(at_99, abs=1e-6)


@pytest.mark.parametrize(
    ("m", "r", "mistakes", "epsilon"),
    [
        # Settings of the published comparison of Xiang et al. (2025); their port of this baseline sums
        # P[v − i < Bin ≤ v] and gives up to 0.0024 more than the paper's loop.
        (1000, 100, 26, 0.6517),
        (1000, 1000, 401, 0.2931),
        (10_000, 1000, 97, 2.0464),
        (1000, 100, 1, 3.0028),
        (10_000, 2500, 36, 3.9316),
        (100_000, 100_000, 15_866, 1.6535),
    ],
)
def test_the_published_settings_give_the_bound_of_the_papers_loop(m, r, mistakes, epsilon):
    assert snj_lower_bound(m, r, r - mistakes, delta=1e-5).value == pytest.approx(epsilon, abs=6e-5)


def port_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """That of the published port, which sums P[v − i < Bin ≤ v] where the paper's loop sums P[v − i ≤ Bin < v]."""
    pmf = binom.pmf(np.arange(v, 0, -1), r, 1 / (1 + math.exp(-epsilon)))
    alpha = (np.cumsum(pmf) / np.arange(1, v + 1)).max()
    return binom.sf(v - 1, r, 1 / (1 + math.exp(-epsilon))) + 2 * m * delta * alpha


@pytest.mark.parametrize(("m", "r", "mistakes", "published", "_"), [*GAUSSIAN, *SAMPLED_HALF, *SAMPLED_FIFTH])
def test_the_published_port_claims_up_to_a_hundredth_more_than_the_paper_allows(m, r, mistakes, published, _):
    port = brentq(lambda epsilon: port_p_value(m, r, r - mistakes, epsilon, 1e-5) - 0.05, 0, 10)
    assert port == pytest.approx(published, abs=6e-5)
    assert port - 0.0098 < snj_lower_bound(m, r, r - mistakes, delta=1e-5).value <= port


@pytest.mark.parametrize(
    ("r", "epsilon"),
    [
        (10, 1.051873),
        (20, 1.822716),
        (50, 2.784727),
        (100, 3.492965),
        (250, 4.418275),
        (500, 5.114422),
        (1000, 5.809068),
    ],
)
def test_the_ceiling_of_an_audit_is_that_of_all_right(r, epsilon):
    assert largest_refutable(1000, r, delta=0) == pytest.approx(epsilon, abs=1e-6)
    assert largest_refutable(1000, r, delta=0) == snj_lower_bound(1000, r, r, delta=0).value


def test_the_closed_form_is_the_root():
    assert largest_refutable(1000, 100, delta=1e-15) == pytest.approx(largest_refutable(1000, 100, delta=0), abs=1e-6)


@pytest.mark.parametrize(("m", "r", "fewest"), POWER)
def test_the_fewest_right_guesses_are_the_tabled_ones(m, r, fewest):
    assert tuple(fewest_right_guesses(m, r, epsilon, 1e-5) for epsilon in (1, 2, 4, 8)) == fewest


def test_fewer_guesses_than_the_fewest_refute_nothing():
    for v in range(101):
        assert (snj_p_value(1000, 100, v, 1.0, 1e-5) < 0.05) == (v >= 81)


@pytest.mark.parametrize(
    ("truth", "guesses", "bounds"),
    [
        # Mistakes that a Gaussian mechanism of that mu is expected to leave, m = 1000, delta = 1e-5
        (0.5, {100: 26, 250: 75, 500: 172, 1000: 401}, (0.65, 0.61, 0.49, 0.29)),
        (1.0, {50: 3, 100: 10, 250: 36, 500: 103, 1000: 309}, (1.74, 1.63, 1.48, 1.16, 0.69)),
        (2.0, {100: 1, 250: 4, 500: 20, 1000: 159}, (3.00, 3.27, 2.79, 1.52)),
    ],
)
def test_the_expected_outcome_of_each_number_of_guesses_is_the_tabled_one(truth, guesses, bounds):
    found = [snj_lower_bound(1000, r, r - wrong, delta=1e-5).value for r, wrong in guesses.items()]
    assert found == pytest.approx(bounds, abs=5.1e-3)


@pytest.mark.parametrize(("shift", "bound"), [(0, 0.0), (1, 1.13346), (2, 2.311945), (4, 4.395568)])
def test_the_best_of_all_thresholds_is_the_published_one(shift, bound):
    # google-deepmind/jax_privacy, tests/auditing_test.py: significance 0.05 shared by the thresholds, delta 1e-6
    counts = threshold_counts(shift)
    alpha, best = 0.05 / len(counts), 0.0
    for right, guesses in np.random.default_rng(0).permutation(counts).tolist():  # the best is seldom improved on
        if guesses and snj_p_value(20_000, guesses, right, best, 1e-6) < alpha:
            best = snj_lower_bound(20_000, guesses, right, delta=1e-6, level=1 - alpha).value
    assert best == pytest.approx(bound, abs=2e-6)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (0.5, 0.02), (1.0, 0.1)])
@pytest.mark.parametrize(("m", "r"), [(1, 1), (2, 2), (3, 2), (3, 3)])
def test_no_private_mechanism_whatever_guesses_more_often_than_the_tails_say(m, r, epsilon, delta):
    # The best of all mechanisms and all guessing rules, by linear programming over the whole table of probabilities.
    tails = snj_tails(m, r, epsilon, delta)
    best = [most_right_guesses(m, r, v, [(epsilon, delta)]) for v in range(r + 1)]
    assert all(b <= t + 1e-7 for b, t in zip(best, tails, strict=True))
    if delta == 0 and m == r:
        attained = [v for v in range(r + 1) if tails[v] < 1]
        assert [best[v] for v in attained] == pytest.approx(tails[attained], abs=1e-6)  # by randomized response


def test_below_the_expected_guesses_the_papers_formula_is_no_bound():
    # A (1, 0.01)-private mechanism that guesses at least one of two coins more often than the formula allows.
    assert most_right_guesses(2, 2, 1, [(1.0, 0.01)]) == pytest.approx(0.93108, abs=1e-5)
    assert snj_p_value(2, 2, 1, 1.0, 0.01) == pytest.approx(0.93056, abs=1e-5)
    assert snj_tails(2, 2, 1.0, 0.01)[1] == 1  # fewer than 2 q = 1.46


def test_tails_are_the_p_values_from_the_expected_guesses_on():
    tails = snj_tails(300, 40, 0.7, 1e-3)
    each = np.array([snj_p_value(300, 40, v, 0.7, 1e-3) for v in range(41)])
    expected = 40 / (1 + math.exp(-0.7))
    np.testing.assert_allclose(tails, np.where(np.arange(41) < expected, 1.0, each))


def test_more_right_guesses_never_lower_the_bound():
    values = [snj_lower_bound(200, 30, v, delta=1e-5).value for v in range(31)]
    assert values == sorted(values)


def test_a_bound_is_one_sided():
    estimate = snj_lower_bound(1000, 100, 90, delta=1e-5)

    assert (estimate.low, estimate.high) == (estimate.value, None)
    assert (estimate.n, estimate.unit_of_n) == (100, "guessed canary")


def test_a_bound_without_a_guess_is_not_measured():
    assert snj_lower_bound(100, 0, 0, delta=1e-5) == NotMeasured(reason="no canary was guessed")


def test_a_delta_that_many_canaries_can_use_up_refutes_nothing():
    assert snj_lower_bound(1000, 20, 20, delta=1e-3).value == 0
    assert fewest_right_guesses(1000, 20, 1.0, 1e-3) is None


def test_several_runs_are_one_run_with_all_their_canaries():
    # A canary's coin touches one training only, so the tables of all runs together are (epsilon, delta)-private too.
    one, five = (snj_lower_bound(k * 100, k * 50, k * 40, delta=1e-6).value for k in (1, 5))
    assert 0 < one < five < math.log(40 / 10)


@pytest.mark.parametrize(("m", "r", "v"), [(10, 20, 5), (20, 10, 11), (20, 10, -1)])
def test_impossible_counts_are_refused(m, r, v):
    for call in (partial(snj_lower_bound, delta=0), partial(snj_p_value, epsilon=1.0, delta=0)):
        with pytest.raises(ValueError, match="0 <= v <= r <= m"):
            call(m, r, v)


def test_impossible_claims_are_refused():
    with pytest.raises(ValueError, match="epsilon must not be negative"):
        snj_p_value(10, 5, 5, -1.0, 0.0)
    with pytest.raises(ValueError, match="r must be at least 1"):
        largest_refutable(10, 0, delta=0)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_few_false_alarms_are_raised_against_a_true_claim(epsilon):
    rng = np.random.default_rng(1)
    right = rng.binomial(100, 1 / (1 + math.exp(-epsilon)), 1000)  # randomized response, the worst mechanism
    bounds = {v: snj_lower_bound(400, 100, int(v), delta=1e-5).value for v in np.unique(right)}

    assert sum(bounds[v] > epsilon for v in right) <= 67  # 50 expected at most, 67 exceeded one time in a hundred
