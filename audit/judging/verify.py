"""Recompute every number of a finished run from its stored rows, without torch, and compare to the last digit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from audit.judging import judge as judging
from audit.judging.evidence import reading
from audit.judging.intervals import forged
from audit.judging.pages import redrawn
from audit.progress import Lines, part_of
from audit.refusal import Damaged
from audit.running import compare
from audit.running.asking import Answered, generator
from audit.running.seal import read_seal
from audit.store import RunFolder, file_digest
from audit.training.accounting import pld_epsilon
from audit.units import Observer, code_of_project, software
from probes.protocol import HasStatistics, Key
from probes.results import Check, Finding, Metric, Series, Value
from reports.record import AuditRecord, dumps, load_judgement, load_record

_ANY = TypeAdapter(Any)

Where = tuple[str, int | None, str]
"""Arm, seed (None over all seeds) and probe."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of recomputing a run.

    Attributes:
        numbers: How many numbers were recomputed.
        differences: What is not as it should be, a sentence each.
        unverifiable: What was deleted and cannot be recomputed, a sentence each.
    """

    numbers: int
    differences: tuple[str, ...]
    unverifiable: tuple[str, ...]


def verified(folder: RunFolder, observer: Observer | None = None) -> Verification:
    """Recompute a run.

    First that no file of the evidence was changed, then that each metric, curve, check, mean over seeds, paired
    difference, accountant's figure and verdict comes out of the stored rows again, and that the seal and the pages are
    those of the record. Rows that lost columns to `audit clean` are left out, with what rests on them.

    Args:
        folder: The run.
        observer: Who is shown how far it is.

    Raises:
        Refused: The rows were measured by a version of a probe that is not this one.
    """
    tampered = tuple(f"{name} is not the file that the run wrote" for name in folder.tampered())
    if tampered:
        return Verification(numbers=0, differences=tampered, unverifiable=())
    try:
        record = load_record(folder.record)
    except ValueError as error:
        return Verification(numbers=0, differences=(str(error),), unverifiable=())
    try:
        recomputing = _Recomputing(folder, record)
    except Damaged as error:
        return Verification(numbers=0, differences=(str(error),), unverifiable=())
    differences = tuple(recomputing.differences(observer or Lines(quiet=True)))
    if differences:
        differences += tuple(_other_versions(record))
    return Verification(numbers=recomputing.numbers, differences=differences, unverifiable=tuple(recomputing.lost()))


class _Recomputing:
    """A record beside what its rows give.

    Args:
        folder: The run.
        record: Its record.

    Attributes:
        numbers: How many numbers were recomputed so far.

    Raises:
        Damaged: Files that are no rows.
        Refused: Rows of a probe that this version does not have as it was.
    """

    def __init__(self, folder: RunFolder, record: AuditRecord) -> None:
        self.numbers = 0
        self._folder, self._record = folder, record
        self._evidence = judging.recomputed(folder, record)
        self._unclear: list[str] = []
        self._seed, answers = self._evidence.seed, self._evidence.answers
        self._cut = folder.cleaned()
        self._lost = {_where(a) for a in answers if str(a.rows_path.relative_to(folder.path)) in self._cut}
        self._stored = len(answers)
        self._answers = [a for a in answers if _where(a) not in self._lost]

    def lost(self) -> Iterator[str]:
        """What cannot be recomputed, since columns were deleted."""
        for name in self._cut:
            yield (
                f"{name} lost columns to 'audit clean': its numbers, and the means and differences that rest on them, "
                "cannot be recomputed"
            )
        if self._cut and self._folder.gates.is_file():
            yield "gates.json: the verdicts cannot be computed again without all rows"
        yield from self._unclear

    def differences(self, observer: Observer) -> Iterator[str]:
        """What does not come out of the rows again, a sentence each."""
        parts = {
            "numbers": self._numbers,
            "means over seeds": self._over_seeds,
            "differences between arms": self._contrasts,
            "seal and verdicts": self._sealing,
            "pages": self._shown,
        }
        for name, part in parts.items():
            with part_of(observer, name):
                try:
                    yield from part()
                except Damaged as error:
                    yield str(error)

    def _numbers(self) -> Iterator[str]:
        if self._stored != self._record.coverage.measured:
            yield f"the record speaks of {self._record.coverage.measured} sets of rows, and there are {self._stored}"
        yield from self._without_rows()
        yield from _accounting(self._record)
        for answered in self._answers:
            try:
                yield from self._summary(answered)
            except Damaged as error:
                yield str(error)

    def _without_rows(self) -> Iterator[str]:
        """Numbers that no rows stand behind: they can only have been written by hand."""
        stored = {_where(a) for a in self._answers} | self._lost
        several = {(arm, None, name) for arm, _, name in stored}
        for arm, seed, name in sorted({_of(m) for m in self._record.metrics} - stored - several, key=repr):
            yield f"{arm}@{seed}/{name}: there are no rows that its numbers come from"

    def _summary(self, answered: Answered) -> Iterator[str]:
        record, at = self._record, _where(answered)
        where = f"{answered.arm}@{answered.seed}/{answered.name}"
        with reading(f"rows/{where}.parquet"):
            found = answered.recomputed(self._seed)
        recorded = {(m.name, m.slice): m.estimate for m in record.metrics if _of(m) == at}
        again = {(f.metric, f.slice): f.estimate for f in found if isinstance(f, Finding)}
        yield from self._compared(where, recorded, again)
        series = [s.series for s in record.series if (s.arm, s.seed, s.probe) == at]
        if _plain(series) != _plain([s for s in found if isinstance(s, Series)]):
            yield f"{where}: its curves do not come out of the rows again"
        checks = [c.check for c in record.checks if (c.arm, c.seed, c.probe) == at]
        if _plain(checks) != _plain([c for c in found if isinstance(c, Check)]):
            yield f"{where}: its checks do not come out of the rows again"

    def _over_seeds(self) -> Iterator[str]:
        for arm in (a.name for a in self._record.arms if len(a.runs) > 1):
            for name in sorted({a.name for a in self._answers if a.arm == arm}):
                runs = compare.answers_of(self._answers, arm, name)
                if len(runs) > 1 and isinstance(runs[0].probe, HasStatistics) and not self._is_lost(arm, name):
                    mine = [m for m in self._record.metrics if _of(m) == (arm, None, name)]
                    recorded = {(m.name, m.slice): m.estimate for m in mine}
                    with reading(f"rows of {arm}/{name}"):
                        again = compare.pooled(runs, generator(self._seed, name))
                    yield from self._compared(f"{arm}/{name}", recorded, again)

    def _contrasts(self) -> Iterator[str]:
        contrasts = self._record.contrasts
        for arm, reference, name in dict.fromkeys((c.arm, c.reference, c.probe) for c in contrasts):
            if self._is_lost(arm, name) or self._is_lost(reference, name):
                continue
            mine = [c for c in contrasts if (c.arm, c.reference, c.probe) == (arm, reference, name)]
            recorded = {(c.metric.partition(".")[2], c.slice): c.difference for c in mine}
            ours, theirs = (compare.answers_of(self._answers, side, name) for side in (arm, reference))
            with reading(f"rows of {arm} and {reference}/{name}"):
                again = compare.difference(ours, theirs, generator(self._seed, name)) if ours and theirs else {}
            yield from self._compared(f"{arm} minus {reference}/{name}", recorded, again)

    def _is_lost(self, arm: str, name: str) -> bool:
        return any((a, n) == (arm, name) for a, _, n in self._lost)

    def _compared(self, where: str, recorded: Mapping[Key, Value], again: Mapping[Key, Value]) -> Iterator[str]:
        self.numbers += len(again)
        for key in sorted(recorded.keys() | again.keys()):
            name = f"{where}: {key[0]} [{key[1]}]" if key[1] else f"{where}: {key[0]}"
            if key not in again or key not in recorded:
                yield f"{name} is {'only in the record' if key in recorded else 'not in the record'}"
            elif _plain(recorded[key]) != _plain(again[key]):
                yield f"{name} is recorded as {' and recomputed as '.join(_in_words(recorded[key], again[key]))}"

    def _verdicts(self) -> Iterator[str]:
        if not self._folder.gates.is_file():
            return
        try:
            recorded = load_judgement(self._folder.gates)
        except ValueError as error:
            yield str(error)
            return
        if recorded.record != file_digest(self._folder.record):
            yield "gates.json judges another record than the one in this folder"
        elif not self._cut:
            again = judging.judge(self._folder, self._evidence)
            if again is None or dumps(again) != dumps(recorded):
                yield "gates.json: the verdicts do not come out of the record again"
            yield from forged(self._folder, self._evidence)

    def _shown(self) -> Iterator[str]:
        """What people read: the verdicts; where these are as they should be, the pages that tell them."""
        wrong = list(self._verdicts())
        if not wrong:
            wrong, unclear = redrawn(self._folder)
            self._unclear += unclear
        yield from wrong

    def _sealing(self) -> Iterator[str]:
        with reading(self._folder.seal):
            seal = read_seal(self._folder)
        held = self._record.provenance
        if (seal.gates, len(seal.measured_before)) != (held.gates, held.measured_before):
            yield "seal.json: the record says otherwise what was sealed, and when"


def _where(answered: Answered) -> Where:
    return answered.arm, answered.seed, answered.name


def _of(metric: Metric) -> Where:
    return metric.arm, metric.seed, metric.probe


def _in_words(one: Value, other: Value) -> tuple[str, str]:
    """Two values in words, as far as they differ, to the last digit."""
    fields = [_fields(_plain(value)) for value in (one, other)]
    apart = [name for name in dict.fromkeys([*fields[0], *fields[1]]) if fields[0].get(name) != fields[1].get(name)]
    ours, theirs = (", ".join(f"{name} {of[name]}" for name in apart if name in of) or "nothing" for of in fields)
    return ours, theirs


def _fields(plain: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """The fields of a value and of what it holds, as words."""
    found: dict[str, str] = {}
    for name, field in plain.items():
        label = f"{above}{name.replace('_', ' ')}"
        if isinstance(field, Mapping):
            found |= _fields(field, f"{label}: ")
        else:
            found[label] = "none" if field is None else str(field)
    return found


def _plain(things: Any) -> Any:
    return _ANY.dump_python(things, mode="json")


def _accounting(record: AuditRecord) -> Iterator[str]:
    """Epsilon by PLD again, from sigma, sample rate and steps; the other accountants need torch."""
    for arm in record.arms:
        for run in arm.runs:
            kept = run.privacy
            if kept is None:
                continue
            where = f"{arm.name}@{run.seed}"
            by_prv = kept.accountants.get("PRV")
            if kept.epsilon != by_prv:
                yield f"{where}: epsilon is recorded as {_number(kept.epsilon)} and by PRV as {_number(by_prv)}"
            recorded = kept.accountants.get("PLD")
            again = pld_epsilon(kept.noise_multiplier, kept.sample_rate, kept.steps, kept.delta) if recorded else None
            if again != recorded:
                yield f"{where}: epsilon by PLD is recorded as {_number(recorded)} and recomputed as {_number(again)}"


def _number(value: float | None) -> str:
    return "none" if value is None else str(value)


def _other_versions(record: AuditRecord) -> Iterator[str]:
    """What else than a change of the files can move a last digit."""
    here, there = software(), record.provenance.versions
    other = [
        f"{name} {there[name]} there, {here[name]} here"
        for name in sorted(here)
        if there.get(name, here[name]) != here[name]
    ]
    if record.provenance.code != code_of_project():
        other.append("other source code of finetune-audit")
    if other:
        yield f"this may come of the versions: {'; '.join(other)}"
