"""A chapter per pillar: its finding, its figures, every number by arm, and the probes' limits beside them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from probes.results import Estimate, Metric, Pillar
from reports.figures.plates import Plate, plates
from reports.index import PILLARS, Index, is_made_to_leak, show, show_contrast
from reports.parts.cards import TITLES, Card
from reports.parts.claims import Claim, Line, claims, is_of_a_claim, line_of
from reports.parts.controls import Battery, battery
from reports.parts.tables import Table, by_arm, differences
from reports.record import ArmRecord, ProbeRecord
from reports.words.format import count, counted, level, significant
from reports.words.text import as_sentence, capitalised, listed
from reports.words.wording import OUTCOMES, Sentence

QUESTIONS: dict[Pillar, str] = {
    "bias": "who gets worse answers?",
    "privacy": "what would an attacker learn?",
    "robustness": "what happens on other texts?",
    "utility": "how well does it do its task?",
}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One probe.

    Attributes:
        name: Its name.
        question: What it asks.
        limits: What it cannot tell.
        tables: Its numbers by arm.
        differences: Its differences between arms.
        checks: What it put to the test.
        how: How its numbers were made, by name.
        plates: Its figures.
        left_out: Series that are not drawn.
    """

    name: str
    question: str
    limits: tuple[str, ...]
    tables: tuple[Table, ...]
    differences: tuple[Table, ...]
    checks: tuple[Line, ...]
    how: tuple[tuple[str, str], ...]
    plates: tuple[Plate, ...]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One pillar.

    Attributes:
        number: Its number.
        pillar: Which.
        title: Its question.
        lead: Its finding.
        paragraph: Where its numbers come from, if that needs saying.
        blocks: Its probes.
        claims: In the privacy chapter, the differential privacy claims.
        battery: Likewise, whether a leak would have been found; None where nothing was made to leak.
    """

    number: int
    pillar: Pillar
    title: str
    lead: Sentence
    paragraph: Sentence
    blocks: tuple[Block, ...]
    claims: tuple[Claim, ...]
    battery: Battery | None = None


def chapters(index: Index, cards: Sequence[Card]) -> tuple[Chapter, ...]:
    """The chapters in their fixed order, figures numbered through."""
    found = []
    figures = 0
    for place, (pillar, card) in enumerate(zip(PILLARS, cards, strict=True), start=1):
        blocks = []
        for probe in index.probes(pillar):
            block = _block(index, probe, figures + 1)
            figures += len(block.plates)
            blocks.append(block)
        found.append(
            Chapter(
                number=place,
                pillar=pillar,
                title=f"{TITLES[pillar]}: {QUESTIONS[pillar]}",
                lead=card.sentence,
                paragraph=_twins(index) if pillar == "privacy" else (),
                blocks=tuple(blocks),
                claims=claims(index) if pillar == "privacy" else (),
                battery=battery(index) if pillar == "privacy" else None,
            )
        )
    return tuple(found)


def _twins(index: Index) -> Sentence:
    """What twins are, and how far the candidate's twin is from the candidate."""
    if not any(arm.role == "twin" for arm in index.record.arms):
        return ()
    data = index.record.data
    canaries = sum(data.canaries.values())
    planted = sum(data.canaries_planted.values())
    left_out = f"{count(data.pool - data.pool_members)} of the {counted(data.pool, 'row')} of an audit pool"
    made = f" and planted {count(planted)} of {counted(canaries, 'canary')}, texts made for the audit"
    also = made if canaries else ""
    words = (
        "Attackers are let loose on twins, models that are never deployed: the same recipe on the audit's data, where "
        f"fair coins left out {left_out}{also}. "
    )
    return (words, *_distance(index))


def _distance(index: Index) -> Sentence:
    candidate = index.candidate
    twin = index.twin(candidate) if candidate is not None else None
    if candidate is None or twin is None:
        return ()
    for metric in index.headlines("utility", candidate):
        its = index.metrics.get((twin.name, f"{metric.probe}.{metric.name}", metric.slice))
        if metric.arm == candidate.name and its is not None and isinstance(its.estimate, Estimate):
            return (
                f"{capitalised(metric.label)} of {candidate.name}: ",
                show(metric),
                "; of its twin: ",
                show(its),
                *_apart(index, metric, twin, candidate),
                ".",
            )
    return ()


def _apart(index: Index, metric: Metric, twin: ArmRecord, candidate: ArmRecord) -> Sentence:
    """The twin's difference to its candidate on the same items."""
    found = index.contrast(metric, twin, candidate)
    return () if found is None else (f"; {found.arm} minus {found.reference}: ", show_contrast(found))


def _block(index: Index, probe: ProbeRecord, first_figure: int) -> Block:
    drawn, left_out = plates(index, probe)
    checks = [
        line_of(found.check, found.arm)
        for found in index.record.checks
        if found.probe == probe.name and not is_of_a_claim(found) and not is_made_to_leak(index.arms.get(found.arm))
    ]
    order = [word for word, _ in OUTCOMES.values()]
    return Block(
        name=probe.name,
        question=as_sentence(probe.question) or capitalised(probe.name.replace("_", " ")),
        limits=_sentences(probe.limits),
        tables=by_arm(index, probe),
        differences=differences(index, probe),
        checks=tuple(sorted(checks, key=lambda line: order.index(line.outcome))),
        how=tuple(_how(index, probe)),
        plates=tuple(replace(plate, number=first_figure + at) for at, plate in enumerate(drawn)),
        left_out=left_out,
    )


def _sentences(text: str) -> tuple[str, ...]:
    plain = text.strip().replace("`", "")  # docstrings mark code so
    return tuple(as_sentence(part) for part in re.split(r"(?<=[.;])\s+(?=[A-Z])", plain) if part)


def _how(index: Index, probe: ProbeRecord) -> Iterator[tuple[str, str]]:
    metrics = [metric for metric in index.record.metrics if metric.probe == probe.name]
    estimates = [metric.estimate for metric in metrics if isinstance(metric.estimate, Estimate)]
    levels = sorted({estimate.level for estimate in estimates})
    if estimates:
        methods = list(dict.fromkeys(estimate.method for estimate in estimates))
        yield "Intervals", f"{listed([level(value) for value in levels])}; {listed(methods)}"
    access = list(dict.fromkeys(metric.access for metric in metrics if metric.access))
    if access:
        yield "Needs", listed(access)
    definitions = list(dict.fromkeys(metric.definition for metric in metrics))
    if definitions:
        yield "Definitions", listed(definitions, 12)
    yield "Probe", probe.probe
    parameters = [
        f"{name.replace('_', ' ')} {_parameter(value)}" for name, value in probe.parameters.items() if value is not None
    ]
    if parameters:
        yield "Parameters", "; ".join(parameters)
    if probe.source:
        yield "Source", probe.source.replace("`", "")


def _parameter(value: object) -> str:
    words = significant(value) if isinstance(value, float) else str(value)
    if isinstance(value, list | tuple):
        words = ", ".join(_parameter(one) for one in value)
    return words if len(words) <= 120 else f"{words[:119]}…"
