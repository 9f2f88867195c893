"""Figures of what canaries show: their exposure, and the bounds on epsilon beside the claim."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.looks import Side, fitted, interval, name_side, nice_ticks, say
from reports.figures.svg import HEIGHT, TOKENS, WIDTH, panel
from reports.words.format import exact, number, significant, upper

_LONGEST_LABEL = 34
"""Characters of a bound's label that leave room for its number."""

_BEYOND = "beyond reach, any mechanism"

EACH_NIGHT = "each night alone"
"""Of a series of audits, what the bounds of the single nights are called."""


def exposure(figure: Figure, sides: Sequence[Side]) -> None:
    """Exposure of planted canaries by how often they stood in training, over the band of those left out."""
    axes = panel(figure, left=34, top=22)
    copies = sorted({r for side in sides for r in side.numbers("repetitions") if r is not None})
    ceiling = max((c for side in sides if (c := side.note("ceiling")) is not None), default=None)
    columns = ("planted_low", "planted_mean", "planted_high", "unplanted_low", "unplanted_high")
    known = [v for side in sides for c in columns for v in side.numbers(c) if v is not None]
    top = max([*known, ceiling or 0.0])
    axes.set(xlim=(-0.6, len(copies) - 0.2), ylim=(min(0.0, *known), top * 1.08 or 1.0))
    axes.set_xticks(range(len(copies)), [f"{r:.0f} " + ("copy" if r == 1 else "copies") for r in copies])
    axes.tick_params(axis="x", size=0)
    axes.xaxis.grid(visible=False)
    axes.set_yticks(nice_ticks(*axes.get_ylim(), 5))
    axes.yaxis.set_major_formatter(lambda value, _: exact(value, ""))
    if ceiling is not None:
        axes.axhline(ceiling, color=TOKENS["ink-2"], linewidth=1.0, linestyle=(0, (4, 2)))
        axes.annotate(
            f"ceiling {significant(ceiling)} bits", (-0.58, ceiling), xytext=(0, 3), textcoords="offset points",
            ha="left", va="bottom", color=TOKENS["ink-2"],
        )  # fmt: skip
    offsets = (0.0,) if len(sides) == 1 else (-0.13, 0.13)
    for side, offset in zip(sides, offsets, strict=True):
        _exposed(axes, side, offset, copies)
    last = [next((y for y in reversed(side.numbers("planted_mean")) if y is not None), 0.0) for side in sides]
    if len(sides) == 2:
        for side, offset, y in zip(sides, offsets, last, strict=True):
            above = (y >= max(last)) == (last[0] != last[1] or side is sides[0])
            name_side(
                axes, side, len(copies) - 1 + offset, y, ha="right", va="bottom" if above else "top",
                gap=(-10, 6 if above else -6),
            )  # fmt: skip
    figure.text(2 / WIDTH, 1 - 4 / HEIGHT, "bits", ha="left", va="top", color=TOKENS["ink-2"])


def _exposed(axes: Axes, side: Side, offset: float, copies: Sequence[float]) -> None:
    planted = [side.numbers(f"planted_{end}") for end in ("low", "mean", "high")]
    left_out = [side.numbers(f"unplanted_{end}") for end in ("low", "high")]
    for at, repetitions in enumerate(side.numbers("repetitions")):
        if repetitions is None:
            continue
        place = copies.index(repetitions) + offset
        low, high = left_out[0][at], left_out[1][at]
        if low is not None and high is not None:
            axes.fill_between([place - 0.12, place + 0.12], low, high, color=side.ink.colour, alpha=0.16, linewidth=0)
            if at == 0 and offset <= 0:
                say(axes, place - 0.16, low, "left out", ha="right", va="bottom", rotation=90)
        interval(axes, side, [column[at] for column in planted], place, upright=True)


def epsilon(figure: Figure, sides: Sequence[Side]) -> None:
    """On one axis: the claim, the lower bounds, and how far each test could have reached.

    What lies beyond the reach of the bound that gates judge is shaded: of all sides, where there are two. Of a series
    of audits, ticks tell the bounds of the single nights.
    """
    axes = panel(figure, left=10, top=12, right=14)
    rows = [row for side in sides for row in _rows(side, named=len(sides) > 1)]
    known = [v for side in sides for c in ("low", "value", "high") for v in side.numbers(c) if v is not None]
    ceiling = max((c for side in sides if (c := ceiling_of(side)) is not None), default=None)
    last = max([*known, ceiling or 0.0, 1.0])
    axes.set(xlim=(0, last * 1.06), ylim=(len(rows) - 0.35, -0.75))
    axes.set_xticks(nice_ticks(0, last * 1.05, 5))
    axes.xaxis.set_major_formatter(lambda value, _: exact(value, ""))
    axes.set_yticks([])
    axes.yaxis.grid(visible=False)
    axes.spines["left"].set_visible(False)
    deltas = {side.note("delta") for side in sides}
    axes.set_xlabel(f"ε{at_delta(sides[0]) if len(deltas) == 1 else ''} (smaller is more private)")
    if ceiling is not None:
        axes.axvspan(ceiling, last * 1.06, color=TOKENS["panel"], zorder=0)
        figure.text(1 - 16 / WIDTH, 1 - 10 / HEIGHT, _BEYOND, ha="right", va="top", color=TOKENS["ink-2"])
    for height, (side, bound) in enumerate(rows):
        if bound is None:
            name = side.label + (at_delta(side) if len(deltas) > 1 else "")
            say(axes, 0, height + 0.1, name, colour=side.ink.ink, weight="bold", ha="left", va="center")
        elif isinstance(bound, Bound):
            _draw_bound(axes, side, bound, height)
        else:
            _draw_nights(axes, side, bound, height)


