"""Rates of decisions by group, and how far apart groups lie.

The largest difference between groups is biased upwards: equal groups of 30 people differ by 0.1 to 0.3 by chance alone.
So each comes with a noise floor (what groups treated alike would show in 95 of 100 samples), the p-value of that null,
and an interval made of simultaneous pairwise intervals, which can include 0. A group without positives has no true
positive rate, rather than one of 0; groups that are too small are named and not scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Null, Value
from probes.stats.codes import Codes, codes
from probes.stats.intervals import wilson_limits
from probes.stats.power import POWER

NOT_SCORED = ""
"""Stands for the group of rows whose group is too small or not known."""

UNKNOWN = "unknown"

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")

GAPS: Mapping[str, tuple[str, ...]] = {rate: (rate,) for rate in RATES} | {
    "equalized_odds": ("true_positive_rate", "false_positive_rate")
}
"""The rates of which each gap is the largest difference between groups."""

# What can become of a row, and which of these each rate counts, and among which.
_OUTCOMES = ("true positive", "false negative", "false positive", "true negative", "negatives confused")
_COUNTED = np.array([[1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 1, 0]], dtype=np.float64)
_AMONG = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Disparities:
    """How groups fare and how far apart they lie.

    Attributes:
        rates: Each rate of each group that is large enough, "unknown" included, with its Wilson interval.
        gaps: The largest difference between groups of known membership, by the names of `GAPS`.
        too_small: Groups that were not scored, with their numbers of rows.
    """

    rates: Mapping[tuple[str, str], Value]
    gaps: Mapping[str, Value]
    too_small: Mapping[str, int]


def scored_groups(group: Array, *, minimum: int = 30) -> Array:
    """The column with `NOT_SCORED` in place of "unknown" and of every group of fewer than `minimum` rows.

    Whether a group is large enough is a matter of the rows, not of a resample: a probe decides it once, in `answers`.
    """
    of = codes(group)
    small = np.bincount(of.index, minlength=len(of.values)) < minimum
    names = [NOT_SCORED if s or name == UNKNOWN else name for name, s in zip(of.values, small, strict=True)]
    return np.array(names, dtype=object)[of.index]


def weighted_rates(
    decisions: Array, labels: Array, group: Array, weights: Array, *, positive: int = 1
) -> dict[tuple[str, str], float]:
    """Each (rate, group) of weighted rows; left out where it is undefined.

    Args:
        decisions: Decided classes, shape (N,).
        labels: True classes, shape (N,).
        group: Names of groups, shape (N,); rows of `NOT_SCORED` are left out.
        weights: Shape (N,), not negative.
        positive: The class that is the favourable, or feared, decision.
    """
    names, rates = _weighted(decisions, labels, group, weights, positive)
    return {
        (rate, str(name)): float(rates[r, g])
        for r, rate in enumerate(RATES)
        for g, name in enumerate(names)
        if name != NOT_SCORED and not np.isnan(rates[r, g])
    }


def weighted_gaps(
    decisions: Array, labels: Array, group: Array, weights: Array, *, positive: int = 1
) -> dict[str, float]:
    """Each gap of `GAPS` of weighted rows; left out where fewer than two groups have the rate.

    Arguments as for `weighted_rates`.
    """
    names, rates = _weighted(decisions, labels, group, weights, positive)
    gaps = _gaps(rates[:, names != NOT_SCORED])
    return {name: float(gap) for name, gap in gaps.items() if not np.isnan(gap)}


def disparities(
    decisions: Array,
    labels: Array,
    group: Array,
    *,
    rng: np.random.Generator,
    positive: int = 1,
    minimum: int = 30,
    cluster: Array | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Disparities:
    """Rates by group and the gaps between groups, with their noise floors.

    The null draws treat groups alike given the label: within each label the groups are exchanged among the rows, which
    is a multivariate hypergeometric draw of the contingency table. So a gap in selection rates has the groups' unequal
    base rates in its null. Where clusters hold several rows, intervals rest on effective sample sizes, and the null
    gaps are widened by the root of the rate's design effect.

    Args:
        decisions: Decided classes, shape (N,).
        labels: True classes, shape (N,).
        group: Names of groups, shape (N,).
        rng: The randomness of the null draws.
        positive: The class that is the favourable, or feared, decision.
        minimum: Groups of fewer rows are named and not scored.
        cluster: Shape (N,), what is independent of each other; None where every row is.
        draws: Number of null draws.
        level: Confidence level.

    Returns:
        Rates, gaps and the groups left out. A gap's `null` is the noise floor, its `detectable` the true gap between
        the two smallest groups that would rise above the floor 4 times in 5.

    Source: rates by `fairlearn.metrics.MetricFrame`; pairwise intervals Newcombe (1998), "Interval estimation for the
    difference between independent proportions", method 10, at Bonferroni levels.
    """
    sizes = _sizes(group)
    too_small = {name: n for name, n in sizes.items() if n < minimum and name != NOT_SCORED}
    scored = np.array([name not in too_small and name != NOT_SCORED for name in group], dtype=bool)
    units = np.arange(len(group)) if cluster is None else codes(cluster).index
    table = _Table(decisions[scored], labels[scored], group[scored], units[scored], positive)
    known = np.array([name != UNKNOWN for name in table.names], dtype=bool)
    null = _null_gaps(table, known, draws, rng)
    gaps = {name: _gap(name, table, known, null, level) for name in GAPS}
    return Disparities(rates=table.estimates(level), gaps=gaps, too_small=too_small)


class _Table:
    """Counts of outcomes by group, with the rates of `MetricFrame` and how many independent rows each is worth."""

    def __init__(self, decisions: Array, labels: Array, group: Array, units: Array, positive: int) -> None:
        of = codes(group)
        self.names = [str(name) for name in of.values]
        self.group, self.labels = of.index, labels
        self.outcome = _outcomes(decisions, labels, positive)
        self.counts = _counts(self.outcome, of, np.ones(len(group)))  # (G, 5)
        self.rows = self.counts @ _AMONG.T  # (G, R)
        self.rates = _metric_frame(decisions, labels, group, positive)  # (G, R), NaN where undefined
        self.rates[self.rows == 0] = np.nan
        self.worth, self.clusters = np.zeros_like(self.rows), np.zeros_like(self.rows)
        units = codes(units).index
        for r in range(len(RATES)):
            self._weigh(r, units)
        self.clustered = bool((self.clusters < self.rows).any())

    def _weigh(self, r: int, units: Array) -> None:
        """Effective sample sizes: p (1 − p) over the linearized variance of the rate between clusters."""
        among = _AMONG[r][self.outcome] > 0
        size = (int(units.max()) + 1, len(self.names)) if len(units) else (0, 0)
        cell = units[among] * size[1] + self.group[among]
        hits = _COUNTED[r][self.outcome[among]]
        of_cell = np.bincount(cell, minlength=size[0] * size[1]).reshape(size)
        residual = np.bincount(cell, hits - self.rates[self.group[among], r], minlength=size[0] * size[1])
        self.clusters[:, r] = clusters = (of_cell > 0).sum(axis=0)
        self.worth[:, r] = self.rows[:, r]
        several = (clusters > 1) & (clusters < self.rows[:, r])
        p = self.rates[:, r]
        between = (residual.reshape(size) ** 2).sum(axis=0)
        for g in np.flatnonzero(several):
            variance = clusters[g] / (clusters[g] - 1) * between[g] / self.rows[g, r] ** 2
            worth = p[g] * (1 - p[g]) / variance if variance > 0 else np.inf
            # All alike: no variance to estimate, so no more than one row a cluster is claimed.
            self.worth[g, r] = clusters[g] if p[g] in (0.0, 1.0) else min(worth, self.rows[g, r])
        self.worth[clusters == 1, r] = 1.0

    def estimates(self, level: float) -> dict[tuple[str, str], Value]:
        low, high = wilson_limits(self.rates, self.worth, level=level)
        return {
            (rate, name): NotMeasured(reason=f"{name} has no row to take the {rate.replace('_', ' ')} of")
            if self.rows[g, r] == 0
            else Estimate(
                value=float(self.rates[g, r]),
                low=float(low[g, r]),
                high=float(high[g, r]),
                level=level,
                n=int(self.clusters[g, r]),
                unit_of_n="cluster" if self.clustered else "row",
                method=f"Wilson, worth {self.worth[g, r]:.0f} independent rows" if self.clustered else "Wilson",
            )
            for r, rate in enumerate(RATES)
            for g, name in enumerate(self.names)
        }


def _gap(name: str, table: _Table, known: Array, null: Mapping[str, Array], level: float) -> Value:
    indices = [RATES.index(rate) for rate in GAPS[name]]
    groups = [np.flatnonzero(known & (table.rows[:, r] > 0)) for r in indices]
    if min(map(len, groups)) < 2:
        return too_few(min(map(len, groups)))
    pairs = sum(len(g) * (len(g) - 1) // 2 for g in groups)
    pairwise = 1 - (1 - level) / pairs
    ranges = [_range(table.rates[g, r], table.worth[g, r], pairwise) for g, r in zip(groups, indices, strict=True)]
    value, low, high = (max(ends) for ends in zip(*ranges, strict=True))
    chance = null_of(null[name], value, f"{max(map(len, groups))} groups of these sizes, treated alike given the label")
    error = max(_smallest_pair_error(table, g, r) for g, r in zip(groups, indices, strict=True))
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=int(max(table.clusters[g, r].sum() for g, r in zip(groups, indices, strict=True))),
        unit_of_n="cluster" if table.clustered else "row",
        method=f"largest of {pairs} Newcombe intervals at {pairwise:.2%}" if pairs > 1 else "Newcombe",
        null=chance,
        detectable=chance.value + error if error > 0 else None,
    )


def too_few(groups: int) -> NotMeasured:
    """Why there is no difference between so few groups."""
    return NotMeasured(reason=f"groups that can be compared: {groups}, where a difference needs 2")


def null_of(noise: Array, value: float, what: str) -> Null:
    """What chance alone shows of a largest difference: the 95th percentile of its draws, and how many reach a value.

    Args:
        noise: Draws without an effect, shape (B,).
        value: What was found.
        what: What was drawn, in words.
    """
    p = (1 + np.count_nonzero(noise >= value - 1e-12)) / (1 + len(noise))
    return Null(value=float(np.quantile(noise, 0.95)), p=float(p), meaning=f"{what}: 95th percentile")


def _smallest_pair_error(table: _Table, groups: Array, r: int) -> float:
    """What the gap of the two smallest groups falls short by, one time in five, if they share the pooled rate."""
    pooled = np.average(table.rates[groups, r], weights=table.rows[groups, r])
    return float(ndtri(POWER) * np.sqrt(pooled * (1 - pooled) * np.sort(1 / table.worth[groups, r])[-2:].sum()))


def _range(rates: Array, worth: Array, level: float) -> tuple[float, float, float]:
    """The largest difference with the limits that simultaneous pairwise intervals imply for it."""
    low, high = wilson_limits(rates, worth, level=level)
    difference = rates[:, None] - rates[None, :]
    down = np.sqrt((rates - low)[:, None] ** 2 + (high - rates)[None, :] ** 2)
    up = np.sqrt((high - rates)[:, None] ** 2 + (rates - low)[None, :] ** 2)
    apart = ~np.eye(len(rates), dtype=bool)
    lowest, highest = (difference - down)[apart].max(), (difference + up)[apart].max()
    return float(difference.max()), max(0.0, float(lowest)), min(1.0, float(highest))


def _null_gaps(table: _Table, known: Array, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    """Gaps of tables in which groups are exchanged within labels, shape (B,) each."""
    from scipy.stats import random_table

    groups = len(table.names)
    counts = np.zeros((draws, groups, len(_OUTCOMES)))
    scored = known[table.group] if groups else np.zeros(0, dtype=bool)
    for label in np.unique(table.labels[scored]):
        rows = scored & (table.labels == label)
        sizes = np.bincount(table.group[rows], minlength=groups)
        totals = np.bincount(table.outcome[rows], minlength=len(_OUTCOMES))
        counts += random_table(sizes, totals).rvs(draws, random_state=rng)
    rates = np.moveaxis(_rates(counts), -1, 0)[..., known]  # (R, B, G)
    return _gaps(rates, np.sqrt(_design_effects(table, known)))


def _design_effects(table: _Table, known: Array) -> Array:
    """By rate, how many times the variance of independent rows the groups' variances come to, at least 1."""
    p, rows, worth = table.rates[known], table.rows[known], table.worth[known]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.nan_to_num(p * (1 - p))
        independent, actual = (np.where(rows > 0, spread / n, 0.0).sum(axis=0) for n in (rows, worth))
        return np.asarray(np.where(independent > 0, np.maximum(1.0, actual / independent), 1.0))


