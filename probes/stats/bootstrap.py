"""The cluster bootstrap: intervals and paired contrasts of anything that is a function of weighted rows.

Clusters (near duplicates, templates, persons) are resampled whole, within strata; two arms that are compared see the
same resamples. A statistic must depend on the rows with weight only: rows of weight zero are as good as absent, and a
key that is undefined under the weights is left out (a value that is not finite is taken for undefined).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import isclose, isfinite, nan

import numpy as np

from probes.protocol import Array, Key, Rows
from probes.results import NotMeasured, Value
from probes.stats.codes import codes, read_only
from probes.stats.replicates import Found, Replicates, estimates

DRAWS = 1000
FEWEST_CLUSTERS = 10
MOST_UNDEFINED = 0.05
"""Largest share of draws in which a key may be undefined."""

PARTLY = "it is undefined for some of the models it is a mean or difference of"

_CROWD = 1000.0
"""Weight that lets a single cluster pass any rule about the least weight a statistic asks for."""

Statistics = Callable[[Rows, Array], Mapping[Key, float]]
Values = dict[Key, float]


def bootstrap(
    statistics: Statistics, rows: Rows, *, rng: np.random.Generator, draws: int = DRAWS, level: float = 0.95
) -> dict[Key, Value]:
    """Every key of a probe's statistics with its cluster-bootstrap interval.

    A value of exactly 0 or 1 that no resample changes is taken for a rate (see `Replicates`).

    Args:
        statistics: Values of weighted rows; see the module's law.
        rows: One row per unit, with `cluster`; clusters are drawn within `stratum`, or `is_member` where there is no
            such column, so that members and non-members are drawn apart.
        rng: The randomness; the same state gives the same resamples, in whatever order the rows come.
        draws: Number of resamples.
        level: Confidence level.

    Returns:
        By key; NotMeasured where the key is undefined on the rows themselves or in more than 5 % of the resamples, or
        rests on fewer than 10 clusters.
    """
    return estimates(bootstrap_replicates(statistics, rows, rng=rng, draws=draws), level=level)


def paired_difference(
    statistics: Statistics,
    rows_a: Rows,
    rows_b: Rows,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> dict[Key, Value]:
    """Every key's difference a − b on the rows that both arms answered, under the same resamples.

    The two-sided p-value of "no difference" stands in `null`, the difference that would have been seen 4 times in 5 in
    `detectable`.

    Raises:
        ValueError: An item_id occurs twice, belongs to different clusters in the two, or none is common to both.
    """
    return estimates(paired_replicates(statistics, rows_a, rows_b, rng=rng, draws=draws), level=level)


def bootstrap_replicates(statistics: Statistics, rows: Rows, *, rng: np.random.Generator, draws: int = DRAWS) -> Found:
    """`bootstrap` before a level is chosen: what a verdict at a corrected level is computed from."""
    question = Question(statistics, (rows,), _first)
    values = question.at_one()
    return question.replicates(rng, draws, {key: (0.0, 1.0) for key in values if values[key] in (0.0, 1.0)})


def paired_replicates(
    statistics: Statistics, rows_a: Rows, rows_b: Rows, *, rng: np.random.Generator, draws: int = DRAWS
) -> Found:
    """`paired_difference` before a level is chosen."""
    question = Question(statistics, matched([rows_a, rows_b]), difference)
    return question.replicates(rng, draws, question.bounds_of_difference(), null=0.0)


def cluster_weights(cluster: Array, stratum: Array | None, draws: int, rng: np.random.Generator) -> Array:
    """How often each row occurs in each resample: clusters drawn whole with replacement, within strata.

    A cluster that spans several strata is drawn among those that span the same ones. Strata of a single cluster, which
    could not vary, are drawn together.

    Args:
        cluster: Shape (N,).
        stratum: Shape (N,), or None.
        draws: Number of resamples B.
        rng: The randomness.

    Returns:
        Shape (B, N), whole numbers as float64.
    """
    index = codes(cluster).index
    strata = _strata(index, stratum)
    return np.stack([weights[index] for weights in _multiplicities(strata, draws, rng)])


class Question:
    """Statistics of one or several matched row sets under common weights, combined into one value per key.

    Args:
        statistics: Values of weighted rows.
        arms: Row sets with the same items in the same order.
        combine: Makes one mapping of the arms' mappings.
    """

    def __init__(
        self, statistics: Statistics, arms: Sequence[Rows], combine: Callable[[Sequence[Values]], Values]
    ) -> None:
        cluster = codes(arms[0]["cluster"]).index
        order = np.argsort(cluster, kind="stable")  # each cluster becomes a contiguous slice
        self._statistics = statistics
        self._combine = combine
        self._arms = [_frozen(rows.take(order)) for rows in arms]
        self._cluster = cluster[order]
        self._starts = np.append(np.flatnonzero(np.diff(self._cluster, prepend=-1)), len(cluster))
        self._strata = _strata(self._cluster, _stratum_of(self._arms[0]))
        self.clusters = len(self._starts) - 1

    def at_one(self) -> Values:
        """The combined values at weights of one."""
        return self._at(np.ones(len(self._cluster)))

    def by_arm(self) -> list[Values]:
        """Each arm's own values at weights of one."""
        ones = np.ones(len(self._cluster))
        return [_finite(self._statistics(rows, ones)) for rows in self._arms]

    def bounds_of_difference(self) -> dict[Key, tuple[float, float]]:
        """[−1, 1] for each key that looks like a rate in every arm."""
        arms = self.by_arm()
        common = set.intersection(*(set(values) for values in arms))
        return {key: (-1.0, 1.0) for key in common if all(0 <= values[key] <= 1 for values in arms)}

    def replicates(
        self,
        rng: np.random.Generator,
        draws: int,
        bounds: Mapping[Key, tuple[float, float]],
        null: float | None = None,
        seeds: int = 1,
    ) -> dict[Key, Replicates | NotMeasured]:
        """Each key's replicates, or why it has none.

        Args:
            rng: The randomness.
            draws: Number of resamples.
            bounds: Least and greatest possible value of the keys for which they are known.
            null: What no effect would give, for all keys.
            seeds: Number of training seeds that the combined values are means over.
        """
        value = self.at_one()
        drawn: dict[Key, list[float]] = {key: [] for key in value}
        for weights in _multiplicities(self._strata, draws, rng):
            for key, number in self._at(weights[self._cluster]).items():
                drawn.setdefault(key, []).append(number)
        resting_on = self._clusters_behind(value)
        partly = {key: NotMeasured(reason=PARTLY) for arm in self.by_arm() for key in arm if key not in drawn}
        return partly | {
            key: _absence(key in value, len(numbers), draws, resting_on.get(key, 0))
            or Replicates(
                value=value[key],
                draws=np.array(numbers),
                n=resting_on[key],
                bounds=bounds.get(key),
                null=null,
                seeds=seeds,
            )
            for key, numbers in drawn.items()
        }

    def _at(self, weights: Array) -> Values:
        return self._combine([_finite(self._statistics(rows, weights)) for rows in self._arms])

    def _of_cluster(self, cluster: int) -> Values:
        rows = np.arange(self._starts[cluster], self._starts[cluster + 1])
        crowd = np.full(len(rows), _CROWD)
        return self._combine([_finite(self._statistics(arm.take(rows), crowd)) for arm in self._arms])

    def _clusters_behind(self, keys: Values) -> dict[Key, int]:
        """The number of clusters each key rests on, found by asking for what each cluster has a value alone.

        A mean, rate or quantile is defined on a cluster alone exactly if it contributes. A key that needs clusters of
        several kinds (an AUC, a gap between groups) is still defined without all those on which it is defined alone:
        it rests on the clusters behind its slice, or on all where that is not enough either; where rows are of several
        parts (`part`), such as records and canaries, on all of those parts without which it is another.
        """
        alone = {key: np.zeros(self.clusters, dtype=bool) for key in keys}
        for cluster in range(self.clusters):
            for key in self._of_cluster(cluster).keys() & alone.keys():
                alone[key][cluster] = True
        of_slice: dict[str, Array] = {}
        for (_, name), mask in alone.items():
            of_slice[name] = of_slice.get(name, False) | mask
        without: dict[bytes, Values] = {}

        def suffices(mask: Array, key: Key) -> bool:
            if mask.all():
                return True
            if not mask.any():
                return False
            if mask.tobytes() not in without:
                without[mask.tobytes()] = self._at(np.where(mask[self._cluster], 0.0, _CROWD))
            return key not in without[mask.tobytes()]

        found = {}
        for key in keys:
            enough = [mask for mask in (alone[key], of_slice[key[1]]) if suffices(mask, key)]
            found[key] = int(enough[0].sum()) if enough else self._clusters_of_its_parts(key, keys[key])
        return found

    def _clusters_of_its_parts(self, key: Key, value: float) -> int:
        """The number of clusters of the parts of the rows without which a key has another value, or none."""
        is_behind = np.ones(len(self._cluster), dtype=bool)
        for rows, values in self._without_part:
            is_behind &= ~(rows & isclose(values.get(key, nan), value, rel_tol=1e-12, abs_tol=1e-15))
        return len(np.unique(self._cluster[is_behind]))

    @cached_property
    def _without_part(self) -> list[tuple[Array, Values]]:
        """For each part of the rows, which they are, and the values without them."""
        if "part" not in self._arms[0]:
            return []
        parts = codes(self._arms[0]["part"])
        of_part = [parts.index == number for number in range(len(parts.values))]
        return [(rows, self._at(np.where(rows, 0.0, 1.0))) for rows in of_part]


