"""The marks that figures are made of: one look for each side of a comparison, intervals, points and their labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from probes.results import Check, Series
from reports.figures.svg import TOKENS
from reports.words.format import NO_BREAK, exact
from reports.words.text import visible

CHARACTER = 7.4
"""Width of a character of a label in pixels, with room for a font wider than ours."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a side is drawn: its colour means something and its shape repeats it.

    Attributes:
        colour: Of lines, intervals and points.
        ink: Of words.
        marker: matplotlib's name of the point's shape.
    """

    colour: str
    ink: str
    marker: str


LOOKS: Mapping[str, Look] = {
    "standard": Look(colour=TOKENS["standard"], ink=TOKENS["standard"], marker="o"),
    "private": Look(colour=TOKENS["private"], ink=TOKENS["private"], marker="D"),
    "control": Look(colour=TOKENS["control"], ink=TOKENS["ink-3"], marker="s"),
}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One arm's curve in a figure.

    Attributes:
        name: What the figure calls the arm.
        look: A key of `LOOKS`.
        series: The curve.
        verdicts: What the probe says of the arm's claim, from the same training: refuted, or not, or out of reach.
    """

    name: str
    look: str
    series: Series
    verdicts: tuple[Check, ...] = ()

    @property
    def ink(self) -> Look:
        """How it is drawn."""
        return LOOKS[self.look]

    @property
    def label(self) -> str:
        """Its name, short enough to stand in a figure beside another's."""
        return fitted(self.name, 10)

    def numbers(self, column: str) -> list[float | None]:
        """A column's numbers; a column that is not there is all gaps."""
        values = self.series.columns.get(column)
        if values is None:
            return [None] * self.length
        return [float(value) if isinstance(value, int | float) else None for value in values]

    def rows(self, *columns: str) -> list[tuple[float | None, ...]]:
        """The rows of some columns' numbers."""
        return list(zip(*(self.numbers(column) for column in columns), strict=True))

    def complete(self, *columns: str) -> list[tuple[float, ...]]:
        """Those of the rows that have no gap."""
        rows = (tuple(number for number in row if number is not None) for row in self.rows(*columns))
        return [row for row in rows if len(row) == len(columns)]

    def words(self, column: str) -> list[str]:
        """A column's words, made visible."""
        return ["" if value is None else visible(str(value)) for value in self.series.columns.get(column, ())]

    def note(self, name: str) -> float | None:
        """A number beside the columns."""
        value = self.series.notes.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def length(self) -> int:
        """Number of rows."""
        return max((len(column) for column in self.series.columns.values()), default=0)


def fitted(text: str, characters: int) -> str:
    """The text made visible, cut to a number of characters with an ellipsis where it is longer."""
    seen = visible(text)
    return seen if len(seen) <= characters else seen[: characters - 1].rstrip() + "…"


def interval(axes: Axes, side: Side, along: Sequence[float | None], at: float, *, upright: bool = False) -> None:
    """One interval with its point.

    Args:
        axes: Where to draw.
        side: Whose it is.
        along: Low, point and high; a gap is not drawn.
        at: Its place on the other axis.
        upright: Whether it stands rather than lies.
    """
    low, point, high = along
    if low is not None and high is not None:
        span, place = [low, high], [at, at]
        across = (place, span) if upright else (span, place)
        axes.plot(*across, color=side.ink.colour, linewidth=6, alpha=0.42, zorder=3)
    if point is not None:
        x, y = (at, point) if upright else (point, at)
        size = 5.6 if side.ink.marker == "D" else 6.5  # a diamond of the same width looks larger
        axes.plot(
            [x], [y], marker=side.ink.marker, markersize=size, markerfacecolor=TOKENS["paper"],
            markeredgecolor=side.ink.colour, markeredgewidth=1.7, linestyle="none", zorder=4, clip_on=False,
        )  # fmt: skip


def say(axes: Axes, x: float, y: float, text: str, *, colour: str = "ink-2", **places: object) -> None:
    """Words in a figure, quiet unless the colour says otherwise; `colour` is a token or a look's ink."""
    axes.text(x, y, text, color=TOKENS.get(colour, colour), **places)  # type: ignore[arg-type]  # matplotlib's **kwargs


def name_side(axes: Axes, side: Side, x: float, y: float, *, ha: str, va: str, gap: tuple[float, float]) -> None:
    """The side's name at its curve, instead of a legend; `gap` in pixels."""
    axes.annotate(
        side.label, (x, y), xytext=gap, textcoords="offset points", ha=ha, va=va, weight="bold",
        color=side.ink.ink, zorder=6,
    )  # fmt: skip


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two ends, at most so many."""
    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in found if low - 1e-9 <= tick <= high + 1e-9]


def rate_labels(ticks: Sequence[float]) -> list[str]:
    """Ticks of a rate in per cent, with the sign at the last one only."""
    words = [exact(tick, "rate") for tick in ticks]
    return [word.removesuffix(NO_BREAK + "%") for word in words[:-1]] + words[-1:]
