"""The numbers of a figure in words, for the table that stands under it."""

from reports import curves, dots
from reports.bounds import Bound, bounds
from reports.format import count, counted, exact, number, span, upper
from reports.looks import Side

Numbers = dict[str, str]
"""A side's numbers in words, by row."""

MOST_ROWS = 40
"""Rows of a table; the rest stand in the record."""


def numbers(side: Side) -> Numbers:
    """A side's numbers in words by row; empty for a kind without a table of its own."""
    kind = side.series.kind
    if kind == "roc":
        return _rates(side)
    if kind == "reliability":
        return {
            span((None, x, None), "rate"): f"{span((low, y, high), 'rate')} of {count(int(n or 0))}"
            for x, low, y, high, n in side.rows("confidence", "low", "accuracy", "high", "n")
            if x is not None
        }
    if kind == "exposure":
        return _exposures(side)
    if kind == "epsilon":
        return {bound.label: _bound(bound) for bound in bounds(side)}
    if kind in dots.KINDS:
        unit = dots.unit(side)
        return {
            ": ".join(filter(None, row)): f"{span((c.low, c.value, c.high), unit) or 'not scored'}{_of(c.n)}"
            for row, c in dots.cells(kind, side).items()
        }
    return {}


def _of(n: float | None) -> str:
    return "" if n is None else f"; n {count(int(n))}"


def _rates(side: Side) -> Numbers:
    path, others = curves.points(side), side.note("n_nonmembers")
    found = {}
    for rate in (0.001, 0.01, 0.1):
        reached = [y for x, y in path if x <= rate * (1 + 1e-9)]
        few = not reached or (others is not None and others * rate < 1)
        absent = f"not measured: fewer than {count(round(1 / rate))} others"
        found[f"{exact(rate, 'rate')} false alarms"] = absent if few else span((None, max(reached), None), "rate")
    return found


def _exposures(side: Side) -> Numbers:
    columns = [f"{kind}_{end}" for kind in ("planted", "unplanted") for end in ("low", "mean", "high")]
    found = {}
    for copies, *ends in side.rows("repetitions", *columns):
        if copies is not None:
            planted, left_out = span(ends[:3], "bits"), span(ends[3:], "bits")
            found[counted(int(copies), "copy")] = planted + (f"; left out {left_out}" if left_out else "")
    return found


def _bound(bound: Bound) -> str:
    if bound.kind == "none":
        return "none"
    if bound.kind == "claim":
        return f"at most {upper(bound.value)}"
    value = number(bound.value, "epsilon")
    if bound.kind == "reach":
        return value
    return f"at least {value}" + ("" if bound.reach is None else f"; could have shown {number(bound.reach, 'epsilon')}")