def difference(values: Sequence[Values]) -> Values:
    """First minus second, of the keys that both have."""
    a, b = values
    return {key: a[key] - b[key] for key in a if key in b}


def matched(arms: Sequence[Rows]) -> tuple[Rows, ...]:
    """The rows whose item_id occurs in all row sets, in the order of the ids.

    Raises:
        ValueError: An item_id occurs twice, belongs to different clusters, or none is common to all.
    """
    keys = [np.asarray(rows["item_id"]) for rows in arms]
    for ids in keys:
        if len(codes(ids).values) < len(ids):
            raise ValueError("item_id must be unique to compare rows")
    common = keys[0]
    for ids in keys[1:]:
        common = common[np.isin(common, ids)]
    if not len(common):
        raise ValueError("the row sets have no item_id in common, so they cannot be compared")
    chosen = [ids.argsort(kind="stable") for ids in keys]
    chosen = [order[np.isin(ids[order], common)] for ids, order in zip(keys, chosen, strict=True)]
    result = tuple(rows.take(order) for rows, order in zip(arms, chosen, strict=True))
    if any((rows["cluster"] != result[0]["cluster"]).any() for rows in result[1:]):
        raise ValueError("an item must be in the same cluster in all row sets that are compared")
    return result


def _first(values: Sequence[Values]) -> Values:
    return values[0]


