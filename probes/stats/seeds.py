"""Means over training seeds, and their paired contrasts: what a recipe does, not one run of it.

Items and seeds are two sources of variance. Items are resampled, the same for all seeds; seeds are too few to resample,
so their variance is estimated between them and the two are joined by Satterthwaite's rule. Fewer than three seeds say
too little of their variance: the interval then speaks for the items alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from probes.protocol import Key, Rows
from probes.results import Estimate, NotMeasured, Value
from probes.stats.bootstrap import DRAWS, Question, Statistics, Values, difference, matched
from probes.stats.power import detectable_from_standard_error
from probes.stats.replicates import Evidence, Found, Replicates, estimates, tested

FEWEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class SeedEvidence:
    """A mean over seeds with the variances it is subject to.

    Attributes:
        value: The mean over seeds at weights of one.
        variances: Variance of the mean from each source, with its degrees of freedom: items first, then seeds.
        n: Number of clusters.
        draws: Number of resamples.
        seeds: Number of seeds, the smaller of two arms'.
        range: Least and greatest possible value, at which the interval is cut; None where they are not known.
        null: The value that no effect would have.

    Source: Satterthwaite (1946), "An approximate distribution of estimates of variance components".
    """

    value: float
    variances: tuple[tuple[float, int], ...]
    n: int
    draws: int
    seeds: int
    range: tuple[float, float] | None = None
    null: float | None = None

    @property
    def standard_error(self) -> float:
        """Root of the summed variances."""
        return float(np.sqrt(sum(variance for variance, _ in self.variances)))

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the summed variances."""
        return self.standard_error**4 / sum(variance**2 / df for variance, df in self.variances)

    def estimate(self, level: float) -> Value:
        """The mean with its t interval at a confidence level, for items and seeds."""
        reach = -float(stdtrit(self.degrees_of_freedom, (1 - level) / 2)) * self.standard_error
        lowest, highest = self.range or (-np.inf, np.inf)
        return Estimate(
            value=self.value,
            low=max(self.value - reach, lowest),
            high=min(self.value + reach, highest),
            level=level,
            n=self.n,
            unit_of_n="cluster",
            method=f"cluster bootstrap, {self.draws:,} draws, with the variance between {self.seeds} seeds",
            varies="items and seeds",
            null=tested(self, self.null),
            detectable=None if self.null is None else detectable_from_standard_error(self.standard_error, level=level),
        )

    def p_above(self, limit: float) -> float:
        """One-sided p-value of "the true mean is at most `limit`"."""
        return float(stdtr(self.degrees_of_freedom, (limit - self.value) / self.standard_error))

    def p_below(self, limit: float) -> float:
        """One-sided p-value of "the true mean is at least `limit`"."""
        return float(stdtr(self.degrees_of_freedom, (self.value - limit) / self.standard_error))


def over_seeds(
    statistics: Statistics,
    rows_by_seed: Mapping[int, Rows],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
    rates: Collection[str] = (),
) -> dict[Key, Value]:
    """Every key's mean over seeds, on the items that all of them answered.

    Args:
        statistics: Values of weighted rows; see `probes.stats.bootstrap`.
        rows_by_seed: One row set per training seed.
        rng: The randomness.
        draws: Number of resamples.
        level: Confidence level.
        rates: Names of the metrics that lie in [0, 1], where their intervals are cut.

    Returns:
        By key; intervals speak for items and seeds from three seeds on, for items alone below.
    """
    return estimates(seed_evidence(statistics, rows_by_seed, rng=rng, draws=draws, rates=rates), level=level)


def difference_over_seeds(
    statistics: Statistics,
    rows_a: Mapping[int, Rows],
    rows_b: Mapping[int, Rows],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> dict[Key, Value]:
    """Every key's difference of means over seeds, a − b, under the same resamples of the items common to all.

    Where both arms have the same seeds the variance between seeds is that of the differences seed by seed; otherwise
    the two arms' variances add (Welch).
    """
    return estimates(paired_seed_evidence(statistics, rows_a, rows_b, rng=rng, draws=draws), level=level)


def seed_evidence(
    statistics: Statistics,
    rows_by_seed: Mapping[int, Rows],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    rates: Collection[str] = (),
) -> Found:
    """`over_seeds` before a level is chosen."""
    question = Question(statistics, matched(list(rows_by_seed.values())), _mean)
    by_seed = question.by_arm()
    bounds = {key: (0.0, 1.0) for key, value in _mean(by_seed).items() if value in (0.0, 1.0)}
    found = question.replicates(rng, draws, bounds, seeds=len(by_seed))
    ranges = {key: (0.0, 1.0) for key in found if key[0] in rates}
    return {key: _with_seeds(e, [_each(by_seed, key)], ranges.get(key)) for key, e in found.items()}


def paired_seed_evidence(
    statistics: Statistics,
    rows_a: Mapping[int, Rows],
    rows_b: Mapping[int, Rows],
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Found:
    """`difference_over_seeds` before a level is chosen."""
    seeds_a, seeds_b = sorted(rows_a), sorted(rows_b)
    rows = matched([rows_a[seed] for seed in seeds_a] + [rows_b[seed] for seed in seeds_b])
    k = len(seeds_a)
    question = Question(statistics, rows, lambda values: difference([_mean(values[:k]), _mean(values[k:])]))
    by_arm = question.by_arm()
    bounds = question.bounds_of_difference()
    found = question.replicates(rng, draws, bounds, null=0.0, seeds=min(k, len(seeds_b)))

    def between(key: Key) -> list[list[float]]:
        a, b = _each(by_arm[:k], key), _each(by_arm[k:], key)
        return [[x - y for x, y in zip(a, b, strict=True)]] if seeds_a == seeds_b else [a, b]

    return {key: e if isinstance(e, NotMeasured) else _with_seeds(e, between(key)) for key, e in found.items()}


def _mean(by_seed: Sequence[Values]) -> Values:
    """The mean of the keys that every seed has."""
    common = [key for key in by_seed[0] if all(key in values for values in by_seed)]
    return {key: sum(values[key] for values in by_seed) / len(by_seed) for key in common}


def _each(by_seed: Sequence[Values], key: Key) -> list[float]:
    return [values[key] for values in by_seed if key in values]


def _with_seeds(
    found: Replicates | NotMeasured, between: Sequence[Sequence[float]], cut: tuple[float, float] | None = None
) -> Evidence | NotMeasured:
    """The replicates with the variance between seeds; unchanged where there are too few seeds or nothing varies."""
    if isinstance(found, NotMeasured) or min(map(len, between)) < FEWEST_SEEDS:
        return found
    seeds = [(float(np.var(values, ddof=1)) / len(values), len(values) - 1) for values in between]
    variances = ((found.standard_error**2, found.n - 1), *seeds)
    if found.is_constant and not any(variance for variance, _ in seeds):
        return found
    return SeedEvidence(
        value=found.value,
        variances=variances,
        n=found.n,
        draws=len(found.draws),
        seeds=found.seeds,
        range=cut,
        null=found.null,
    )
