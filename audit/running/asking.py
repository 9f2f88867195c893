"""Put probes to models: measure each table once, join the answers, summarize them.

A table is stored under a key that holds the hash of the weights asked, so it can never be served for another model.
A probe that cannot be put to a model becomes "not measured"; any other exception makes that unit an error, and the
run goes on.
"""

import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from audit.running.arms import StoredModel
from audit.store import digest, read_json, write_json
from audit.units import Units, code_of, code_of_arithmetic, code_of_scoring, versions
from probes.protocol import DATA_ALONE, Ask, Facts, Items, Probe, Rows, Subject
from probes.results import Check, Finding, NotApplicable, Series
from probes.summary import findings
from reports.record import UnitOutcome

FACTS = TypeAdapter(Facts)
_ANY = TypeAdapter(Any)
_FOUND = TypeAdapter(list[Finding | Check | Series])

_REASON, _WHOSE = "not_applicable.json", "{whose}"

DRAWS = 1000
"""Bootstrap draws of every interval that is made by resampling."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stored table.

    Attributes:
        folder: Its folder.
        key: Its key.
        question: Hash of the question without the model.
        items: Digest of the items asked.
    """

    folder: Path
    key: str
    question: str
    items: str

    @property
    def cut(self) -> int | None:
        """How many of the items were longer than the model's limit; None where the table does not tell."""
        with pq.ParquetFile(self.folder / "table.parquet") as table:
            if "truncated" not in table.schema_arrow.names:
                return None
            told = table.read(columns=["truncated"])["truncated"]
        return None if told.null_count else sum(told.to_pylist())


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A probe's rows on one run of an arm, and what was found in them.

    Attributes:
        arm: The arm.
        seed: Its training seed.
        name: The probe's name in the config.
        probe: The probe.
        facts: What it knew of the arm.
        comparability: Hash of what must be the same for two numbers to be comparable.
        rows_path: Where the rows are stored.
        rows_key: What names their content.
        cut: By digest of the items asked: how many were longer than the model's limit, where that was told.
    """

    arm: str
    seed: int
    name: str
    probe: Probe
    facts: Facts
    comparability: str
    rows_path: Path
    rows_key: str
    cut: Mapping[str, int] = field(default_factory=dict)

    def rows(self) -> Rows:
        """The stored rows."""
        return Rows.from_arrow(pq.read_table(self.rows_path))

    def found(self) -> list[Finding | Check | Series]:
        """What was found when the rows were summarized."""
        return _FOUND.validate_python(read_json(self.rows_path.with_name("found.json")))

    def recomputed(self, seed: int, level: float = 0.95) -> list[Finding | Check | Series]:
        """What is found when the rows are summarized again, at any level of confidence."""
        return findings(self.probe, self.rows(), self.facts, generator(seed, self.name), draws=DRAWS, level=level)


def generator(seed: int, name: str) -> np.random.Generator:
    """Draws keyed by the probe and not by the arm: two arms share their resamples, which makes contrasts paired."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def fields_of(thing: Any) -> dict[str, Any]:
    """The parameters of a probe or table as JSON; items by their digest."""
    if not is_dataclass(thing):
        return {}
    return {field.name: _plain(getattr(thing, field.name)) for field in fields(thing)}


def _plain(value: Any) -> Any:
    """Items by their digest, files by their name: where they lie on this machine is no parameter."""
    if isinstance(value, Items):
        return value.digest
    if isinstance(value, str | Path) and Path(value).is_absolute():
        return Path(value).name
    return _ANY.dump_python(value, mode="json")


