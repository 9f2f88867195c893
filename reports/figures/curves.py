"""Figures of curves: what an attacker reaches, and how sure a model is against how often it is right."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.looks import Side, interval, name_side, nice_ticks, rate_labels, say
from reports.figures.svg import HEIGHT, TOKENS, WIDTH, panel
from reports.words.format import count, upper

FEWEST_ACCUSED = 3
"""Others that a rate must accuse to be read off a curve; with fewer, chance sets the threshold."""

MOST_LONELY = 10
"""Answers a bin must have to be joined with its neighbours by a line."""

_LARGEST_EXPONENT = 700.0
"""Beyond it the exponential has no double; a claim of that size allows everything all the same."""

_LEFT = 44.0
_GUESSING: dict[str, Any] = {"color": TOKENS["rule-strong"], "linewidth": 1.0, "zorder": 1}


def roc(figure: Figure, sides: Sequence[Side]) -> None:
    """Members recognised against others accused, both on log scales, with what guessing and a claim allow."""
    axes = panel(figure, left=_LEFT)
    others = min((n for side in sides if (n := side.note("n_nonmembers"))), default=None)
    least = min((x for side in sides for x, _ in points(side)), default=1e-3) if others is None else 1 / others
    lowest = _decade(least) if math.log10(least / _decade(least)) >= 0.5 else _decade(least) / 10
    bottom = max(lowest, 1e-3)
    axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(bottom, 1))
    decades = [10.0**e for e in range(round(math.log10(lowest)), 1)]
    axes.set_xticks(decades, rate_labels(decades))
    rising = [d for d in decades if d >= bottom]
    axes.set_yticks(rising, rate_labels(rising))
    axes.minorticks_off()
    axes.set_xlabel("Others wrongly accused (log scale)")
    axes.plot([lowest, 1], [lowest, 1], **_GUESSING)
    if others is not None:
        axes.axvspan(lowest, FEWEST_ACCUSED / others, color=TOKENS["panel"], zorder=0)
        say(axes, lowest * 1.12, bottom * 1.3, "too few\nothers", ha="left", va="bottom", linespacing=1.25)
    for side in sides:
        _envelope(axes, side, lowest)
        x, y = zip(*_thinned(points(side), lowest, bottom), strict=True)
        axes.plot(x, y, color=side.ink.colour, drawstyle="steps-post", zorder=3)
    say(axes, 3.2 * bottom, 1.9 * bottom, "guessing", ha="left", va="center", zorder=2)
    _name_curves(axes, sides, bottom)


def points(side: Side) -> list[tuple[float, float]]:
    """The curve's points that have a place on log scales, from left to right."""
    pairs = zip(side.numbers("fpr"), side.numbers("tpr"), strict=True)
    return sorted((x, y) for x, y in pairs if x is not None and y is not None and x > 0 and y > 0)


def _decade(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value) + 1e-9)


def _thinned(path: Sequence[tuple[float, float]], lowest: float, bottom: float) -> Iterator[tuple[float, float]]:
    """The points of a path that can be told apart at the figure's size, the last one always."""
    across = (WIDTH - _LEFT - 20) / -math.log10(lowest)
    up = (HEIGHT - 60) / -math.log10(bottom)
    last = None
    for x, y in path:
        place = (math.log10(x) * across, math.log10(y) * up)
        if last is None or math.dist(place, last) >= 1.2 or (x, y) == path[-1]:
            last = place
            yield x, y


def allowed(fpr: float, epsilon: float, delta: float) -> float:
    """The largest true positive rate that (epsilon, delta)-differential privacy allows at a false positive rate.

    Source: Kairouz, Oh & Viswanath (2015), https://arxiv.org/abs/1311.0776, theorem 2.1: with false positive rate x,
    the true positive rate is at most exp(epsilon) x + delta and at most 1 - exp(-epsilon) (1 - delta - x).
    """
    rising = math.exp(min(epsilon, _LARGEST_EXPONENT)) * fpr + delta
    return min(rising, 1 - math.exp(-epsilon) * (1 - delta - fpr), 1.0)


def _envelope(axes: Axes, side: Side, lowest: float) -> None:
    """The most that an (epsilon, delta) claim lets any attacker reach."""
    epsilon, delta = side.note("epsilon"), side.note("delta") or 0.0
    if epsilon is None:
        return
    xs = [lowest ** (1 - i / 80) for i in range(81)]
    ys = [allowed(x, epsilon, delta) for x in xs]
    axes.plot(xs, ys, color=side.ink.colour, linewidth=1.4, linestyle=(0, (6, 2.5)), zorder=2)
    words = f"ε = {upper(epsilon)} allows all below"
    axes.annotate(words, (0.15, 0.955), xycoords="axes fraction", ha="left", va="top", color=side.ink.ink, zorder=6)


