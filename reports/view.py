"""From record, verdicts and run to what the page shows: order, words and rounding, and no statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

from probes.results import Estimate
from reports.figures.plates import look
from reports.index import PILLARS, Index
from reports.parts.appendix import Facts, arm_rows, data_facts, identity_facts, making_facts
from reports.parts.cards import Card, card
from reports.parts.chapters import Chapter, chapters
from reports.parts.comparison import Comparison, comparison
from reports.parts.front import Front, front, verdict
from reports.parts.marks import Mark, level_mark
from reports.parts.scope import Gap, outside, unmeasured
from reports.record import AuditRecord, GateResult, Judgement, RunInfo
from reports.words.format import Shown
from reports.words.glossary import words
from reports.words.text import as_sentence
from reports.words.wording import UNNAMED, VERDICTS, allowed, gate_name, judged_weights, observed, sealing

MOST_PASSED = 60
"""Gates that passed and are shown; one that did not pass is never left out."""


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """One gate.

    Attributes:
        tone: Its icon and colour.
        word: Its verdict.
        condition: What must hold, in a reader's words.
        criterion: The same as sealed.
        id: Its name.
        observed: What was judged; None where nothing was.
        mark: The same as a mark.
        reason: Why this verdict.
        owner: Who set the limit.
        source: Why this limit.
        warns: Whether a failure only warns.
    """

    tone: str
    word: str
    condition: str
    criterion: str
    id: str
    observed: Shown | None
    mark: Mark | None
    reason: str
    owner: str
    source: str
    warns: bool


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the page shows, in its order.

    Attributes:
        title: What the browser's tab says.
        foot: The running foot of printed pages.
        front: The first screen.
        cards: A finding per pillar.
        comparison: Candidate against private; None where nothing was compared.
        looks: How the compared arms are drawn: subject, then reference.
        sealing: When the policy was sealed, and which weights it judged; "" where there is none.
        gates: The gates: all that did not pass, and as many of those that did as are read.
        more_passed: Gates that passed and are not shown.
        gaps: Planned and not measured.
        scope: Outside the audit.
        chapters: A chapter per pillar.
        data: The data.
        notes: What is to be said of the data.
        arms: The arms, as rows.
        identity: Hashes.
        making: Software, seeds, machine.
        words: The words of this page that are not everyday, explained.
        record: SHA-256 of the record's file.
        shows_examples: Whether texts of the data are shown.
    """

    title: str
    foot: str
    front: Front
    cards: tuple[Card, ...]
    comparison: Comparison | None
    looks: tuple[str, ...]
    sealing: str
    gates: tuple[GateRow, ...]
    more_passed: int
    gaps: tuple[Gap, ...]
    scope: tuple[Gap, ...]
    chapters: tuple[Chapter, ...]
    data: Facts
    notes: tuple[str, ...]
    arms: tuple[tuple[str, ...], ...]
    identity: Facts
    making: Facts
    words: Facts
    record: str
    shows_examples: bool


def view(record: AuditRecord, judgement: Judgement | None = None, run: RunInfo | None = None, sha256: str = "") -> Page:
    """What the page of a record shows.

    Args:
        record: What was measured.
        judgement: The verdicts on it; those on another record are set aside.
        run: When and where.
        sha256: SHA-256 of the record's file; where silent, of the file that would be written now.
    """
    index = Index(record, sha256)
    headline = verdict(index, judgement, run)
    mine = headline.judgement
    gaps, scope = unmeasured(index), outside(index)
    cards = tuple(card(pillar, index, mine) for pillar in PILLARS)
    first = front(index, headline, run, cards, gaps, scope)
    compared = comparison(index, mine, run)
    judged = _ordered(mine.gates) if mine is not None else []
    passed = [gate for gate in judged if gate.verdict == "pass"]
    policy = f" under {first.policy}" if first.policy else ""
    named = ", ".join(filter(None, (first.model, first.origin)))
    return Page(
        title=f"{headline.word}: {named}{policy}",
        foot=" · ".join(filter(None, (named, first.identity, first.policy, headline.word))),
        front=first,
        cards=cards,
        comparison=compared,
        looks=() if compared is None else (look(index, compared.subject), look(index, compared.reference)),
        sealing="" if mine is None or not mine.gates else f"{sealing(mine, index)} {judged_weights(mine, index)}",
        gates=tuple(_gate(gate, index) for gate in judged[: len(judged) - len(passed) + MOST_PASSED]),
        more_passed=max(0, len(passed) - MOST_PASSED),
        gaps=gaps,
        scope=scope,
        chapters=chapters(index, cards),
        data=data_facts(record.data),
        notes=tuple(as_sentence(note) for note in record.data.notes),
        arms=arm_rows(index),
        identity=identity_facts(index, mine),
        making=making_facts(record, run),
        words=words(index, mine),
        record=index.digest,
        shows_examples=record.shows_examples,
    )


def _ordered(gates: Sequence[GateResult]) -> list[GateResult]:
    """Failed, then undecided, then not measured, then passed; within each by pillar, then as declared."""
    verdicts = list(VERDICTS)
    return sorted(gates, key=lambda gate: (verdicts.index(gate.verdict), PILLARS.index(gate.pillar)))


def _gate(gate: GateResult, index: Index) -> GateRow:
    word, tone = VERDICTS[gate.verdict]
    metric = index.by_id.get(gate.metric_id or "")
    name, limit = gate_name(gate, index), allowed(gate)
    is_difference = gate.kind != "bound"
    mark = None
    if isinstance(gate.observed, Estimate):
        mark = level_mark(
            name,
            tone,
            gate.observed,
            gate.unit,
            limit=gate.limit,
            better=gate.better,
            anchor=0.0 if is_difference or metric is None else metric.ideal,
            difference=is_difference,
        )
    return GateRow(
        tone=tone,
        word=word,
        condition=f"{name}: {limit}" if limit else name,
        criterion=gate.criterion,
        id=gate.id,
        observed=observed(gate),
        mark=mark,
        reason=as_sentence(gate.reason),
        owner=gate.owner or f"({UNNAMED})",
        source=gate.source or "",
        warns=gate.level == "warn",
    )
