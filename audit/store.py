"""Where things lie: content-addressed objects that runs share, and the folder of one run.

An object is a folder named by the hash of everything that influences its content. It is written beside its place
and renamed into it, so it is there whole or not at all; what is there is never computed again. All folders are
readable by their owner only.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
    """The folder, made readable by its owner only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


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
        part = private_folder(target.parent / f".{key}.{secrets.token_hex(4)}")
        try:
            yield part
            if target.is_dir():  # another process was first; its content is the same by construction
                shutil.rmtree(part)
            else:
                part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def checkpoints(self, key: str) -> Path:
        """Where the unfinished training of the model of that key writes what it can continue from."""
        return self.root / "checkpoints" / key

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for part in self.objects.glob("*/*/.*"):
            shutil.rmtree(part, ignore_errors=True)

    def remove(self, kind: str, key: str) -> None:
        """Remove an object, what a killed process left of it, and the checkpoint of its training."""
        path = self.path(kind, key)
        for gone in (path, *path.parent.glob(f".{key}.*"), self.checkpoints(key)):
            shutil.rmtree(gone, ignore_errors=True)


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
        """Write the hash of each file of the evidence."""
        write_json(self.manifest, {str(f): file_digest(self.path / f) for f in self.evidence()})

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
        if self.manifest.is_file():
            write_json(self.manifest, {**read_json(self.manifest), **{f: file_digest(self.path / f) for f in lost}})

    def tampered(self) -> list[str]:
        """Files that are missing or are not what the manifest says; the manifest itself where it cannot be read."""
        try:
            wanted: dict[str, str] = dict(read_json(self.manifest))
        except (OSError, ValueError):
            return [self.manifest.name]
        if not {str(file) for file in self.evidence()} <= wanted.keys():
            return [self.manifest.name]  # a file that numbers rest on is not vouched for
        return [
            name
            for name, sha in sorted(wanted.items())
            if not (self.path / name).is_file() or file_digest(self.path / name) != sha
        ]
