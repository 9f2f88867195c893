"""From a probe's rows to its findings: its own summary, and an interval for every statistic it does not summarize.

Beyond `statistics` and `summarize` (`probes.protocol`) a probe may say, as pure functions of its rows: which statistics
are plain proportions, what no effect would show, how many units were asked and did not answer, and which charts the
finished estimates make. Rows are put in the order of their item ids first, so that the order of asking moves no value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from probes.protocol import Array, Facts, HasStatistics, HasSummary, Key, Probe, Rows
from probes.results import (
    ALL,
    Check,
    Coverage,
    Estimate,
    Finding,
    MetricSpec,
    NotApplicable,
    NotMeasured,
    Null,
    Series,
    Value,
)
from probes.stats.bootstrap import DRAWS, bootstrap_replicates
from probes.stats.intervals import wilson
from probes.stats.power import detectable_from_standard_error, detectable_proportion
from probes.stats.replicates import Evidence, Replicates, two_sided_p

CHANCE = 0.5
"""An ideal of one half is what no effect shows: a coin for an attacker, no preference between two sentences."""

Found = Finding | Check | Series


@runtime_checkable
class HasProportions(Protocol):
    """A probe some of whose statistics are shares of rows."""

    def proportions(self, rows: Rows) -> Mapping[Key, Array]:
        """For each share the outcome of each row it is a share of: true or false, shape (N,), NaN for rows outside it.

        Where no two of these rows share a cluster, they are independent and the share gets Wilson's interval.
        """


@runtime_checkable
class HasNulls(Protocol):
    """A probe that knows what its statistics would be if there were nothing to find."""

    def nulls(self, rows: Rows, facts: Facts, rng: np.random.Generator) -> Mapping[Key, Null]:
        """The null of each statistic that has one.

        One that is the metric's ideal is tested, by the interval's method; one that was itself estimated from these
        rows (the share of the most frequent class) is shown, without a p-value unless it brings one.
        """


@runtime_checkable
class HasCoverage(Protocol):
    """A probe that does not get an answer from every row."""

    def coverage(self, rows: Rows, facts: Facts) -> Mapping[str, Coverage]:
        """Units asked, answered and missing, by slice; slices left out count as `ALL`."""


@runtime_checkable
class HasAccess(Protocol):
    """A probe whose numbers need different attackers, though they are one metric."""

    def access(self, key: Key, facts: Facts) -> str:
        """What an attacker or examiner needs for a number."""


@runtime_checkable
class HasSeries(Protocol):
    """A probe whose numbers make a chart."""

    def series(self, values: Mapping[Key, Value], rows: Rows, facts: Facts) -> Iterable[Series]:
        """Charts of the finished estimates, so that a chart and a table never disagree."""


def interval_columns(values: Iterable[Value | None]) -> dict[str, tuple[float | None, ...]]:
    """Estimates as the columns `value`, `low` and `high` of a series; gaps where nothing was measured."""
    estimates = [value if isinstance(value, Estimate) else None for value in values]
    return {
        name: tuple(None if estimate is None else getattr(estimate, name) for estimate in estimates)
        for name in ("value", "low", "high")
    }


def groups_series(
    name: str, shown: Sequence[tuple[str, str, Value]], notes: Mapping[str, float | str | None]
) -> Series:
    """A chart of estimates by group, each with what it rests on.

    Args:
        name: Its name.
        shown: What is measured, of which group, and the estimate, in the order of the chart.
        notes: What is to be said of all.
    """
    values = [value for *_, value in shown]
    return Series(
        name=name,
        kind="groups",
        columns={
            "metric": tuple(metric for metric, *_ in shown),
            "group": tuple(group for _, group, _ in shown),
            **interval_columns(values),
            "n": tuple(float(value.n) if isinstance(value, Estimate) else None for value in values),
        },
        notes=notes,
    )


def findings(
    probe: Probe, rows: Rows, facts: Facts, rng: np.random.Generator, *, draws: int = DRAWS, level: float = 0.95
) -> list[Found]:
    """All that a probe finds in its rows.

    Args:
        probe: The probe that made the rows.
        rows: Its answers, one row per unit; their order moves nothing.
        facts: What the probe may know of the arm.
        rng: The randomness.
        draws: Bootstrap draws.
        level: Confidence level of the intervals.

    Returns:
        What `summarize` gives; then every statistic it did not give, with Wilson's interval if it is a proportion of
        independent rows and a cluster bootstrap's if not; then the charts.

    Raises:
        NotApplicable: There are no rows, or none of them says anything: no answer must never read as a good one.
        ValueError: A metric that the probe does not declare.
    """
    if rows.n == 0:
        raise NotApplicable(f"{probe.name} got no answer that could be summarized")
    rows = _in_order(rows)
    summary_rng, null_rng, bootstrap_rng = rng.spawn(3)
    own = list(probe.summarize(rows, facts, summary_rng, level=level)) if isinstance(probe, HasSummary) else []
    values: dict[Key, Value] = {(f.metric, f.slice): f.estimate for f in own if isinstance(f, Finding)}
    nulls = probe.nulls(rows, facts, null_rng) if isinstance(probe, HasNulls) else {}
    computed = _estimates(probe, rows, bootstrap_rng, values, nulls, draws, level)
    given = [*own, *(Finding(metric=m, slice=s, estimate=value) for (m, s), value in computed.items())]
    if not given:
        raise NotApplicable(f"{probe.name} got no answer that could be summarized")
    if isinstance(probe, HasSeries):
        given += probe.series(values | computed, rows, facts)
    return list(_complete(probe, given, rows, facts))


def _in_order(rows: Rows) -> Rows:
    return rows.take(np.argsort(rows["item_id"].astype(str), kind="stable")) if "item_id" in rows else rows


def _complete(probe: Probe, given: Iterable[Found], rows: Rows, facts: Facts) -> Iterator[Found]:
    """Findings with their coverage, after a look whether their metrics are declared."""
    stated = probe.coverage(rows, facts) if isinstance(probe, HasCoverage) else {}
    everything = stated.get(ALL, Coverage(asked=rows.n, answered=rows.n))
    for found in given:
        if not isinstance(found, Finding):
            yield found
            continue
        _spec(probe, (found.metric, found.slice))
        yield replace(found, coverage=found.coverage or stated.get(found.slice, everything))


def _estimates(
    probe: Probe,
    rows: Rows,
    rng: np.random.Generator,
    given: Mapping[Key, Value],
    nulls: Mapping[Key, Null],
    draws: int,
    level: float,
) -> dict[Key, Value]:
    """Every statistic that is not given, with its interval."""
    if not isinstance(probe, HasStatistics):
        return {}

    def wanted(some: Rows, weights: Array) -> dict[Key, float]:
        return {key: value for key, value in probe.statistics(some, weights).items() if key not in given}

    keys = wanted(rows, np.ones(rows.n))
    chance = Null(value=CHANCE, meaning="chance")
    nulls = {key: chance for key in keys if _spec(probe, key).ideal == CHANCE} | dict(nulls)
    shares = _independent(probe.proportions(rows), rows) if isinstance(probe, HasProportions) else {}
    values = {key: _share(shares[key], nulls.get(key), _spec(probe, key), level) for key in keys if key in shares}
    if len(values) == len(keys):
        return values
    replicates = bootstrap_replicates(wanted, rows, rng=rng, draws=draws)
    return {
        key: values.get(key) or _drawn(replicates[key], nulls.get(key), _spec(probe, key), level)
        for key in dict.fromkeys([*keys, *replicates])
    }


def _spec(probe: Probe, key: Key) -> MetricSpec:
    """What the probe declares of a key's metric.

    Raises:
        ValueError: The metric is not declared.
    """
    if key[0] not in probe.metrics:
        raise ValueError(f"{probe.name}: a metric must be declared in `metrics`; got {key[0]!r}")
    return probe.metrics[key[0]]


def _independent(proportions: Mapping[Key, Array], rows: Rows) -> dict[Key, Array]:
    """The outcomes of those proportions whose rows are all in clusters of their own."""
    outcomes = {}
    for key, outcome in proportions.items():
        inside = ~np.isnan(np.asarray(outcome, dtype=np.float64))
        cluster = rows["cluster"][inside]
        if len(set(cluster.tolist())) == len(cluster):
            outcomes[key] = np.asarray(outcome)[inside].astype(bool)
    return outcomes


def _share(outcome: Array, null: Null | None, spec: MetricSpec, level: float) -> Value:
    """A proportion of independent rows; an ideal null is tested by the exact binomial test."""
    n, successes = len(outcome), int(outcome.sum())
    value = wilson(successes, n, unit_of_n="item", level=level, null=null)
    if isinstance(value, NotMeasured) or null is None:
        return value
    if null.p is None and null.value == spec.ideal:
        from scipy.stats import binomtest  # a second of import time, which reading this module should not cost

        null = replace(null, p=float(binomtest(successes, n, null.value).pvalue))
    return replace(value, null=null, detectable=detectable_proportion(n, null.value, level=level))


def _drawn(evidence: Evidence | NotMeasured, null: Null | None, spec: MetricSpec, level: float) -> Value:
    """A bootstrapped value, with the smallest change it could have shown."""
    if isinstance(evidence, NotMeasured):
        return evidence
    assert isinstance(evidence, Replicates)
    evidence = replace(evidence, bounds=_bounds(spec))
    value = evidence.estimate(level)
    if isinstance(value, NotMeasured):
        return value
    if null is not None and null.p is None and null.value == spec.ideal:
        null = replace(null, p=two_sided_p(evidence, null.value))
    spread = evidence.standard_error
    detectable = None if evidence.is_constant else detectable_from_standard_error(spread, level=level)
    return replace(value, null=null, detectable=detectable)


def _bounds(spec: MetricSpec) -> tuple[float, float] | None:
    """Between what a metric must lie: rates between 0 and 1, and their differences within 1 of 0."""
    if spec.unit != "rate":
        return None
    return (-1.0, 1.0) if spec.signed else (0.0, 1.0)
