"""The first screen: may it be deployed, what failed, how sure, what is open or untested, and whose limit it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probes.results import Pillar
from reports.cards import TITLES
from reports.format import NO_BREAK, count, counted, short
from reports.index import PILLARS, Index, is_private, privacy_of
from reports.record import ArmRecord, AuditRecord, Judgement, RunInfo, digest
from reports.scope import Gap, not_tested
from reports.text import day
from reports.wording import (
    HEADLINES,
    VERDICTS,
    Sentence,
    epsilon_words,
    how_sure,
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


def verdict(record: AuditRecord, judgement: Judgement | None, run: RunInfo | None) -> Verdict:
    """The headline.

    NOT JUDGED without an arm to deploy or without verdicts on this very record; never PASSED on an incomplete run.
    """
    theirs = judgement is not None and judgement.record != digest(record)
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


def _incomplete(record: AuditRecord, run: RunInfo | None) -> Iterator[str]:
    errors, planned = record.coverage.errors, record.coverage.planned
    if errors:
        units = counted(planned, "planned unit")
        yield f"INCOMPLETE: {count(errors)} of {units} ended in an error; no gate can pass on what is missing."
    if run is not None and run.status != "complete" and not errors:
        yield f"INCOMPLETE: the run is {'still running' if run.status == 'running' else 'not complete'}."


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A pillar's gates: an icon each, and the same in words."""

    title: str
    icons: tuple[str, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class Front:
    """The first screen.

    Attributes:
        model: What could be deployed.
        identity: Which it is: arm, hash of the weights, date.
        policy: Name and version of the policy; "" where there is none.
        owner: Who answers for it.
        run: Name and date of the run; "" where they are not known.
        verdict: The headline.
        score: Its second line.
        answers: The five questions with their answers.
        tallies: Gates by pillar.
        evidence: Units in words.
        measured: Share of the units measured, in per cent.
        facts: What else identifies the audit.
    """

    model: str
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


def front(index: Index, found: Verdict, run: RunInfo | None, gaps: Sequence[Gap], scope: Sequence[Gap]) -> Front:
    """The first screen of a record."""
    record, judgement = index.record, found.judgement
    gates = () if judgement is None else judgement.gates
    share = 0.0 if not record.coverage.planned else record.coverage.measured / record.coverage.planned
    return Front(
        model=record.title,
        identity=_identity(index, run),
        policy="" if judgement is None else f"{judgement.policy} v{judgement.version.removeprefix('v')}",
        owner="" if judgement is None else judgement.owner,
        run="" if run is None else f"{run.run_id}, {day(run.started)}",
        verdict=found,
        score=score(gates) if judgement is not None else (_why_not_judged(record),),
        answers=tuple(_answers(index, found, run, gaps, scope)),
        tallies=tuple(_tally(pillar, judgement) for pillar in PILLARS) if gates else (),
        evidence=_evidence(record),
        measured=f"{100 * share:.2f}%",
        facts=tuple(_facts(index)),
    )


def _identity(index: Index, run: RunInfo | None) -> str:
    arm = index.candidate
    parts = [] if arm is None else [f"arm {arm.name}"]
    parts += [] if arm is None else [f"sha256{NO_BREAK}{short(held.identity.weights)}" for held in arm.runs[:1]]
    parts += [] if run is None else [day(run.started).replace(" ", NO_BREAK)]
    return ", ".join(parts)


def _why_not_judged(record: AuditRecord) -> str:
    if record.deploy is None:
        return "The record names no arm to be deployed; it shows what was measured."
    return "No policy was applied to this record: it shows what was measured, not whether that is acceptable."


def _answers(
    index: Index, found: Verdict, run: RunInfo | None, gaps: Sequence[Gap], scope: Sequence[Gap]
) -> Iterator[tuple[str, Sentence]]:
    judgement = found.judgement
    if judgement is None:
        yield "What failed", ("Nothing was held against a limit.",)
        yield "How sure", ("Each number carries its own interval; none was judged.",)
        yield "Undecided", ("Everything.",)
    else:
        yield "What failed", what_failed(judgement, index)
        yield "How sure", how_sure(judgement, index)
        yield "Undecided", undecided(judgement, index)
    yield "Not tested", not_tested(index, judgement, gaps, scope)
    yield "Whose limit", ("Nobody’s: there is no policy.",) if judgement is None else whose_limit(judgement, index, run)


def _tally(pillar: Pillar, judgement: Judgement | None) -> Tally:
    gates = [] if judgement is None else [gate for gate in judgement.gates if gate.pillar == pillar]
    icons = tuple(tone for verdict, (_, tone) in VERDICTS.items() for gate in gates if gate.verdict == verdict)
    return Tally(
        title=TITLES[pillar],
        icons=icons if len(icons) <= MOST_ICONS else (),
        words=tally(gates) if gates else "no gate",
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
        label = "Arm to be deployed" if record.deploy is not None else "First candidate"
        yield label, _described(index.candidate, record)
    if index.other is not None:
        yield "Compared with", _described(index.other, record)
    yield "Base model", record.model
    yield "Task", record.task + (f": {', '.join(record.classes)}" if 0 < len(record.classes) <= 4 else "")
    rows = ", ".join(f"{count(n)} {name.replace(':', ' ')}" for name, n in record.data.splits.items())
    if rows:
        yield "Rows", rows


def _described(arm: ArmRecord, record: AuditRecord) -> str:
    if not is_private(arm):
        words = {"base": " (untouched)", "given": " (trained elsewhere)"}.get(arm.source, "")
        return f"{arm.name}{words or ' (no differential privacy)'}"
    privacy = privacy_of(arm)
    known = privacy is not None and (not privacy.secret_noise or record.provenance.reproducible)
    return f"{arm.name}{epsilon_words(arm)}{'; its noise is not secret' if known else ''}"
