"""Judge a run's folder: verdicts, computed each time from the record, the policy and the rows."""

from pydantic import ValidationError

from audit.judging import gate
from audit.judging.evidence import Evidence, Recomputed, reading, stored_answers
from audit.judging.intervals import Kept
from audit.judging.pages import read
from audit.refusal import Refused
from audit.running.seal import read_seal
from audit.settings.sections.policy import Policy
from audit.store import RunFolder, file_digest, read_json, write_text
from reports.record import AuditRecord, Judgement, dumps, load_record


def policy_of(folder: RunFolder) -> Policy | None:
    """The policy in the run's resolved config; None where it has none."""
    with reading(folder.config):
        gates = read_json(folder.config)["gates"]
    try:
        return None if gates is None else Policy.model_validate(gates)
    except ValidationError as error:
        raise Refused(
            f"{folder.config}: its gates are of another version of finetune-audit; run the audit again"
        ) from error


def judge(folder: RunFolder, evidence: Evidence | None = None) -> Judgement | None:
    """The run's verdicts, computed now; None where there is no policy to judge by.

    Args:
        folder: The run.
        evidence: Its numbers at any level. Without it those that an earlier look kept are used, the others recomputed
            from the rows, and all of them kept.

    Raises:
        Refused: The rows that a verdict may have to be computed from are not there any more, or are none.
    """
    policy = policy_of(folder)
    if policy is None:
        return None
    if folder.cleaned():
        raise Refused(
            f"{folder.path}: its rows lost columns to 'audit clean', so it cannot be judged; run the audit again"
        )
    record = read(load_record, folder.record)
    with reading(folder.seal):
        sealed_at = read_seal(folder).sealed_at
    numbers = evidence or Kept.of(folder, recomputed(folder, record))
    judgement = gate.judge(record, policy, numbers, record_digest=file_digest(folder.record), sealed_at=sealed_at)
    if isinstance(numbers, Kept):
        numbers.save()
    return judgement


def recomputed(folder: RunFolder, record: AuditRecord) -> Recomputed:
    """The numbers of a run, from its rows."""
    with reading(folder.record):
        return Recomputed(answers=stored_answers(folder), seed=record.provenance.seeds["probe"])


def basis(folder: RunFolder) -> tuple[str, ...]:
    """What verdicts rest on: hashes of the record and of the config with its gates, as far as they are there."""
    return tuple(file_digest(file) for file in (folder.record, folder.config) if file.is_file())


def forget(folder: RunFolder) -> None:
    """Remove verdicts on a record, or by gates, that are not those of the folder any more."""
    for file in (folder.gates, folder.junit):
        file.unlink(missing_ok=True)


def write_judgement(folder: RunFolder, judgement: Judgement) -> None:
    """Write `gates.json`; what was drawn without its verdicts is to be drawn again."""
    write_text(folder.gates, dumps(judgement))
