"""Where things lie: content-addressed objects that runs share, and the folder of one run.

An object is a folder named by the hash of everything that influences its content. It is written beside its place
and renamed into it, so it is there whole or not at all; what is there is never computed again. All files and folders
are readable by their owner only, whatever the process's mask.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def sources_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of source files and the Python files of folders, by name and content."""
    files = sorted({f for path in paths for f in (path.rglob("*.py") if path.is_dir() else [path])})
    return digest([[f.name, file_digest(f)] for f in files])


def private_folder(path: Path) -> Path:
    """The folder, made readable by its owner only, as are those above it that are made with it."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def _make_private(folder: Path) -> None:
    """Take from everyone else what libraries wrote into a folder."""
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document whole or not at all."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    return json.loads(path.read_text("utf-8"))


@dataclass(frozen=True)
class Store:
    """The objects under one root, by kind ("data", "model", "table", "answers" …) and content key."""

    root: Path

    @property
    def objects(self) -> Path:
        """The folder of all objects."""
        return self.root / "objects"

    def path(self, kind: str, key: str) -> Path:
        """Where an object lies, or would."""
        return self.objects / kind / key[:2] / key

    def has(self, kind: str, key: str) -> bool:
        """Whether an object is there."""
        return self.path(kind, key).is_dir()

    @contextmanager
    def writing(self, kind: str, key: str) -> Iterator[Path]:
        """A folder to fill; it becomes the object when the block ends without an exception."""
        target = self.path(kind, key)
        private_folder(target.parent)
        part, lock = _locked_folder(target)
        try:
            yield part
            _make_private(part)
            if target.is_dir():  # another process was first; its content is the same by construction
                shutil.rmtree(part)
            else:
                part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        finally:
            os.close(lock)

    def checkpoints(self, key: str) -> Path:
        """Where the unfinished training of the model of that key writes what it can continue from."""
        return private_folder(self.root / "checkpoints") / key

    def sweep(self) -> None:
        """Remove what killed processes left half-written; what a living one is writing is locked, and stays."""
        for part in self.objects.glob("*/*/.*"):
            with suppress(OSError):  # locked, gone meanwhile, or on a file system that knows no locks
                lock = _locked(part, wait=False)
                shutil.rmtree(part, ignore_errors=True)
                os.close(lock)

    def remove(self, kind: str, key: str) -> None:
        """Remove an object, what a killed process left of it, and the checkpoint of its training."""
        path = self.path(kind, key)
        for gone in (path, *path.parent.glob(f".{key}.*"), self.root / "checkpoints" / key):
            shutil.rmtree(gone, ignore_errors=True)


def _locked_folder(target: Path) -> tuple[Path, int]:
    """A new folder beside an object's place, and the lock that says that its writer lives.

    A sweep that came between making and locking it has removed it again.
    """
    while True:
        part = private_folder(target.parent / f".{target.name}.{secrets.token_hex(4)}")
        with suppress(FileNotFoundError):
            lock = _locked(part, wait=True)
            if part.is_dir():
                return part, lock
            os.close(lock)


def _locked(folder: Path, *, wait: bool) -> int:
    """A lock on a folder, which ends when it is closed or its process does.

    Raises:
        OSError: Another process has it and `wait` is false, or the folder is not there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if not wait:
            os.close(descriptor)
            raise
    return descriptor  # where the file system knows no locks, a writer goes on without one, and no sweep removes


