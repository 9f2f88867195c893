"""What an audit did not look at: planned and not measured, and outside it altogether."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probes.results import ALL, NotMeasured
from reports.index import PILLARS, Index, is_made_to_leak
from reports.parts.cards import TITLES
from reports.record import GateResult, Judgement
from reports.words.format import count, counted
from reports.words.text import capitalised, listed
from reports.words.wording import Sentence

_SLICES_NAMED = 2


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that was not measured.

    Attributes:
        name: What.
        reason: Why.
        is_error: Whether it broke rather than could not be asked.
    """

    name: str
    reason: str
    is_error: bool = False


def unmeasured(index: Index) -> tuple[Gap, ...]:
    """What was planned and yielded no number, grouped by reason: errors first, then units, then single numbers."""
    units: dict[tuple[str, str, str], list[str]] = {}
    for unit in index.record.unmeasured:
        if is_made_to_leak(index.arms.get(unit.arm)) and unit.outcome != "error":
            continue
        units.setdefault((unit.outcome, unit.probe, unit.reason), []).append(unit.arm)
    gaps = [
        Gap(name=f"{probe} on {listed(list(dict.fromkeys(arms)))}", reason=reason, is_error=outcome == "error")
        for (outcome, probe, reason), arms in units.items()
    ]
    return (*sorted(gaps, key=lambda gap: not gap.is_error), *_single_numbers(index))


def _single_numbers(index: Index) -> Iterator[Gap]:
    groups: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for metric in index.metrics.values():
        if isinstance(metric.estimate, NotMeasured) and not is_made_to_leak(index.arms.get(metric.arm)):
            arms, slices = groups.setdefault((metric.probe, metric.label, metric.estimate.reason), ({}, {}))
            arms[metric.arm] = None
            if metric.slice != ALL:
                slices[index.part(metric)] = None
    for (_, label, reason), (arms, slices) in groups.items():
        more = f" and {count(len(slices) - _SLICES_NAMED)} more" if len(slices) > _SLICES_NAMED else ""
        where = f" ({'; '.join(list(slices)[:_SLICES_NAMED])}{more})" if slices else ""
        yield Gap(name=f"{capitalised(label)}{where} on {listed(list(arms))}", reason=reason)


def outside(index: Index) -> tuple[Gap, ...]:
    """What no audit of this kind, or not this one, looks at; from what the record says of its data and attackers."""
    return tuple(Gap(name=name, reason=reason) for name, reason in _outside(index))


def _outside(index: Index) -> Iterator[tuple[str, str]]:
    data = index.record.data
    yield from _persons(index)
    if data.groups:
        yield "Groups without a column", f"Only {listed(list(data.groups))} stood in the data."
    else:
        yield "Groups of people", "No column in the data names any."
    domains = [name.removeprefix("domain:") for name in data.splits if name.startswith("domain:")]
    if domains:
        yield "Other domains and languages", f"Besides the test split, only {listed(domains)}."
    else:
        yield "Other domains and languages", "Only the test split was looked at."
    access = sorted({m.access for m in index.record.metrics if m.pillar == "privacy" and m.access})
    if not any("weight" in words or "gradient" in words for words in access):
        seen = "Those here saw answers and scores of the model, no weights and no gradients."
        yield "Attackers with the weights", seen if access else "No attack was made."
    yield "Poisoned training data", "No attacker may change the data here."
    yield "Change over time", "The model was looked at once, before it is used."
    for pillar in PILLARS:
        if not index.probes(pillar):
            yield TITLES[pillar], "Nothing was asked."


def _persons(index: Index) -> Iterator[tuple[str, str]]:
    data = index.record.data
    if data.persons is None:
        yield "Harm to a person with many rows", "No column in the data names persons."
    elif data.largest_person is not None and data.largest_person > 1:
        yield "Harm to a person with many rows", f"Attacks speak of rows; one person has {count(data.largest_person)}."


def not_tested(index: Index, judgement: Judgement | None, gaps: Sequence[Gap], scope: Sequence[Gap]) -> Sentence:
    """The same in a sentence for the first screen."""
    gates = _unjudged(judgement)
    parts = [f"{gate.label} (a gate: {gate.reason.rstrip('.')})" for gate in gates[:2]]
    planned = len(gaps)
    if planned:
        parts.append(f"{counted(planned, 'planned measurement')}")
    names = [gap.name[:1].lower() + gap.name[1:] for gap in scope]
    return (f"{capitalised('; '.join([*parts, listed(names, 3)]))}.",)


def _unjudged(judgement: Judgement | None) -> list[GateResult]:
    return [] if judgement is None else [gate for gate in judgement.gates if gate.verdict == "not measured"]
