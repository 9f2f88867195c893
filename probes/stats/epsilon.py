"""A bound on epsilon from one training run that holds for every mechanism, and a test of a claim that does.

Setting of all one-run bounds: each of m canaries is put into the training data by its own fair coin; the model is
trained once; a rule fixed beforehand guesses the coins of r canaries and abstains on the rest; v guesses are right.
The bounds differ in what they assume and are to be shown side by side:

- here: nothing but (epsilon, delta)-privacy (Steinke, Nasr and Jagielski, SNJ);
- `probes.stats.curve_audit`: one whole trade-off curve, the Gaussian family's or the accountant's own;
- `probes.stats.order_statistics`: canaries that leak independently of each other, so an estimate and no bound.

The cut-off, the sign and the score must be fixed before the coins are seen: the best of several is no bound. Several
runs with coins of their own are one run with all their canaries, so the same bounds hold for their sums.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, expit, log_expit

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value

UNIT = "guessed canary"


def snj_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """p-value of "the training is (epsilon, delta)-private" when v of r guesses are right.

    With q = e^ε / (1 + e^ε): p = min(1, β + 2 m δ α*), where β = P[Bin(r, q) ≥ v] and α* is the largest over
    i = 1 … v of P[v > Bin(r, q) ≥ v − i] / i. Where fewer guesses are right than the r q that are expected, p is near 1
    and refutes nothing; there mechanisms exist (found by linear programming) that exceed it by a part of delta.

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
    check_counts(m, r, v)
    _check_claim(epsilon, delta)
    return _p_value(m, delta, _survival(r, v, epsilon))


def snj_tails(m: int, r: int, epsilon: float, delta: float) -> Array:
    """The most that (epsilon, delta)-privacy allows of P[at least v of r guesses are right], for v = 0 … r.

    The p-values from the r q expected right guesses on, and 1 below, where they are no bound.

    Args:
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.
        epsilon: The claimed epsilon, not negative.
        delta: The claimed delta, in [0, 1].

    Returns:
        Shape (r + 1,), falling from 1.

    Raises:
        ValueError: Not 0 ≤ r ≤ m, or epsilon or delta out of range.

    Source: As `snj_p_value`.
    """
    check_counts(m, r, r)
    _check_claim(epsilon, delta)
    at_least = _survival(r, r, epsilon)
    trusted = range(math.ceil(r * float(expit(epsilon))), r + 1)
    tails = np.ones(r + 1)
    tails[trusted.start :] = [_p_value(m, delta, at_least[: v + 1]) for v in trusted]
    return np.asarray(np.minimum.accumulate(tails))


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
    check_counts(m, r, v)
    if r == 0:
        return NotMeasured(reason="no canary was guessed")
    return bound(_snj_epsilon(m, r, v, delta, 1 - level), r, level, "one-run bound for any mechanism (SNJ)")


def largest_refutable(m: int, r: int, *, delta: float, level: float = 0.95) -> float:
    """The largest epsilon that r guesses could refute if all were right: the ceiling of the audit.

    Raises:
        ValueError: Not 1 ≤ r ≤ m.
    """
    if r < 1:
        raise ValueError(f"r must be at least 1; got {r}")
    check_counts(m, r, r)
    return _snj_epsilon(m, r, r, delta, 1 - level)


def fewest_right_guesses(m: int, r: int, epsilon: float, delta: float, *, level: float = 0.95) -> int | None:
    """The fewest right guesses of r that refute (epsilon, delta) for any mechanism; None where not even r do."""
    return fewest(r, lambda v: snj_p_value(m, r, v, epsilon, delta) < 1 - level)


def check_counts(m: int, r: int, v: int) -> None:
    """Refuse counts that cannot be.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ m.
    """
    if not 0 <= v <= r <= m:
        raise ValueError(f"right guesses, guesses and canaries must satisfy 0 <= v <= r <= m; got {v}, {r} and {m}")


def fewest(r: int, refutes: Callable[[int], bool]) -> int | None:
    """The smallest count up to r that refutes, all above it doing so too; None where not even r does."""
    if not refutes(r):
        return None
    too_few, enough = -1, r
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if refutes(middle) else (middle, enough)
    return enough


def bound(epsilon: float, r: int, level: float, method: str) -> Estimate:
    """A one-sided lower bound on epsilon from r guesses."""
    return Estimate(value=epsilon, low=epsilon, high=None, level=level, n=r, unit_of_n=UNIT, method=method)


def _check_claim(epsilon: float, delta: float) -> None:
    if epsilon < 0 or not 0 <= delta <= 1:
        raise ValueError(f"epsilon must not be negative and delta lie in [0, 1]; got {epsilon} and {delta}")


def _survival(r: int, v: int, epsilon: float) -> Array:
    """P[Bin(r, q) ≥ k] for k = 0 … v; the regularized incomplete beta function has no cancellation."""
    k = np.arange(1, v + 1)
    at_least = np.concatenate([[1.0], betainc(k, r - k + 1, expit(epsilon))])
    if v == r:
        at_least[v] = math.exp(r * log_expit(epsilon))  # 1 − q is lost in q for large epsilon, not in its logarithm
    return at_least


def _p_value(m: int, delta: float, at_least: Array) -> float:
    """The p-value of v right guesses from P[Bin ≥ k] for k = 0 … v."""
    v = len(at_least) - 1
    if delta == 0 or v == 0:
        return float(at_least[v])
    window = (at_least[v - 1 :: -1] - at_least[v]) / np.arange(1, v + 1)
    return min(1.0, float(at_least[v] + 2 * m * delta * window.max()))


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
