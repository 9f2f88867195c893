"""Evidence that adds up over nights: e-values of single audits, and their product, valid whenever one looks.

An e-value is a number, at least 0, that is on average at most 1 if the claim is true. Audits with fresh coins each give
one, whatever the earlier ones found; the product of those so far is then a wealth that starts at 1 and is not expected
to grow under the claim, so that it ever reaches 1 / alpha has a probability of at most alpha (Ville's inequality): over
all nights together, and however often one looks.

Nights on which nothing leaks eat the wealth up, and a leak that begins later would have to win it back first. So the
wealth is spread over the nights on which a leak may begin: a share of 1 / (s (s + 1)) is put down on night s and
multiplied from there on. That costs a factor of two where the leak was there from the first night.

Sources: Ramdas et al. (2023), "Game-theoretic statistics and safe anytime-valid inference" (products, Ville);
Larsson, Ramdas and Ruf (2025), "The numeraire e-variable and reverse information projection" (the best e-value).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincc, logsumexp

from probes.protocol import Array


def log_e_value(tails: Array, right: int) -> float:
    """Logarithm of the e-value of so many right guesses against all that `tails` allows.

    Of all distributions with P[V ≥ v] ≤ tails[v], the one that attains every tail makes any rising function of V
    largest on average. The e-value is the likelihood ratio against it of a mixture of binomials, their rates spread
    evenly from the mean share of right guesses under `tails` to 1; where that ratio falls with V it is made level
    (pooling neighbours), which makes it the best rising one.

    Args:
        tails: The most that the claim allows of P[at least v guesses are right], v = 0 … r; shape (r + 1,), from 1
            down, such as `snj_tails` and `mmc_tails` give.
        right: Number of right guesses.

    Raises:
        ValueError: `right` outside [0, r], or `tails` does not fall from 1.
    """
    tails = np.asarray(tails, dtype=np.float64)
    if len(tails) == 0 or tails[0] != 1 or np.any(np.diff(tails) > 0) or tails[-1] <= 0:
        raise ValueError("tails must fall from 1 and stay positive")
    if not 0 <= right < len(tails):
        raise ValueError(f"right must lie in [0, {len(tails) - 1}]; got {right}")
    return float(_log_e_values(tails)[right])


def largest_log_e_value(tails: Array) -> float:
    """Logarithm of the e-value of r right guesses of r: the most that such an audit could have found."""
    return log_e_value(tails, len(tails) - 1)


def log_wealth(log_e_values: Sequence[float]) -> Array:
    """Logarithm of the evidence of all audits so far, after each of them.

    After t audits: the sum over s = 1 … t of the product of the e-values from s on, with weights 1 / (s (s + 1)), and
    1 / (t + 1), which is not put down yet.

    Args:
        log_e_values: Of each audit, in their order, shape (T,).

    Returns:
        Shape (T,).
    """
    running = np.concatenate([[0.0], np.cumsum(log_e_values)])
    starts = np.arange(1, len(running))
    weights = -np.log(starts) - np.log(starts + 1)
    return np.array([np.logaddexp(logsumexp(running[t] - running[:t] + weights[:t]), -math.log(t + 1)) for t in starts])


def refuting_wealth(level: float = 0.95) -> float:
    """Logarithm of the evidence at which a claim is refuted once and for all, 1 / (1 − level)."""
    return -math.log(1 - level)


def _log_e_values(tails: Array) -> Array:
    """Of each number of right guesses; shape (r + 1,)."""
    r = len(tails) - 1
    least = float(tails[1:].mean()) if r else 1.0  # the mean share of right guesses of what attains every tail
    if least >= 1:
        return np.zeros(r + 1)
    k = np.arange(r + 1)
    # ∫ Bin(k; r, t) dt over t from `least` to 1 is P[Beta(k + 1, r − k + 1) > least] / (r + 1).
    alternative = betaincc(k + 1, r - k + 1, least) / ((r + 1) * (1 - least))
    null = np.append(-np.diff(tails), tails[-1])
    ratios, counts = _rising(alternative, null)
    return np.repeat(np.log(np.maximum(ratios, np.finfo(float).tiny)), counts)


def _rising(numerators: Array, denominators: Array) -> tuple[Array, Array]:
    """Ratios of neighbours, pooled until they rise, and how many each stands for (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for top, bottom in zip(numerators.tolist(), denominators.tolist(), strict=True):
        pool = (top, bottom, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    return np.array([top / bottom for top, bottom, _ in pools]), np.array([count for *_, count in pools])
