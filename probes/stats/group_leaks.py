"""How far groups lie apart in what a model leaks of them.

Three questions. How well are a group's members told from its others (an AUC within each group); how much more often
does something happen to a group's members than to its others: being accused by an attacker, being said word for word;
and how much larger is a number, such as the exposure of canaries, for its members than for its others.
Members are set against others of their own group, so that a group whose texts are easy for every model does not look
remembered. A largest difference is biased upwards, so each comes with what groups that leak alike would show, with the
p-value of that, and with limits made of simultaneous pairwise intervals, which can include 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.special import ndtri, stdtrit

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Null, Value
from probes.stats.bootstrap import cluster_weights
from probes.stats.codes import codes
from probes.stats.groups import NOT_SCORED, null_of, scored_groups, too_few
from probes.stats.intervals import wilson_limits
from probes.stats.power import POWER
from probes.stats.replicates import Replicates
from probes.stats.roc import FEWEST_PER_CLASS, auc, weighted_auc

RESAMPLES = 200
"""Resamples that tell how much more rates vary than those of independent rows with a fixed threshold."""

SHUFFLES = 4999
"""Draws of groups that leak alike."""

Outcomes = Callable[[Array], Array | None]
"""What happened to each row, shape (N,), boolean, under weights; None where it is undefined under them."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """A figure by group.

    Attributes:
        members: By group, the figure of its members, with simultaneous intervals.
        others: By group, the same of its others, where the figure is a rate or a mean.
        gap: The largest difference between two groups.
    """

    members: Mapping[str, Value]
    others: Mapping[str, Value]
    gap: Value


def groups_told(group: Array, is_told: Array, is_member: Array, cluster: Array, *, minimum: int) -> Array:
    """The groups that are large enough, and have members and others of enough clusters about which something is told.

    Args:
        group: Names of groups, shape (N,).
        is_told: Whether there is a figure of the row, shape (N,).
        is_member: Shape (N,), boolean.
        cluster: What is independent of each other, shape (N,).
        minimum: Groups of fewer rows, told or not, are not scored.

    Returns:
        The names, shape (N,), `NOT_SCORED` in place of the others and of "unknown".
    """
    found = scored_groups(group, minimum=minimum)
    for name in _names(found):
        ours = (found == name) & is_told
        if min(len(set(cluster[ours & side].tolist())) for side in _sides(is_member)) < FEWEST_PER_CLASS:
            found[found == name] = NOT_SCORED
    return found


def auc_by_group(
    score: Array,
    is_member: Array,
    group: Array,
    cluster: Array,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = SHUFFLES,
) -> Leaks:
    """How well members are told from others within each group.

    Args:
        score: Attack scores, shape (N,), without NaN; higher says "member".
        is_member: Shape (N,), boolean.
        group: Names of groups, shape (N,); rows of `NOT_SCORED` are left out.
        cluster: What is independent of each other, shape (N,).
        rng: The randomness of the null.
        level: Confidence level of all groups' intervals together, and of the gap's.
        draws: Draws of groups that leak alike.

    Source: `probes.stats.roc.auc` at Bonferroni levels; differences by Zou and Donner (2008), "Construction of
    confidence limits about effect measures: a general approach" (limits recovered from those of the two sides).
    """
    names = _names(group)
    of_group = [group == name for name in names]

    def at(confidence: float) -> list[Value]:
        return [auc(score[g], is_member[g], cluster=cluster[g], level=confidence) for g in of_group]

    shared = 1 - (1 - level) / max(1, len(names))
    values = {name: _shared(value, level, shared, names) for name, value in zip(names, at(shared), strict=True)}
    known = [name for name, value in values.items() if isinstance(value, Estimate)]
    if len(known) < 2:
        return Leaks(members=values, others={}, gap=too_few(len(known)))
    pairs = len(known) * (len(known) - 1) // 2
    pairwise = 1 - (1 - level) / pairs
    found = [value for value in at(pairwise) if isinstance(value, Estimate)]
    ends = np.array([(one.value, one.low, one.high) for one in found]).T  # (3, G)
    both = [ends[:, list(pair)] for pair in combinations(range(len(found)), 2)]
    value, low, high = _extremes([_joined(v, down, up, np.array([1, -1])) for v, down, up in both])
    errors = np.array([_error(one, pairwise) for one in found])
    noise = np.ptp(rng.normal(size=(draws, len(found))) * errors, axis=1)
    gap = Estimate(
        value=value,
        low=low,
        high=min(1.0, high),
        level=level,
        n=sum(one.n for one in found),
        unit_of_n=found[0].unit_of_n,
        method=_method("DeLong intervals", pairs, pairwise),
        null=_null(noise, value, len(found)),
        detectable=_detectable(noise, errors),
    )
    return Leaks(members=values, others={}, gap=gap)


def rates_by_group(
    outcomes: Outcomes,
    is_member: Array,
    group: Array,
    cluster: Array,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = SHUFFLES,
) -> Leaks:
    """How often something happens to members of each group and to its others, and how far the excess differs.

    The gap is the largest difference between groups in the members' rate minus the others' rate. Intervals are
    Wilson's on effective sizes: where resamples (of clusters, in which an attacker's threshold is chosen anew) vary
    more than independent rows would, sizes shrink accordingly. The null draws binomial counts of groups that keep
    how often it happens to all of their rows and share one excess.

    Args: as `auc_by_group`; `outcomes` gives what happened under weights.
    """
    names = _names(group)
    index = np.array([names.index(name) if name in names else -1 for name in group.tolist()], dtype=np.int64)
    happened = outcomes(np.ones(len(group)))
    if happened is None or not names:
        reason = "no group is large enough" if not names else "it is undefined on these rows"
        return Leaks(members={}, others={}, gap=NotMeasured(reason=reason))
    sides = np.array([[np.count_nonzero((index == g) & side) for g in range(len(names))] for side in _sides(is_member)])
    rates = _rates(happened, is_member, index, len(names), np.ones(len(group)))  # (2, G): members, others
    resampled = _resampled(outcomes, is_member, index, len(names), cluster, rng)
    clusters = _clusters(cluster, is_member, index, len(names))
    wider = _inflation(resampled.var(axis=0, ddof=1), rates * (1 - rates) / sides)
    worth = np.minimum(sides / wider, clusters)
    shared = 1 - (1 - level) / len(names)
    found = [_estimates(names, rates[side], worth[side], sides[side], level, shared) for side in (0, 1)]
    gap = _gap_of_rates(rates, sides, clusters, resampled, rng, level, draws)
    return Leaks(members=found[0], others=found[1], gap=gap)


def means_by_group(
    values: Array,
    is_member: Array,
    group: Array,
    rng: np.random.Generator,
    *,
    bounds: tuple[float, float],
    unit_of_n: str = "record",
    level: float = 0.95,
    draws: int = SHUFFLES,
) -> Leaks:
    """The mean of a number over each group's members and over its others, and how far the excess differs.

    The gap is the largest difference between groups in the members' mean minus the others'. Its limits join those of
    the four means of a pair (Zou and Donner 2008, as in `auc_by_group`). The limits of a mean are Student's, kept
    within the bounds; where all of its numbers are the same, the exact binomial bound for 0 of n others stands in
    their place. The null draws excesses around one that all groups share, by Student's t with Welch's degrees of
    freedom and the samples' own standard errors.

    No bootstrap is used: at the levels that many groups need its ends stop at the most extreme of its draws, and a
    dozen skewed numbers resampled vary too little. With 24 groups alike, its limits left out 0 in 44 % of simulations.

    Args:
        values: The number of each row, shape (N,), without NaN; rows are independent of each other.
        is_member: Shape (N,), boolean.
        group: Names of groups, shape (N,); rows of `NOT_SCORED` are left out.
        rng: The randomness of the null.
        bounds: The least and the greatest that a number can be.
        unit_of_n: What a row is.
        level: Confidence level of all groups' intervals together, and of the gap's.
        draws: Draws of groups that leak alike.

    Source: Welch (1947), "The generalization of 'Student's' problem when several different population variances are
    involved" (degrees of freedom).
    """
    names = _names(group)
    sides = [[values[(group == name) & side] for name in names] for side in _sides(is_member)]
    shared = 1 - (1 - level) / max(1, len(names))
    members, others = (
        {
            name: _shared(_mean(numbers, bounds, unit_of_n, shared), level, shared, names)
            for name, numbers in zip(names, side, strict=True)
        }
        for side in sides
    )
    both = [(ours, theirs) for ours, theirs in zip(*sides, strict=True) if min(len(ours), len(theirs)) > 1]
    if len(both) < 2:
        return Leaks(members=members, others=others, gap=too_few(len(both)))
    gap = _gap_of_means(both, bounds, rng, level, draws)
    return Leaks(members=members, others=others, gap=replace(gap, unit_of_n=unit_of_n))


def excess(members: Value, others: Value) -> Value:
    """A group's figure of members minus that of its others, with the limits that those of the two imply.

    Where one of them was not measured, it is not either.
    """
    if isinstance(members, NotMeasured) or isinstance(others, NotMeasured):
        return members if isinstance(members, NotMeasured) else others
    ends = np.array([(one.value, one.low, one.high) for one in (members, others)]).T  # (3, 2)
    value, low, high = _joined(ends[0], ends[1], ends[2], np.array([1, -1]))
    method = f"differences of {members.method}"
    return replace(members, value=value, low=low, high=high, n=members.n + others.n, method=method, null=None)


def weighted_auc_by_group(score: Array, is_member: Array, group: Array, weights: Array) -> dict[str, float]:
    """The AUC within each group of weighted rows; a group without members or others of weight is left out."""
    of_group = {name: group == name for name in _names(group)}
    values = {name: weighted_auc(score[g], is_member[g], weights[g]) for name, g in of_group.items()}
    return {name: value for name, value in values.items() if value is not None}


def weighted_rates_by_group(
    happened: Array, is_member: Array, group: Array, weights: Array
) -> dict[str, tuple[float, float]]:
    """By group, how often it happened to members and to others of weighted rows; without weight, left out."""
    of = codes(group)
    rates = _rates(happened, is_member, of.index, len(of.values), weights)
    return {
        str(name): (float(members), float(others))
        for name, members, others in zip(of.values, *rates, strict=True)
        if name != NOT_SCORED and not np.isnan(members + others)
    }


def _names(group: Array) -> list[str]:
    return sorted(set(group.tolist()) - {NOT_SCORED})


def _sides(is_member: Array) -> tuple[Array, Array]:
    return is_member, ~is_member


def _rates(happened: Array, is_member: Array, index: Array, groups: int, weights: Array) -> Array:
    """Shape (2, G): of members and of others; NaN where there is no weight."""
    found = np.full((2, groups), np.nan)
    for number, side in enumerate(_sides(is_member)):
        ours = side & (index >= 0)
        among = np.bincount(index[ours], weights[ours], groups)
        hits = np.bincount(index[ours], weights[ours] * happened[ours], groups)
        np.divide(hits, among, out=found[number], where=among > 0)
    return found


def _resampled(
    outcomes: Outcomes, is_member: Array, index: Array, groups: int, cluster: Array, rng: np.random.Generator
) -> Array:
    """Rates in resamples of clusters, shape (B, 2, G), those in which all are defined."""
    drawn = []
    for weights in cluster_weights(cluster, is_member, RESAMPLES, rng):
        happened = outcomes(weights)
        rates = None if happened is None else _rates(happened, is_member, index, groups, weights)
        if rates is not None and not np.isnan(rates).any():
            drawn.append(rates)
    return np.array(drawn).reshape(-1, 2, groups)


def _inflation(variance: Array, independent: Array) -> Array:
    """How many times the variance of independent rows was seen, at least 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(independent > 0, variance / independent, 1.0)
    return np.asarray(np.maximum(1.0, np.nan_to_num(ratio, nan=1.0)))