def _rows(side: Side, *, named: bool) -> Iterator["tuple[Side, Bound | list[float] | None]"]:
    """What a side has lines of its own for: its name, its bounds, and its single nights where there are some."""
    if named:
        yield side, None
    yield from ((side, bound) for bound in bounds(side) if bound.kind != "reach")
    alone = list(by_night(side).values())
    if len(alone) > 1:
        yield side, alone


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One row of an epsilon series.

    Attributes:
        label: What it is.
        kind: "claim" holds from above, "bound" from below, "assuming" as its label says, "estimate" is no bound,
            "reach" is the most the test could have shown, "none" no number at all.
        value: The number, 0 where there is none.
        reach: Of a bound, the most its test could have shown; else the upper end of its interval.
        low: The lower end of an interval around the number, None where the number is that end itself.
    """

    label: str
    kind: str
    value: float
    reach: float | None
    low: float | None = None


def bounds(side: Side) -> list[Bound]:
    """The rows of an epsilon series but those of single nights.

    Without kinds, one with only an upper end is a claim, one with a lower a bound.
    """
    found = []
    kinds = side.words("kind") or [""] * side.length
    for label, kind, (low, value, high) in zip(
        side.words("label"), kinds, side.rows("low", "value", "high"), strict=True
    ):
        if kind == "night":
            continue
        if kind in ("assuming", "estimate") and low is not None and value is not None:
            around = low if kind == "estimate" else None
            found.append(Bound(label=label, kind=kind, value=value, reach=high, low=around))
        elif low is not None:
            reach = side.note("ceiling") if high is None else high
            found.append(Bound(label=label, kind="bound", value=low, reach=reach))
        elif high is not None:
            found.append(Bound(label=label, kind="claim", value=high, reach=None))
        else:
            kind = "none" if value is None else "reach"
            found.append(Bound(label=label, kind=kind, value=value or 0.0, reach=None))
    return found


def by_night(side: Side) -> dict[str, float]:
    """Of a series of audits, the bound of each night alone; empty for one audit."""
    rows = zip(side.words("label"), side.words("kind"), side.numbers("low"), strict=False)
    return {label: low for label, kind, low in rows if kind == "night" and low is not None}


def at_delta(side: Side) -> str:
    """The delta that a side's bounds and claim are stated at, a space before it; "" where it is not known."""
    delta = side.note("delta")
    return "" if delta is None else f" at δ = {significant(delta)}"


def ceiling_of(side: Side) -> float | None:
    """The most that the bound for any mechanism could have shown: the one that gates judge."""
    reach = [bound.reach for bound in bounds(side) if bound.kind == "bound" and bound.reach is not None]
    return max(reach, default=side.note("ceiling"))


def _draw_bound(axes: Axes, side: Side, bound: Bound, height: float) -> None:
    """The label and the number on one line, under it the bar.

    A claim runs from 0 to its end; a lower bound from its value to the most its test could have shown, dashed.
    """
    words, line, ink = height - 0.22, height + 0.22, side.ink
    say(axes, 0, words, fitted(bound.label, _LONGEST_LABEL), ha="left", va="center")
    if bound.kind == "none":
        _say_number(axes, words, "none", TOKENS["ink-3"])
    elif bound.kind == "claim":
        end = bound.value
        axes.plot([0, end], [line, line], color=ink.colour, linewidth=1.8)
        axes.plot([end, end], [line - 0.16, line + 0.16], color=ink.colour, linewidth=1.8)
        _say_number(axes, words, f"at most {upper(end)}", ink.ink)
    else:
        low, sign = (bound.value, "≥") if bound.low is None else (bound.low, "≈")
        interval(axes, side, (low, bound.value, bound.reach), line)
        _say_number(axes, words, f"{sign} {number(bound.value, 'epsilon')}", ink.ink)
    if bound.kind in ("bound", "assuming") and bound.reach is not None:
        across = [line - 0.14, line + 0.2]
        axes.plot([bound.reach] * 2, across, color=TOKENS["ink-2"], linewidth=1.0, linestyle=(0, (4, 2)))


def _draw_nights(axes: Axes, side: Side, alone: Sequence[float], height: float) -> None:
    """A tick for each night; where several coincide it is the darker."""
    words, line, ink = height - 0.22, height + 0.22, side.ink
    say(axes, 0, words, EACH_NIGHT, ha="left", va="center")
    for value in alone:
        axes.plot([value] * 2, [line - 0.14, line + 0.14], color=ink.colour, linewidth=1.6, alpha=0.6, clip_on=False)
    low, high = (number(end, "epsilon") for end in (min(alone), max(alone)))
    _say_number(axes, words, f"≥ {low}" if low == high else f"≥ {low} to {high}", ink.ink)


def _say_number(axes: Axes, height: float, words: str, ink: str) -> None:
    axes.annotate(
        words, (1, height), xycoords=("axes fraction", "data"), ha="right", va="center", weight="bold", color=ink,
        zorder=6,
    )  # fmt: skip
