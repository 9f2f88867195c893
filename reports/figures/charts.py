"""Series to figures: which kind is drawn how."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from reports.figures import bounds, course, curves, dots
from reports.figures.looks import Side
from reports.figures.svg import canvas, finish

NEEDED: Mapping[str, tuple[str, ...]] = {
    "roc": ("fpr", "tpr"),
    "reliability": ("confidence", "accuracy", "low", "high", "n"),
    "groups": ("group", "value", "low", "high", "n"),
    "exposure": ("repetitions", "planted_mean", "planted_low", "planted_high"),
    "epsilon": ("label", "value", "low", "high"),
    "domains": ("domain", "accuracy", "low", "high", "n"),
    "perturbations": ("kind", "value", "low", "high", "n"),
    "pairs": ("category", "value", "low", "high", "n"),
    "nights": ("night", "log_evidence", "log_e_value"),
}
"""The columns that a series of each kind must have for a figure to be drawn: what names a row, its value, the rest."""


def can_draw(side: Side) -> bool:
    """Whether the series has what its kind's figure needs, and a number to draw."""
    needed = NEEDED.get(side.series.kind)
    if needed is None or not set(needed) <= set(side.series.columns):
        return False
    if side.series.kind == "roc":
        return bool(curves.points(side))
    if side.series.kind == "reliability":
        return bool(side.complete("confidence", "accuracy", "n"))
    named, values = (side.series.columns[column] for column in needed[:2])
    return any(name is not None and value is not None for name, value in zip(named, values, strict=True))


def chart(sides: Sequence[Side], *, prefix: str, title: str, description: str = "") -> str:
    """The figure of one series, of one arm or two, as an `svg` element; "" where it cannot be drawn.

    Args:
        sides: The arms' series, of one kind.
        prefix: What its ids begin with, unique on the page.
        title: What it shows.
        description: Its numbers read out.
    """
    drawable = [side for side in sides if can_draw(side)]
    if not drawable:
        return ""
    with canvas() as figure:
        _draw(figure, drawable)
        return finish(figure, prefix=prefix, title=title, description=description)


def _draw(figure: Figure, sides: Sequence[Side]) -> None:
    kind = sides[0].series.kind
    if kind in dots.KINDS:
        dots.draw(figure, kind, sides)
    else:
        {
            "roc": curves.roc,
            "reliability": curves.reliability,
            "exposure": bounds.exposure,
            "epsilon": bounds.epsilon,
            "nights": course.nights,
        }[kind](figure, sides)
