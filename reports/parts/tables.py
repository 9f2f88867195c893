"""All numbers of a probe by arm, and all differences between arms: every interval the record holds, in its order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from probes.results import ALL, Estimate, Metric, NotMeasured, Value
from reports.index import Index, address, is_made_to_leak, show, show_contrast
from reports.parts.comparison import ideal_words
from reports.record import ArmRecord, Contrast, ProbeRecord
from reports.words.format import NO_BREAK, Shown, count, counted, number, significant
from reports.words.text import capitalised, part_words

MOST_COLUMNS = 3
"""Arms beside each other; more stand in a further table below."""

MOST_SLICES = 40
"""Slices of a metric that are shown; of more, those farthest from the ideal."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number with what it rests on."""

    shown: Shown
    details: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A metric, or one slice of it.

    Attributes:
        label: The metric.
        is_first: Whether the label is new, and not that of the row above.
        part: The slice in words; "" for all rows.
        ideal: What would be ideal, where the label is new.
        cells: One per column, None where there is no number.
    """

    label: str
    is_first: bool
    part: str
    ideal: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows by arm, or by pair of arms.

    Attributes:
        columns: Their heads.
        rows: The rows.
        hidden: Slices that are not shown.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    hidden: int


Key = tuple[str, str]
"""A metric's address and slice."""


def by_arm(index: Index, probe: ProbeRecord) -> tuple[Table, ...]:
    """A probe's numbers by arm: those of the compared arms first."""
    mine = [metric for metric in index.metrics.values() if metric.probe == probe.name]
    metrics = [metric for metric in mine if not is_made_to_leak(index.arms.get(metric.arm))]
    arms = _ordered(index, probe, {metric.arm for metric in metrics})
    keys = dict.fromkeys((address(metric), metric.slice) for metric in metrics)
    labels = {address(metric): metric for metric in metrics}
    cells = {
        (metric.arm, (address(metric), metric.slice)): Cell(shown=show(metric), details=tuple(_details(metric, index)))
        for metric in metrics
    }
    values = {(metric.arm, (address(metric), metric.slice)): metric.estimate for metric in metrics}
    return tuple(_chunked([arm.name for arm in arms], list(keys), labels, cells, values))


def differences(index: Index, probe: ProbeRecord) -> tuple[Table, ...]:
    """A probe's paired differences by pair of arms."""
    contrasts = [contrast for contrast in index.record.contrasts if contrast.probe == probe.name]
    pairs = dict.fromkeys(f"{c.arm} minus {c.reference}" for c in contrasts)
    keys = dict.fromkeys((c.metric, c.slice) for c in contrasts)
    labels = {c.metric: c for c in contrasts}
    named = {(f"{c.arm} minus {c.reference}", (c.metric, c.slice)): c for c in contrasts}
    cells = {at: Cell(shown=show_contrast(c), details=tuple(_sample(c.difference))) for at, c in named.items()}
    values = {at: c.difference for at, c in named.items()}
    return tuple(_chunked(list(pairs), list(keys), labels, cells, values))


def _ordered(index: Index, probe: ProbeRecord, held: set[str]) -> list[ArmRecord]:
    first = [index.asked(arm, probe.name) for arm in index.pair]
    ordered = [*first, *(arm for arm in index.record.arms if arm not in first)]
    return [arm for arm in ordered if arm.name in held]


At = tuple[str, Key]
"""A column's head and a row's key."""


def _chunked(
    heads: Sequence[str],
    keys: Sequence[Key],
    labels: Mapping[str, Metric] | Mapping[str, Contrast],
    cells: Mapping[At, Cell],
    values: Mapping[At, Value],
) -> Iterator[Table]:
    """Tables of at most so many columns; a table holds the rows that one of its columns has a number for."""
    for begin in range(0, len(heads), MOST_COLUMNS):
        columns = heads[begin : begin + MOST_COLUMNS]
        present = [key for key in keys if any((head, key) in cells for head in columns)]
        rows: list[Row] = []
        hidden = 0
        for name in dict.fromkeys(key[0] for key in present):
            metric = labels[name]
            mine = [key for key in present if key[0] == name]
            chosen = _chosen(mine, metric.ideal if isinstance(metric, Metric) else 0.0, columns, values)
            hidden += len(mine) - len(chosen)
            for place, key in enumerate(chosen):
                rows.append(
                    Row(
                        label=capitalised(metric.label),
                        is_first=place == 0,
                        part=part_words(key[1]) if key[1] != ALL else "",
                        ideal=ideal_words(metric.ideal, metric.unit) if place == 0 else "",
                        cells=tuple(cells.get((head, key)) for head in columns),
                    )
                )
        yield Table(columns=tuple(columns), rows=tuple(rows), hidden=hidden)


def _chosen(keys: list[Key], ideal: float | None, columns: Sequence[str], values: Mapping[At, Value]) -> list[Key]:
    if len(keys) <= MOST_SLICES:
        return keys

    def distance(key: Key) -> float:
        found = [values[head, key] for head in columns if (head, key) in values]
        return max((abs(value.value - (ideal or 0.0)) for value in found if isinstance(value, Estimate)), default=-1.0)

    kept = set(sorted(keys, key=lambda key: (key[1] != ALL, -distance(key)))[:MOST_SLICES])
    return [key for key in keys if key in kept]


def _details(metric: Metric, index: Index) -> Iterator[str]:
    """What a number rests on: its delta, units, missing answers, the p-value, the single training seeds."""
    delta = index.delta(metric)
    if delta is not None:
        yield f"at δ = {significant(delta)}"
    yield from _sample(metric.estimate)
    coverage = metric.coverage
    if coverage.answered < coverage.asked:
        missing = ", ".join(f"{count(n)} {reason}" for reason, n in coverage.missing.items())
        yield f"{count(coverage.answered)} of {count(coverage.asked)} answered{f' ({missing})' if missing else ''}"
    seeds = index.by_seed.get((metric.arm, address(metric), metric.slice), ())
    points = [number(m.estimate.value, m.unit) for m in seeds if isinstance(m.estimate, Estimate)]
    if metric.seed is None and points:
        yield f"single seeds {', '.join(points)}"


def _sample(value: Value) -> Iterator[str]:
    if isinstance(value, NotMeasured):
        return
    yield counted(value.n, value.unit_of_n)
    if value.null is not None and value.null.p is not None:
        p = value.null.p
        yield f"p{NO_BREAK}<{NO_BREAK}0.001" if p < 0.001 else f"p{NO_BREAK}={NO_BREAK}{p:.3f}"
