"""The sections of the arms to compare, and of the controls that are made to leak."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import CoreSchema, core_schema

from audit.settings.sections.strict import Positive, Strict
from audit.settings.sections.training import Privacy, Training

TWIN = "-twin"
"""What the name of an arm's twin ends with."""


class _PartOf:
    """A mapping that is checked as a part of a section and kept as it was written."""

    def __init__(self, section: type[Strict]) -> None:
        self.section = section

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def as_written(section: Strict) -> dict[str, Any]:
            return section.model_dump(exclude_unset=True)

        return core_schema.no_info_after_validator_function(as_written, handler.generate_schema(self.section))


class Claims(Strict):
    """Differential privacy that is claimed of an arm and not accounted here."""

    epsilon: Annotated[float, Field(gt=0)]
    """The claimed epsilon."""
    delta: Annotated[float, Field(gt=0, lt=1)]
    """The claimed delta."""


class Arm(Strict):
    """One way of coming to a model."""

    role: Literal["candidate", "control"] | None = None
    """Could it be deployed, or is its answer known? Where silent: candidate; the base is a control."""
    source: Literal["trained", "base"] | None = None
    """Trained here, or the untouched model; where silent "base" for the arm of that name, else trained (or given)."""
    given: str | None = None
    """Folder of a model trained elsewhere. What needs a twin (membership, canaries, bounds) is not measured on it."""
    training: Annotated[dict[str, Any], _PartOf(Training), PlainSerializer(lambda part: part)] = {}
    """What differs from the `training` section (same keys)."""
    privacy: Privacy | None = None
    """Train it with differential privacy."""
    claims: Claims | None = None
    """For a given model or a control: what is claimed of it."""
    seeds: Positive = 1
    """How many training seeds; from three on, intervals speak of the recipe and not of one run."""


class Control(Strict):
    """A training that is made to leak, so that the report can show whether this battery would have found it.

    It is trained as twins are, canaries inside, and never deployed, compared or judged.
    """

    training: Annotated[dict[str, Any], _PartOf(Training), PlainSerializer(lambda part: part)] = {}
    """What differs from the control's own recipe (keys of `training`): where a model with a classification head is
    trained, the head alone, 100 epochs (20,000 steps at most) of AdamW at 1e-2; else as the `training` section says,
    three times as long."""


class Leaky(Control):
    """A training that learns its data by heart."""

    repetitions: Annotated[int, Field(ge=2)] = 16
    """How often each planted canary stands in its training data."""


class NoNoise(Control):
    """A training that clips as differential privacy does, adds no noise, and claims an epsilon all the same."""

    claims: Claims = Claims(epsilon=1.0, delta=1e-5)
    """What it claims and does not keep; where silent, epsilon 1 at delta 1e-5."""


def _on_where_empty(value: Any) -> Any:
    return {} if value is None else value  # "leaky:" with nothing after it


class Controls(Strict):
    """Trainings whose answer is known; one that is named is on."""

    leaky: Annotated[Leaky | None, BeforeValidator(_on_where_empty)] = None
    """A training that is too long, on canaries that are repeated: its membership and canaries must be found."""
    no_noise: Annotated[NoNoise | None, BeforeValidator(_on_where_empty)] = None
    """A private training without its noise: its claim must be refuted."""

    @model_serializer(mode="wrap")
    def _without_those_that_are_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: section for name, section in handler(self).items() if section is not None}

    def on(self) -> dict[str, Leaky | NoNoise]:
        """Those that are on, by name."""
        named = {"leaky": self.leaky, "no_noise": self.no_noise}
        return {name: section for name, section in named.items() if section is not None}
