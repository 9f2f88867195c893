"""Lower bounds on epsilon, and tests of a claimed guarantee, from guesses at who was a member.

Setting of the one-run bounds: each of m canaries is put into the training data by its own fair coin; the model is
trained once; a rule fixed beforehand guesses the coins of r canaries and abstains on the rest; v guesses are right.
The bounds differ in what they assume and are to be shown side by side:

- SNJ (Steinke, Nasr and Jagielski) holds for every (epsilon, delta)-private mechanism.
- MMC (Mahloujifar, Melis and Chaudhuri) tests one whole trade-off curve. Put to the Gaussian family it names the
  smallest member not refuted, which is no bound for mechanisms outside the family; put to the accountant's own curve
  it tests the claim itself.

The cut-off, the sign and the score must be fixed before the coins are seen: the best of several is no bound.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, expit, log_expit

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value
from probes.stats.intervals import lower_limit, upper_limit
from probes.stats.tradeoff import TradeOff, gdp_curve, gdp_epsilon

UNIT = "guessed canary"


def snj_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """p-value of "the training is (epsilon, delta)-private" when v of r guesses are right.

    With q = e^ε / (1 + e^ε): p = min(1, β + 2 m δ α*), where β = P[Bin(r, q) ≥ v] and α* is the largest over
    i = 1 … v of P[v > Bin(r, q) ≥ v − i] / i.

    Args:
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.
        v: Number of right guesses.
        epsilon: The claimed epsilon, not negative.
        delta: The claimed delta, in [0, 1].

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ m, or epsilon or delta out of range.

    Source: Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, main theorem for approximate
    differential privacy, in the form of the program in its appendix.
    """
    _check_counts(m, r, v)
    if epsilon < 0 or not 0 <= delta <= 1:
        raise ValueError(f"epsilon must not be negative and delta lie in [0, 1]; got {epsilon} and {delta}")
    at_least = _survival(r, v, epsilon)
    window = (at_least[v - 1 :: -1] - at_least[v]) / np.arange(1, v + 1) if v else np.zeros(1)
    return min(1.0, float(at_least[v] + 2 * m * delta * window.max()))


def snj_lower_bound(m: int, r: int, v: int, *, delta: float, level: float = 0.95) -> Value:
    """The largest epsilon that v right of r guesses refute, whatever the mechanism; 0 where they refute none.

    Args:
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.
        v: Number of right guesses.
        delta: The delta that epsilon goes with.
        level: Confidence level of the one-sided bound.

    Returns:
        The bound as value and lower end; NotMeasured without a guess.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ m.

    Source: As `snj_p_value`.
    """
    _check_counts(m, r, v)
    if r == 0:
        return NotMeasured(reason="no canary was guessed")
    return _bound(_snj_epsilon(m, r, v, delta, 1 - level), r, level, "one-run bound for any mechanism (SNJ)")


def largest_refutable(m: int, r: int, *, delta: float, level: float = 0.95) -> float:
    """The largest epsilon that r guesses could refute if all were right: the ceiling of the audit.

    Raises:
        ValueError: Not 1 ≤ r ≤ m.
    """
    if r < 1:
        raise ValueError(f"r must be at least 1; got {r}")
    _check_counts(m, r, r)
    return _snj_epsilon(m, r, r, delta, 1 - level)


def fewest_right_guesses(m: int, r: int, epsilon: float, delta: float, *, level: float = 0.95) -> int | None:
    """The fewest right guesses of r that refute (epsilon, delta) for any mechanism; None where not even r do."""
    return _fewest(r, lambda v: snj_p_value(m, r, v, epsilon, delta) < 1 - level)


def mmc_rejects(g: TradeOff, m: int, r: int, v: int, *, level: float = 0.95) -> bool:
    """Whether v right of r guesses refute the trade-off curve g.

    Args:
        g: The smallest mass that the neighbouring data set can give to an event of mass x.
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.
        v: Number of right guesses.
        level: Confidence level of the test.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ m.

    Source: Mahloujifar, Melis and Chaudhuri (2025), https://arxiv.org/abs/2410.22235, the recursion that bounds
    the mass of right guesses.
    """
    _check_counts(m, r, v)
    alpha = 1 - level
    right, wrong = alpha * v / m, alpha * (r - v) / m
    for i in range(v - 1, -1, -1):
        grown = max(wrong, g(min(1.0, right)))
        if grown == wrong:
            break  # nothing moves any more
        right, wrong = min(1.0, right + i / (r - i) * (grown - wrong)), grown
    return right + wrong > r / m


def mmc_lower_bound(m: int, r: int, v: int, *, delta: float, level: float = 0.95) -> Value:
    """The epsilon of the smallest Gaussian mechanism that v right of r guesses do not refute.

    It assumes that the mechanism's trade-off curve is that of Gaussian differential privacy; 0 where nothing is
    refuted.

    Args:
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.
        v: Number of right guesses.
        delta: The delta that epsilon goes with.
        level: Confidence level of the one-sided bound.

    Returns:
        The bound as value and lower end; NotMeasured without a guess.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ m.

    Source: As `mmc_rejects`.
    """
    _check_counts(m, r, v)
    if r == 0:
        return NotMeasured(reason="no canary was guessed")
    refuted, not_refuted = 0.0, 1.0
    if not mmc_rejects(gdp_curve(0.0), m, r, v, level=level):
        return _bound(0.0, r, level, _MMC)
    while mmc_rejects(gdp_curve(not_refuted), m, r, v, level=level):
        refuted, not_refuted = not_refuted, 2 * not_refuted
    while not_refuted - refuted > 1e-9:
        mu = (refuted + not_refuted) / 2
        if mmc_rejects(gdp_curve(mu), m, r, v, level=level):
            refuted = mu
        else:
            not_refuted = mu
    return _bound(gdp_epsilon(refuted, delta), r, level, _MMC)


def mmc_fewest_right_guesses(g: TradeOff, m: int, r: int, *, level: float = 0.95) -> int | None:
    """The fewest right guesses of r that refute the curve g; None where not even r do."""
    return _fewest(r, lambda v: mmc_rejects(g, m, r, v, level=level))


def clopper_pearson_epsilon(
    true_positives: int, members: int, false_positives: int, nonmembers: int, *, delta: float, level: float = 0.95
) -> Value:
    """Lower bound on epsilon from an attack's rates at a threshold that was chosen without these scores.

    With one-sided limits at half the error each, ε ≥ log((TPR − δ) / FPR) and log((TNR − δ) / FNR), for an attack whose
    direction was chosen too: both ratios use the same two limits, so neither costs anything more. It is a bound where
    the scores are independent (a model for each); for many canaries in one model it is heuristic.

    Args:
        true_positives: Members accused.
        members: All members.
        false_positives: Non-members accused.
        nonmembers: All non-members.
        delta: The delta that epsilon goes with.
        level: Confidence level of the bound.

    Returns:
        The bound as value and lower end, 0 where the rates refute nothing; NotMeasured without members or non-members.

    Source: Jagielski, Ullman and Oprea (2020), https://arxiv.org/abs/2006.07709; Nasr et al. (2021),
    https://arxiv.org/abs/2101.04535.
    """
    if members == 0 or nonmembers == 0:
        return NotMeasured(reason="there are no members, or no non-members, to compare")
    tpr = lower_limit(true_positives, members, level=(1 + level) / 2)
    fpr = upper_limit(false_positives, nonmembers, level=(1 + level) / 2)
    epsilon = max(0.0, *(_log_ratio(hits - delta, misses) for hits, misses in ((tpr, fpr), (1 - fpr, 1 - tpr))))
    return Estimate(
        value=epsilon,
        low=epsilon,
        high=None,
        level=level,
        n=members + nonmembers,
        unit_of_n="canary",
        method="Clopper–Pearson at a threshold chosen beforehand",
    )


_MMC = "one-run bound for Gaussian mechanisms (MMC)"


def _check_counts(m: int, r: int, v: int) -> None:
    if not 0 <= v <= r <= m:
        raise ValueError(f"right guesses, guesses and canaries must satisfy 0 <= v <= r <= m; got {v}, {r} and {m}")


def _survival(r: int, v: int, epsilon: float) -> Array:
    """P[Bin(r, q) ≥ k] for k = 0 … v; the regularized incomplete beta function has no cancellation."""
    k = np.arange(1, v + 1)
    at_least = np.concatenate([[1.0], betainc(k, r - k + 1, expit(epsilon))])
    if v == r:
        at_least[v] = math.exp(r * log_expit(epsilon))  # 1 − q is lost in q for large epsilon, not in its logarithm
    return at_least


def _snj_epsilon(m: int, r: int, v: int, delta: float, alpha: float) -> float:
    if snj_p_value(m, r, v, 0.0, delta) >= alpha:
        return 0.0
    if v == r and delta == 0:
        root = math.log(alpha) / r  # q^r = alpha
        return root - math.log(-math.expm1(root))
    from scipy.optimize import brentq

    def excess(epsilon: float) -> float:
        return math.log(snj_p_value(m, r, v, epsilon, delta)) - math.log(alpha)

    above = 1.0
    while excess(above) < 0:
        above *= 2
    return float(brentq(excess, 0.0, above, xtol=1e-12))


def _fewest(r: int, refutes: Callable[[int], bool]) -> int | None:
    """The smallest count that refutes, all above it doing so too."""
    if not refutes(r):
        return None
    too_few, enough = -1, r
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if refutes(middle):
            enough = middle
        else:
            too_few = middle
    return enough


def _bound(epsilon: float, r: int, level: float, method: str) -> Estimate:
    return Estimate(value=epsilon, low=epsilon, high=None, level=level, n=r, unit_of_n=UNIT, method=method)


def _log_ratio(hits: float, misses: float) -> float:
    return math.log(hits / misses) if hits > 0 and misses > 0 else -math.inf
