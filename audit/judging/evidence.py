"""The stored rows of a finished run, and numbers recomputed from them: no model, no torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from audit.refusal import Damaged, Refused
from audit.running.asking import FACTS, Answered, generator
from audit.running.compare import Values, answers_of, difference, pooled
from audit.store import RunFolder, file_digest, read_json
from probes.catalog import instantiate
from probes.protocol import HasStatistics, Key, Probe
from probes.results import Finding, NotMeasured, Value


def stored_answers(folder: RunFolder) -> list[Answered]:
    """The answers in a run's folder, in the order of their names.

    Raises:
        Damaged: Rows that are not there any more, or a file that no run writes.
        Refused: A probe that this version does not have as it was.
    """
    return [_answered(path) for path in sorted(folder.rows.glob("*/*.json"))]


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turn whatever goes wrong with a file of a run, which anyone may have changed, into a sentence about that file."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # probes compute with what the file says, so there is no end of what it may break
        kind = type(error).__name__
        raise Damaged(f"{what}: damaged or changed, so nothing can be computed from it ({kind})") from error


def _answered(path: Path) -> Answered:
    rows = path.with_suffix(".parquet")
    if not rows.is_file():
        raise Damaged(f"{rows}: the rows were deleted; nothing can be recomputed from them")
    with reading(path):
        plain = read_json(path)
        return Answered(
            arm=str(plain["arm"]),
            seed=int(plain["seed"]),
            name=str(plain["name"]),
            probe=_probe(path, plain),
            facts=FACTS.validate_python(plain["facts"]),
            comparability=plain["comparability"],
            rows_path=rows,
            rows_key=file_digest(rows),
        )


def _probe(path: Path, plain: Mapping[str, Any]) -> Probe:
    """The probe that made the rows, with its parameters."""
    name, version = plain["probe"], plain["version"]
    use = "use the version of finetune-audit that measured"
    try:
        probe = instantiate(name, plain["parameters"])
    except ValueError as error:
        raise Refused(f"{path}: {error}; {use}") from error
    if probe.version != version:
        raise Refused(f"{path}: probe {name} is version {probe.version} here, {version} there; {use}")
    return probe


class Evidence(Protocol):
    """Numbers at any level of confidence."""

    def value(self, arm: str, name: str, key: Key, level: float) -> Value:
        """What speaks for an arm: over its seeds where it has several, else of its one run."""

    def difference(self, arm: str, reference: str, name: str, key: Key, level: float) -> Value:
        """The paired difference of two arms."""


@dataclass
class Recomputed:
    """Evidence from a run's rows; each number is computed once.

    Attributes:
        answers: The run's answers.
        seed: Seed of the arithmetic.

    Its methods raise Damaged where the rows are none.
    """

    answers: Sequence[Answered]
    seed: int
    _known: dict[tuple[str, ...], Values] = field(default_factory=dict)

    def value(self, arm: str, name: str, key: Key, level: float) -> Value:
        """What speaks for an arm: over its seeds where it has several, else of its one run."""
        runs = answers_of(self.answers, arm, name)
        if not runs:
            return NotMeasured(reason=f"{name} has no rows on {arm}")
        cache = (arm, name, repr(level))
        if cache not in self._known:
            self._known[cache] = self._values(runs, level)
        return self._known[cache].get(key) or NotMeasured(reason=f"{name} found no {key[0]} [{key[1]}] on {arm}")

    def _values(self, runs: list[Answered], level: float) -> Values:
        with reading(_names(runs)):
            return self._summarized(runs, level)

    def _summarized(self, runs: list[Answered], level: float) -> Values:
        if len(runs) > 1 and isinstance(runs[0].probe, HasStatistics):
            return pooled(runs, generator(self.seed, runs[0].name), level)
        found = runs[0].recomputed(self.seed, level)
        return {(f.metric, f.slice): f.estimate for f in found if isinstance(f, Finding)}

    def difference(self, arm: str, reference: str, name: str, key: Key, level: float) -> Value:
        """The paired difference of two arms."""
        ours, theirs = answers_of(self.answers, arm, name), answers_of(self.answers, reference, name)
        if not ours or not theirs:
            return NotMeasured(reason=f"{name} has no rows on {arm if not ours else reference}")
        cache = (arm, reference, name, repr(level))
        if cache not in self._known:
            with reading(_names([*ours, *theirs])):
                self._known[cache] = difference(ours, theirs, generator(self.seed, name), level)
        return self._known[cache].get(key) or NotMeasured(reason=f"{name} has no difference in {key[0]} [{key[1]}]")


def _names(runs: Sequence[Answered]) -> str:
    """The files of rows, for a sentence."""
    return ", ".join("/".join(run.rows_path.parts[-3:]) for run in runs)
