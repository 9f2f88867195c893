"""What people and CI read of a run: the page, the Markdown summary, the JUnit file, drawn from its files.

Drawing costs more than all else that a finished run has to do, so it is left out where nothing changed: `drawn.json`
says from which files and by which code the pages were drawn, and what they were. It is believed only where the manifest
knows it; `audit verify` draws anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import reports
from audit.refusal import Refused
from audit.store import RunFolder, digest, file_digest, read_json, write_json, write_text
from audit.units import versions
from reports.record import load_judgement, load_record, load_run

T = TypeVar("T")

_DRAWING = ("jinja2", "markupsafe", "matplotlib", "numpy")


def read(load: Callable[[Path], T], path: Path) -> T:
    """A document of a run.

    Raises:
        Refused: It is not there, or of a newer schema.
    """
    try:
        return load(path)
    except FileNotFoundError:
        raise Refused(f"{path}: no such file, so this is no whole folder of a run") from None
    except ValueError as error:
        raise Refused(str(error)) from error


def write_reports(folder: RunFolder, *, afresh: bool = False) -> None:
    """Draw the page, the summary and the JUnit file from the files of the run, where they are not drawn yet; no torch.

    Args:
        folder: The run.
        afresh: Draw whatever was drawn.
    """
    drawn = _Drawn.now(folder)
    if not afresh and drawn.stands(folder):
        return
    files = drawings(folder)
    for path, text in files.items():
        write_text(path, text)
    write_json(folder.drawn, {"from": drawn.inputs, "by": drawn.code, "files": _hashes(files)})
    folder.vouch(folder.drawn)


def drawings(folder: RunFolder) -> dict[Path, str]:
    """What there is to read of a run, by file."""
    from reports.html import render  # what draws costs half a second that other verbs need not pay
    from reports.junit import junit
    from reports.markdown import summary

    record, run = read(load_record, folder.record), read(load_run, folder.run)
    judgement = read(load_judgement, folder.gates) if folder.gates.is_file() else None
    sha256 = file_digest(folder.record)
    if judgement is not None and judgement.record != sha256:
        raise Refused(f"{folder.gates}: judges another record than the one beside it; run 'audit gate {folder.path}'")
    said = (record, judgement, run, sha256)
    pages = {folder.report: render(*said), folder.summary: summary(*said)}
    return pages if judgement is None else pages | {folder.junit: junit(record, judgement)}


def redrawn(folder: RunFolder) -> tuple[list[str], list[str]]:
    """What is there to read and is not what the run's files say: what is wrong, and what cannot be told, in sentences.

    Pages that another version drew need not be what this one draws; that they are those that were drawn can be told.
    """
    drawn, wrong, unclear = _Drawn.now(folder), [], []
    for path, text in drawings(folder).items():
        if path.is_file() and path.read_bytes() != text.encode():
            if drawn.by_other_code(folder, path):
                unclear.append(f"{path.name}: drawn by another version; 'audit report' draws it with this one")
            else:
                wrong.append(f"{path.name} is not what the run's files say; 'audit report' draws it again")
    if not folder.gates.is_file() and folder.junit.is_file():
        wrong.append(f"{folder.junit.name} tells verdicts, and there is no {folder.gates.name}")
    return wrong, unclear


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """What pages are drawn from: hashes of the run's files by name, and of the code that draws."""

    inputs: dict[str, str]
    code: str

    @classmethod
    def now(cls, folder: RunFolder) -> "_Drawn":
        sources = (folder.record, folder.gates, folder.run)
        return cls(inputs={f.name: file_digest(f) for f in sources if f.is_file()}, code=_code())

    def stands(self, folder: RunFolder) -> bool:
        """Whether the pages that are there were drawn from these files by this code."""
        said = _said(folder)
        there = {path.name: file_digest(path) for path in _pages(folder)}
        return (said.get("from"), said.get("by"), said.get("files")) == (self.inputs, self.code, there)

    def by_other_code(self, folder: RunFolder, path: Path) -> bool:
        """Whether a page is the one that another version drew from these files."""
        said = _said(folder)
        is_as_drawn = said.get("files", {}).get(path.name) == file_digest(path)
        return said.get("from") == self.inputs and said.get("by") != self.code and is_as_drawn


def _said(folder: RunFolder) -> dict[str, Any]:
    return dict(read_json(folder.drawn)) if folder.vouches(folder.drawn) else {}


def _pages(folder: RunFolder) -> Iterator[Path]:
    return (path for path in (folder.report, folder.summary, folder.junit) if path.is_file())


def _hashes(files: dict[Path, str]) -> dict[str, str]:
    return {path.name: file_digest(path) for path in files}


@cache
def _code() -> str:
    """Hash of the source and the templates that draw, and of the versions of what they draw with."""
    room = Path(reports.__file__).parent
    files = sorted(f for f in room.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return digest([[str(f.relative_to(room)), file_digest(f)] for f in files] + [dict(versions(_DRAWING))])
