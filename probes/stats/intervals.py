"""Intervals of proportions.

A proportion never takes a bootstrap: at 0 of n every resample is 0 and the interval would be [0, 0].
"""

from typing import Literal

import numpy as np

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Null, Value

Side = Literal["both", "low", "high"]


def wilson(successes: int, n: int, *, unit_of_n: str, level: float = 0.95, null: Null | None = None) -> Value:
    """A proportion with its Wilson score interval, whose coverage is close to the level on average.

    Args:
        successes: How many of the n.
        n: Number of independent units.
        unit_of_n: What one of the n is.
        level: Confidence level, in (0, 1).
        null: What no effect would show, printed beside the value.

    Returns:
        The proportion; NotMeasured where n is 0. The lower end is exactly 0 at 0 of n, the upper exactly 1 at n of n.

    Raises:
        ValueError: `successes` outside [0, n].

    Source: Wilson (1927); Brown, Cai and DasGupta (2001), "Interval estimation for a binomial proportion", section 3.
    """
    _check(successes, n)
    if n == 0:
        return NotMeasured(reason=f"there is no {unit_of_n} to take a share of")
    low, high = _limits(successes, n, level, "two-sided", "wilson")
    return Estimate(
        value=successes / n, low=low, high=high, level=level, n=n, unit_of_n=unit_of_n, method="Wilson", null=null
    )


def clopper_pearson(
    successes: int,
    n: int,
    *,
    unit_of_n: str,
    level: float = 0.95,
    side: Side = "both",
    null: Null | None = None,
) -> Value:
    """A proportion with its Clopper–Pearson interval, whose coverage is at least the level.

    Args:
        successes: How many of the n.
        n: Number of independent units.
        unit_of_n: What one of the n is.
        level: Confidence level, in (0, 1).
        side: "low" or "high" for a one-sided limit that has the whole error on its side; the other end is None.
        null: What no effect would show, printed beside the value.

    Returns:
        The proportion; NotMeasured where n is 0. The lower end is exactly 0 at 0 of n, the upper exactly 1 at n of n.

    Raises:
        ValueError: `successes` outside [0, n].

    Source: Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the
    binomial".
    """
    _check(successes, n)
    if n == 0:
        return NotMeasured(reason=f"there is no {unit_of_n} to take a share of")
    low = None if side == "high" else lower_limit(successes, n, level=_one_sided(level, side))
    high = None if side == "low" else upper_limit(successes, n, level=_one_sided(level, side))
    method = "Clopper–Pearson" if side == "both" else "Clopper–Pearson, one-sided"
    return Estimate(
        value=successes / n, low=low, high=high, level=level, n=n, unit_of_n=unit_of_n, method=method, null=null
    )


def wilson_limits(rates: Array, n: Array, *, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson limits of many proportions, whose sample sizes need not be whole; exact at 0 and 1.

    Args:
        rates: Proportions, shape (K,); NaN where n is 0, and so are the limits.
        n: Sample sizes, or effective ones, shape (K,).
        level: Confidence level.
    """
    from statsmodels.stats.proportion import proportion_confint  # imports pandas, a second of import time

    some = np.where(n > 0, n, 1.0)
    low, high = proportion_confint(np.nan_to_num(rates) * some, some, alpha=1 - level, method="wilson")
    low, high = np.where(rates == 0, 0.0, np.minimum(low, rates)), np.where(rates == 1, 1.0, np.maximum(high, rates))
    return low, high


def lower_limit(successes: int, n: int, *, level: float = 0.95) -> float:
    """One-sided lower Clopper–Pearson limit; exactly 0 at 0 of n.

    Raises:
        ValueError: `successes` outside [0, n], or n below 1.
    """
    _check(successes, n, fewest=1)
    return _limits(successes, n, level, "greater", "exact")[0]


def upper_limit(successes: int, n: int, *, level: float = 0.95) -> float:
    """One-sided upper Clopper–Pearson limit; exactly 1 at n of n.

    Raises:
        ValueError: `successes` outside [0, n], or n below 1.
    """
    _check(successes, n, fewest=1)
    return _limits(successes, n, level, "less", "exact")[1]


def _one_sided(level: float, side: Side) -> float:
    return (1 + level) / 2 if side == "both" else level


def _limits(
    successes: int,
    n: int,
    level: float,
    alternative: Literal["two-sided", "less", "greater"],
    method: Literal["wilson", "exact"],
) -> tuple[float, float]:
    from scipy.stats import binomtest  # a second of import time, which reading this module should not cost

    interval = binomtest(successes, n, alternative=alternative).proportion_ci(level, method)
    value = successes / n
    # Rounding may leave an end a few units in the last place on the wrong side of the value.
    low = 0.0 if successes == 0 else min(float(interval.low), value)
    high = 1.0 if successes == n else max(float(interval.high), value)
    return low, high


def _check(successes: int, n: int, fewest: int = 0) -> None:
    if n < fewest:
        raise ValueError(f"n must be at least {fewest}; got {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, n = {n}]; got {successes}")
