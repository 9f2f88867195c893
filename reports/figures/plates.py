"""Figures with their words: the heading that states the finding, the drawing, and the numbers under it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probes.results import Check, Metric
from reports.figures import captions, readings
from reports.figures.looks import Side
from reports.index import Index, is_made_to_leak, is_private
from reports.record import ArmRecord, ArmSeries, ProbeRecord
from reports.words.format import count
from reports.words.wording import ATTEMPTS

MOST_FIGURES = 6
"""Figures of one probe; further series stand as numbers in the record."""

_MOST_READ_OUT = 12


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A figure with its words.

    Attributes:
        number: Its number in the report.
        heading: The finding.
        axes: What is drawn.
        sides: What is drawn, whose series may lack what their kind of figure needs.
        note: What the series says besides.
        description: The same numbers read out, for those who cannot see the drawing.
        columns: Heads of its table of numbers.
        rows: Its rows: a label, then a cell for each arm.
        hidden: Rows that are not shown.
    """

    number: int
    heading: str
    axes: str
    sides: tuple[Side, ...]
    note: str
    description: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    hidden: int

    @property
    def prefix(self) -> str:
        """What the drawing's ids begin with."""
        return f"f{self.number}"


def plates(index: Index, probe: ProbeRecord) -> tuple[list[Plate], int]:
    """A probe's figures, not numbered yet, and how many of its series are not drawn."""
    named: dict[str, list[ArmSeries]] = {}
    for held in index.record.series:
        if held.probe == probe.name and not is_made_to_leak(index.arms.get(held.arm)):
            named.setdefault(held.series.name, []).append(held)
    drawn = [_plate(index, probe, held) for held in list(named.values())[:MOST_FIGURES]]
    return drawn, len(named) - len(drawn)


def _plate(index: Index, probe: ProbeRecord, held: Sequence[ArmSeries]) -> Plate:
    sides = _sides(index, probe, held)
    own = [_metrics(index, probe, side) for side in sides]
    metrics = [captions.belonging(side, probe.name, mine) for side, mine in zip(sides, own, strict=True)]
    return plated(sides, own, metrics)


def plated(
    sides: Sequence[Side], own: Sequence[Sequence[Metric]], metrics: Sequence[Metric | None], number: int = 0
) -> Plate:
    """A figure with its words.

    Args:
        sides: What is drawn, of one kind.
        own: The numbers that the probe has on each side's arm.
        metrics: Of these the one that the curve belongs to, where there is one.
        number: Its number in the report; 0 where it has none yet.
    """
    kind = sides[0].series.kind
    numbers = [readings.numbers(side, mine) for side, mine in zip(sides, own, strict=True)]
    labels = list(dict.fromkeys(label for mine in numbers for label in mine))
    return Plate(
        number=number,
        heading=captions.heading(kind, sides, metrics),
        axes=captions.AXES.get(kind, ""),
        sides=tuple(sides),
        note=captions.note(sides),
        description=_read_out(sides, numbers),
        columns=tuple(side.name for side in sides),
        rows=tuple((label, *(mine.get(label, "") for mine in numbers)) for label in labels[: readings.MOST_ROWS]),
        hidden=max(0, len(labels) - readings.MOST_ROWS),
    )


def _read_out(sides: Sequence[Side], numbers: Sequence[readings.Numbers]) -> str:
    """As many of the numbers as one would listen to."""
    told = []
    for side, mine in zip(sides, numbers, strict=True):
        rows = [f"{label} {words}" for label, words in mine.items()]
        more = f" and {count(len(rows) - _MOST_READ_OUT)} more" if len(rows) > _MOST_READ_OUT else ""
        told.append(f"{side.name}: {'; '.join(rows[:_MOST_READ_OUT])}{more}.")
    return " ".join(told)


def _sides(index: Index, probe: ProbeRecord, held: Sequence[ArmSeries]) -> list[Side]:
    """The compared arms' series; where neither has one, that of the first arm that has."""
    by_arm: dict[str, ArmSeries] = {}
    for series in held:
        by_arm.setdefault(series.arm, series)
    sides = [
        Side(
            name=arm.name,
            look=look(index, arm),
            series=by_arm[name].series,
            verdicts=tuple(_verdicts(index, by_arm[name])),
        )
        for arm in index.pair
        if (name := index.asked(arm, probe.name).name) in by_arm
    ]
    same_kind = [side for side in sides if side.series.kind == sides[0].series.kind]
    if same_kind:
        return same_kind
    name, first = next(iter(by_arm.items()))
    return [Side(name=name, look="control", series=first.series, verdicts=tuple(_verdicts(index, first)))]


def _verdicts(index: Index, held: ArmSeries) -> Iterator[Check]:
    """What the probe says of the arm's claim by the training that a series is of."""
    for found in index.record.checks:
        is_theirs = (found.arm, found.probe, found.seed) == (held.arm, held.probe, held.seed)
        if is_theirs and found.check.outcome in ATTEMPTS:
            yield found.check


def look(index: Index, arm: ArmRecord) -> str:
    """How an arm is drawn: the private one blue, candidates dark, all others grey."""
    if is_private(arm):
        return "private"
    return "standard" if arm.role == "candidate" or arm is index.candidate else "control"


def _metrics(index: Index, probe: ProbeRecord, side: Side) -> list[Metric]:
    """The probe's numbers on a side's arm; none where the side is no arm of the comparison."""
    arm = next((arm for arm in index.pair if arm.name == side.name), None)
    name = "" if arm is None else index.asked(arm, probe.name).name
    return [metric for metric in index.metrics.values() if metric.arm == name and metric.probe == probe.name]