def _gaps(rates: Array, widening: Array | None = None) -> dict[str, Array]:
    """Largest differences over the last axis of (R, …, G) rates; NaN where fewer than two groups have the rate."""
    defined = ~np.isnan(rates)
    enough = defined.sum(axis=-1) > 1
    highest = np.where(defined, rates, -np.inf).max(axis=-1, initial=-np.inf)
    lowest = np.where(defined, rates, np.inf).min(axis=-1, initial=np.inf)
    spans = np.where(enough, np.where(enough, highest, 0) - np.where(enough, lowest, 0), np.nan)
    if widening is not None:
        spans = (spans.T * widening).T
    return {name: spans[[RATES.index(rate) for rate in of]].max(axis=0) for name, of in GAPS.items()}


def _weighted(decisions: Array, labels: Array, group: Array, weights: Array, positive: int) -> tuple[Array, Array]:
    of = codes(group)
    return of.values, _rates(_counts(_outcomes(decisions, labels, positive), of, weights)).T  # (R, G)


def _outcomes(decisions: Array, labels: Array, positive: int) -> Array:
    """Index into `_OUTCOMES` of each row."""
    selected, is_positive = decisions == positive, labels == positive
    of_negative = np.where(selected, 2, np.where(decisions == labels, 3, 4))
    return np.where(is_positive, np.where(selected, 0, 1), of_negative)


