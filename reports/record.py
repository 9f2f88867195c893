"""The public file format of an audit: what was measured, on which model, with how much certainty.

`record.json` says nothing of when or where it was measured or how it was judged (`run.json` has times and hosts,
`gates.json` the verdicts), so the same inputs give the same bytes. Old schemas stay readable; a change of the
format raises `SCHEMA` and adds a golden file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from probes.results import Check, Metric, Pillar, Role, Series, Value

SCHEMA = 1

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which model this is.

    Attributes:
        weights: SHA-256 over the names, shapes and bytes of all tensors.
        tokenizer: SHA-256 of the tokenizer's files.
        adapter: SHA-256 of the adapter's tensors, where the model is a base with an adapter; else null.
        template: SHA-256 of the prompt and label words, where a language model classifies by a word; else null.
        parameters: Number of parameters.
    """

    __pydantic_config__ = _STRICT

    weights: str
    tokenizer: str
    adapter: str | None = None
    template: str | None = None
    parameters: int


@dataclass(frozen=True, kw_only=True)
class PrivacyRecord:
    """What differential privacy an arm's training keeps, and how that was worked out.

    Attributes:
        epsilon: By the PRV accountant; None where the accountant's state was lost ("epsilon unknown").
        delta: The delta it is stated at.
        unit: What one privacy unit is: "example", "person", or "cluster" of near-duplicates.
        noise_multiplier: Standard deviation of the noise over the clipping norm.
        max_grad_norm: Clipping norm.
        sample_rate: Probability that a unit is drawn in a step.
        steps: Number of noised steps.
        units: Number of privacy units in the training data.
        expected_batch_size: sample_rate times the N that it follows from: the divisor of the noised sum.
        accountants: Epsilon at delta by each accountant: "PRV", "PLD", "RDP".
        realised_mean_batch: Mean size of the batches really drawn.
        largest_person: Most examples that one person contributes, where a person column stands.
        secret_noise: Whether noise and draws came from the operating system's randomness.
        public_n: The declared number of units that rate, steps and divisor follow from; None where it was counted.
        max_examples_per_unit: Most examples of a unit that were computed in a step; None where a unit is one example.
    """

    __pydantic_config__ = _STRICT

    epsilon: float | None
    delta: float
    unit: Literal["example", "person", "cluster"]
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    units: int
    expected_batch_size: int
    accountants: Mapping[str, float]
    realised_mean_batch: float | None
    largest_person: int | None
    secret_noise: bool
    public_n: int | None = None
    max_examples_per_unit: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What an arm's training did.

    Attributes:
        examples: Number of training examples, canaries and their repetitions included.
        steps: Optimizer steps.
        final_loss: Mean loss of the last tenth of the steps, nats.
        truncated: Examples cut to the longest length.
    """

    __pydantic_config__ = _STRICT

    examples: int
    steps: int
    final_loss: float | None
    truncated: int


@dataclass(frozen=True, kw_only=True)
class SeedRecord:
    """One training run of an arm.

    Attributes:
        seed: The training seed.
        identity: The model that came out.
        training: What the training did; null where it was not trained here.
        privacy: What differential privacy the training keeps; null where it keeps none.
    """

    __pydantic_config__ = _STRICT

    seed: int
    identity: Identity
    training: TrainingRecord | None
    privacy: PrivacyRecord | None


@dataclass(frozen=True, kw_only=True)
class ArmRecord:
    """One arm.

    Attributes:
        name: Its name in the config; twins are "<name>-twin".
        role: Candidate, twin, reference or control.
        source: Where the model comes from: trained here, given, the untouched base, or derived from another arm.
        twin_of: For a twin, the arm it is the twin of.
        recipe: How it was trained, in the config's words; empty where it was not trained here.
        claims: Epsilon and delta that are claimed and not accounted here.
        runs: One per training seed.
        control: For a training that was made to leak, to show that it would be found: "leaky" learnt its data by heart,
            "no_noise" claims an epsilon and adds no noise; null for all others.
    """

    __pydantic_config__ = _STRICT

    name: str
    role: Role
    source: Literal["trained", "given", "base", "derived"]
    twin_of: str | None
    recipe: Mapping[str, Any]
    claims: Mapping[str, float] | None
    runs: tuple[SeedRecord, ...]
    control: Literal["leaky", "no_noise"] | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeRecord:
    """What was asked.

    Attributes:
        name: Its name in the config.
        probe: The probe's own name and version, "minimal_pairs 1".
        pillar: Its chapter.
        question: First line of its docstring.
        limits: Its "Limits" paragraph, printed beside its numbers.
        source: Where the method comes from.
        parameters: Its fields.
    """

    __pydantic_config__ = _STRICT

    name: str
    probe: str
    pillar: Pillar
    question: str
    limits: str
    source: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ArmCheck:
    """A check, on the arm and by the probe that made it.

    Attributes:
        arm: The arm.
        probe: The probe, or "dp_claim" for a line of the differential privacy claim.
        seed: The training seed, or null where it speaks of all.
        check: The statement and what came out.
    """

    __pydantic_config__ = _STRICT

    arm: str
    probe: str
    seed: int | None
    check: Check


@dataclass(frozen=True, kw_only=True)
class ArmSeries:
    """A curve, on the arm and by the probe that made it.

    Attributes:
        arm: The arm.
        probe: The probe.
        seed: The training seed, or null where it speaks of all.
        series: The curve.
    """

    __pydantic_config__ = _STRICT

    arm: str
    probe: str
    seed: int | None
    series: Series


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The difference between two arms on the same items: arm minus reference, paired.

    Attributes:
        metric: "probe.name".
        probe: The probe.
        pillar: Its chapter.
        label: The metric in a reader's words.
        arm: The arm.
        reference: The arm it is compared with.
        slice: The part of the rows; "" for all.
        difference: Arm minus reference, with the interval of paired draws.
        ideal: The value of the metric that a perfect model would have; null where no value is better than another.
        unit: The metric's unit; the difference of two rates is a rate.
        better: Whether a positive difference is nearer the ideal: +1, -1, or 0 where that depends on the side
            of the ideal the arms lie on, or where there is no ideal.
    """

    __pydantic_config__ = _STRICT

    metric: str
    probe: str
    pillar: Pillar
    label: str
    arm: str
    reference: str
    slice: str
    difference: Value
    ideal: float | None
    unit: str
    better: Literal[-1, 0, 1]


