"""Figures of one interval per row: groups, domains, perturbations, pairs of sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.looks import CHARACTER, Side, fitted, interval, name_side, nice_ticks, rate_labels, say
from reports.figures.svg import TOKENS, WIDTH, panel
from reports.words.format import count, exact
from reports.words.text import capitalised

MOST_ROWS = 12
"""Rows that fit legibly; the table under the figure has all."""

_LEFT, _RIGHT, _TOP = 104.0, 20.0, 26.0


@dataclass(frozen=True, kw_only=True)
class Dots:
    """What a figure of rows reads and shows.

    Attributes:
        label: The column that names a row.
        value: The column of the value.
        axis: Words under the axis; "" for the series' own (`metric` or the note "axis").
        ideal: Where a line is drawn, if anywhere.
        ideal_label: What that line is.
    """

    label: str
    value: str
    axis: str = ""
    ideal: float | None = None
    ideal_label: str = ""


KINDS = {
    "groups": Dots(label="group", value="value"),
    "domains": Dots(label="domain", value="accuracy", axis="accuracy"),
    "perturbations": Dots(label="kind", value="value"),
    "pairs": Dots(label="category", value="value", axis="stereotype preferred", ideal=0.5, ideal_label="no preference"),
}

Row = tuple[str, str]
"""A heading ("" for none) and a label."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One side's interval on one row; gaps where it was not scored."""

    low: float | None
    value: float | None
    high: float | None
    n: float | None

    @property
    def known(self) -> list[float]:
        """Its numbers."""
        return [number for number in (self.low, self.value, self.high) if number is not None]


Cells = Mapping[Row, Cell]


def cells(kind: str, side: Side) -> dict[Row, Cell]:
    """A side's intervals by row; rows have a heading where the series has several metrics."""
    dots = KINDS[kind]
    labels, headings = side.words(dots.label), side.words("metric")
    labels = [label.replace("_", " ") for label in labels] if kind == "perturbations" else labels
    if len(set(headings)) < 2:
        headings = [""] * len(labels)
    seen: Counter[tuple[str, str]] = Counter()
    for at, row in enumerate(zip(headings, labels, strict=True)):
        seen[row] += 1
        labels[at] += f" ({seen[row]})" if seen[row] > 1 else ""  # two groups of one name stay two
    numbers = zip(*(side.numbers(column) for column in ("low", dots.value, "high", "n")), strict=True)
    return {
        (heading, label): Cell(low=low, value=value, high=high, n=n)
        for heading, label, (low, value, high, n) in zip(headings, labels, numbers, strict=True)
    }


def unit(side: Side) -> str:
    """The unit of a side's values: the one its notes name, else a rate where they can be rates."""
    named = side.series.notes.get("unit")
    if named:
        return str(named)
    known = [value for cell in cells(side.series.kind, side).values() for value in cell.known]
    return "rate" if all(-1 <= value <= 1 for value in known) else ""


def chosen(kind: str, by_side: Sequence[Cells]) -> list[Row]:
    """The rows drawn, in the series' order; of too many, the lowest, or those farthest from the ideal."""
    rows = list(dict.fromkeys(row for held in by_side for row in held))
    ideal = KINDS[kind].ideal

    def rank(row: Row) -> float:
        cell = by_side[0].get(row)
        if cell is None or cell.value is None:
            return float("inf")
        return cell.value if ideal is None else -abs(cell.value - ideal)

    drawn = set(sorted(rows, key=rank)[:MOST_ROWS])
    return [row for row in rows if row in drawn]