@dataclass
class Asking:
    """Measures tables and summarizes probes on stored models.

    Attributes:
        units: Does the work, or finds it done.
        subject_of: Loads a stored model for asking; called at most once for each model in a row.
        settings: What else can change a score: lengths, batch size, threads.
        seed: Seed of the arithmetic.
    """

    units: Units
    subject_of: Callable[[str, StoredModel], Subject]
    settings: Mapping[str, Any]
    seed: int

    def table_inputs(self, ask: Ask, model: StoredModel | None) -> dict[str, Any]:
        """Everything that influences a table's content; None for a table that asks no model."""
        return {
            "table": [ask.table.name, ask.table.version, fields_of(ask.table)],
            "code": [code_of(type(ask.table).__module__), code_of_scoring()],
            "model": None if model is None else asdict(model.record.identity),
            "head": None if model is None else model.head,
            "items": ask.on.digest,
            "settings": dict(self.settings),
            "versions": dict(versions()),
        }

    def measure(self, unit: str, ask: Ask, model: StoredModel | None) -> "Measured":
        """The stored table that answers an ask, measured if it is not there."""
        inputs = self.table_inputs(ask, model)

        def write(part: Path) -> None:
            with _noting(part, unit):
                self._measure(unit, ask, model, part)

        folder = self.units.obtain(unit, "table", inputs, write)
        _raise_noted(folder, unit)
        question = {k: v for k, v in inputs.items() if k not in {"model", "code", "versions"}}
        return Measured(folder=folder, key=digest(inputs), question=digest(question), items=inputs["items"])

    def _measure(self, unit: str, ask: Ask, model: StoredModel | None, part: Path) -> None:
        if not ask.on.n:
            raise NotApplicable("there is nothing to ask about")
        subject = DATA_ALONE if model is None else self.subject_of(unit, model)
        described = ask.on.described.to_arrow()
        writer: pq.ParquetWriter | None = None
        done = 0
        try:
            for batch in ask.table.measure(subject, ask.on):
                block = _joined(described.slice(done, batch.num_rows), batch)
                writer = writer or pq.ParquetWriter(part / "table.parquet", block.schema)
                writer.write_table(block)
                done += batch.num_rows
                self.units.observer.advance(unit, done / max(ask.on.n, 1))
        finally:
            if writer is not None:
                writer.close()
        if done != ask.on.n:
            raise RuntimeError(f"table {ask.table.name} answered {done} of {ask.on.n} items")

    def summarize(
        self, arm: str, seed: int, name: str, probe: Probe, facts: Facts, tables: Mapping[str, "Measured"]
    ) -> Answered:
        """The probe's rows and findings from its tables."""
        asked = {"probe": [probe.name, probe.version, fields_of(probe)], "draws": DRAWS, "seed": self.seed}
        inputs = {
            **asked,
            "code": [code_of(type(probe).__module__), code_of_arithmetic()],
            "versions": dict(versions()),
            "tables": {name: table.key for name, table in tables.items()},
            "facts": FACTS.dump_python(facts, mode="json"),
        }
        unit = f"probe:{arm}@{seed}:{name}"

        def write(part: Path) -> None:
            with _noting(part, unit):
                read = {k: Rows.from_arrow(pq.read_table(t.folder / "table.parquet")) for k, t in tables.items()}
                rows = canonical_order(probe.answers(read, facts))
                pq.write_table(rows.to_arrow(), part / "rows.parquet")
                found = findings(probe, rows, facts, generator(self.seed, name), draws=DRAWS)
                write_json(part / "found.json", _FOUND.dump_python(found, mode="json"))

        folder = self.units.obtain(unit, "answers", inputs, write)
        _raise_noted(folder, unit)
        return Answered(
            arm=arm,
            seed=seed,
            name=name,
            probe=probe,
            facts=facts,
            comparability=digest({**asked, "questions": {k: t.question for k, t in tables.items()}}),
            rows_path=folder / "rows.parquet",
            rows_key=digest(inputs),
            cut={table.items: cut for table in tables.values() if (cut := table.cut) is not None},
        )


@contextmanager
def _noting(part: Path, unit: str) -> Iterator[None]:
    """That a model cannot be asked is an answer too: stored, or a finished run would load it to hear it again."""
    try:
        yield
    except NotApplicable as reason:
        # The object is another arm's too if it has the same weights; it then speaks in that arm's name.
        write_json(part / _REASON, str(reason).replace(_whose(unit), _WHOSE))


def _raise_noted(folder: Path, unit: str) -> None:
    if (folder / _REASON).is_file():
        raise NotApplicable(read_json(folder / _REASON).replace(_WHOSE, _whose(unit)))


def _whose(unit: str) -> str:
    return unit.split(":")[1]


def canonical_order(rows: Rows) -> Rows:
    """Rows sorted by item: the order in which they were asked cannot move a number."""
    if "item_id" not in rows:
        return rows
    return rows.take(np.argsort(rows["item_id"].astype(str), kind="stable"))


def _joined(described: pa.Table, batch: pa.RecordBatch) -> pa.Table:
    """The items' own columns beside the measured ones."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == "item_id":
            if column.to_pylist() != described["item_id"].to_pylist():
                raise RuntimeError("a table must answer in the order of its items")
            continue
        field = batch.schema.field(name)
        if not field.metadata:
            field = field.with_metadata({"sensitivity": "derived"})
        described = described.append_column(field, column)
    return described


def not_measured(unit: str, arm: str, name: str, reason: NotApplicable) -> UnitOutcome:
    """A unit that could not be put, in the probe's own words."""
    return UnitOutcome(unit=unit, arm=arm, probe=name, outcome="not measured", reason=str(reason))


def broken(unit: str, arm: str, name: str, error: Exception) -> UnitOutcome:
    """A unit that broke: the exception's type and place; never its message, which may quote data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return UnitOutcome(unit=unit, arm=arm, probe=name, outcome="error", reason=f"{type(error).__name__} at {where}")