@dataclass(frozen=True, kw_only=True)
class UnitOutcome:
    """What became of a unit of work that yielded no number: a probe that could not be put, or that broke.

    Attributes:
        unit: The unit's name, such as "probe:standard@0:minimal_pairs".
        arm: The arm.
        probe: The probe.
        outcome: "not measured" or "error".
        reason: Why, in words; for an error the exception's type and where it was raised, never its data.
    """

    __pydantic_config__ = _STRICT

    unit: str
    arm: str
    probe: str
    outcome: Literal["not measured", "error"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataQuality:
    """What the data were like, and what was done about it.

    Attributes:
        read: Rows read.
        kept: Rows kept.
        bad: Rows left out, by reason.
        duplicates: Rows that share a cluster with an earlier row.
        clusters: Independent units: near-duplicates are one, and so are all rows of a person.
        persons: Number of persons, where a person column stands.
        largest_person: Most training rows of one person.
        persons_on_both_sides: Persons with rows in training and in test.
        splits: Rows by split: "train", "validation", "test", "domain:<name>".
        pool: Rows in the audit pool.
        pool_members: Of those, rows that the twins' coins let in.
        canaries: Canaries made, by kind.
        canaries_planted: Of those, planted.
        groups: By attribute: rows of the test split by group.
        truncated: Rows of the test split longer than the model's limit; null where they were not counted.
        cut: By split, and of the "canaries": rows longer than the model's limit, of the arm that cuts most; a split
            that was not counted is left out.
        notes: Sentences for the reader.
    """

    __pydantic_config__ = _STRICT

    read: int
    kept: int
    bad: Mapping[str, int]
    duplicates: int
    clusters: int
    persons: int | None
    largest_person: int | None
    persons_on_both_sides: int | None
    splits: Mapping[str, int]
    pool: int
    pool_members: int
    canaries: Mapping[str, int]
    canaries_planted: Mapping[str, int]
    groups: Mapping[str, Mapping[str, int]]
    truncated: int | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the plan was done, in units of work that yield numbers: one probe put to one trained arm.

    Attributes:
        planned: Units planned.
        measured: Of those, units that yielded numbers.
        not_measured: Of those, units that could not be put, with a reason in `unmeasured`.
        errors: Of those, units that broke, likewise.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", title="PlanCoverage")  # a metric has a Coverage of its own

    planned: int
    measured: int
    not_measured: int
    errors: int


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What everything depends on.

    Attributes:
        config: SHA-256 of the resolved config without its gates.
        gates: SHA-256 of the policy as it was sealed, or None.
        data: SHA-256 of the prepared items by split.
        coins: SHA-256 that commits to the coins and canaries, made before training.
        code: SHA-256 of the package's source files.
        versions: Versions of this package, of Python, and of what else the numbers depend on.
        threads: Threads of the numerical libraries.
        seeds: Seeds by purpose.
        reproducible: Whether the noise of differential privacy is derived from the seed.
        changes: Settings given on the command line (`--set`).
        measured_before: How much of the plan had been measured already, by an earlier run, when config, gates and coins
            were sealed: tables, answers and records; 0 where the seal came first.
        machine: Type of the machine: operating system and processor; nothing of which one it was.
        commit: The base model's commit on the hub, or None for a folder and for the embedded model.
    """

    __pydantic_config__ = _STRICT

    config: str
    gates: str | None
    data: Mapping[str, str]
    coins: str
    code: str
    versions: Mapping[str, str]
    threads: int
    seeds: Mapping[str, int]
    reproducible: bool
    changes: tuple[str, ...] = ()
    measured_before: int = 0
    machine: str = ""
    commit: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """All that an audit found.

    Attributes:
        title: The audit's title.
        model: Name of the base model.
        task: The task's kind.
        classes: Names of the classes.
        deploy: The arm that could be deployed, or None.
        shows_examples: Whether texts of the user's data are shown.
        arms: The arms, in the config's order, twins after them.
        probes: What was asked.
        metrics: What was found; one entry per arm, seed and slice, and one with seed None where an arm has several.
        contrasts: Paired differences between arms.
        checks: Statements put to the test, the lines of the DP claim among them.
        series: Curves for the charts.
        unmeasured: Units that yielded no number, and why.
        coverage: How much of the plan was done.
        data: Data quality.
        provenance: What everything depends on.
        schema: Version of this format.
    """

    __pydantic_config__ = _STRICT

    title: str
    model: str
    task: str
    classes: tuple[str, ...]
    deploy: str | None
    shows_examples: bool
    arms: tuple[ArmRecord, ...]
    probes: tuple[ProbeRecord, ...]
    metrics: tuple[Metric, ...]
    contrasts: tuple[Contrast, ...]
    checks: tuple[ArmCheck, ...]
    series: tuple[ArmSeries, ...]
    unmeasured: tuple[UnitOutcome, ...]
    coverage: Coverage
    data: DataQuality
    provenance: Provenance
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """How one gate was judged.

    Attributes:
        id: The gate's name, with the slice where it stands for several.
        kind: "bound" judges a value, "noninferior" and "no_regression" a paired difference.
        pillar: Its chapter.
        family: The gates it was corrected with.
        level: Whether a failure blocks the deployment or only warns.
        criterion: The condition in words, as sealed.
        label: The metric in a reader's words.
        unit: The metric's unit.
        verdict: "pass", "fail", "inconclusive", "not measured" or "error".
        observed: The value judged, at the level that the correction demands; None where there is none.
        metric_id: `arm/probe.name[slice]` of the number judged; of a difference, that of the arm.
        reference: The arm it is compared with, where a difference is judged.
        limit: The limit on the axis of `observed`, None where there is none.
        better: +1 if larger is better, -1 if smaller is.
        reason: Why this verdict, in a sentence.
        rows_needed: About how many more units would decide it, where it is inconclusive and that can be said.
        owner: Who set the limit; empty where nobody is named.
        source: Why this limit: a document, a decision, a measurement.
    """

    __pydantic_config__ = _STRICT

    id: str
    kind: Literal["bound", "noninferior", "no_regression"]
    pillar: Pillar
    family: str
    level: Literal["block", "warn"]
    criterion: str
    label: str
    unit: str
    verdict: Literal["pass", "fail", "inconclusive", "not measured", "error"]
    observed: Value | None
    metric_id: str | None
    limit: float | None
    better: Literal[-1, 1]
    reason: str
    rows_needed: int | None
    owner: str
    source: str | None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`gates.json`: the verdicts on a record.

    Attributes:
        verdict: "blocked", "passed" or "no decision".
        policy: Name of the policy.
        version: Its version.
        owner: Who answers for it; empty where nobody is named.
        sealed: SHA-256 of the policy as sealed before measuring.
        sealed_at: When it was sealed, ISO 8601.
        deviations: What differs from the sealed policy; empty where nothing does.
        on_inconclusive: Whether an inconclusive blocking gate fails the run or only warns.
        gates: The gates: failed, then inconclusive, not measured, passed.
        record: SHA-256 of the record judged, as `digest` gives it.
        schema: Version of this format.
    """

    __pydantic_config__ = _STRICT

    verdict: Literal["blocked", "passed", "no decision"]
    policy: str
    version: str
    owner: str
    sealed: str
    sealed_at: str
    deviations: tuple[str, ...]
    on_inconclusive: Literal["warn", "fail"]
    gates: tuple[GateResult, ...]
    record: str
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """`run.json`: when and where; nothing here can change a number.

    Attributes:
        run_id: Name of the run folder.
        status: "running", "complete" or "incomplete".
        started: ISO 8601.
        finished: ISO 8601, None while it runs.
        sealed_at: When config and gates were sealed.
        host: Machine, processor count and operating system.
        timings: Seconds and peak memory by unit.
        objects: Content keys of the stored objects the run uses, by unit.
        deployed: Where the weights of the arm to be deployed lie, by run of the arm: in the folder of all runs, or
            as the config names a model from elsewhere.
        tool_version: Version of this package.
        schema: Version of this format.
    """

    __pydantic_config__ = _STRICT

    run_id: str
    status: Literal["running", "complete", "incomplete"]
    started: str
    finished: str | None
    sealed_at: str
    host: Mapping[str, str]
    timings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)
    deployed: Mapping[str, str] = field(default_factory=dict)
    tool_version: str = ""
    schema: int = SCHEMA


