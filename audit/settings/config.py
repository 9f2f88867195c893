"""The one vocabulary of a config file: what may stand in it, what it means, and what holds where it is silent.

The JSON Schema that editors complete from is generated from these models (`audit schema config`) and committed.
Reading, line numbers and checks that need more than one key live in `reading` and `validate`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

WORLD = "world"
"""Name of the embedded tiny model."""

TWIN = "-twin"
"""What the name of an arm's twin ends with."""

Head = Literal["classifier", "causal", "masked"]
"""What a model answers with."""

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _as_text(value: Any) -> Any:
    # A class coded 0 and 1, or true and false, is written without quotes; labels are read and compared as text.
    return str(value).lower() if isinstance(value, int) else value


Name = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int | bool)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]


def _by_shape(rule: str, choose: Callable[[Any], str | None] | None = None) -> Discriminator:
    """Choose a branch of a union by the shape of what is written: a mistake gives one sentence, not one per branch.

    Tags start with "=", which no key does: they are taken out of the place that a mistake names.
    """

    def shape(value: Any) -> str | None:
        chosen = choose(value) if choose is not None else None
        if chosen is not None:
            return chosen
        if isinstance(value, Mapping | BaseModel):
            return "=mapping"
        if isinstance(value, str):
            return "=text"
        return "=number" if isinstance(value, int | float) and not isinstance(value, bool) else None

    return Discriminator(shape, custom_error_type="shape", custom_error_message=rule)


class Strict(BaseModel):
    """Frozen, no key but those declared, no type but those stated (no "3" for 3, no yes for true), no NaN."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_silent(cls, values: Any) -> Any:
        return {} if values is None else values  # "base:" with nothing after it


class Seeds(Strict):
    """One seed for each purpose, so that changing one moves nothing else."""

    coins: Annotated[int, Field(ge=0)] = 0
    """Seed of the audit's fair coins and canaries."""
    training: Seed = 0
    """First training seed; an arm with several seeds counts up from it."""
    probe: Seed = 0
    """Seed of every draw in the arithmetic (bootstrap, permutations)."""


class Pretraining(Strict):
    """How the tiny model of the embedded world is made from scratch."""

    texts: Positive = 10_000
    """Number of texts it is pre-trained on."""
    epochs: Positive = 3
    """Passes over them."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate (AdamW)."""
    batch_size: Positive = 32
    """Texts in a step."""


class Model(Strict):
    """The model that is fine-tuned: a hub name with a pinned revision, a folder, or the embedded world's own."""

    name: str
    """Hub name ("distilbert/distilbert-base-uncased"), a folder, or "world" for the embedded tiny model."""
    revision: str | None = None
    """Commit hash on the hub; a branch name is refused, for it may move."""
    tokenizer: str | None = None
    """Folder of the tokenizer, where it is not the model's own."""
    max_length: Annotated[int, Field(ge=4)] | None = None
    """Longest text in tokens; where silent, the model's context up to 512. Longer texts are cut and counted."""
    pretraining: Pretraining | None = None
    """For "world" only: how its tiny model is made."""


_PINNED = re.compile(r"(?P<name>\w[\w.-]*(?:/[\w.-]+)?)@(?P<revision>[^@]*)")


def model_by_name(value: Any) -> Any:
    """The model section that a mere name stands for: "name", or "name@commit" for a model on the hub."""
    if not isinstance(value, str):
        return value
    pinned = _PINNED.fullmatch(value)
    return pinned.groupdict() if pinned else {"name": value}


class Threshold(Strict):
    """Decide for one class from a probability on."""

    class_name: Name = Field(alias="class")
    """The class the threshold is about."""
    threshold: Share
    """The probability from which it is decided."""


Decision = Annotated[
    Annotated[Literal["argmax"], Tag("=text")] | Annotated[Threshold, Tag("=mapping")],
    _by_shape("must be argmax, or a mapping with class and threshold"),
]


class Task(Strict):
    """What the model is for."""

    kind: Literal["text-classification", "causal-lm", "masked-lm"] | None = None
    """Where silent: text-classification if the data name a label, else causal-lm."""
    classes: Names | None = None
    """Names of the classes in the order of the logits; where silent, the labels found, sorted."""
    decision: Decision = "argmax"
    """How class scores become a decision: the most likely class, or a threshold on one."""
    prompt: str | None = None
    """For a causal model that classifies by a word: the text around, such as "{text} verdict"."""
    label_words: dict[Name, str] | None = None
    """For a causal model that classifies by a word: class name to word."""


