"""A one-run test of a whole trade-off curve, and the smallest Gaussian mechanism that it does not refute.

The setting is that of `probes.stats.epsilon`. A curve says more than one of its (epsilon, delta) points, so its test
refutes with fewer right guesses. Put to the accountant's own curve it tests the very training that is claimed; put to
the Gaussian family it names the smallest member not refuted, which is no bound for mechanisms outside the family.

Source of all: Mahloujifar, Melis and Chaudhuri (2025), https://arxiv.org/abs/2410.22235, the recursion that bounds the
mass of right guesses.
"""

import math

import numpy as np

from probes.protocol import Array
from probes.results import NotMeasured, Value
from probes.stats.epsilon import bound, check_counts, fewest
from probes.stats.tradeoff import TradeOff, gdp_curve, gdp_epsilon

METHOD = "one-run bound for Gaussian mechanisms (MMC)"

_LEAST_P, _HALVINGS = 1e-30, 26
"""Least p-value that is told apart from 0, and steps that find one to a millionth of itself."""


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
    """
    check_counts(m, r, v)
    alpha = 1 - level
    right, wrong = alpha * v / m, alpha * (r - v) / m
    for i in range(v - 1, -1, -1):
        grown = max(wrong, float(g(np.asarray(min(1.0, right)))))
        if grown == wrong:
            break  # nothing moves any more
        right, wrong = min(1.0, right + i / (r - i) * (grown - wrong)), grown
    return right + wrong > r / m


def mmc_tails(g: TradeOff, m: int, r: int) -> Array:
    """The most that the curve g allows of P[at least v of r guesses are right], for v = 0 … r.

    That is the p-value of v right guesses, the smallest 1 − level at which `mmc_rejects`.

    Args:
        g: The smallest mass that the neighbouring data set can give to an event of mass x.
        m: Number of canaries, each with its own fair coin.
        r: Number of guesses.

    Returns:
        Shape (r + 1,), falling from 1, rounded up by at most a millionth of itself, and at least 1e-30.

    Raises:
        ValueError: Not 1 ≤ r ≤ m.
    """
    if r < 1:
        raise ValueError(f"r must be at least 1; got {r}")
    check_counts(m, r, r)
    v = np.arange(r + 1)
    kept, refuted = np.full(r + 1, math.log(_LEAST_P)), np.zeros(r + 1)  # logarithms of 1 − level
    for _ in range(_HALVINGS):
        middle = (kept + refuted) / 2
        rejects = _all_rejected(g, m, r, v, np.exp(middle))
        kept, refuted = np.where(rejects, kept, middle), np.where(rejects, middle, refuted)
    return np.asarray(np.minimum.accumulate(np.exp(refuted)))


def _all_rejected(g: TradeOff, m: int, r: int, v: Array, alpha: Array) -> Array:
    """`mmc_rejects` for each v at its own 1 − level."""
    right, wrong = alpha * v / m, alpha * (r - v) / m
    for i in range(r - 1, -1, -1):
        some = slice(i + 1, None)  # the counts above i
        grown = np.maximum(wrong[some], g(right[some]))
        right[some] = np.minimum(1.0, right[some] + i / (r - i) * (grown - wrong[some]))
        wrong[some] = grown
    return np.asarray(right + wrong > r / m)


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
    """
    check_counts(m, r, v)
    if r == 0:
        return NotMeasured(reason="no canary was guessed")
    return bound(gdp_epsilon(_refuted_mu(m, r, v, level), delta), r, level, METHOD)


def mmc_largest_refutable(m: int, r: int, *, delta: float, level: float = 0.95) -> float:
    """The largest epsilon of a Gaussian mechanism that r guesses could refute if all were right.

    Raises:
        ValueError: Not 1 ≤ r ≤ m.
    """
    if r < 1:
        raise ValueError(f"r must be at least 1; got {r}")
    check_counts(m, r, r)
    return gdp_epsilon(_refuted_mu(m, r, r, level), delta)


def mmc_fewest_right_guesses(g: TradeOff, m: int, r: int, *, level: float = 0.95) -> int | None:
    """The fewest right guesses of r that refute the curve g; None where not even r do."""
    return fewest(r, lambda v: mmc_rejects(g, m, r, v, level=level))


def _refuted_mu(m: int, r: int, v: int, level: float) -> float:
    """The largest mu whose Gaussian curve is refuted; 0 where none is."""
    refuted, not_refuted = 0.0, 1.0
    if not mmc_rejects(gdp_curve(0.0), m, r, v, level=level):
        return 0.0
    while mmc_rejects(gdp_curve(not_refuted), m, r, v, level=level):
        refuted, not_refuted = not_refuted, 2 * not_refuted
    while not_refuted - refuted > 1e-9:
        mu = (refuted + not_refuted) / 2
        if mmc_rejects(gdp_curve(mu), m, r, v, level=level):
            refuted = mu
        else:
            not_refuted = mu
    return refuted
