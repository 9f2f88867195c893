"""Intervals at the levels of the gates, kept beside the verdicts so that a second look need not compute them again.

They are believed only where the manifest knows the file, and where rows, seed, code and versions are those that they
were computed from. Verdicts are never taken from a file: they are made of the record, the policy and these. Against
somebody who writes the manifest anew as well, nothing in a folder protects the folder; `audit verify` recomputes from
the rows, looks at the kept intervals last, and names those that do not come out again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from audit.judging.evidence import Recomputed
from audit.running.asking import DRAWS, Answered
from audit.store import RunFolder, digest, file_digest, read_json, write_json
from audit.units import code_of, code_of_project, versions
from probes.protocol import Key
from probes.results import Value

Asked = tuple[str, str | None, str, str, str, float]
"""Arm, reference (None for a value), probe, metric, slice and level."""

_VALUES = TypeAdapter(list[tuple[Asked, Value]])


@dataclass
class Kept:
    """Evidence that is looked up first, and computed where it was not kept.

    Attributes:
        folder: The run.
        source: Computes what was not kept.
        basis: Hash of all that the intervals follow from.
    """

    folder: RunFolder
    source: Recomputed
    basis: str
    _found: dict[Asked, Value]
    _used: dict[Asked, Value] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder, source: Recomputed) -> "Kept":
        """The intervals that were kept of a run, as far as they may be believed."""
        basis = _basis(source)
        return cls(folder, source, basis, dict(_read(folder, basis)) if folder.vouches(folder.intervals) else {})

    def value(self, arm: str, name: str, key: Key, level: float) -> Value:
        """As `Evidence.value`."""
        return self._once((arm, None, name, *key, level), lambda: self.source.value(arm, name, key, level))

    def difference(self, arm: str, reference: str, name: str, key: Key, level: float) -> Value:
        """As `Evidence.difference`."""
        asked: Asked = (arm, reference, name, *key, level)
        return self._once(asked, lambda: self.source.difference(arm, reference, name, key, level))

    def _once(self, asked: Asked, compute: Callable[[], Value]) -> Value:
        if asked not in self._used:
            self._used[asked] = self._found[asked] if asked in self._found else compute()
        return self._used[asked]

    def save(self) -> None:
        """Keep what was used, where that is not what was kept."""
        if self._used != self._found:
            values = _VALUES.dump_python(sorted(self._used.items(), key=lambda used: repr(used[0])), mode="json")
            write_json(self.folder.intervals, {"basis": self.basis, "values": values})
            self.folder.vouch(self.folder.intervals)


def forged(folder: RunFolder, source: Recomputed) -> Iterator[str]:
    """Kept intervals that do not come out of the rows again, a sentence each, whatever the manifest says."""
    for (arm, reference, name, metric, part, level), kept in _read(folder, _basis(source)):
        key = (metric, part)
        again = (
            source.value(arm, name, key, level)
            if reference is None
            else source.difference(arm, reference, name, key, level)
        )
        if again != kept:
            what = f"{arm}/{name}: {metric}" if reference is None else f"{arm} minus {reference}/{name}: {metric}"
            yield f"{folder.intervals.name}: the interval of {what} at {100 * level:.4g}% does not come out of the rows"


def _basis(source: Recomputed) -> str:
    return digest(
        {
            "rows": [_content(answered) for answered in source.answers],
            "seed": source.seed,
            "draws": DRAWS,
            "code": [code_of_project(), *sorted({code_of(type(a.probe).__module__) for a in source.answers})],
            "versions": dict(versions()),
        }
    )


def _content(answered: Answered) -> list[str]:
    described = answered.rows_path.with_suffix(".json")
    return [answered.arm, str(answered.seed), answered.name, answered.rows_key, file_digest(described)]


def _read(folder: RunFolder, basis: str) -> list[tuple[Asked, Value]]:
    """The kept intervals; none where there is no such file, or one with another basis."""
    try:
        plain = read_json(folder.intervals)
        return _VALUES.validate_python(plain["values"]) if plain["basis"] == basis else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