def _name_curves(axes: Axes, sides: Sequence[Side], bottom: float) -> None:
    """The upper curve is named above, the lower below, where each is."""
    at = (0.03, 0.1)
    heights = [_height(side, at[0]) for side in sides]
    if len(sides) == 1:
        name_side(axes, sides[0], at[0], max(heights[0], bottom), ha="right", va="bottom", gap=(-4, 5))
        return
    upper, lower = (0, 1) if heights[0] >= heights[1] else (1, 0)
    if heights[upper] > 0.4:  # above it stand the words of a claim
        name_side(axes, sides[upper], at[0], heights[upper], ha="left", va="top", gap=(4, -8))
    else:
        name_side(axes, sides[upper], at[0], max(heights[upper], 1.4 * bottom), ha="right", va="bottom", gap=(-6, 3))
    below = min(_height(side, at[1]) for side in sides)
    name_side(axes, sides[lower], at[1], max(below, 2 * bottom), ha="left", va="top", gap=(6, -8))


def _height(side: Side, x: float) -> float:
    found = points(side)
    return found[max(0, bisect_right([point[0] for point in found], x) - 1)][1]


def reliability(figure: Figure, sides: Sequence[Side]) -> None:
    """Share right by confidence, the diagonal of a model as sure as it is right, and how many answers each bin has."""
    axes = panel(figure, left=_LEFT, bottom=118)
    below = panel(figure, left=_LEFT, top=240)
    begin = min(v for s in sides for c in ("confidence", "low", "accuracy") for v in s.numbers(c) if v is not None)
    begin = max(0.0, math.floor(begin * 10 - 1e-9) / 10)
    axes.set(xlim=(begin, 1), ylim=(begin, 1.0))
    ticks = nice_ticks(begin, 1)
    axes.set_xticks(ticks, [""] * len(ticks))
    axes.tick_params(axis="x", size=0)
    axes.set_yticks(ticks, rate_labels(ticks))
    axes.plot([begin, 1], [begin, 1], **_GUESSING)
    say(axes, 1 - 0.02 * (1 - begin), begin + 0.05 * (1 - begin), "diagonal: as sure as right", ha="right", va="center")
    shift = 0.011 * (1 - begin)
    offsets = (0.0,) if len(sides) == 1 else (-shift, shift)
    for side, offset in zip(sides, offsets, strict=True):
        rows = side.rows("confidence", "low", "accuracy", "high", "n")
        joined = [(x, y) for x, _, y, _, n in rows if x is not None and y is not None and (n or 0) >= MOST_LONELY]
        axes.plot([x for x, _ in joined], [y for _, y in joined], color=side.ink.colour, linewidth=1.2, zorder=2)
        for x, low, y, high, n in rows:
            if x is not None:
                interval(axes, side, (low, y, high), x + offset, upright=True)
                below.bar(x + offset, n or 0.0, width=2 * shift, color=side.ink.colour)
    _name_lines(axes, sides)
    _counts(below, begin, ticks)


def _name_lines(axes: Axes, sides: Sequence[Side]) -> None:
    """Each side is named at its fullest bin, the higher one above and the lower one below."""
    if len(sides) < 2:
        return
    fullest = [max(side.complete("confidence", "accuracy", "n"), key=lambda row: row[2])[:2] for side in sides]
    upper, lower = (0, 1) if fullest[0][1] >= fullest[1][1] else (1, 0)
    name_side(axes, sides[upper], *fullest[upper], ha="right", va="bottom", gap=(-10, 8))
    is_right = fullest[lower][0] > 0.85
    name_side(
        axes, sides[lower], *fullest[lower], ha="right" if is_right else "left", va="top",
        gap=(-12 if is_right else 10, -8),
    )  # fmt: skip


def _counts(axes: Axes, begin: float, ticks: Sequence[float]) -> None:
    top = axes.get_ylim()[1]
    axes.set(xlim=(begin, 1))
    axes.set_yticks([0, nice_ticks(0, top, 2)[-1]])
    axes.set_yticklabels([count(int(tick)) for tick in axes.get_yticks()])
    axes.set_xticks(ticks, rate_labels(ticks))
    axes.set_xlabel("Confidence; below, the number of answers")
    axes.grid(visible=False)