def stored_salt(path: Path) -> str:
    """The secret that identifiers are salted with: made once for a root, readable by its owner only."""
    if not path.is_file():
        private_folder(path.parent)
        write_text(path, secrets.token_hex(32))
    return path.read_text("utf-8").strip()


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: what a reader, a verifier or a CI job needs, without the objects."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def record(self) -> Path:
        """What was measured."""
        return self.path / "record.json"

    @property
    def gates(self) -> Path:
        """The verdicts."""
        return self.path / "gates.json"

    @property
    def run(self) -> Path:
        """Times and hosts."""
        return self.path / "run.json"

    @property
    def seal(self) -> Path:
        """What was fixed before measuring: config, gates, coins."""
        return self.path / "seal.json"

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """SHA-256 of the files that numbers rest on."""
        return self.path / "manifest.json"

    @property
    def intervals(self) -> Path:
        """Intervals at the levels of the gates, which were recomputed from the rows."""
        return self.path / "intervals.json"

    @property
    def drawn(self) -> Path:
        """What the page, the summary and the JUnit file were drawn from, and their hashes."""
        return self.path / "drawn.json"

    @property
    def events(self) -> Path:
        """What was begun and done, a line each."""
        return self.path / "events.jsonl"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """The Markdown summary."""
        return self.path / "summary.md"

    @property
    def junit(self) -> Path:
        """The JUnit file."""
        return self.path / "junit.xml"

    @property
    def rows(self) -> Path:
        """The folder of stored answers, a Parquet file and its facts for each arm, seed and probe."""
        return self.path / "rows"

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a line to the events."""
        descriptor = os.open(self.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(canonical(event) + "\n")

    def evidence(self) -> list[Path]:
        """The files that the record's numbers rest on, relative to the folder, in order."""
        files = [self.record, self.seal, self.config, *sorted(self.rows.rglob("*"))]
        return [f.relative_to(self.path) for f in files if f.is_file()]

    def write_manifest(self) -> None:
        """Write the hash of each file of the evidence; of what was computed from it, those that were known before."""
        kept = {f.name: file_digest(f) for f in (self.intervals, self.drawn) if self.vouches(f)}
        write_json(self.manifest, kept | {str(f): file_digest(self.path / f) for f in self.evidence()})

    @property
    def cleaning(self) -> Path:
        """What was cleaned; where this file is, the run no longer needs its objects."""
        return self.path / "cleaned.json"

    def cleaned(self) -> list[str]:
        """Files of rows that lost columns when the run was cleaned."""
        return list(read_json(self.cleaning)) if self.cleaning.is_file() else []

    def note_cleaned(self, files: Iterable[str]) -> None:
        """Note that files lost columns, and take their new hashes into the manifest; those of other files stay."""
        lost = sorted(files)
        write_json(self.cleaning, sorted({*self.cleaned(), *lost}))
        promised = self._promised()
        if promised:
            write_json(self.manifest, promised | {f: file_digest(self.path / f) for f in lost})

    def vouch(self, file: Path) -> None:
        """Take the hash of a file that was computed from the evidence into the manifest, if there is one."""
        promised = self._promised()
        if promised:
            write_json(self.manifest, promised | {file.name: file_digest(file)})

    def vouches(self, file: Path) -> bool:
        """Whether a file is there and is the one that the manifest knows."""
        return file.is_file() and self._promised().get(file.name) == file_digest(file)

    def contradicts(self, file: Path) -> bool:
        """Whether the manifest knows another file of that name than the one that is there."""
        promised = self._promised().get(file.name)
        return promised is not None and file.is_file() and promised != file_digest(file)

    def _promised(self) -> dict[str, str]:
        """The manifest; empty where there is none that can be read."""
        try:
            return dict(read_json(self.manifest))
        except (OSError, ValueError, TypeError):
            return {}

    def tampered(self) -> list[str]:
        """Files that are missing or are not what the manifest says; the manifest itself where it cannot be read.

        Files that were computed from the evidence are none of them: what the manifest does not know is computed again.
        """
        computed = {self.intervals.name, self.drawn.name}
        wanted = {name: sha for name, sha in self._promised().items() if name not in computed}
        if not {str(file) for file in self.evidence()} <= wanted.keys():
            return [self.manifest.name]  # a file that numbers rest on is not vouched for
        return [
            name
            for name, sha in sorted(wanted.items())
            if not (self.path / name).is_file() or file_digest(self.path / name) != sha
        ]
