"""Numbers as a reader sees them: one rounding rule per unit, the interval before the point.

Rounding happens here and nowhere else. Nothing is rounded to a value it is not: 0.0004 is "< 0.1 %", not "0.0 %",
and 0.9996 is "> 99.9 %", not "100.0 %".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from probes.results import Estimate, NotMeasured, Value

NO_BREAK = "\u00a0"
MINUS = "\u2212"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How numbers in a unit are shown.

    Attributes:
        scale: What a value is multiplied by; 100 shows a rate in per cent.
        decimals: Digits after the point.
        suffix: What follows the number, its no-break space included.
        difference: What follows a difference of two such numbers.
        bounded: Whether 1 is the largest possible value, which no smaller one may be rounded to.
    """

    scale: float = 1.0
    decimals: int = 3
    suffix: str = ""
    difference: str = ""
    bounded: bool = False


_POINTS = NO_BREAK + "points"
UNITS = {
    "rate": Unit(scale=100, decimals=1, suffix=NO_BREAK + "%", difference=_POINTS, bounded=True),
    "rate difference": Unit(scale=100, decimals=1, suffix=_POINTS, difference=_POINTS),
    "points": Unit(decimals=1, suffix=_POINTS, difference=_POINTS),
    "auc": Unit(bounded=True),
    "score": Unit(bounded=True),
    "bits": Unit(decimals=1, suffix=NO_BREAK + "bits", difference=NO_BREAK + "bits"),
    "nats": Unit(decimals=2, suffix=NO_BREAK + "nats", difference=NO_BREAK + "nats"),
    "epsilon": Unit(decimals=2),
    "perplexity": Unit(decimals=1),
    "ratio": Unit(decimals=2),
    "powers of ten": Unit(decimals=1, suffix=NO_BREAK + "powers of ten", difference=NO_BREAK + "powers of ten"),
}


def unit_of(name: str) -> Unit:
    """How the named unit is shown; a unit without a rule of its own has three decimals and its name."""
    words = NO_BREAK + name if name else ""
    return UNITS.get(name) or Unit(suffix=words, difference=words)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A value as it is shown: the interval first, the best estimate after it in brackets.

    Attributes:
        interval: The interval with its unit, or "not measured".
        point: The best estimate without its unit; "" where the interval says it all.
        reason: Why there is no number; "" where there is one.
        kind: Where the number stands: as a "metric" or "contrast" of the record, or as what a "gate" observed.
        key: Its address there.
    """

    interval: str
    point: str = ""
    reason: str = ""
    kind: str = ""
    key: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"{self.interval}: {self.reason}"
        return f"{self.interval} ({self.point})" if self.point else self.interval


def shown(
    value: Value,
    unit: str,
    *,
    difference: bool = False,
    beside: float | None = None,
    kind: str = "",
    key: str = "",
) -> Shown:
    """The value as it is shown.

    Args:
        value: The value.
        unit: Its unit.
        difference: Whether it is a difference, which has a sign and, for rates, the unit "points".
        beside: A limit that stands beside it; digits are added until neither end looks like the limit without being it.
        kind: See `Shown`.
        key: See `Shown`.
    """
    if isinstance(value, NotMeasured):
        return Shown(interval="not measured", reason=value.reason, kind=kind, key=key)
    rule = unit_of(unit)
    suffix = rule.difference if difference else rule.suffix
    extra = _extra_digits(value, unit, difference, beside)
    low, high, point = (
        None if end is None else number(end, unit, difference=difference, extra=extra)
        for end in (value.low, value.high, value.value)
    )
    if low is None and high is None:
        return Shown(interval=f"{point}{suffix}, no interval", kind=kind, key=key)
    if low is None or high is None:
        bound = f"at least {low}" if high is None else f"at most {high}"
        return Shown(interval=bound + suffix, point=_bare(point, bound), kind=kind, key=key)
    if value.low == value.high:
        return Shown(interval=f"{point}{suffix}", kind=kind, key=key)
    return Shown(interval=f"{low} to {high}{suffix}", point=point or "", kind=kind, key=key)


def span(numbers: Sequence[float | None], unit: str) -> str:
    """The same of the low, value and high of a series' row; "" where there is none of them."""
    low, value, high = numbers
    ends = sorted(end for end in (low, high) if end is not None)
    point = value if value is not None else ends[0] if ends else None
    if point is None:
        return ""
    if len(ends) == 2:
        low, high = ends
    estimate = Estimate(value=point, low=low, high=high, n=0, unit_of_n="", method="")
    return str(shown(estimate, unit)).removesuffix(", no interval")


