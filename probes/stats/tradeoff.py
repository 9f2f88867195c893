"""Trade-off curves: how little mass the neighbouring data set can give to an event.

A curve g maps the mass x that one data set gives to an event to the smallest mass that its neighbour can give to the
same event. It determines the guarantee completely; an (epsilon, delta) pair is one tangent of it. Curves are what the
one-run audit of `probes.stats.curve_audit` puts to the test.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from probes.protocol import Array

TradeOff = Callable[[Array], Array]
"""g: [0, 1] → [0, 1], of each element of an array: convex, increasing, g(x) ≤ x."""

_LARGEST_MU = 37.0
"""Beyond it a Gaussian guarantee is none in double precision."""

_STEEPEST = 700.0
"""Logarithm of the steepest slope that double precision holds."""

_LEAST_DELTA, _POINTS = 1e-12, 4001
"""The grid of an accountant's curve: epsilons from 0 up to that of the least delta, and how many."""


def gdp_curve(mu: float) -> TradeOff:
    """The curve of mu-Gaussian differential privacy: g(x) = Φ(Φ⁻¹(x) − mu).

    Source: Dong, Roth and Su (2022), "Gaussian differential privacy", section 2.2.
    """

    def curve(mass: Array) -> Array:
        return np.asarray(ndtr(ndtri(mass) - mu))

    return curve


def profile_curve(epsilons: Array, deltas: Array) -> TradeOff:
    """The curve of a mechanism that is (epsilon, delta)-private at every point of a grid, add and remove alike.

    Each point allows no less than max(0, e^−ε (x − δ), 1 − δ − e^ε (1 − x)); the curve is the largest of them, so a
    coarser grid gives a smaller, that is a more cautious, curve.

    Args:
        epsilons: Shape (K,), not negative.
        deltas: Shape (K,), the delta at each epsilon for the worse of the two directions.

    Source: Dong, Roth and Su (2022), "Gaussian differential privacy", section 2.3 (the two are duals).
    """
    epsilons, deltas = (np.asarray(a, dtype=np.float64) for a in (epsilons, deltas))
    if epsilons.shape != deltas.shape or epsilons.ndim != 1 or not (epsilons >= 0).all():
        raise ValueError("epsilons and deltas must be equally long columns, epsilons not negative")
    falling, rising = np.exp(-epsilons), np.exp(np.minimum(epsilons, _STEEPEST))
    slopes = np.concatenate([[0.0], falling, rising])
    at_one = np.concatenate([[0.0], falling * (1 - deltas), 1 - deltas])
    masses, values = _envelope(slopes, at_one)

    def curve(mass: Array) -> Array:
        return np.interp(mass, masses, values)

    return curve


def _envelope(slopes: Array, at_one: Array) -> tuple[Array, Array]:
    """The corners on [0, 1] of the largest of straight lines, given by their slopes and their values at 1.

    A line enters where it overtakes the last one kept, and that one goes where it was overtaken before it entered.
    """
    order = np.lexsort([at_one, slopes])
    last = np.append(np.diff(slopes[order]) > 0, True)  # of equal slopes the highest
    slopes, at_zero = slopes[order][last], (at_one - slopes)[order][last]
    kept, entered = [0], [0.0]
    for line in range(1, len(slopes)):
        while True:
            at = (at_zero[kept[-1]] - at_zero[line]) / (slopes[line] - slopes[kept[-1]])
            if at > entered[-1] or len(kept) == 1:
                break
            kept.pop()
            entered.pop()
        if at <= 0.0:
            kept, entered = [line], [0.0]
        elif at < 1.0:
            kept.append(line)
            entered.append(float(at))
    corners = np.append(entered, 1.0)
    lines = np.append(kept, kept[-1])
    return corners, at_zero[lines] + slopes[lines] * corners


@lru_cache(maxsize=8)
def dp_sgd_curve(noise_multiplier: float, sample_rate: float, steps: int) -> TradeOff:
    """The curve of DP-SGD with Poisson sampling, from its privacy loss distribution (add or remove one).

    The discretization of `dp_accounting` errs towards less privacy, so the curve is never above the true one.

    Args:
        noise_multiplier: Standard deviation of the noise over the clipping norm, positive.
        sample_rate: Probability that an example is drawn in a step, in (0, 1].
        steps: Number of noised steps.

    Source: Doroshenko et al. (2022), https://arxiv.org/abs/2207.04380 (the discretization).
    """
    accountant = _accountant(noise_multiplier, sample_rate, steps)
    epsilons = np.linspace(0.0, float(accountant.get_epsilon(_LEAST_DELTA)), _POINTS)
    return profile_curve(epsilons, np.asarray(accountant.get_delta(epsilons)))


@lru_cache(maxsize=8)
def dp_sgd_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The epsilon at a delta of the mechanism of `dp_sgd_curve`."""
    return float(_accountant(noise_multiplier, sample_rate, steps).get_epsilon(delta))


@lru_cache(maxsize=8)
def _accountant(noise_multiplier: float, sample_rate: float, steps: int) -> Any:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    step = GaussianDpEvent(noise_multiplier)
    event = step if sample_rate == 1 else PoissonSampledDpEvent(sample_rate, step)
    return PLDAccountant().compose(event, steps)


def gdp_epsilon(mu: float, delta: float) -> float:
    """The epsilon of mu-Gaussian differential privacy at a delta; 0 where delta alone covers it.

    Solves δ = Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2) in logarithms, where the difference of tiny numbers stays exact.

    Raises:
        ValueError: `mu` negative, or `delta` outside (0, 1).

    Source: Dong, Roth and Su (2022), "Gaussian differential privacy", corollary 1; Balle and Wang (2018), theorem 8.
    """
    if mu < 0 or not 0 < delta < 1:
        raise ValueError(f"mu must not be negative and delta lie in (0, 1); got {mu} and {delta}")
    if mu == 0 or _log_gdp_delta(mu, 0.0) <= math.log(delta):
        return 0.0
    from scipy.optimize import brentq

    above = 1.0
    while _log_gdp_delta(mu, above) > math.log(delta):
        above *= 2
    return float(brentq(lambda epsilon: _log_gdp_delta(mu, epsilon) - math.log(delta), 0.0, above, xtol=1e-12))


def gdp_mu(epsilon: float, delta: float) -> float:
    """The largest mu whose Gaussian differential privacy implies (epsilon, delta); the inverse of `gdp_epsilon`.

    Raises:
        ValueError: `epsilon` negative, or `delta` outside (0, 1).
    """
    if epsilon < 0 or not 0 < delta < 1:
        raise ValueError(f"epsilon must not be negative and delta lie in (0, 1); got {epsilon} and {delta}")
    from scipy.optimize import brentq

    def excess(mu: float) -> float:
        return _log_gdp_delta(mu, epsilon) - math.log(delta)

    below = 1e-3
    while excess(below) > 0:
        below /= 10
    if excess(_LARGEST_MU) < 0:
        raise ValueError(f"epsilon of {epsilon} is beyond what double precision can tell from no privacy")
    return float(brentq(excess, below, _LARGEST_MU, xtol=1e-12))


def _log_gdp_delta(mu: float, epsilon: float) -> float:
    first = float(log_ndtr(-epsilon / mu + mu / 2))
    second = epsilon + float(log_ndtr(-epsilon / mu - mu / 2))
    # second < first in exact arithmetic; rounding may make them equal, which is a delta of zero.
    return first + math.log(-math.expm1(second - first)) if second < first else -math.inf
