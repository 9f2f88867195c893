"""How far groups lie apart in what a model leaks of them.

Two questions. How well are a group's members told from its others (an AUC within each group); and how much more often
does something happen to a group's members than to its others: being accused by an attacker, being said word for word.
Members are set against others of their own group, so that a group whose texts are easy for every model does not look
remembered. Means are compared in `probes.stats.group_means`, and what all comparisons share is in
`probes.stats.group_gaps`.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from scipy.special import ndtri

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Value
from probes.stats.bootstrap import cluster_weights
from probes.stats.codes import codes
from probes.stats.group_gaps import (
    SHUFFLES,
    Leaks,
    detectable_gap,
    extremes,
    joined,
    method_of_gap,
    names_of,
    null_of_gap,
    sides_of,
    told_together,
)
from probes.stats.groups import NOT_SCORED, too_few
from probes.stats.intervals import wilson_limits
from probes.stats.roc import auc, weighted_auc

RESAMPLES = 200
"""Resamples that tell how much more rates vary than those of independent rows with a fixed threshold."""

Outcomes = Callable[[Array], Array | None]
"""What happened to each row, shape (N,), boolean, under weights; None where it is undefined under them."""


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
    names = names_of(group)
    of_group = [group == name for name in names]

    def at(confidence: float) -> list[Value]:
        return [auc(score[g], is_member[g], cluster=cluster[g], level=confidence) for g in of_group]

    shared = 1 - (1 - level) / max(1, len(names))
    values = {name: told_together(value, level, shared, names) for name, value in zip(names, at(shared), strict=True)}
    known = [name for name, value in values.items() if isinstance(value, Estimate)]
    if len(known) < 2:
        return Leaks(members=values, others={}, gap=too_few(len(known)))
    pairs = len(known) * (len(known) - 1) // 2
    pairwise = 1 - (1 - level) / pairs
    found = [value for value in at(pairwise) if isinstance(value, Estimate)]
    ends = np.array([(one.value, one.low, one.high) for one in found]).T  # (3, G)
    both = [ends[:, list(pair)] for pair in combinations(range(len(found)), 2)]
    value, low, high = extremes([joined(v, down, up, np.array([1, -1])) for v, down, up in both])
    errors = np.array([_error(one, pairwise) for one in found])
    noise = np.ptp(rng.normal(size=(draws, len(found))) * errors, axis=1)
    gap = Estimate(
        value=value,
        low=low,
        high=min(1.0, high),
        level=level,
        n=sum(one.n for one in found),
        unit_of_n=found[0].unit_of_n,
        method=method_of_gap("DeLong intervals", pairs, pairwise),
        null=null_of_gap(noise, value, len(found)),
        detectable=detectable_gap(noise, errors),
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
    names = names_of(group)
    index = np.array([names.index(name) if name in names else -1 for name in group.tolist()], dtype=np.int64)
    happened = outcomes(np.ones(len(group)))
    if happened is None or not names:
        reason = "no group is large enough" if not names else "it is undefined on these rows"
        return Leaks(members={}, others={}, gap=NotMeasured(reason=reason))
    sides = np.array(
        [[np.count_nonzero((index == g) & side) for g in range(len(names))] for side in sides_of(is_member)]
    )
    rates = _rates(happened, is_member, index, len(names), np.ones(len(group)))  # (2, G): members, others
    resampled = _resampled(outcomes, is_member, index, len(names), cluster, rng)
    clusters = _clusters(cluster, is_member, index, len(names))
    wider = _inflation(resampled.var(axis=0, ddof=1), rates * (1 - rates) / sides)
    worth = np.minimum(sides / wider, clusters)
    shared = 1 - (1 - level) / len(names)
    found = [_estimates(names, rates[side], worth[side], sides[side], level, shared) for side in (0, 1)]
    gap = _gap_of_rates(rates, sides, clusters, resampled, rng, level, draws)
    return Leaks(members=found[0], others=found[1], gap=gap)


def weighted_auc_by_group(score: Array, is_member: Array, group: Array, weights: Array) -> dict[str, float]:
    """The AUC within each group of weighted rows; a group without members or others of weight is left out."""
    of_group = {name: group == name for name in names_of(group)}
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


def _rates(happened: Array, is_member: Array, index: Array, groups: int, weights: Array) -> Array:
    """Shape (2, G): of members and of others; NaN where there is no weight."""
    found = np.full((2, groups), np.nan)
    for number, side in enumerate(sides_of(is_member)):
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
        [len(set(cluster[side & (index == g)].tolist())) for g in range(groups)] for side in sides_of(is_member)
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
        found.append(joined(of_pair, *ends, np.array([[1, -1], [-1, 1]])))
        widest = max(widest, wider)
    value, low, high = extremes(found)
    noise = _alike(rates, sizes, rng, draws) * np.sqrt(widest)
    return Estimate(
        value=float(np.ptp(excess)),
        low=low,
        high=min(2.0, high),
        level=level,
        n=int(sizes.sum()),
        unit_of_n="record",
        method=method_of_gap("Wilson intervals on effective sizes", pairs, pairwise),
        null=null_of_gap(noise, value, groups),
        detectable=detectable_gap(noise, np.sqrt(independent * widest)),
    )


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


def _error(estimate: Estimate, level: float) -> float:
    """The standard error that an interval at a level implies."""
    assert estimate.low is not None
    assert estimate.high is not None
    return float((estimate.high - estimate.low) / (2 * ndtri((1 + level) / 2)))
