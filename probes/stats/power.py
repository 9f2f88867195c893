"""What a sample could have shown: the smallest detectable effect, and the rows that a decision needs.

"Detectable" means: shown 4 times in 5 by a two-sided test at 5 %, unless `level` and `power` say otherwise.
"""

import math

from scipy.special import bdtr, betainc, betaincinv, ndtri

from probes.stats.intervals import upper_limit

POWER = 0.8


def detectable_from_standard_error(standard_error: float, *, level: float = 0.95, power: float = POWER) -> float:
    """Smallest detectable departure of a roughly normal estimate: (1.96 + 0.84) standard errors at the defaults.

    Raises:
        ValueError: A negative or non-finite standard error.
    """
    if not 0 <= standard_error < math.inf:
        raise ValueError(f"standard_error must be finite and not negative; got {standard_error}")
    return float((ndtri((1 + level) / 2) + ndtri(power)) * standard_error)


def detectable_proportion(n: int, null: float, *, level: float = 0.95, power: float = POWER) -> float | None:
    """Smallest departure from a null proportion that the exact binomial test of n units would show.

    The departure is upwards for nulls up to one half and downwards above, where there is more room.

    Args:
        n: Number of independent units.
        null: The proportion under the null, in [0, 1].
        level: Confidence level of the two-sided test; half of the error is spent on this side.
        power: Probability with which the departure is to be shown.

    Returns:
        The departure; None where not even n of n would be significant.
    """
    if not 0 <= null <= 1:
        raise ValueError(f"null must lie in [0, 1]; got {null}")
    if n < 1:
        return None
    rate = min(null, 1 - null)
    critical = _critical_count(n, rate, (1 - level) / 2)
    if critical is None:
        return None
    return float(betaincinv(critical, n - critical + 1, power)) - rate


def detectable_difference(
    rate: float, n: int, other_n: int, *, level: float = 0.95, power: float = POWER
) -> float | None:
    """Smallest difference of two independent proportions, the first of them `rate`, that a z test would show.

    The other proportion lies above for rates up to one half and below otherwise, where there is more room.

    Returns:
        The difference; None where even the largest possible one would be seen less often than `power`.

    Source: `statsmodels.stats.proportion.power_proportions_2indep` (pooled variance under the null).
    """
    from scipy.optimize import brentq
    from statsmodels.stats.proportion import power_proportions_2indep

    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1]; got {rate}")
    if min(n, other_n) < 1:
        return None
    base = min(rate, 1 - rate)

    def missing_power(difference: float) -> float:
        reached = power_proportions_2indep(
            difference, base, other_n, ratio=n / other_n, alpha=1 - level, return_results=False
        )
        return float(reached) - power

    smallest, largest = 1e-9, 1 - base - 1e-9
    return None if missing_power(largest) < 0 else float(brentq(missing_power, smallest, largest))


def rows_needed(
    margin: float, deviation: float, *, level: float = 0.95, power: float = 0.9, two_sided: bool = False
) -> int:
    """Units from which a limit on a mean decides: it clears a margin when nothing changed, with probability `power`.

    Args:
        margin: Distance between the expected mean and the limit, in the metric's unit.
        deviation: Standard deviation of one unit's contribution; for the paired difference of two accuracies the
            square root of the share of items on which exactly one of the two is right.
        level: Confidence level of the limit.
        power: Probability of deciding.
        two_sided: Whether the limit is an end of a two-sided interval.

    Raises:
        ValueError: `margin` not positive, or `deviation` negative.
    """
    if margin <= 0 or deviation < 0:
        raise ValueError(f"margin must be positive and deviation not negative; got {margin} and {deviation}")
    quantile = ndtri((1 + level) / 2 if two_sided else level) + ndtri(power)
    return max(1, math.ceil((quantile * deviation / margin) ** 2))


def rows_needed_for_bound(expected: float, limit: float, *, level: float = 0.95, power: float = 0.9) -> int:
    """Units from which the one-sided Clopper–Pearson upper limit of a rate stays below `limit`, most of the time.

    Args:
        expected: The true rate for which the decision should come out, in [0, limit).
        limit: The largest rate allowed.
        level: Confidence level of the limit.
        power: Probability of deciding.

    Returns:
        The smallest n that decides, up to the saw-tooth of the binomial: some larger n may decide a little less often.

    Raises:
        ValueError: `expected` not below `limit`.
    """
    if not 0 <= expected < limit < 1:
        raise ValueError(f"expected must be below limit, both in [0, 1); got {expected} and {limit}")
    enough = 1
    while _chance_below(enough, expected, limit, level) < power:
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _chance_below(middle, expected, limit, level) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def _critical_count(n: int, rate: float, alpha: float) -> int | None:
    """Smallest k with P[Bin(n, rate) ≥ k] ≤ alpha."""
    low, high = 0, n + 1  # P[≥ low] > alpha always; P[≥ n + 1] = 0
    while high - low > 1:
        middle = (low + high) // 2
        if betainc(middle, n - middle + 1, rate) <= alpha:
            high = middle
        else:
            low = middle
    return None if high > n else high


def _chance_below(n: int, expected: float, limit: float, level: float) -> float:
    """Probability that the upper limit of Bin(n, expected) lies at or below `limit`."""
    if upper_limit(0, n, level=level) > limit:
        return 0.0
    low, high = 0, n  # the limit lies within at low, outside at high, where it is 1
    while high - low > 1:
        middle = (low + high) // 2
        if upper_limit(middle, n, level=level) <= limit:
            low = middle
        else:
            high = middle
    return float(bdtr(low, n, expected))
