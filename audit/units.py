"""Units of work: each is named, keyed by everything that influences it, and done at most once."""

import ast
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, Protocol

import audit
import probes
from audit.store import RunFolder, Store, digest, file_digest, read_json, sources_digest, write_json
from reports.record import load_run

_AUDIT = Path(audit.__file__).parent
_PROBES = Path(probes.__file__).parent

_TOOK = "took.json"

_OF_TRAINING = ("accounts.py", "arms.py", "models.py", "privacy_units.py", "recipes.py", "shared_features.py")

_NUMERICAL = ("numpy", "scipy", "statsmodels", "scikit-learn", "fairlearn", "pyarrow", "dp-accounting")
_MODELS = ("torch", "transformers", "tokenizers", "opacus", "peft", "safetensors", "datasets", "datasketch")


@cache
def versions(names: tuple[str, ...] = (*_NUMERICAL, *_MODELS)) -> Mapping[str, str]:
    """Installed versions of what numbers depend on; what is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def software() -> Mapping[str, str]:
    """Versions of this package, of Python, and of what numbers depend on."""
    return {**versions(("finetune-audit",)), "python": platform.python_version(), **versions()}


def machine() -> str:
    """The type of this machine, which says nothing of which one it is: "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


@cache
def code_of_training() -> str:
    """Hash of the source that makes weights."""
    encoding = [_PROBES / "scoring" / "encoding.py", _PROBES / "scoring" / "batching.py"]
    running = [_AUDIT / "running" / name for name in _OF_TRAINING]
    return sources_digest([_AUDIT / "training", *running, *encoding])


@cache
def code_of_data() -> str:
    """Hash of the source that makes items."""
    naming = [_PROBES / "privacy" / name for name in ("personal.py", "check_digits.py")]
    return sources_digest([_AUDIT / "data", _AUDIT / "world", *naming])


@cache
def code_of_scoring() -> str:
    """Hash of the source that turns texts into numbers, the loading of models included."""
    return sources_digest([_PROBES / "scoring", _PROBES / "protocol.py", _AUDIT / "running" / "models.py"])


@cache
def code_of_arithmetic() -> str:
    """Hash of the source that turns answers into estimates."""
    return sources_digest([_PROBES / "stats", _PROBES / "summary.py", _PROBES / "protocol.py"])


@cache
def code_of_project() -> str:
    """Hash of the whole package's source."""
    return sources_digest([_AUDIT, _PROBES])


@cache
def code_of(module: str) -> str:
    """Hash of a loaded module's source and of all that it takes from its own package or from `probes`, near or far."""
    packages = {module.partition(".")[0], "probes"}
    known: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        file = _source_file(name)
        if name not in known and file is not None:
            known[name] = file
            todo += [other for other in _imports(name, file) if other.partition(".")[0] in packages]
    return digest([[name, file_digest(file)] for name, file in sorted(known.items())])


def _source_file(module: str) -> Path | None:
    """The file of a module; None where the name is no module's, but that of something in one."""
    loaded = sys.modules.get(module)
    try:
        origin = loaded.__file__ if loaded is not None else getattr(find_spec(module), "origin", None)
    except ModuleNotFoundError:
        return None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


@cache
def _imports(module: str, file: Path) -> frozenset[str]:
    """The names that a module imports from, and those names with what is imported: modules, some of them."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def object_name(kind: str, inputs: Mapping[str, Any]) -> str:
    """Where the object that follows from these inputs lies in the store: "kind/key"."""
    return f"{kind}/{digest({'kind': kind, **inputs})}"


def objects_of(folder: RunFolder) -> set[str]:
    """The objects that a run uses or has begun to write, as "kind/key".

    What a killed run had begun stands in its events alone.
    """
    used = set(load_run(folder.run).objects.values()) if folder.run.is_file() else set()
    return used | {event["object"] for event in events_of(folder) if "object" in event}


def events_of(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """What a run logged, in order; a line that a kill cut short is left out."""
    for line in folder.events.read_text("utf-8").splitlines() if folder.events.is_file() else []:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield event


def tool_version() -> str:
    """What names this code in a run: the beginning of the hash of its source."""
    return code_of_project()[:12]


class Observer(Protocol):
    """Who is told what happens, to show it."""

    def begin(self, unit: str) -> None:
        """A unit is begun."""

    def advance(self, unit: str, share: float) -> None:
        """A share in [0, 1] of a unit is done."""

    def end(self, unit: str, seconds: float, reused: bool) -> None:
        """A unit is done, or was there already."""

    def say(self, words: str) -> None:
        """Something worth a line."""


@dataclass
class Units:
    """Does units of work, or finds them done.

    Attributes:
        store: Where objects lie.
        folder: The run that asks.
        observer: Who is told.
        keys: Content key of each unit met, by name.
        timings: Seconds and peak memory in MB of each unit done here.
        earlier: Likewise, of each unit that was there already: what it took whoever did it.
    """

    store: Store
    folder: RunFolder
    observer: Observer
    keys: dict[str, str] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    earlier: dict[str, dict[str, float]] = field(default_factory=dict)

    def obtain(self, name: str, kind: str, inputs: Mapping[str, Any], write: Callable[[Path], float | None]) -> Path:
        """The folder of a unit's object; `write` fills it if it is not there.

        Args:
            name: The unit's name, such as "train:dp@0".
            kind: The kind of object.
            inputs: Everything that influences the content, as JSON.
            write: Called with an empty folder; an exception leaves nothing behind. What it returns are the seconds of
                the unit's work where a part of them was spent before, by a process that was killed.
        """
        found = object_name(kind, inputs)
        key = found.removeprefix(f"{kind}/")
        self.keys[name] = found
        path = self.store.path(kind, key)
        if path.is_dir():
            self.earlier |= {name: took} if (took := _took(path)) else {}
            self.observer.end(name, 0.0, reused=True)
            return path
        self.observer.begin(name)
        self.folder.log({"unit": name, "event": "begin", "object": found})
        started = time.perf_counter()
        with self.store.writing(kind, key) as part:
            in_all = write(part)
            seconds = max(time.perf_counter() - started, in_all or 0.0)
            self.timings[name] = {"seconds": round(seconds, 3), "peak_mb": round(_peak_bytes() / 2**20, 1)}
            write_json(part / _TOOK, self.timings[name])
        self.folder.log({"unit": name, "event": "done", "object": found, "seconds": round(seconds, 3)})
        self.observer.end(name, seconds, reused=False)
        return path


def _took(path: Path) -> dict[str, float] | None:
    """Seconds and peak memory of the unit whose object this is, where they are on file."""
    file = path / _TOOK
    took: dict[str, float] | None = read_json(file) if file.is_file() else None
    return took


def _peak_bytes() -> int:
    """The most memory this process has used; macOS counts bytes where Linux counts kibibytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