def _clusters(cluster: Array, is_member: Array, index: Array, groups: int) -> Array:
    """Number of clusters of each side of each group, shape (2, G): no more rows are independent."""
    return np.array([
        [len(set(cluster[side & (index == g)].tolist())) for g in range(groups)] for side in _sides(is_member)
    ])  # fmt: skip


def _estimates(
    names: Sequence[str], rates: Array, worth: Array, sizes: Array, level: float, shared: float
) -> dict[str, Value]:
    low, high = _wilson(rates, worth, shared)
    return {
        name: Estimate(
            value=float(rates[g]),
            low=float(low[g]),
            high=float(high[g]),
            level=level,
            n=int(sizes[g]),
            unit_of_n="record",
            method=f"Wilson at {shared:.2%} for each of {len(names)} groups, on effective sizes",
        )
        for g, name in enumerate(names)
    }


def _gap_of_rates(
    rates: Array, sizes: Array, clusters: Array, resampled: Array, rng: np.random.Generator, level: float, draws: int
) -> Value:
    groups = rates.shape[1]
    if groups < 2:
        return too_few(groups)
    pairs = groups * (groups - 1) // 2
    pairwise = 1 - (1 - level) / pairs
    excess, seen = rates[0] - rates[1], resampled[:, 0] - resampled[:, 1]
    independent = (rates * (1 - rates) / sizes).sum(axis=0)
    found, widest = [], 1.0
    for a, b in combinations(range(groups), 2):
        wider = float(_inflation((seen[:, a] - seen[:, b]).var(ddof=1), independent[a] + independent[b]))
        of_pair = rates[:, [a, b]]
        ends = _wilson(of_pair, np.minimum(sizes / wider, clusters)[:, [a, b]], pairwise)
        found.append(_joined(of_pair, *ends, np.array([[1, -1], [-1, 1]])))
        widest = max(widest, wider)
    value, low, high = _extremes(found)
    noise = _alike(rates, sizes, rng, draws) * np.sqrt(widest)
    return Estimate(
        value=float(np.ptp(excess)),
        low=low,
        high=min(2.0, high),
        level=level,
        n=int(sizes.sum()),
        unit_of_n="record",
        method=_method("Wilson intervals on effective sizes", pairs, pairwise),
        null=_null(noise, value, groups),
        detectable=_detectable(noise, np.sqrt(independent * widest)),
    )


