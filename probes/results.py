"""What a probe can find: numbers with their uncertainty, checks, curves, and stated absences.

These types are the vocabulary that every room shares. They hold no behaviour beyond their own
consistency, import nothing heavy, and are what an audit's record is made of.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ALL = ""
"""The slice that is no slice: all rows."""

Outcome = Literal["pass", "fail", "not checked", "refuted", "not refuted", "could not have been refuted"]
Pillar = Literal["bias", "privacy", "robustness", "utility"]
Role = Literal["candidate", "twin", "reference", "control"]
Sensitivity = Literal["public", "derived", "personal", "register", "secret"]
"""Who may see a stored column: anyone; who may see the report; who may see the data; who answers to the persons named
(the register of those whose presence shows); nobody by default."""


class NotApplicable(Exception):  # noqa: N818 - it is no error: the probe says why it cannot be put to this model
    """Raised by a probe that cannot be put to a model; its words become "not measured: …"."""


def _finite(owner: str, **numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise ValueError(f"{owner}: {name} must be finite; got {number}")


@dataclass(frozen=True, kw_only=True)
class Null:
    """What this sample would show if there were nothing to find.

    Attributes:
        value: The value expected under the null, in the metric's unit (chance, or the noise floor of equal groups).
        p: Probability under the null of a result at least as extreme, or None where it was not computed.
        meaning: The null in words, such as "equal groups of these sizes, 95th percentile".
    """

    value: float
    p: float | None = None
    meaning: str = ""

    def __post_init__(self) -> None:
        _finite("Null", value=self.value, p=self.p)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and how sure we are of it.

    Attributes:
        value: The best estimate, in the metric's unit.
        low: Lower end of the interval; None where the method gives no bound on this side.
        high: Upper end of the interval; None where the method gives no bound on this side.
        level: Confidence level of [low, high], in (0, 1).
        n: Number of independent units (clusters, not rows) the estimate rests on.
        unit_of_n: What one of the n is: "pair", "cluster", "person", "non-member" …
        method: How the interval was made, such as "Wilson" or "cluster bootstrap, 1,000 draws".
        varies: What the interval speaks for: "items" (this training run, not this recipe), or "items and seeds".
        null: What no effect would show here, where that is known.
        detectable: The smallest departure from the null that this sample would show 4 times in 5.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    unit_of_n: str
    method: str
    level: float = 0.95
    varies: Literal["items", "items and seeds"] = "items"
    null: Null | None = None
    detectable: float | None = None

    def __post_init__(self) -> None:
        _finite("Estimate", value=self.value, low=self.low, high=self.high, detectable=self.detectable)
        if not 0 < self.level < 1:
            raise ValueError(f"Estimate: level must lie in (0, 1); got {self.level}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"Estimate: low must not exceed high; got [{self.low}, {self.high}]")


@dataclass(frozen=True, kw_only=True)
class NotMeasured:
    """The absence of a number, and why; never zero, never NaN."""

    reason: str


Value = Estimate | NotMeasured


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many units were asked, how many answered, and what became of the rest."""

    asked: int
    answered: int
    missing: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """What a probe declares of a metric before anything is measured.

    Attributes:
        ideal: The value a perfect model would have: 1 for accuracy, 0.5 for an attacker's AUC, 0 for a disparity; None
            where no value is better than another, as for how often a group is selected.
        unit: "rate", "points" (hundredths of a rate), "auc", "bits", "nats", "epsilon", "score", "perplexity" …
        definition: Identifier of the exact computation, such as "minimal_pairs:sum-logprob"; another computation
            is another definition.
        label: The metric in words a reader of the report would use, such as "stereotype preferred".
        access: What an attacker or examiner needs: "label probabilities", "token probabilities", "training coins" …
        signed: Whether it is a difference, which may be negative: intervals of other rates are cut at 0.
        gap: Whether it is the distance of two rates, which is told in points as every signed difference of rates is.
        is_judged: Whether a gate may judge it; an estimate that rests on more than was measured is only shown.
    """

    ideal: float | None
    unit: str
    definition: str
    label: str
    access: str = "label probabilities"
    signed: bool = False
    gap: bool = False
    is_judged: bool = True

    @property
    def told_in(self) -> str:
        """The unit as a record has it: "rate difference" for what lies between two rates."""
        return "rate difference" if self.unit == "rate" and (self.signed or self.gap) else self.unit


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One number that a probe found on one model: the executor adds which model it was."""

    metric: str
    estimate: Value
    slice: str = ALL
    coverage: Coverage | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A statement that was put to the test, and what came out."""

    name: str
    outcome: Outcome
    evidence: str


Column = tuple[float | None, ...] | tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Columns that a chart shows; pages compute nothing.

    Attributes:
        name: Unique within the probe, such as "roc:loss".
        kind: Which chart draws it: "roc", "reliability", "groups", "exposure", "epsilon", "domains", "perturbations".
        columns: Equal-length columns by name.
        notes: Scalars the chart needs (limits, counts), by name.
    """

    name: str
    kind: str
    columns: Mapping[str, Column]
    notes: Mapping[str, float | str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"Series {self.name}: columns must have equal lengths; got {sorted(lengths)}")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A finding on a named arm, complete enough to stand alone.

    Attributes:
        name: The metric's name within its probe; with probe and slice it is addressed as "probe.name[slice]".
        probe: The probe's name.
        definition: The computation's identifier (`MetricSpec.definition`) with the probe's version.
        arm: The arm it was measured on.
        role: That arm's role.
        seed: The training seed, or None for the summary over all seeds of the arm.
        slice: The part of the rows, `ALL` for all.
        estimate: The value with its interval, or why there is none.
        ideal: See `MetricSpec`.
        unit: See `MetricSpec`; "rate difference" for what lies between two rates.
        coverage: Units asked, answered and missing.
        access: See `MetricSpec`.
        comparability: Hash of everything but the model that may change the number: probe, version, parameters,
            items; two metrics with different keys must not be compared.
    """

    name: str
    probe: str
    pillar: Pillar
    label: str
    definition: str
    arm: str
    role: Role
    seed: int | None
    slice: str
    estimate: Value
    ideal: float | None
    unit: str
    coverage: Coverage
    access: str
    comparability: str

    @property
    def metric_id(self) -> str:
        """`arm/probe.name[slice]`, with `@seed` where it speaks of one seed."""
        where = f"[{self.slice}]" if self.slice else ""
        seed = "" if self.seed is None else f"@{self.seed}"
        return f"{self.arm}{seed}/{self.probe}.{self.name}{where}"
