"""Where epsilon probably lies, if canaries leak independently of each other: an estimate and no bound.

n canaries are ordered by how sure their scores are; the r surest are guessed, T of them wrongly. If each canary went
through a channel of its own, and the score were the likelihood ratio of that channel, then

    P[T ≤ u] = E[BinCDF(u; r, γ(W))],   W ~ Beta(n − r, r + 1),

where γ(w) is the share of wrong guesses among scores above their w-quantile. Canaries of one training do not leak
independently: a mechanism that is exactly as private as claimed for every single canary, but draws one strength of
leak for all, exceeds the 95 % limit of this model several times as often as it says. So nothing is judged by it.

Source: Xiang et al. (2025), https://arxiv.org/abs/2509.08704, the distribution of mistakes among the most confident.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import bdtr, betaln, log_ndtr, ndtr, ndtri

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value
from probes.stats.epsilon import UNIT, check_counts
from probes.stats.tradeoff import gdp_epsilon

METHOD = "order statistics of independent Gaussian canaries: an estimate, no bound"

_LARGEST_MU = 37.0
"""Beyond it no guess is wrong in double precision."""

_NODES, _REACH = 96, 18.0
"""Nodes of the quadrature over W, and how many of its standard deviations it covers."""

_STEPS = 8


def few_mistakes_probability(n: int, r: int, mistakes: int, error_above: Callable[[Array], Array]) -> float:
    """P[at most so many of the r surest of n guesses are wrong], if canaries are independent.

    Args:
        n: Number of canaries.
        r: Number of guesses.
        mistakes: Number of wrong guesses u.
        error_above: γ, from quantiles in [0, 1) to shares of wrong guesses; shape (K,) to shape (K,).

    Raises:
        ValueError: Not 0 ≤ mistakes ≤ r ≤ n, or no guess.
    """
    check_counts(n, r, r - mistakes)
    if r == 0:
        raise ValueError("r must be at least 1; got 0")
    if r == n:
        return float(bdtr(mistakes, r, error_above(np.zeros(1)))[0])
    quantiles, weights = _quantiles(n, r)
    return float(weights @ bdtr(mistakes, r, error_above(quantiles)))


def gaussian_error_above(mu: float) -> Callable[[Array], Array]:
    """γ of a mu-Gaussian channel whose two means lie mu apart, scored by its likelihood ratio.

    The ratio is as sure as the distance t of the outcome from the middle between the means: it lies beyond t with
    probability S(t) = Φ(−t − mu/2) + Φ(−t + mu/2), and is then wrong with Φ(−t − mu/2).
    """

    def error(quantiles: Array) -> Array:
        distance = _distance(1 - np.asarray(quantiles, dtype=np.float64), mu)
        wrong, right = ndtr(-distance - mu / 2), ndtr(-distance + mu / 2)
        return np.asarray(wrong / (wrong + right))

    return error


def order_statistics_limit(n: int, r: int, v: int, *, delta: float, level: float) -> float:
    """The epsilon of the largest Gaussian mu for which v or more of r right guesses are less likely than 1 − level.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ n, or no guess.
    """
    from scipy.optimize import brentq

    def excess(mu: float) -> float:
        return few_mistakes_probability(n, r, r - v, gaussian_error_above(mu)) - (1 - level)

    if excess(0.0) >= 0:
        return 0.0
    return gdp_epsilon(float(brentq(excess, 0.0, _LARGEST_MU, xtol=1e-10)), delta)


def order_statistics_estimate(n: int, r: int, v: int, *, delta: float, level: float = 0.95) -> Value:
    """The epsilon at which as many right guesses are as likely as fewer, if canaries were independent and Gaussian.

    Args:
        n: Number of canaries.
        r: Number of guesses.
        v: Number of right guesses.
        delta: The delta that epsilon goes with.
        level: Confidence level of the two-sided interval, which holds under the model alone.

    Returns:
        The median-unbiased value with its interval; no upper end where all guesses are right. NotMeasured without a
        guess.

    Raises:
        ValueError: Not 0 ≤ v ≤ r ≤ n.
    """
    check_counts(n, r, v)
    if r == 0:
        return NotMeasured(reason="no canary was guessed")

    def limit(right: int, at: float) -> float:
        return order_statistics_limit(n, r, right, delta=delta, level=at)

    low = limit(v, (1 + level) / 2)
    high = None if v == r else limit(v + 1, (1 - level) / 2)
    # As the two ends, of which one counts v among what is refuted and the other does not.
    middle = limit(v, 0.5) if v == r else (limit(v, 0.5) + limit(v + 1, 0.5)) / 2
    return Estimate(value=middle, low=low, high=high, level=level, n=r, unit_of_n=UNIT, method=METHOD)


@lru_cache(maxsize=16)
def _quantiles(n: int, r: int) -> tuple[Array, Array]:
    """Nodes and weights of the expectation over W ~ Beta(n − r, r + 1), on its own scale."""
    a, b = n - r, r + 1
    mean, deviation = a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)
    low, high = max(0.0, mean - _REACH * deviation), min(1.0, mean + _REACH * deviation)
    # w = low + (high − low) sin²: nodes crowd at the ends, where the density of a small a or b is steep.
    nodes, weights = leggauss(_NODES)
    angle = (nodes + 1) * np.pi / 4
    w = low + (high - low) * np.sin(angle) ** 2
    logs = (a - 1) * np.log(w) + (b - 1) * np.log1p(-w) - betaln(a, b)
    mass = weights * np.exp(logs) * np.sin(2 * angle)
    return w, mass / mass.sum()


def _distance(survival: Array, mu: float) -> Array:
    """The t with Φ(−t − mu/2) + Φ(−t + mu/2) = survival: Newton's method on its logarithm, kept within brackets."""
    # The second term alone is at most the whole, and twice it at least: two quantiles enclose t.
    low, high = np.maximum(0.0, mu / 2 - ndtri(survival)), np.maximum(0.0, mu / 2 - ndtri(survival / 2))
    t = (low + high) / 2
    for _ in range(_STEPS):
        log_beyond = np.logaddexp(log_ndtr(-t - mu / 2), log_ndtr(-t + mu / 2))
        excess = log_beyond - np.log(survival)
        low, high = np.where(excess > 0, t, low), np.where(excess > 0, high, t)
        slope = np.exp(-((t + mu / 2) ** 2) / 2 - log_beyond) + np.exp(-((t - mu / 2) ** 2) / 2 - log_beyond)
        moved = t + excess * np.sqrt(2 * np.pi) / slope
        t = np.clip(moved, low, high)
    return np.asarray(t)