def _mean(numbers: Array, bounds: tuple[float, float], unit_of_n: str, level: float) -> Value:
    """A mean with Student's interval."""
    if len(numbers) < 2:
        return NotMeasured(reason=f"numbers: {len(numbers)}, where an interval of their mean needs 2")
    value, low, high = _student(numbers, bounds, level)
    return Estimate(
        value=value, low=low, high=high, level=level, n=len(numbers), unit_of_n=unit_of_n, method="Student's t"
    )


def _student(numbers: Array, bounds: tuple[float, float], level: float) -> tuple[float, float, float]:
    """A mean with Student's limits within bounds; of numbers that are all the same, with the exact binomial bound."""
    n, value = len(numbers), float(np.clip(numbers.mean(), *bounds))  # a mean of equal numbers may be rounded past them
    if np.ptp(numbers) == 0:
        interval = Replicates(value=value, draws=np.array([value]), n=n, bounds=bounds).interval(level)
        assert interval is not None, "bounds are known"
        return value, *interval
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * float(numbers.std(ddof=1)) / float(np.sqrt(n))
    return value, max(bounds[0], value - reach), min(bounds[1], value + reach)


def _gap_of_means(
    both: Sequence[tuple[Array, Array]],
    bounds: tuple[float, float],
    rng: np.random.Generator,
    level: float,
    draws: int,
) -> Estimate:
    """The gap of the means of members and others of each group, from their numbers."""
    pairs = len(both) * (len(both) - 1) // 2
    pairwise = 1 - (1 - level) / pairs
    ends = np.array([[_student(numbers, bounds, pairwise) for numbers in sides] for sides in both]).T  # (3, 2, G)
    of_pairs = [ends[:, :, list(pair)] for pair in combinations(range(len(both)), 2)]
    signs = np.array([[1, -1], [-1, 1]])
    value, low, high = _extremes([_joined(v, down, up, signs) for v, down, up in of_pairs])
    errors, freedom = _welch(both, bounds)
    noise = np.ptp(rng.standard_t(freedom, size=(draws, len(both))) * errors, axis=1)
    return Estimate(
        value=value,
        low=low,
        high=min(2 * (bounds[1] - bounds[0]), high),
        level=level,
        n=sum(len(numbers) for sides in both for numbers in sides),
        unit_of_n="record",
        method=_method("Student's intervals", pairs, pairwise),
        null=_null(noise, value, len(both)),
        detectable=_detectable(noise, errors),
    )


