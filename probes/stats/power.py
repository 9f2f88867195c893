"""What a sample could have shown: the smallest detectable effect, and the rows that a decision needs.

"Detectable" means: shown 4 times in 5 by a two-sided test at 5 %, unless `level` and `power` say otherwise.
"""

import math
from collections.abc import Callable

from scipy.special import betainc, betaincinv, ndtri

POWER = 0.8

MOST_CANARIES = 100_000
"""More are never said to be enough."""


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


def canaries_needed(
    refutes: Callable[[int, int, int], bool],
    *,
    guesses: Callable[[int], int],
    right: float = 1.0,
    power: float = POWER,
) -> int | None:
    """The fewest canaries with which a one-run audit refutes a claim, where guesses are as good as stated.

    Args:
        refutes: Whether v right of r guesses among m canaries refute the claim, as a function of (m, r, v).
        guesses: How many of some canaries are guessed, rising with their number.
        right: Probability that a guess is right in the leak that is to be seen; 1 asks whether the claim could be
            refuted at all.
        power: Probability with which that leak is to refute the claim, the guesses taken for independent.

    Returns:
        The number, up to the saw-tooth of whole guesses: some larger one may do a little worse. None where no number
        up to `MOST_CANARIES` does: guesses no better are within what is claimed, or the deltas of so many canaries
        add up.

    Raises:
        ValueError: A probability out of range.
    """
    if not (0 < right <= 1 and 0 < power < 1):
        raise ValueError(f"right must lie in (0, 1] and power in (0, 1); got {right} and {power}")

    def suffices(m: int) -> bool:
        r = guesses(m)
        return r > 0 and refutes(m, r, _count_reached(r, right, power))

    too_few, enough = 1, 2
    while not suffices(enough):
        # Small steps: where deltas add up, a few canaries too many can refute as little as a few too few.
        too_few, enough = enough, enough + max(1, enough // 8)
        if enough > MOST_CANARIES:
            return None
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (too_few, middle) if suffices(middle) else (middle, enough)
    return enough


def _count_reached(n: int, rate: float, power: float) -> int:
    """The largest k with P[Bin(n, rate) ≥ k] ≥ power."""
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if betainc(middle, n - middle + 1, rate) >= power else (low, middle)
    return low


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
