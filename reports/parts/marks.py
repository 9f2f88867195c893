"""Where an interval, its limit and its ideal lie on a line: the geometry of the page's small marks, in per cent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from probes.results import Estimate
from reports.words.format import exact, shown, unit_of


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An interval on a line of its own scale. Places are per cent of the line's width, "" where there is none.

    Attributes:
        label: What it shows, for those who cannot see it.
        tone: Its colour by meaning: "pass", "fail", "open", "none", "clear" or "unclear".
        low: Where the interval begins.
        high: Where it ends.
        point: The best estimate.
        limit: The policy's limit.
        limit_label: The limit with its unit.
        allowed: Where the allowed zone begins.
        allowed_width: How wide it is.
        anchor: The ideal, or what guessing gives.
        seen: The smallest effect that would have been seen.
        left: The scale's first number.
        right: The scale's last, with its unit.
    """

    label: str
    tone: str
    low: str
    high: str
    point: str
    limit: str = ""
    limit_label: str = ""
    allowed: str = ""
    allowed_width: str = ""
    anchor: str = ""
    seen: str = ""
    left: str = ""
    right: str = ""


@dataclass(frozen=True)
class _Line:
    first: float
    last: float

    def place(self, value: float | None) -> str:
        """The value's place in per cent, kept on the line."""
        if value is None:
            return ""
        share = (value - self.first) / (self.last - self.first)
        return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def level_mark(
    label: str, tone: str, estimate: Estimate, unit: str, *, limit: float | None = None, better: int = 0,
    anchor: float | None = None, difference: bool = False,
) -> Mark:  # fmt: skip
    """A value, or a judged difference, on a scale that has room for everything there is to show.

    Args:
        label: What it is.
        tone: See `Mark`.
        estimate: The value and its interval.
        unit: Its unit.
        limit: The policy's limit.
        better: +1 where larger is better, -1 where smaller is, 0 where neither is allowed for.
        anchor: The ideal, or what guessing gives.
        difference: Whether it is a difference.
    """
    base = estimate.null.value if estimate.null is not None else anchor
    seen = None if estimate.detectable is None or base is None else base + estimate.detectable
    line = _line((estimate.low, estimate.high, estimate.value, limit, base, seen), unit, difference)
    rule = unit_of(unit)
    begin, end = _allowed(line, limit, better)
    words = f"{label}: {shown(estimate, unit, difference=difference)}"
    return Mark(
        label=words + (f"; limit {exact(limit, unit, difference=difference)}" if limit is not None else ""),
        tone=tone,
        low=line.place(line.first if estimate.low is None else estimate.low),
        high=line.place(line.last if estimate.high is None else estimate.high),
        point=line.place(estimate.value),
        limit=line.place(limit),
        limit_label="" if limit is None else f"limit {exact(limit, unit, difference=difference)}",
        allowed=begin,
        allowed_width=end,
        anchor=line.place(base),
        seen=line.place(seen),
        left=exact(line.first, unit).removesuffix(rule.suffix) if rule.suffix else exact(line.first, unit),
        right=exact(line.last, unit, difference=difference),
    )


def difference_mark(label: str, tone: str, estimate: Estimate, unit: str, *, sign: int, limit: float | None) -> Mark:
    """A paired difference on a scale that is symmetric about none, turned so that right is better.

    Args:
        label: What it is.
        tone: See `Mark`.
        estimate: The difference.
        unit: The metric's unit.
        sign: +1 where a positive difference is better, -1 where a negative one is.
        limit: The largest acceptable loss, positive.
    """
    low, high = (estimate.low, estimate.high) if sign > 0 else (_minus(estimate.high), _minus(estimate.low))
    loss = None if limit is None else -limit
    widest = max(abs(end) for end in (low, high, estimate.value, loss, 0.0) if end is not None) or 1.0
    line = _Line(-1.15 * widest, 1.15 * widest)
    return Mark(
        label=f"{label}: {shown(estimate, unit, difference=True)}, drawn with better to the right",
        tone=tone,
        low=line.place(line.first if low is None else low),
        high=line.place(line.last if high is None else high),
        point=line.place(sign * estimate.value),
        limit=line.place(loss),
        anchor=line.place(0.0),
    )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _allowed(line: _Line, limit: float | None, better: int) -> tuple[str, str]:
    if limit is None or better == 0:
        return "", ""
    share = min(1.0, max(0.0, (limit - line.first) / (line.last - line.first)))
    return (f"{100 * share:.2f}%", f"{100 * (1 - share):.2f}%") if better > 0 else ("0.00%", f"{100 * share:.2f}%")


def _line(values: Iterable[float | None], unit: str, difference: bool) -> _Line:
    """Round ends with a little air; a line that nearly reaches zero begins there, a rate stays within 0 and 1."""
    scale = unit_of(unit).scale
    known = [value * scale for value in values if value is not None]
    low, high = min(known), max(known)
    if 0 <= low < 0.5 * high:
        low = 0.0
    if high == low:
        low, high = (low - 1, high + 1) if difference or low == 0 else (min(0.0, 2 * low), max(0.0, 2 * low))
    step = _nice((high - low) / 5)
    first = math.floor(low / step + 1e-9) * step
    last = math.ceil(high / step - 1e-9) * step
    if last - high < 0.04 * (last - first):
        last += step
    if unit_of(unit).bounded and not difference:
        first, last = max(0.0, first), max(high, min(scale, last))
    return _Line(first / scale, last / scale)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= step * (1 - 1e-9)))