def _welch(both: Sequence[tuple[Array, Array]], bounds: tuple[float, float]) -> tuple[Array, Array]:
    """Standard errors of the differences of two means, and their degrees of freedom, shape (G,) each."""
    freedom = np.array([[len(numbers) - 1 for numbers in sides] for sides in both])  # (G, 2)
    squares = np.array([[_error_of_mean(numbers, bounds) ** 2 for numbers in sides] for sides in both])
    total = squares.sum(axis=1)
    return np.sqrt(total), total**2 / (squares**2 / freedom).sum(axis=1)


def _error_of_mean(numbers: Array, bounds: tuple[float, float]) -> float:
    """The standard error of a mean; of numbers that are all the same, the one that their limits imply."""
    if np.ptp(numbers) > 0:
        return float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    _, low, high = _student(numbers, bounds, 0.95)
    return float((high - low) / (2 * ndtri(0.975)))


def _alike(rates: Array, sizes: Array, rng: np.random.Generator, draws: int) -> Array:
    """Gaps of groups that share one excess, each with how often it happened to all of its own rows, shape (B,).

    A group to which it never happened is given one more row, to which it happened as often as to all rows.
    """
    hits, rows = (rates * sizes).sum(axis=0), sizes.sum(axis=0)
    overall = (hits + hits.sum() / rows.sum()) / (rows + 1)
    pooled = (rates * sizes).sum(axis=1) / sizes.sum(axis=1)
    excess = pooled[0] - pooled[1]
    others = np.clip(overall - excess * sizes[0] / rows, 0.0, 1.0)
    of_members = np.clip(others + excess, 0.0, 1.0)
    drawn = [rng.binomial(n, p, size=(draws, len(n))) / n for n, p in zip(sizes, (of_members, others), strict=True)]
    return np.asarray(np.ptp(drawn[0] - drawn[1], axis=1))


