"""The numbers of a figure in words, for the table that stands under it."""

import math
import re
from collections.abc import Sequence

from probes.results import Metric
from reports.figures import curves, dots
from reports.figures.bounds import EACH_NIGHT, Bound, at_delta, bounds, by_night
from reports.figures.looks import Side
from reports.words.format import count, counted, exact, number, shown, span, upper

Numbers = dict[str, str]
"""A side's numbers in words, by row."""

MOST_ROWS = 40
"""Rows of a table; the rest stand in the record."""


def numbers(side: Side, metrics: Sequence[Metric] = ()) -> Numbers:
    """A side's numbers in words by row; empty for a kind without a table of its own.

    Args:
        side: The side.
        metrics: The probe's numbers on its arm: what of a curve the record states stands as it does there.
    """
    kind = side.series.kind
    if kind == "roc":
        return _rates(side, metrics)
    if kind == "reliability":
        return {
            span((None, x, None), "rate"): f"{span((low, y, high), 'rate')} of {count(int(n or 0))}"
            for x, low, y, high, n in side.rows("confidence", "low", "accuracy", "high", "n")
            if x is not None
        }
    if kind == "exposure":
        return _exposures(side)
    if kind == "epsilon":
        return {bound.label: _bound(bound) + at_delta(side) for bound in bounds(side)} | _nights_alone(side)
    if kind == "nights":
        rows = zip(side.words("night"), side.rows("log_evidence", "log_e_value"), strict=True)
        return {night: f"{nats(total)}; alone {nats(one)}" for night, (total, one) in rows}
    if kind in dots.KINDS:
        unit = dots.unit(side)
        return {
            ": ".join(filter(None, row)): f"{span((c.low, c.value, c.high), unit) or 'not scored'}{_of(c.n)}"
            for row, c in dots.cells(kind, side).items()
        }
    return {}


def nats(value: float | None) -> str:
    """Evidence in nats, with its sign; "" where there is none."""
    return "" if value is None else number(value, "nats", difference=True)


def _of(n: float | None) -> str:
    return "" if n is None else f"; n {count(int(n))}"


def _rates(side: Side, metrics: Sequence[Metric]) -> Numbers:
    """Members recognised at some rates of false alarms: as the record has them, one more read off the curve."""
    attack = str(side.series.notes.get("attack") or side.series.name.partition(":")[2])
    stated = {}
    for metric in metrics:
        fpr = re.fullmatch(rf"attack={re.escape(attack)},fpr=([0-9.e-]+)", metric.slice)
        if fpr and metric.unit == "rate":
            stated[float(fpr[1])] = str(shown(metric.estimate, "rate"))
    rates = sorted({*(stated or (0.001, 0.01)), 0.1})
    return {f"{exact(rate, 'rate')} false alarms": stated.get(rate) or _read_off(side, rate) for rate in rates}


def _read_off(side: Side, rate: float) -> str:
    others = side.note("n_nonmembers")
    needed = math.ceil(curves.FEWEST_ACCUSED / rate - 1e-9)
    reached = [y for x, y in curves.points(side) if x <= rate * (1 + 1e-9)]
    if not reached or (others is not None and others < needed):
        return f"not measured: fewer than {count(needed)} others"
    return f"{span((None, max(reached), None), 'rate')}, read off the curve"


def _exposures(side: Side) -> Numbers:
    columns = [f"{kind}_{end}" for kind in ("planted", "unplanted") for end in ("low", "mean", "high")]
    found = {}
    for copies, *ends in side.rows("repetitions", *columns):
        if copies is not None:
            planted, left_out = span(ends[:3], "bits"), span(ends[3:], "bits")
            found[counted(int(copies), "copy")] = planted + (f"; left out {left_out}" if left_out else "")
    return found


def _nights_alone(side: Side) -> Numbers:
    alone = by_night(side).values()
    if len(alone) < 2:
        return {}
    low, high = (number(end, "epsilon") for end in (min(alone), max(alone)))
    least = low if low == high else f"{low} to {high}"
    return {EACH_NIGHT: f"at least {least}, in {counted(len(alone), 'night')}{at_delta(side)}"}


def _bound(bound: Bound) -> str:
    if bound.kind == "none":
        return "none"
    if bound.kind == "claim":
        return f"at most {upper(bound.value)}"
    value = number(bound.value, "epsilon")
    if bound.kind == "reach":
        return value
    if bound.low is not None:
        return span((bound.low, bound.value, bound.reach), "epsilon")
    return f"at least {value}" + ("" if bound.reach is None else f"; could have shown {number(bound.reach, 'epsilon')}")