def _bare(point: str | None, bound: str) -> str:
    return "" if point is None or bound.endswith(f" {point}") else point


def _extra_digits(value: Estimate, unit: str, difference: bool, beside: float | None) -> int:
    if beside is None:
        return 0
    ends = [end for end in (value.low, value.high, value.value) if end is not None and end != beside]
    for extra in range(4):
        limit = number(beside, unit, difference=difference, extra=extra)
        if all(number(end, unit, difference=difference, extra=extra) != limit for end in ends):
            return extra
    return 3


def number(value: float, unit: str, *, difference: bool = False, extra: int = 0) -> str:
    """The number by its unit's rounding rule, without the unit.

    Args:
        value: The value in the record's unit.
        unit: The unit.
        difference: Whether it is shown with its sign.
        extra: Digits more than the rule has.
    """
    rule = unit_of(unit)
    scaled = value * rule.scale
    decimals = max(0, rule.decimals - (2 if abs(scaled) >= 1000 else 0)) + extra
    if difference:
        while scaled and round(scaled, decimals) == 0 and decimals < rule.decimals + extra + 4:
            decimals += 1  # the sign of a difference says whether there is one
        return _signed(scaled, decimals)
    smallest = 10.0**-decimals
    if scaled > 0 and round(scaled, decimals) == 0:
        return f"<{NO_BREAK}{smallest:.{decimals}f}"
    if rule.bounded and value < 1 and round(scaled, decimals) >= rule.scale:
        return f">{NO_BREAK}{rule.scale - smallest:.{decimals}f}"
    return _plain(scaled, decimals)


def _plain(value: float, decimals: int) -> str:
    text = f"{abs(value):,.{decimals}f}"
    return text if value >= 0 or not text.strip("0.,") else MINUS + text


def _signed(value: float, decimals: int) -> str:
    text = _plain(value, decimals)
    return text if text.startswith(MINUS) or not text.strip("0.,") else "+" + text


def exact(value: float, unit: str, *, difference: bool = False) -> str:
    """A declared number with its unit, as it was declared: 0.03 of a rate is "3 %", 0.025 is "2.5 %"."""
    rule = unit_of(unit)
    text = f"{value * rule.scale:,.6f}".rstrip("0").rstrip(".")
    if not text.strip("-0.,") and value:
        text = f"{value * rule.scale:.3g}"
    return text.replace("-", MINUS) + (rule.difference if difference else rule.suffix)


def level(value: float) -> str:
    """A confidence level: 0.95 is "95 %"."""
    return f"{value * 100:.6g}{NO_BREAK}%"


def count(value: int) -> str:
    """A count with thousands separated."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """A count and its noun, in the plural where it is not one: "1,400 rows", "1 query"."""
    if value == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{count(value)} {noun[:-1]}ies"
    return f"{count(value)} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def significant(value: float, digits: int = 3) -> str:
    """A number of any size to some significant digits; a power of ten as such: 1e-06 is "10⁻⁶"."""
    if value <= 0 or 1e-3 <= value < 1e6:
        return f"{value:,.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"
    exponent = math.floor(math.log10(value) + 1e-12)
    mantissa = f"{value / 10.0**exponent:.{digits}g}"
    power = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if mantissa == "1" else f"{mantissa}{NO_BREAK}×{NO_BREAK}{power}"


def short(digest: str, most: int = 8) -> str:
    """The first characters of a hash."""
    return digest if len(digest) <= most else f"{digest[:most]}…"


def upper(value: float) -> str:
    """An upper bound with two decimals, rounded up: "at most 7.93" must hold."""
    return f"{math.ceil(round(value * 100, 6)) / 100:,.2f}"
