"""The first screen: may it be deployed, what failed, how sure, what is open or untested, and whose limit it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.index import Index, is_made_to_leak, is_private, privacy_of
from reports.parts.cards import Card
from reports.parts.controls import battery, plain_answer
from reports.parts.scope import Gap, not_tested
from reports.record import ArmCheck, ArmRecord, AuditRecord, GateResult, Judgement, RunInfo
from reports.words.format import NO_BREAK, count, counted, short
from reports.words.text import day, listed, model_name, split_words, visible
from reports.words.wording import (
    HEADLINES,
    UNNAMED,
    VERDICTS,
    Sentence,
    epsilon_words,
    how_sure,
    refuter,
    score,
    tally,
    undecided,
    what_failed,
    whose_limit,
)

MOST_ICONS = 8
"""Icons of a pillar's gates; more are counted in words only."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The headline.

    Attributes:
        slug: "blocked", "passed", "no-decision" or "not-judged".
        word: The same in capitals.
        tone: Its icon.
        judgement: The verdicts that belong to this record; None where there are none.
        warnings: What a reader must know before anything else.
    """

    slug: str
    word: str
    tone: str
    judgement: Judgement | None
    warnings: tuple[str, ...]


def verdict(index: Index, judgement: Judgement | None, run: RunInfo | None) -> Verdict:
    """The headline.

    NOT JUDGED without an arm to deploy or without verdicts on this very record; never PASSED on an incomplete run.
    """
    record = index.record
    theirs = judgement is not None and judgement.record != index.digest
    mine = None if theirs else judgement
    name: str = mine.verdict if mine is not None and record.deploy is not None else "not judged"
    warnings = list(_incomplete(record, run))
    if name == "passed" and warnings:
        name = "no decision"
        warnings.append("The gates that were judged passed, but on an incomplete run nothing passes as a whole.")
    if theirs and judgement is not None:
        warnings.append(
            f"The verdicts at hand were made on another record, sha256 {short(judgement.record)}; not used."
        )
    warnings += _refuted(index, mine)
    if record.shows_examples:
        warnings.append("This report may show texts of the data it was made from: treat it as the data.")
    tones = {"blocked": "fail", "passed": "pass", "no decision": "open", "not judged": "none"}
    return Verdict(
        slug=name.replace(" ", "-"),
        word=HEADLINES[name],
        tone=tones[name],
        judgement=mine,
        warnings=tuple(warnings),
    )


def _refuted(index: Index, judgement: Judgement | None) -> Iterator[str]:
    """Claims of candidates that are refuted, a sentence each: by which tests, and whether a gate judges it at all."""
    for arm in index.record.arms:
        if arm.role != "candidate" or is_made_to_leak(arm):
            continue
        names = {other.name for other in index.record.arms if arm.name in (other.name, other.twin_of)}
        found = [held for held in index.record.checks if held.arm in names and held.check.outcome == "refuted"]
        if found:
            tests = listed(list(dict.fromkeys(refuter(held.check) for held in found)))
            claim = f"the differential privacy that ‘{visible(arm.name)}’ claims{epsilon_words(arm)}"
            judged = "" if _is_judged(found, index, judgement) else " No gate judges it."
            yield f"REFUTED: {claim} is refuted by {tests}.{judged}"


def _is_judged(found: Sequence[ArmCheck], index: Index, judgement: Judgement | None) -> bool:
    """Whether a gate judges a bound on epsilon, or the evidence against the claim, that the refutation came with."""
    gates = () if judgement is None else judgement.gates
    judged = [index.by_id[gate.metric_id] for gate in gates if gate.metric_id in index.by_id]
    asked = {(held.arm, held.probe) for held in found}
    return any((m.arm, m.probe) in asked and (m.unit == "epsilon" or m.name == "log_e_value") for m in judged)


def _incomplete(record: AuditRecord, run: RunInfo | None) -> Iterator[str]:
    errors, planned = record.coverage.errors, record.coverage.planned
    if errors:
        units = counted(planned, "planned unit")
        yield f"INCOMPLETE: {count(errors)} of {units} ended in an error; no gate can pass on what is missing."
    if run is not None and run.status != "complete" and not errors:
        yield f"INCOMPLETE: the run is {'still running' if run.status == 'running' else 'not complete'}."


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A pillar's gates: an icon each, the same in words, and what was found."""

    title: str
    icons: tuple[str, ...]
    words: str
    finding: Sentence


@dataclass(frozen=True, kw_only=True)
class Front:
    """The first screen.

    Attributes:
        title: The audit's title.
        model: What could be deployed: the model's name.
        origin: How it came about, with the arm's name.
        identity: Which it is: hash of the weights, date.
        policy: Name and version of the policy; "" where there is none.
        owner: Who answers for it, or that nobody is named.
        run: Name and date of the run; "" where they are not known.
        verdict: The headline.
        score: Its second line.
        answers: The five questions with their answers.
        tallies: Gates and findings by pillar.
        evidence: Units in words.
        measured: Share of the units measured, in per cent.
        facts: What else identifies the audit.
    """

    title: str
    model: str
    origin: str
    identity: str
    policy: str
    owner: str
    run: str
    verdict: Verdict
    score: Sentence
    answers: tuple[tuple[str, Sentence], ...]
    tallies: tuple[Tally, ...]
    evidence: str
    measured: str
    facts: tuple[tuple[str, str], ...]


