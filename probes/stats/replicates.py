"""What resampling found of one number: an interval at any confidence level, a test of any limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from probes.protocol import Array, Key
from probes.results import Estimate, NotMeasured, Null, Value
from probes.stats.power import detectable_from_standard_error


class Evidence(Protocol):
    """Enough of a number to give its interval at any level and to test any limit."""

    def estimate(self, level: float) -> Value:
        """The value with its interval at a confidence level."""

    def p_above(self, limit: float) -> float:
        """One-sided p-value of "the true value is at most `limit`": small where it lies above."""

    def p_below(self, limit: float) -> float:
        """One-sided p-value of "the true value is at least `limit`": small where it lies below."""


Found = Mapping[Key, Evidence | NotMeasured]


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates:
    """A value and what it came to in each resample.

    The interval is the percentile interval, expanded for few clusters: with n clusters a tail of alpha / 2 becomes
    Φ(√(n / (n − 1)) · t(alpha / 2, n − 1)), which tends to alpha / 2. It is widened to the value where a biased
    statistic has no resample beyond it. Where no resample differs from the value, a percentile interval would have
    no width; if the value is bounded, the exact binomial bound for 0 of n clusters takes its place.

    Attributes:
        value: The statistic at weights of one.
        draws: Its values in the resamples in which it was defined, shape (B,).
        n: Number of clusters that contribute, at least 2.
        bounds: Least and greatest possible value, where they are known.
        null: The value that no effect would have, where it is known: 0 for a difference.
        seeds: Number of training seeds that the value is a mean over.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap", section 13.3; Hesterberg (2015), "What
    teachers should know about the bootstrap" (expanded percentile interval).
    """

    value: float
    draws: Array
    n: int
    bounds: tuple[float, float] | None = None
    null: float | None = None
    seeds: int = 1

    @property
    def standard_error(self) -> float:
        """Standard deviation of the resamples."""
        return float(np.std(self.draws, ddof=1))

    @property
    def is_constant(self) -> bool:
        """Whether no resample differs from the value by more than rounding."""
        return bool(np.all(np.abs(self.draws - self.value) <= 1e-12 * max(1.0, abs(self.value))))

    def estimate(self, level: float) -> Value:
        """The value with its interval at a confidence level; NotMeasured where nothing bounds it."""
        interval = self.interval(level)
        if interval is None:
            reason = f"every resample gave the same value, {self.value:.6g}, which says nothing of its uncertainty"
            return NotMeasured(reason=reason)
        return Estimate(
            value=self.value,
            low=interval[0],
            high=interval[1],
            level=level,
            n=self.n,
            unit_of_n="cluster",
            method=self._method(),
            null=tested(self, self.null),
            detectable=self._detectable(level),
        )

    def interval(self, level: float) -> tuple[float, float] | None:
        """Both ends at a confidence level; None where no resample differs and no bound is known."""
        tail = (1 - level) / 2
        if self.is_constant:
            return self._bounded_interval(tail)
        expanded = float(ndtr(np.sqrt(self.n / (self.n - 1)) * stdtrit(self.n - 1, tail)))
        low, high = np.quantile(self.draws, [expanded, 1 - expanded], method="weibull")
        return min(float(low), self.value), max(float(high), self.value)

    def p_above(self, limit: float) -> float:
        """One-sided p-value of "the true value is at most `limit`"; agrees with the interval's lower end."""
        if self.is_constant:
            return self._bounded_p(self.value - limit)
        return self._p(int(np.count_nonzero(self.draws <= limit)))

    def p_below(self, limit: float) -> float:
        """One-sided p-value of "the true value is at least `limit`"; agrees with the interval's upper end."""
        if self.is_constant:
            return self._bounded_p(limit - self.value)
        return self._p(int(np.count_nonzero(self.draws >= limit)))

    def _p(self, beyond: int) -> float:
        share = (1 + beyond) / (1 + len(self.draws))
        return float(stdtr(self.n - 1, ndtri(share) * np.sqrt((self.n - 1) / self.n)))

    @property
    def _reach(self) -> float:
        """How far the value could be from the truth if no cluster were like those seen; 0 where that is not known."""
        return 0.0 if self.bounds is None else max(self.value - self.bounds[0], self.bounds[1] - self.value)

    def _bounded_interval(self, tail: float) -> tuple[float, float] | None:
        if self.bounds is None:
            return None
        unseen = self._reach * (1 - tail ** (1 / self.n))
        return max(self.bounds[0], self.value - unseen), min(self.bounds[1], self.value + unseen)

    def _bounded_p(self, distance: float) -> float:
        if self._reach == 0 or distance <= 0:
            return 1.0
        return float(max(0.0, 1 - distance / self._reach) ** self.n)

    def _method(self) -> str:
        method = f"cluster bootstrap, {len(self.draws):,} draws"
        if self.is_constant:
            method = f"no variation among {self.n:,} clusters: exact binomial bound"
        return method if self.seeds == 1 else f"{method}; mean of {self.seeds} seeds"

    def _detectable(self, level: float) -> float | None:
        if self.null is None or self.is_constant:
            return None
        return detectable_from_standard_error(self.standard_error, level=level)


def estimates(found: Found, *, level: float) -> dict[Key, Value]:
    """Evidence turned into estimates at a confidence level."""
    return {key: e if isinstance(e, NotMeasured) else e.estimate(level) for key, e in found.items()}


def two_sided_p(evidence: Evidence, value: float) -> float:
    """Two-sided p-value of "the true value is `value`"."""
    return min(1.0, 2 * min(evidence.p_above(value), evidence.p_below(value)))


def tested(evidence: Evidence, null: float | None) -> Null | None:
    """The null with the two-sided p-value of the evidence against it; None where there is no null."""
    return None if null is None else Null(value=null, p=two_sided_p(evidence, null), meaning="no difference")