class World(Strict):
    """The embedded world: a small language with planted defects of known size, or a clean control without them."""

    planted: bool = True
    """Whether the defects are there; false makes the control world."""
    seed: Seed = 0
    """Seed of the world itself: its people, tickets and secrets."""
    core: Positive = 500
    """Tickets that are always trained on."""
    pool: Positive = 800
    """Tickets in the audit pool."""
    test: Positive = 800
    """Test tickets in each of the two domains."""


class Source(Strict):
    """Where rows come from: a local file or a data set on the hub."""

    file: str | None = None
    """CSV, JSONL or Parquet file, relative to the config file."""
    hub: str | None = None
    """Name of a data set on the hub."""
    revision: str | None = None
    """Commit hash of the hub data set."""
    subset: str | None = None
    """Configuration name of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    text: str | None = None
    """Column of the text; where silent, the training data's."""
    text_pair: str | None = None
    """Column of the second text, for pairs."""
    label: str | None = None
    """Column of the label."""
    label_names: dict[Name, Name] | None = None
    """The file's label to the class name; labels that are not named here are bad rows."""
    id: str | None = None
    """Column of an identifier; stored salted."""
    person: str | None = None
    """Column of the person a row belongs to; stored salted."""
    domain: str | None = None
    """Column of the domain; the training domain is its most frequent value unless `in_domain` names another."""
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns of protected attributes; a missing value is the group "unknown"."""
    limit: Positive | None = None
    """Read at most this many rows, drawn by seed 0: for trying out."""


class Canaries(Strict):
    """Canaries to plant in the twins, each by a fair coin of its own."""

    kind: Literal["random", "secret", "mislabelled"]
    """Random words, a templated secret, or a training-like text with a wrong label."""
    count: Positive
    """How many are made; about half of them are planted."""
    repetitions: Positive = 1
    """How often a planted one stands in the training data; bounds on epsilon use those planted once."""
    template: str | None = None
    """For "secret": the text around it, such as "the card of the customer is {secret}"."""
    secret: Literal["digits", "card", "phone", "key"] = "digits"
    """For "secret": what is drawn. Cards pass the Luhn check and use a test prefix."""
    digits: Annotated[int, Field(ge=2, le=32)] = 8
    """For "secret: digits": how many."""
    references: Positive = 1000
    """For "secret": how many never-planted secrets of the same form the rank is taken among."""


class NearDuplicates(Strict):
    """When two texts count as the same evidence."""

    threshold: Share = 0.8
    """Jaccard similarity of their word shingles from which they share a cluster."""
    boilerplate: Share = 0.2
    """Shingles that stand in more than this share of the texts are set aside first."""


HeldOut = Annotated[
    Annotated[Share, Tag("=number")] | Annotated[Source, Tag("=mapping")],
    _by_shape("must be a share between 0 and 1, or a mapping with file or hub"),
]


class Data(Source):
    """The training data, what is held out of them, and what is planted in the twins."""

    world: World | None = None
    """Use the embedded world instead of a file."""
    validation: HeldOut | None = None
    """Held-out share or a source of its own; where silent 0.1. Never trained on."""
    test: HeldOut | None = None
    """Held-out share or a source of its own; where silent 0.2. Never trained on."""
    domains: dict[str, Source] = {}
    """Other domains to be tested on, by name; a column not given is the training data's."""
    in_domain: str | None = None
    """With a domain column: its value in training; rows of other values are tested on, never trained on."""
    bad_rows: Literal["refuse", "skip"] = "refuse"
    """What to do with rows without text, with unknown labels, in a wrong encoding: stop, or leave out and count."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """How near-duplicates are found."""
    minimum_units: Positive = 100
    """Refuse to train on fewer independent units (clusters, or persons) than this."""
    pool: Positive | None = None
    """Size of the audit pool in clusters; where silent min(2,200, 20 % of them)."""
    canaries: Annotated[tuple[Canaries, ...], Field(strict=False)] = ()
    """What is planted in twins; where silent and a canary probe is on, 200 random ones planted once."""


class Lora(Strict):
    """Low-rank adaptation."""

    r: Positive = 8
    """Rank."""
    alpha: Positive = 16
    """Scale."""
    target_modules: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Names of the adapted layers; where silent the attention projections of the architecture."""


class Frozen(Strict):
    """Train all but the embeddings and the lowest layers."""

    frozen: Positive
    """How many of the lowest layers stay as they are."""


