"""The contract between a probe and whoever puts it to a model.

A probe is a frozen dataclass whose fields are its parameters. `needs` says what to ask of which model; `answers`
joins what came back into one row per unit; `statistics` is pure arithmetic on those rows under weights, from
which the cluster bootstrap and the contrasts between arms are made; `summarize` stands where a better interval
exists or where the finding is a check or a curve. Only `Table.measure` sees a model.

    needs ──▶ Table.measure (slow, stored) ──▶ answers (pure, once) ──▶ statistics / summarize (pure, again and again)
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from probes.results import Check, Finding, MetricSpec, NotApplicable, Pillar, Role, Sensitivity, Series

Array = npt.NDArray[Any]
Key = tuple[str, str]
"""(metric, slice); the slice `ALL` is all rows."""

SENSITIVITY: Mapping[str, Sensitivity] = {
    "item_id": "public",  # salted where it came from the user's data
    "cluster": "public",
    "stratum": "derived",  # it may tell a coin, a domain, or a kind of personal data
    "domain": "derived",
    "label": "derived",
    "is_member": "derived",
    "kind": "derived",
    "repetitions": "derived",
    "person": "personal",
    "person_named": "personal",
    "text": "personal",
    "text_pair": "personal",
    "secret": "secret",
}
"""The sensitivity of the columns every item may have; `group:…` columns are personal, all others derived."""

TEXT_COLUMNS = frozenset({"text", "text_pair", "secret", "person_named"})
"""Columns of items that a model is asked with, and parts of them; they are never stored with its answers."""


def sensitivity_of(column: str) -> Sensitivity:
    """The sensitivity of a column that states none itself."""
    return "personal" if column.startswith("group:") else SENSITIVITY.get(column, "derived")


class Rows(Mapping[str, Array]):
    """Columns of equal length, each a NumPy array, with a sensitivity each.

    Args:
        columns: Arrays of shape (N,), or lists; ragged columns (token scores) are object arrays of arrays.
        sensitivity: By column; `sensitivity_of` where it is silent.

    Raises:
        ValueError: The columns differ in length.
    """

    def __init__(self, columns: Mapping[str, Any], sensitivity: Mapping[str, Sensitivity] | None = None) -> None:
        self._columns = {name: _array(values) for name, values in columns.items()}
        given = sensitivity or {}
        self.sensitivity: dict[str, Sensitivity] = {c: given.get(c, sensitivity_of(c)) for c in self._columns}
        lengths = {len(values) for values in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns must have equal lengths; got { {c: len(v) for c, v in self._columns.items()} }")
        self.n = lengths.pop() if lengths else 0

    def __getitem__(self, column: str) -> Array:
        return self._columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n} × {', '.join(self._columns)})"

    def take(self, selection: Array) -> Self:
        """The rows that a boolean mask or an index array selects, in that order."""
        return type(self)({c: v[selection] for c, v in self._columns.items()}, self.sensitivity)

    def assign(self, **columns: Any) -> Self:
        """The same rows with columns added or replaced."""
        return type(self)({**self._columns, **columns}, self.sensitivity)

    def drop(self, columns: Iterable[str]) -> "Rows":
        """The same rows without the named columns."""
        away = set(columns)
        return Rows({c: v for c, v in self._columns.items() if c not in away}, self.sensitivity)

    def to_arrow(self) -> pa.Table:
        """An Arrow table; each field's metadata tells its sensitivity."""
        arrays = [pa.array(list(v) if v.dtype == object else v) for v in self._columns.values()]
        fields = [
            pa.field(name, array.type, metadata={"sensitivity": self.sensitivity[name]})
            for name, array in zip(self._columns, arrays, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """The inverse of `to_arrow`: strings, lists and columns with gaps become object arrays."""
        columns = {}
        sensitivity: dict[str, Sensitivity] = {}
        for field_, column in zip(table.schema, table.columns, strict=True):
            columns[field_.name] = _from_arrow(field_.type, column)
            stated = (field_.metadata or {}).get(b"sensitivity")
            if stated is not None:
                sensitivity[field_.name] = stated.decode()
        return cls(columns, sensitivity)


def _from_arrow(kind: pa.DataType, column: pa.ChunkedArray) -> Array:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _ragged(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy())


def _ragged(column: pa.ChunkedArray) -> Array:
    """Lists as arrays: parts of one array a chunk, for an array of its own weighs more than some tokens' scores."""
    ragged = np.empty(len(column), dtype=object)
    row = 0
    for chunk in column.chunks:
        values, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        for i in range(len(chunk)):
            ragged[row] = values[ends[i] : ends[i + 1]] if chunk.null_count == 0 or chunk[i].is_valid else None
            row += 1
    return ragged


def _array(values: Any) -> Array:
    if isinstance(values, np.ndarray):
        return values if values.dtype.kind not in "US" else values.astype(object)
    values = list(values)
    if any(isinstance(v, str | np.ndarray | list | tuple | None) for v in values):
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = values
        return ragged
    return np.array(values)


class Items(Rows):
    """What a model can be asked about: one row per item, with `item_id` and `cluster` at least.

    Further columns: `text`, `text_pair`; `label` (index into the task's classes); `person` (a pseudonym),
    `person_named` (the words of the text that name them, "" where none do), `domain`; `group:<name>`
    for each protected attribute ("unknown" where it is missing); `is_member` (the twin's coin) in the audit pool and
    for canaries, which also have `kind`, `repetitions` and `secret`.
    """

    def __init__(self, columns: Mapping[str, Any], sensitivity: Mapping[str, Sensitivity] | None = None) -> None:
        super().__init__(columns, sensitivity)
        missing = {"item_id", "cluster"} - set(columns)
        if missing:
            raise ValueError(f"items need the columns item_id and cluster; missing {sorted(missing)}")

    @property
    def digest(self) -> str:
        """SHA-256 over all columns: the same items, in the same order, have the same digest."""
        hasher = hashlib.sha256()
        for name in sorted(self):
            hasher.update(json.dumps([name, self[name].tolist()], ensure_ascii=False).encode())
        return hasher.hexdigest()

    @property
    def described(self) -> Rows:
        """Everything but the texts: what is stored beside a model's answers."""
        return self.drop(TEXT_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How class scores become a decision: the most likely class, or one class from a probability on.

    Attributes:
        positive: The class whose probability is compared with `threshold`; None for the most likely class.
        threshold: Probability from which `positive` is decided, in (0, 1).
    """

    positive: int | None = None
    threshold: float | None = None

    def __call__(self, logits: Array) -> Array:
        """The decided class of each row: (N, C) logits to (N,) indices; among exact ties the first class wins."""
        best: Array = np.argmax(logits, axis=1)
        if self.positive is None or self.threshold is None:
            return best
        others = logits.copy()
        others[:, self.positive] = -np.inf
        return np.where(probabilities(logits)[:, self.positive] >= self.threshold, self.positive, others.argmax(axis=1))


def probabilities(logits: Array) -> Array:
    """Class probabilities of (N, C) logits, computed stably in float64."""
    shifted = np.asarray(logits, dtype=np.float64) - np.max(logits, axis=1, keepdims=True)
    exp = np.exp(shifted)
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class PrivacyClaim:
    """What is claimed of an arm's training, and the mechanism that should keep it.

    Attributes:
        epsilon: The claimed epsilon.
        delta: The claimed delta.
        noise_multiplier: Standard deviation of the noise over the clipping norm (sigma), None where not known.
        sample_rate: Probability that an example is drawn in a step (q), None where not known.
        steps: Number of noised steps (T), None where not known.
        accounted: Whether the figure was computed here from a mechanism that ran here, or is only claimed.
    """

    epsilon: float
    delta: float
    noise_multiplier: float | None = None
    sample_rate: float | None = None
    steps: int | None = None
    accounted: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a probe may know besides rows. Everything here is plain JSON, so it is stored and read back.

    Attributes:
        arm: Name of the arm asked.
        role: Its role.
        seed: Its training seed.
        head: What the arm's model answers with; "classifier" has class logits of its own.
        task: The task's kind.
        classes: Names of the classes in the order of the logits; empty for language models.
        decision: How class scores become decisions.
        groups: Names of the protected attributes (items have a column "group:<name>" for each).
        minimum_group: Groups smaller than this are named and not scored.
        base_is_comparable: Whether the untouched base answers with the same head, so that differences to it mean much.
        claim: The differential privacy claimed of the arm, if any.
        seeds: The run's seeds by purpose.
    """

    arm: str
    role: Role
    seed: int
    head: Literal["classifier", "causal", "masked"]
    task: Literal["text-classification", "causal-lm", "masked-lm"]
    classes: tuple[str, ...] = ()
    decision: Decision = field(default_factory=Decision)
    groups: tuple[str, ...] = ()
    minimum_group: int = 30
    base_is_comparable: bool = False
    claim: PrivacyClaim | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)


class ClassScorer(Protocol):
    """Class scores of texts."""

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Iterator[Array]:
        """Windows of (W, C) logits (nats, up to a constant per row) in the order of the texts."""


class TokenScorer(Protocol):
    """Token log-probabilities under a causal model."""

    def token_rows(self, texts: Sequence[str]) -> Iterator["TokenRows"]:
        """Windows of token scores in the order of the texts."""


class MaskedScorer(Protocol):
    """Token pseudo-log-likelihoods under a masked model: each token scored with only itself masked."""

    def pseudo_token_rows(self, texts: Sequence[str]) -> Iterator["TokenRows"]:
        """Windows of token scores in the order of the texts."""


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Token scores of a window of W texts; each list holds one array of shape (T_i,) per text, T_i scored tokens.

    Attributes:
        token_ids: The scored tokens.
        logprobs: Their log-probability, nats.
        means: Mean of the log-probability under the predicted distribution, nats.
        deviations: Standard deviation of the log-probability under the predicted distribution, nats.
        is_top: Whether the token was the most likely one.
        truncated: Shape (W,): whether the text was longer than the model's limit.
    """

    token_ids: list[Array]
    logprobs: list[Array]
    means: list[Array]
    deviations: list[Array]
    is_top: list[Array]
    truncated: Array


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a table may see of a model: the scorers it can serve, and no more.

    Attributes:
        name: How messages call it.
        head: The kind of head it has; None for the data alone, without any model.
        class_scorer: Class scores, from a classification head or from the label words of a language model.
        token_scorer: Token scores of a causal model.
        masked_scorer: Token scores of a masked model.
    """

    name: str
    head: Literal["classifier", "causal", "masked"] | None
    class_scorer: ClassScorer | None = None
    token_scorer: TokenScorer | None = None
    masked_scorer: MaskedScorer | None = None

    def need_classes(self) -> ClassScorer:
        """The class scorer, or `NotApplicable` in words."""
        if self.class_scorer is None:
            raise NotApplicable(f"{self.name} has no head that answers with the task's classes")
        return self.class_scorer

    def need_tokens(self) -> TokenScorer:
        """The token scorer, or `NotApplicable` in words."""
        if self.token_scorer is None:
            raise NotApplicable(f"{self.name} is no causal language model")
        return self.token_scorer

    def need_masked(self) -> MaskedScorer:
        """The masked scorer, or `NotApplicable` in words."""
        if self.masked_scorer is None:
            raise NotApplicable(f"{self.name} is no masked language model")
        return self.masked_scorer


REFERENCE = "reference:"
"""What stands before the number of a reference model, and of the items with its coins."""

RETRAINED = "seed:"
"""What stands before the number of a further training of the arm: the same data, another training seed."""

DATA_ALONE = Subject(name="the data alone", head=None)
"""The subject of a table that looks at the items and asks no model."""


@runtime_checkable
class Table(Protocol):
    """One way of asking: a frozen dataclass whose fields, with its `version`, name the question completely."""

    name: ClassVar[str]
    version: ClassVar[int]

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Batches with `item_id` and the measured columns, in the order of the items; the only code that sees a model.

        Raises:
            NotApplicable: The model cannot be asked this.
        """


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A table to measure, on which items, of which model.

    Attributes:
        table: The question.
        on: The items, complete with their texts.
        of: "arm" for the arm the probe is put to, "base" for the untouched model it started from, "data" for no model:
            the table looks at the items alone; "reference:0" and so on for the arm's reference models; "seed:1" and so
            on for further trainings of the arm by other seeds.
    """

    table: Table
    on: Items
    of: str = "arm"

    def __post_init__(self) -> None:
        if self.of not in {"arm", "base", "data"} and not self.of.startswith((REFERENCE, RETRAINED)):
            numbered = f'"{REFERENCE}" or "{RETRAINED}" and a number'
            raise ValueError(f'of must be "arm", "base", "data", or {numbered}; got {self.of!r}')


@runtime_checkable
class Probe(Protocol):
    """A question with its arithmetic. `statistics` and `summarize` are optional; one of them must be there.

    A probe of twins may have two more parameters, which the plan reads: `references`, how many reference models are
    trained for it, and `seeds`, how many trainings of the twin it asks, the twin itself included.

    Attributes:
        name: Unique among probes; metrics are addressed as "name.metric".
        version: Raised whenever the same model would get other numbers.
        pillar: The chapter of the report.
        roles: The roles of the arms it is put to.
        metrics: What it declares of each metric before measuring.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    pillar: ClassVar[Pillar]
    roles: ClassVar[frozenset[Role]]
    metrics: ClassVar[Mapping[str, MetricSpec]]

    def needs(self, facts: Facts, data: Mapping[str, Items]) -> Mapping[str, Ask]:
        """What to ask.

        Args:
            facts: What is known of the arm.
            data: The run's items by name: "test", "validation", "pool" (the audit pool), "canaries",
                "canary_references" and "domain:<name>" for each other domain; where the probe has `references`, also
                "reference:0" and so on, the pool with a reference's coins as `is_member`, and "population", which
                nobody was trained on. Not every run has all.

        Raises:
            NotApplicable: This arm, task or data cannot be asked.
        """

    def answers(self, tables: Mapping[str, Rows], facts: Facts) -> Rows:
        """One row per unit, with `item_id` and `cluster`.

        Args:
            tables: What came back, by the names of `needs`: the items' columns other than texts, and those measured.
            facts: As before.
        """


@runtime_checkable
class HasStatistics(Protocol):
    """A probe whose numbers are functions of weighted rows."""

    def statistics(self, rows: Rows, weights: Array) -> Mapping[Key, float]:
        """Each metric's value on the rows under weights, shape (N,), non-negative.

        The cluster bootstrap calls it with the multiplicity of each row in a resample. A key is left out where
        its value is undefined under these weights (a group without rows).
        """


@runtime_checkable
class HasSummary(Protocol):
    """A probe with intervals of its own, checks or curves."""

    def summarize(
        self, rows: Rows, facts: Facts, rng: np.random.Generator, level: float = 0.95
    ) -> Iterable[Finding | Check | Series]:
        """What was found, with intervals at a confidence level; a metric given here is not bootstrapped as well."""