def front(
    index: Index,
    found: Verdict,
    run: RunInfo | None,
    cards: Sequence[Card],
    gaps: Sequence[Gap],
    scope: Sequence[Gap],
) -> Front:
    """The first screen of a record."""
    record, judgement = index.record, found.judgement
    gates = () if judgement is None else judgement.gates
    share = 0.0 if not record.coverage.planned else record.coverage.measured / record.coverage.planned
    return Front(
        title=record.title,
        model=model_name(record.model),
        origin=_origin(index),
        identity=_identity(index, run),
        policy="" if judgement is None else f"{judgement.policy} v{judgement.version.removeprefix('v')}",
        owner=f"owner: {judgement.owner}" if judgement is not None and judgement.owner else UNNAMED,
        run="" if run is None else f"{run.run_id}, {day(run.started)}",
        verdict=found,
        score=score(gates) if judgement is not None else (_why_not_judged(record),),
        answers=tuple(_answers(index, found, gaps, scope)),
        tallies=tuple(_tally(card, gates) for card in cards),
        evidence=_evidence(record),
        measured=f"{100 * share:.2f}%",
        facts=tuple(_facts(index)),
    )


_ORIGINS = {"trained": "fine-tuned as", "given": "trained elsewhere and given as", "derived": "derived as"}


def _origin(index: Index) -> str:
    arm = index.candidate
    return "" if arm is None else f"{_ORIGINS.get(arm.source, 'untouched, as')} ‘{arm.name}’"


def _identity(index: Index, run: RunInfo | None) -> str:
    arm = index.candidate
    runs = () if arm is None else arm.runs
    parts = [f"sha256{NO_BREAK}{short(held.identity.weights)}" for held in runs[:1]]
    parts += [f"the first of {counted(len(runs), 'training run')}"] if len(runs) > 1 else []
    parts += [] if run is None else [day(run.started).replace(" ", NO_BREAK)]
    return ", ".join(parts)


def _why_not_judged(record: AuditRecord) -> str:
    if record.deploy is None:
        return "The record names no arm to be deployed; it shows what was measured."
    return "No policy was applied to this record: it shows what was measured, not whether that is acceptable."


def _answers(index: Index, found: Verdict, gaps: Sequence[Gap], scope: Sequence[Gap]) -> Iterator[tuple[str, Sentence]]:
    judgement = found.judgement
    if judgement is None:
        yield "What failed", ("Nothing was held against a limit.",)
        yield "How sure", ("Each number carries its own interval; none was judged.", *plain_answer(battery(index)))
        yield "Undecided", ("Everything.",)
    else:
        yield "What failed", what_failed(judgement, index)
        yield "How sure", (*how_sure(judgement, index), *plain_answer(battery(index)))
        yield "Undecided", undecided(judgement, index)
    yield "Not tested", not_tested(index, judgement, gaps, scope)
    yield "Whose limit", ("Nobody’s: there is no policy.",) if judgement is None else whose_limit(judgement, index)


def _tally(card: Card, gates: Sequence[GateResult]) -> Tally:
    mine = [gate for gate in gates if gate.pillar == card.pillar]
    icons = tuple(tone for verdict, (_, tone) in VERDICTS.items() for gate in mine if gate.verdict == verdict)
    return Tally(
        title=card.title,
        icons=icons if len(icons) <= MOST_ICONS else (),
        words=tally(mine) if mine else "no gate" if gates else "",
        finding=card.brief,
    )


def _evidence(record: AuditRecord) -> str:
    held = record.coverage
    parts = [f"{count(held.measured)} of {counted(held.planned, 'planned unit')} measured"]
    parts.append(f"{count(held.not_measured)} not measured" if held.not_measured else "none left out")
    parts.append(counted(held.errors, "error") if held.errors else "no errors")
    return ", ".join(parts)


def _facts(index: Index) -> Iterator[tuple[str, str]]:
    record = index.record
    if index.candidate is not None:
        label = "To be deployed" if record.deploy is not None else "First candidate"
        yield label, _described(index.candidate, record)
    if index.other is not None:
        yield "Compared with", _described(index.other, record)
    yield "Task", record.task.replace("-", " ") + (_classes(record.classes) if record.classes else "")
    rows = ", ".join(f"{count(n)} {split_words(name)}" for name, n in record.data.splits.items())
    if rows:
        yield "Rows", rows


def _classes(classes: Sequence[str]) -> str:
    return f" ({', '.join(classes)})" if len(classes) <= 4 else f" ({counted(len(classes), 'class')})"


def _described(arm: ArmRecord, record: AuditRecord) -> str:
    return f"{arm.name}: {_kind(arm, record)}{''.join(f'; sha256 {short(r.identity.weights)}' for r in arm.runs[:1])}"


def _kind(arm: ArmRecord, record: AuditRecord) -> str:
    if not is_private(arm):
        words = {"base": "untouched", "given": "trained elsewhere"}.get(arm.source, "")
        return words or "no differential privacy"
    privacy = privacy_of(arm)
    known = privacy is not None and (not privacy.secret_noise or record.provenance.reproducible)
    return f"{epsilon_words(arm).strip(' ()')}{'; its noise is not secret' if known else ''}"