class LayerDecay(Strict):
    """Train everything, the lower layers slower."""

    layer_decay: Share
    """What the learning rate is multiplied by from each layer to the one below; the head has the full rate."""


class LoraStrategy(Strict):
    """Train adapters only."""

    lora: Lora
    """The adapters."""


def _strategy(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return next((f"={key}" for key in ("lora", "frozen", "layer_decay") if key in value), "=neither")
    tags = (Frozen, "=frozen"), (LayerDecay, "=layer_decay"), (LoraStrategy, "=lora")
    return next((tag for kind, tag in tags if isinstance(value, kind)), None)


Strategy = Annotated[
    Annotated[Literal["full", "head", "lora", "bitfit"], Tag("=text")]
    | Annotated[Frozen, Tag("=frozen")]
    | Annotated[LayerDecay, Tag("=layer_decay")]
    | Annotated[LoraStrategy, Tag("=lora")],
    _by_shape(
        "must be full, head, bitfit, lora, {frozen: layers}, {layer_decay: factor} or {lora: {r: …, alpha: …}}",
        _strategy,
    ),
]


class Training(Strict):
    """How an arm is trained. In an arm, only what differs from the `training` section need be given."""

    strategy: Strategy = "full"
    """What is trained: everything, the head, all but the lowest layers, adapters (lora), or biases and the head
    (bitfit)."""
    epochs: Annotated[float, Field(gt=0)] = 3.0
    """Passes over the data; with differential privacy, expected passes."""
    max_steps: Positive | None = None
    """Stop after this many steps even if the epochs are not over."""
    batch_size: Positive = 32
    """Examples in a step; with differential privacy, expected units (Poisson)."""
    micro_batch_size: Positive = 32
    """Examples computed at once; changes memory, not the result."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """Peak learning rate."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """That of a classifier's head, which is new and far from where it has to go; where silent, the same. With
    differential privacy a rate that moves the head is often too much for what noise does to the layers below."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay (decoupled)."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.06
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["linear", "constant"] = "linear"
    """Decay to zero, or none."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Clip the norm of the batch's gradient, for arms without differential privacy; null for none."""
    label_loss_weight: Annotated[float, Field(gt=0)] = 1.0
    """For a causal model that classifies by a word: the weight of that word in the loss."""
    dropout: bool = True
    """Whether the model's dropout is on in training."""


class Privacy(Strict):
    """Differential privacy of an arm's training (DP-SGD); give either epsilon or noise_multiplier."""

    epsilon: Annotated[float, Field(gt=0, le=100)] | None = None
    """Target epsilon; the noise is the least that keeps it by the PRV accountant. Above 100 it means nothing."""
    noise_multiplier: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the noise over the clipping norm."""
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Where silent, the power of ten below 1/(10 · units)."""
    unit: Literal["person", "example", "cluster"] | None = None
    """What is added or removed as a whole: a person with all examples, one example, or a cluster of near-duplicates.
    Where silent, the person where data.person names a column, else the example."""
    max_examples_per_unit: Positive = 10
    """Most examples of a unit that are computed in a step; of more, as many are drawn anew each time it is drawn."""
    public_n: Positive | None = None
    """A number of units that may be known and is fixed beforehand: sampling rate, number of steps and divisor follow
    from it; where silent, from the number in the data, which is then treated as known."""
    prior_trials: Annotated[int, Field(ge=0)] | None = None
    """How many trainings on these data came before and helped to choose this setting; where silent, not known."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Norm that each unit's gradient, the sum over its examples, is clipped to."""
    clipping: Literal["flat", "automatic", "per_layer"] = "flat"
    """How: the whole gradient where it is longer; the whole gradient always to about that norm, so that the norm need
    not be tuned; or each layer's part to an equal share."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give either epsilon or noise_multiplier, not both and not neither")
        return self


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
    _by_shape("must be a whole number, or text in quotes", _version),
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


class Compute(Strict):
    """How it is computed. `threads` can change the last digits of weights and is part of their identity."""

    threads: Positive = 2
    """Threads of the numerical libraries."""
    reproducible: bool = False
    """Derive differential privacy's noise from the seed: for tests and the demo; the noise is then not secret."""
    batch_tokens: Positive = 2048
    """Tokens computed at once when a model is asked."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """How often a training writes a checkpoint it can continue from."""


Gates = Annotated[
    Annotated[Policy, Tag("=mapping")] | Annotated[PolicyInUse, Tag("=use")] | Annotated[str, Tag("=text")],
    _by_shape("must be a policy, or the name or path of a file that holds one", _in_use),
]


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