def _finite(values: Mapping[Key, float]) -> Values:
    return {key: float(value) for key, value in values.items() if isfinite(value)}


def _frozen(rows: Rows) -> Rows:
    """The same rows, read-only, so that the codes of their columns are kept between draws."""
    return Rows({name: read_only(column) for name, column in rows.items()}, rows.sensitivity)


def _stratum_of(rows: Rows) -> Array | None:
    return rows.get("stratum", rows.get("is_member"))


def _absence(defined: bool, found: int, draws: int, clusters: int) -> NotMeasured | None:
    if not defined:
        return NotMeasured(reason="it is undefined on these rows, though not on every resample of them")
    if clusters < FEWEST_CLUSTERS:
        return NotMeasured(reason=f"clusters that contribute: {clusters}, where an interval needs {FEWEST_CLUSTERS}")
    if found < (1 - MOST_UNDEFINED) * draws:
        return NotMeasured(reason=f"it is undefined in {draws - found:,} of {draws:,} resamples")
    return None


def _strata(cluster: Array, stratum: Array | None) -> list[Array]:
    """Cluster codes grouped into strata; see `cluster_weights`."""
    clusters = int(cluster.max()) + 1 if len(cluster) else 0
    if stratum is None:
        return [np.arange(clusters)]
    spans = np.unique(np.stack([cluster, codes(stratum).index]), axis=1)  # (2, pairs), ordered by cluster
    spanned = np.split(spans[1], np.flatnonzero(np.diff(spans[0])) + 1)
    members: dict[tuple[int, ...], list[int]] = {}
    for number, kinds in enumerate(spanned):
        members.setdefault(tuple(kinds), []).append(number)
    strata = sorted((np.array(m) for m in members.values()), key=len)
    single = [s for s in strata if len(s) == 1]
    several = [s for s in strata if len(s) > 1]
    if len(single) == 1 and several:
        single.append(several.pop(0))
    return several + ([np.concatenate(single)] if single else [])


def _multiplicities(strata: Sequence[Array], draws: int, rng: np.random.Generator) -> Iterator[Array]:
    """How often each cluster occurs in each resample, shape (C,) each."""
    counts = np.zeros(sum(map(len, strata)))
    for _ in range(draws):
        for members in strata:
            counts[members] = np.bincount(rng.integers(len(members), size=len(members)), minlength=len(members))
        yield counts.copy()
