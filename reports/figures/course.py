"""Figure of a series of audits: the evidence against a claim after each night, and the line that refutes it."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.looks import Side, name_side, nice_ticks, say
from reports.figures.svg import TOKENS, panel
from reports.words.format import exact, significant

_MOST_MARKED = 40
"""Nights up to which each one's own evidence is marked; more would be a smear."""


def nights(figure: Figure, sides: Sequence[Side]) -> None:
    """The logarithm of the evidence so far by night, as steps, over the points of the single nights."""
    axes = panel(figure, left=40, top=22)
    limit = max((at for side in sides if (at := side.note("refutes_at")) is not None), default=None)
    columns = ("log_evidence", "log_e_value")
    known = [value for side in sides for column in columns for value in side.numbers(column) if value is not None]
    low, high = min(0.0, *known), max(limit or 1.0, *known)
    room = 0.1 * (high - low)
    last = max(side.length for side in sides)
    axes.set(xlim=(0.4, last + 0.6), ylim=(low - room, high + room))
    axes.set_xticks([tick for tick in nice_ticks(1, last, 6) if tick == int(tick)] or [1])
    axes.xaxis.set_major_formatter(lambda value, _: exact(value, ""))
    axes.xaxis.grid(visible=False)
    axes.set_yticks(nice_ticks(low, high, 6))
    axes.yaxis.set_major_formatter(lambda value, _: exact(value, ""))
    axes.set_xlabel("Night")
    axes.set_ylabel("log e-value, nats")
    axes.axhline(0, color=TOKENS["rule-strong"], linewidth=1.0, zorder=1)
    if limit is not None:
        axes.axhline(limit, color=TOKENS["limit"], linewidth=1.6, linestyle=(0, (4, 2)), zorder=2)
        words = f"refuted from e-value 1/{significant(math.exp(-limit))}"
        say(axes, 0.5, limit + 0.2 * room, words, colour="limit", ha="left", va="bottom")
    for side in sides:
        _course(axes, side)
    _name(axes, sides)


def _course(axes: Axes, side: Side) -> None:
    found = [(night, *row) for night, row in enumerate(side.rows("log_evidence", "log_e_value"), start=1)]
    course = [(night, total) for night, total, _ in found if total is not None]
    axes.plot(*zip(*course, strict=True), color=side.ink.colour, zorder=3)
    marked = [(night, one) for night, _, one in found if one is not None]
    if len(marked) <= _MOST_MARKED:
        axes.plot(
            *zip(*marked, strict=True), marker=side.ink.marker, markersize=4.5, markerfacecolor=TOKENS["paper"],
            markeredgecolor=side.ink.colour, markeredgewidth=1.2, linestyle="none", zorder=4,
        )  # fmt: skip


def _name(axes: Axes, sides: Sequence[Side]) -> None:
    """Each side is named at the end of its course, the higher one above and the lower one below."""
    ends = [next((y for y in reversed(side.numbers("log_evidence")) if y is not None), 0.0) for side in sides]
    for side, end in zip(sides, ends, strict=True):
        above = end == max(ends) and side is sides[ends.index(max(ends))]
        name_side(
            axes, side, side.length, end, ha="right", va="bottom" if above else "top", gap=(0, 6 if above else -6)
        )
