"""The one vocabulary of a config file: what may stand in it, what it means, and what holds where it is silent.

The JSON Schema that editors complete from is generated from these models (`audit schema config`) and committed.
Reading, line numbers and checks that need more than one key live in `reading` and `validate`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from audit.settings.sections.arms import Arm, Controls
from audit.settings.sections.data import Data
from audit.settings.sections.models import Head, Model, Task, model_by_name
from audit.settings.sections.policy import Gates
from audit.settings.sections.strict import Positive, Seed, Strict
from audit.settings.sections.training import Privacy, Training


class Seeds(Strict):
    """One seed for each purpose, so that changing one moves nothing else."""

    coins: Annotated[int, Field(ge=0)] = 0
    """Seed of the audit's fair coins and canaries."""
    training: Seed = 0
    """First training seed; an arm with several seeds counts up from it."""
    probe: Seed = 0
    """Seed of every draw in the arithmetic (bootstrap, permutations)."""


class Compute(Strict):
    """How it is computed. `threads` can change the last digits of weights and is part of their identity."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where models are trained and asked: the processor, or the GPU that PyTorch calls cuda, whose sums differ in their
    last digits and are part of the identity of what they make."""
    threads: Positive = 2
    """Threads of the numerical libraries."""
    reproducible: bool = False
    """Derive differential privacy's noise from the seed: for tests and the demo; the noise is then not secret."""
    batch_tokens: Positive = 2048
    """Tokens computed at once when a model is asked."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """How often a training writes a checkpoint it can continue from."""


def _probe_without_parameters(value: Any) -> Any:
    return {} if value is None else value


Parameters = Annotated[
    dict[str, Any], BeforeValidator(_probe_without_parameters, json_schema_input_type=dict[str, Any] | None)
]


_OF_A_HEAD: dict[str, Any] = {
    "strategy": "head",
    "epochs": 100.0,
    "max_steps": 20_000,
    "optimizer": "adamw",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "learning_rate": 1e-2,
    "head_learning_rate": None,
    "dropout": False,
}
"""What makes the head of a classifier learn its training data by heart, as far as the frozen body lets it."""


class AuditConfig(Strict):
    """A whole audit: the model, the data, the arms, what is asked of them, and what must hold."""

    title: str | None = None
    """Name of the audit; where silent, the file's name."""
    model: Annotated[Model, BeforeValidator(model_by_name, json_schema_input_type=Model | str)]
    """The model that is fine-tuned; a name alone will do: a folder, or "name@commit" on the hub."""
    task: Task = Task()
    """What it is for."""
    data: Data
    """What it is trained and tested on."""
    training: Training = Training()
    """How arms are trained, unless an arm says otherwise."""
    arms: Annotated[dict[str, Arm], Field(min_length=1)] = {
        "base": Arm(),
        "standard": Arm(),
        "dp": Arm(privacy=Privacy(epsilon=8.0)),
    }
    """The models to compare, by name; "base" is the untouched one."""
    controls: Controls = Controls()
    """Trainings that are made to leak, to show that the privacy probes would find it."""
    deploy: str | None = None
    """The arm that the gates judge and the headline speaks of."""
    probes: dict[str, Parameters] | None = None
    """What is asked, by probe name, with its parameters; where silent, all that fit task and data."""
    gates: Gates | None = None
    """The policy; or the path of a file that holds one, or the name of one that is shipped, alone or as "policy:" with
    the owner and the arm to compare with."""
    seeds: Seeds = Seeds()
    """Seeds by purpose."""
    compute: Compute = Compute()
    """How it is computed."""

    @property
    def base_model(self) -> Model:
        """The model section."""
        return self.model

    @property
    def kind(self) -> Literal["text-classification", "causal-lm", "masked-lm"]:
        """The task's kind, inferred where the file is silent."""
        if self.task.kind is not None:
            return self.task.kind
        return "text-classification" if self.data.label or self.data.world else "causal-lm"

    @property
    def head(self) -> Head:
        """The head that the arms answer with: a causal model may classify by the log-probability of a label word."""
        if self.kind == "text-classification":
            return "causal" if self.task.label_words else "classifier"
        return "causal" if self.kind == "causal-lm" else "masked"

    def training_of(self, arm: str) -> Training:
        """The training section with the arm's own settings over it."""
        return Training.model_validate({**self.training.model_dump(), **self.arms[arm].training})

    def training_of_control(self, name: str) -> Training:
        """The recipe of a control that is on: of a head alone where there is one, since that is cheap."""
        shared = self.training
        longer: dict[str, Any] = {"epochs": 3 * shared.epochs, "max_steps": None}
        recipe = _OF_A_HEAD if self.head == "classifier" else longer
        return Training.model_validate({**shared.model_dump(), **recipe, **self.controls.on()[name].training})

    def privacy_of(self, arm: str) -> Privacy | None:
        """An arm's differential privacy, with its unit inferred where the file is silent."""
        privacy = self.arms[arm].privacy
        if privacy is None or privacy.unit is not None:
            return privacy
        return privacy.model_copy(update={"unit": "example" if self.data.person is None else "person"})

    def source_of(self, arm: str) -> Literal["trained", "given", "base"]:
        """Where an arm's weights come from, inferred where the file is silent."""
        section = self.arms[arm]
        return "given" if section.given else section.source or ("base" if arm == "base" else "trained")

    def role_of(self, arm: str) -> Literal["candidate", "control"]:
        """An arm's role, inferred where the file is silent."""
        return self.arms[arm].role or ("control" if self.source_of(arm) == "base" else "candidate")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config file, by which editors complete and explain keys."""
    schema = AuditConfig.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Configuration of an audit"}
