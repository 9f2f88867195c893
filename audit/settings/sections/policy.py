"""The section of the gates: conditions that are declared before anything is measured, and whose they are."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Tag, model_validator

from audit.settings.sections.strict import Strict, by_shape


class Gate(Strict):
    """A condition declared before anything is measured."""

    id: str
    """Name of the gate."""
    kind: Literal["bound", "noninferior", "no_regression"]
    """bound: the interval lies inside max or min. noninferior: the paired difference is shown to be no worse than the
    margin. no_regression: no evidence (after Holm within the family) that it is worse by more than the margin."""
    metric: str
    """"probe.metric" or "probe.metric[slice]"; the slice may be "*" for each slice."""
    arm: str | None = None
    """The arm judged; where silent, the one to be deployed. Privacy metrics are judged on its twin."""
    reference: str | None = None
    """For noninferior and no_regression: the arm it is compared with."""
    max: float | None = None
    """For bound: the largest acceptable value."""
    min: float | None = None
    """For bound: the smallest acceptable value."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """For noninferior and no_regression: the largest acceptable loss, in the metric's unit."""
    family: str | None = None
    """Gates judged together under Holm's correction; where silent, the pillar."""
    level: Literal["block", "warn"] = "block"
    """Whether a failure blocks the deployment."""
    owner: str | None = None
    """Who set the limit; where silent, the policy's owner."""
    source: str | None = None
    """Why this limit: a document, a decision, a measurement."""

    @model_validator(mode="after")
    def _limits_fit_the_kind(self) -> Self:
        if self.kind == "bound":
            if (self.max is None) == (self.min is None):
                raise ValueError("a bound needs either max or min")
            if self.margin is not None or self.reference is not None:
                raise ValueError("a bound has neither margin nor reference")
        else:
            if self.margin is None or self.reference is None:
                raise ValueError(f"{self.kind} needs a margin and a reference arm")
            if self.max is not None or self.min is not None:
                raise ValueError(f"{self.kind} has neither max nor min")
        return self


def _version(value: Any) -> str | None:
    return "=neither" if isinstance(value, float) else None  # 1.10 would be read as 1.1


Version = Annotated[
    Annotated[str, Tag("=text")] | Annotated[int, Tag("=number")],
    by_shape("must be a whole number, or text in quotes", _version),
]


class Policy(Strict):
    """The gates, and whose they are."""

    name: str
    """Name of the policy."""
    version: Version
    """Its version."""
    owner: str | None = None
    """Who answers for it; where silent, the report says that nobody is named."""
    reference: str | None = None
    """The arm that noninferior and no_regression compare with where they name none; without such an arm they are not
    judged."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Error rate of each family of gates."""
    correction: Literal["holm", "none"] = "holm"
    """Correction within a family."""
    on_inconclusive: Literal["warn", "fail"] = "warn"
    """Whether an inconclusive blocking gate fails the run (exit code 11)."""
    gates: Annotated[tuple[Gate, ...], Field(min_length=1, strict=False)]
    """The conditions."""

    @model_validator(mode="before")
    @classmethod
    def _compare_with_the_reference(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("reference"), str):
            return data
        gates = data.get("gates")
        if not isinstance(gates, list | tuple):
            return data
        return {**data, "gates": [_compared(gate, data["reference"]) for gate in gates]}


def _compared(gate: Any, reference: str) -> Any:
    """A gate that compares arms, with an arm to compare with."""
    is_silent = isinstance(gate, Mapping) and gate.get("kind") != "bound" and gate.get("reference") is None
    return {**gate, "reference": reference} if is_silent else gate


class PolicyInUse(Strict):
    """A policy that stands in a file, and what this audit says in its place."""

    policy: str
    """Path of its file, or the name of one that is shipped."""
    owner: str | None = None
    """Who answers for it here."""
    reference: str | None = None
    """The arm to compare with here."""
    on_inconclusive: Literal["warn", "fail"] | None = None
    """Whether an inconclusive blocking gate fails the run here."""


def _in_use(value: Any) -> str | None:
    return "=use" if isinstance(value, PolicyInUse) or (isinstance(value, Mapping) and "policy" in value) else None


Gates = Annotated[
    Annotated[Policy, Tag("=mapping")] | Annotated[PolicyInUse, Tag("=use")] | Annotated[str, Tag("=text")],
    by_shape("must be a policy, or the name or path of a file that holds one", _in_use),
]
