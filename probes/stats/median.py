"""The median of independent values, with an interval that assumes nothing of their distribution."""

import math

import numpy as np
from scipy.special import bdtr, bdtrik

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value


def median(values: Array, *, unit_of_n: str, level: float = 0.95) -> Value:
    """The median, between two of the values: as many lie below one as above the other.

    The number of values below the true median is binomial, so the interval covers it at least as often as it says,
    also where values tie. Of an even number the lower of the two in the middle is the median.

    Args:
        values: Shape (N,), independent of each other.
        unit_of_n: What one of them is.
        level: Confidence level.

    Returns:
        NotMeasured where even the least and the greatest value do not enclose it so surely.

    Source: David and Nagaraja (2003), "Order statistics", section 7.1.
    """
    n = len(values)
    tail = (1 - level) / 2
    outside = _below(n, tail)
    if outside is None:
        return NotMeasured(reason=f"values: {n}, too few to enclose their median")
    ordered = np.sort(values)
    return Estimate(
        value=float(ordered[(n - 1) // 2]),
        low=float(ordered[outside]),
        high=float(ordered[n - 1 - outside]),
        level=level,
        n=n,
        unit_of_n=unit_of_n,
        method="order statistics",
    )


def weighted_median(values: Array, weights: Array) -> float:
    """The least value that half of the weight lies at or below: `median` of values given so many times.

    Args:
        values: Shape (N,).
        weights: Shape (N,), not negative, not all 0.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])


def _below(n: int, tail: float) -> int | None:
    """How many of n values may be left out on either side: the largest k with P[Bin(n, ½) ≤ k] at most the tail."""
    if n < 1 or bdtr(0, n, 0.5) > tail:
        return None
    k = max(0, math.floor(bdtrik(tail, n, 0.5)))
    while bdtr(k, n, 0.5) > tail:  # rounding of the inverse
        k -= 1
    return k
