"""Judge a run's folder, and write what people and CI read: `gates.json`, the page, the summary, the JUnit file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from audit.judging import gate
from audit.judging.evidence import Evidence, stored_answers
from audit.refusal import Refused
from audit.settings.config import Policy
from audit.store import RunFolder, file_digest, read_json, write_text
from reports.record import Judgement, dumps, load_judgement, load_record, load_run

T = TypeVar("T")


def policy_of(folder: RunFolder) -> Policy | None:
    """The policy in the run's resolved config; None where it has none."""
    gates = read_json(folder.config)["gates"]
    try:
        return None if gates is None else Policy.model_validate(gates)
    except ValidationError as error:
        raise Refused(
            f"{folder.config}: its gates are of another version of finetune-audit; run the audit again"
        ) from error


def judge(folder: RunFolder) -> Judgement | None:
    """The run's verdicts, computed now; None where there is no policy to judge by.

    Raises:
        Refused: The rows that a verdict may have to be computed from are not there any more.
    """
    policy = policy_of(folder)
    if policy is None:
        return None
    if folder.cleaned():
        raise Refused(
            f"{folder.path}: its rows lost columns to 'audit clean', so it cannot be judged; run the audit again"
        )
    record = _read(load_record, folder.record)
    evidence = Evidence(answers=stored_answers(folder), seed=record.provenance.seeds["probe"])
    return gate.judge(
        record,
        policy,
        evidence,
        record_digest=file_digest(folder.record),
        sealed_at=_read(load_run, folder.run).sealed_at,
    )


def _read(load: Callable[[Path], T], path: Path) -> T:
    """A document of the run.

    Raises:
        Refused: It is not there, or of a newer schema.
    """
    try:
        return load(path)
    except FileNotFoundError:
        raise Refused(f"{path}: no such file, so this is no whole folder of a run") from None
    except ValueError as error:
        raise Refused(str(error)) from error


def basis(folder: RunFolder) -> tuple[str, ...]:
    """What verdicts rest on: hashes of the record and of the config with its gates, as far as they are there."""
    return tuple(file_digest(file) for file in (folder.record, folder.config) if file.is_file())


def forget(folder: RunFolder) -> None:
    """Remove verdicts on a record, or by gates, that are not those of the folder any more."""
    for file in (folder.gates, folder.junit):
        file.unlink(missing_ok=True)


def write_judgement(folder: RunFolder, judgement: Judgement) -> None:
    """Write `gates.json` and render everything with the verdicts."""
    write_text(folder.gates, dumps(judgement))
    write_reports(folder)


def write_reports(folder: RunFolder) -> None:
    """Render the page, the summary and the JUnit file from the files of the run; no torch."""
    from reports.html import render  # what draws costs half a second that other verbs need not pay
    from reports.junit import junit
    from reports.markdown import summary

    record, run = _read(load_record, folder.record), _read(load_run, folder.run)
    judgement = _read(load_judgement, folder.gates) if folder.gates.is_file() else None
    if judgement is not None and judgement.record != file_digest(folder.record):
        raise Refused(f"{folder.gates}: judges another record than the one beside it; run 'audit gate {folder.path}'")
    write_text(folder.report, render(record, judgement, run))
    write_text(folder.summary, summary(record, judgement, run))
    if judgement is not None:
        write_text(folder.junit, junit(record, judgement))