Document = AuditRecord | Judgement | RunInfo
DocumentKind = type[AuditRecord] | type[Judgement] | type[RunInfo]


@cache
def _adapters() -> dict[DocumentKind, TypeAdapter[Any]]:
    return {kind: TypeAdapter(kind) for kind in (AuditRecord, Judgement, RunInfo)}


def dumps(document: Document) -> str:
    """The document as JSON: sorted keys, shortest floats that round-trip, one newline at the end.

    Reading it back and writing it again gives the same text, so a record in memory and its file have one digest.
    """
    adapter = _adapters()[type(document)]
    # A whole number where a float is declared is written "5" and read as 5.0: only what was read once is canonical.
    written = json.dumps(adapter.dump_python(document, mode="json", warnings=False), allow_nan=False)
    plain = adapter.dump_python(adapter.validate_json(written, strict=True), mode="json")
    return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def digest(document: Document) -> str:
    """SHA-256 of the document as `dumps` writes it: the hash of its file."""
    return hashlib.sha256(dumps(document).encode()).hexdigest()


def load_record(path: Path) -> AuditRecord:
    """Read a record of this or an older schema.

    Raises:
        ValueError: The file is no record, or of a newer schema.
    """
    record: AuditRecord = _load(path, AuditRecord)
    return record


def load_judgement(path: Path) -> Judgement:
    """Read `gates.json`; errors as `load_record`."""
    judgement: Judgement = _load(path, Judgement)
    return judgement


def load_run(path: Path) -> RunInfo:
    """Read `run.json`; errors as `load_record`."""
    run: RunInfo = _load(path, RunInfo)
    return run


def _load(path: Path, kind: DocumentKind) -> Any:
    text = path.read_text("utf-8")
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from error
    schema = plain.get("schema", SCHEMA) if isinstance(plain, dict) else SCHEMA
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(
            f"{path}: schema {schema} is newer than {SCHEMA}, the newest this version reads; update finetune-audit"
        )
    try:
        return _adapters()[kind].validate_json(text, strict=True)  # a group called "1" stays a word
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]  # the input may be a reader's data
        where = ".".join(str(step) for step in first["loc"]) or "the top level"
        raise ValueError(f"{path}: no {kind.__name__} of schema {schema}: {where}: {first['msg']}") from error


def json_schema(kind: DocumentKind = AuditRecord) -> dict[str, Any]:
    """The format's JSON Schema (2020-12)."""
    return _adapters()[kind].json_schema()