def _counts(outcome: Array, group: Codes, weights: Array) -> Array:
    """Weight of each outcome in each group, shape (G, 5)."""
    shape = (len(group.values), len(_OUTCOMES))
    return np.bincount(group.index * shape[1] + outcome, weights, shape[0] * shape[1]).reshape(shape)


def _rates(counts: Array) -> Array:
    """Rates (…, G, R) of counts (…, G, 5); NaN where there is nothing to take the rate of."""
    hits, among = counts @ _COUNTED.T, counts @ _AMONG.T
    return np.asarray(np.divide(hits, among, out=np.full(hits.shape, np.nan), where=among > 0))


def _metric_frame(decisions: Array, labels: Array, group: Array, positive: int) -> Array:
    """Rates by group, shape (G, R), as fairlearn computes them."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    if not len(group):
        return np.zeros((0, len(RATES)))

    def accuracy(y_true: Array, y_pred: Array, is_right: Array) -> float:  # of all classes, not of the binary cut
        return float(np.mean(is_right))

    metrics = (selection_rate, true_positive_rate, false_positive_rate, accuracy)
    frame = MetricFrame(
        metrics=dict(zip(RATES, metrics, strict=True)),
        y_true=(labels == positive).astype(int),
        y_pred=(decisions == positive).astype(int),
        sensitive_features=group,
        sample_params={"accuracy": {"is_right": decisions == labels}},
    )
    return np.array(frame.by_group[list(RATES)], dtype=np.float64)


def _sizes(group: Array) -> dict[str, int]:
    of = codes(group)
    sizes = np.bincount(of.index, minlength=len(of.values))
    return {str(name): int(n) for name, n in zip(of.values, sizes, strict=True)}