def _wilson(rates: Array, worth: Array, level: float) -> tuple[Array, Array]:
    """Wilson limits of rates of any shape."""
    low, high = wilson_limits(rates.ravel(), worth.ravel(), level=level)
    return low.reshape(rates.shape), high.reshape(rates.shape)


def _joined(values: Array, low: Array, high: Array, signs: Array) -> tuple[float, float, float]:
    """A signed sum with the limits that those of its parts imply."""
    value = float((signs * values).sum())
    below, above = (values - low) ** 2, (high - values) ** 2
    down, up = np.where(signs > 0, below, above).sum(), np.where(signs > 0, above, below).sum()
    return value, value - float(np.sqrt(down)), value + float(np.sqrt(up))


def _extremes(pairs: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The largest difference either way, with the limits that simultaneous pairwise ones imply for it."""
    value = max(abs(value) for value, _, _ in pairs)
    low = max(0.0, *(max(low, -high) for _, low, high in pairs))
    high = max(max(high, -low) for _, low, high in pairs)
    return value, min(low, value), max(high, value)


def _error(estimate: Estimate, level: float) -> float:
    """The standard error that an interval at a level implies."""
    assert estimate.low is not None
    assert estimate.high is not None
    return float((estimate.high - estimate.low) / (2 * ndtri((1 + level) / 2)))


def _detectable(noise: Array, errors: Array) -> float | None:
    """The true gap of the two least certain groups that would rise above the floor 4 times in 5."""
    reach = float(ndtri(POWER) * np.sqrt((np.sort(errors)[-2:] ** 2).sum()))
    return float(np.quantile(noise, 0.95)) + reach if reach > 0 else None


def _null(noise: Array, value: float, groups: int) -> Null:
    return null_of(noise, value, f"{groups} groups of these sizes that leak alike")


def _shared(value: Value, level: float, at: float, names: Sequence[str]) -> Value:
    """An interval at a stricter level, told as one of all groups' together."""
    if isinstance(value, NotMeasured):
        return value
    return replace(value, level=level, method=f"{value.method}, at {at:.2%} for each of {len(names)} groups")


def _method(what: str, pairs: int, pairwise: float) -> str:
    return f"differences of {what}" if pairs == 1 else f"largest of {pairs} differences of {what}, at {pairwise:.2%}"