def draw(figure: Figure, kind: str, sides: Sequence[Side]) -> None:
    """One row per group, domain or kind, with each side's interval on it.

    Args:
        figure: The canvas.
        kind: A key of `KINDS`.
        sides: One or two arms' series; rows are matched by heading and label.
    """
    dots = KINDS[kind]
    by_side = [cells(kind, side) for side in sides]
    rows = chosen(kind, by_side)
    places = _places(rows)
    drawn = [n for held in by_side for row in rows if row in held for n in held[row].known]
    low, high = _padded(drawn if dots.ideal is None else [*drawn, dots.ideal])
    axes = panel(figure, left=_LEFT, top=_TOP, right=_RIGHT)
    names = _names(sides, by_side, rows)
    axes.set_xlim(*_with_room(low, high, names))
    axes.set_ylim(max(places.values()) + 0.7, min(places.values()) - 0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _scale(axes, low, high, dots, sides[0])
    _name_rows(axes, rows, places, by_side)
    offsets = (0.0,) if len(sides) == 1 else (-0.19, 0.19)
    for side, held, offset in zip(sides, by_side, offsets, strict=True):
        for row in rows:
            if row in held:
                cell = held[row]
                interval(axes, side, (cell.low, cell.value, cell.high), places[row] + offset)
        if side.name in names:
            row, end, align = names[side.name]
            gap = 6 if align == "left" else -6
            name_side(axes, side, end, places[row] + offset, ha=align, va="center", gap=(gap, 0))


def _places(rows: Sequence[Row]) -> dict[Row, float]:
    """Each row's height, counted from the top; a new heading takes a row of its own."""
    places: dict[Row, float] = {}
    at, last = 0.0, ""
    for row in rows:
        at += row[0] != last
        last = row[0]
        places[row] = at
        at += 1
    return places


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return low - air, high + air


Names = Mapping[str, tuple[Row, float, str]]
"""By side: the row its name stands on, the end of the interval it stands at, and how it is aligned."""


def _names(sides: Sequence[Side], by_side: Sequence[Cells], rows: Sequence[Row]) -> dict[str, tuple[Row, float, str]]:
    """Two sides are named on the first row that has both: the lower on its left, the higher on its right."""
    if len(sides) < 2:
        return {}
    row = next((r for r in rows if all(r in held and held[r].known for held in by_side)), None)
    if row is None:
        return {}
    middles = [sum(held[row].known) / len(held[row].known) for held in by_side]
    lower, higher = (0, 1) if middles[0] <= middles[1] else (1, 0)
    return {
        sides[lower].name: (row, min(by_side[lower][row].known), "right"),
        sides[higher].name: (row, max(by_side[higher][row].known), "left"),
    }


def _with_room(low: float, high: float, names: Names) -> tuple[float, float]:
    """The axis' ends, moved out until the names at the first row fit beside their intervals."""
    width = WIDTH - _LEFT - _RIGHT
    left = right = 0.0
    for name, (_, end, align) in names.items():
        wanted = CHARACTER * len(fitted(name, 10)) + 10
        if align == "right":
            left = max(0.0, wanted - width * (end - low) / (high - low))
        else:
            right = max(0.0, wanted - _RIGHT - width * (high - end) / (high - low))
    pixel = (high - low) / max(width - left - right, width / 3)
    return low - left * pixel, high + right * pixel


def _scale(axes: Axes, low: float, high: float, dots: Dots, side: Side) -> None:
    is_rate = unit(side) == "rate"
    ticks = [tick for tick in nice_ticks(low, high, 4) if tick <= 1 or not is_rate]
    axes.set_xticks(ticks, rate_labels(ticks) if is_rate else [exact(tick, "") for tick in ticks])
    metrics = set(side.words("metric"))
    own = str(side.series.notes.get("axis") or (metrics.pop() if len(metrics) == 1 else ""))
    axes.set_xlabel(capitalised(fitted(dots.axis or own, 34)))
    if dots.ideal is not None:
        axes.axvline(dots.ideal, color=TOKENS["rule-strong"], linewidth=1.0, zorder=1)
        axes.annotate(
            dots.ideal_label, (dots.ideal, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", va="bottom", color=TOKENS["ink-2"],
        )  # fmt: skip


def _name_rows(axes: Axes, rows: Sequence[Row], places: Mapping[Row, float], by_side: Sequence[Cells]) -> None:
    """Labels with their number of units at the left; what was not scored says so."""
    last, airy = "", max(places.values()) < 7
    for row in rows:
        heading, label = row
        if heading != last:
            axes.annotate(
                fitted(capitalised(heading), 22), (0, places[row] - 1), xycoords=("axes fraction", "data"),
                xytext=(-_LEFT + 2, 0), textcoords="offset points", ha="left", va="center", weight="bold",
                color=TOKENS["ink"],
            )  # fmt: skip
            last = heading
        held = next(cells[row] for cells in by_side if row in cells)
        units = "" if held.n is None else count(int(held.n))
        if airy and units:
            _beside(axes, fitted(label, 15), places[row], 7)
            _beside(axes, units, places[row], -7)
        else:
            _beside(axes, f"{fitted(label, 14 - len(units))} {units}".strip(), places[row], 0)
        if not any(row in cells and cells[row].known for cells in by_side):
            say(axes, axes.get_xlim()[0], places[row], "not scored", colour="ink-3", ha="left", va="center")


def _beside(axes: Axes, words: str, at: float, up: float) -> None:
    axes.annotate(
        words, (0, at), xycoords=("axes fraction", "data"), xytext=(-8, up), textcoords="offset points",
        ha="right", va="center", color=TOKENS["ink-2"],
    )  # fmt: skip
