"""Whether units were really drawn by independent coins: a test of the draws that were logged.

Shuffled batches are accounted as Poisson draws in much of what is published. They show twice: their sizes do not vary
as those of independent draws do, and no unit is drawn more often than another.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scipy.special import gammainc, gammaincc


class Binomials(NamedTuple):
    """Numbers that are binomial if draws are independent, those of one number of trials together.

    Attributes:
        trials: Number of coins that each counts.
        counts: (value, how many of the numbers have it).
    """

    trials: int
    counts: Iterable[tuple[int, int]]


def sizes_of_batches(sizes: Sequence[int], units: int) -> Binomials:
    """Batch sizes, one a step, of draws from a number of units."""
    return Binomials(units, Counter(sizes).items())


def dispersion_p(samples: Sequence[Binomials], rate: float) -> float:
    """Two-sided p-value of how far binomial numbers spread about what is expected of them.

    Args:
        samples: The numbers; of fewer than 5 in all the whole numbers are too coarse for the approximation.
        rate: Probability of each coin, in (0, 1].

    Source: Fisher's index of dispersion with known mean and variance. The sum of squared standardized deviations of k
    numbers of n coins each has mean k and variance k (2 + (1 - 6 q (1 - q)) / (n q (1 - q))); it is taken for the
    multiple of a chi-squared variable that has both.
    """
    if rate == 1:
        return 1.0 if all(value == trials for trials, counts in samples for value, _ in counts) else 0.0
    statistic = variance = 0.0
    number = 0
    for trials, counts in samples:
        spread = trials * rate * (1 - rate)
        for value, times in counts:
            statistic += times * (value - trials * rate) ** 2 / spread
            variance += times * (2 + (1 - 6 * rate * (1 - rate)) / spread)
            number += times
    scale = variance / (2 * number)
    freedom, half = number / scale, statistic / scale / 2
    # The tails of chi-squared; `scipy.stats`, which names them so, costs a second that a finished run need not pay.
    return float(min(1.0, 2 * min(gammainc(freedom / 2, half), gammaincc(freedom / 2, half))))


def poisson_p(sizes: Sequence[int], stretches: Sequence[Binomials], units: int, rate: float) -> float:
    """p-value of independent draws: by the sizes of the batches, and by how often each unit was drawn.

    Args:
        sizes: Batch sizes, one a step.
        stretches: How often each unit was drawn, over stretches of so many steps; empty where that is not known.
        units: Number of units that each step draws from.
        rate: Probability of each draw, in (0, 1].

    Returns:
        With Bonferroni's correction for the two.
    """
    p = dispersion_p([sizes_of_batches(sizes, units)], rate)
    return p if not stretches else min(1.0, 2 * min(p, dispersion_p(stretches, rate)))
