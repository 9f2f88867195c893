"""What a training is told, and what it tells back: plain frozen values that need no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Task = Literal["text-classification", "causal-lm", "masked-lm"]
Head = Literal["classifier", "causal", "masked"]
Clipping = Literal["flat", "automatic", "per_layer"]
"""How the norm of what a unit adds is bounded; see `audit.training.clipping`."""
Unit = Literal["example", "person", "cluster"]
"""What one unit of privacy is: an example, a person's examples, or a cluster of near-duplicates."""

_HEADS: dict[Task, tuple[Head, ...]] = {
    "text-classification": ("classifier", "causal"),
    "causal-lm": ("causal",),
    "masked-lm": ("masked",),
}


@dataclass(frozen=True, kw_only=True)
class Full:
    """Train every parameter."""


@dataclass(frozen=True, kw_only=True)
class HeadOnly:
    """Train what stands above the transformer's layers and shares nothing with them."""


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Train all but the embeddings and the lowest layers.

    Attributes:
        layers: How many of the lowest layers stay as they are; 0 freezes the embeddings only.
    """

    layers: int

    def __post_init__(self) -> None:
        if self.layers < 0:
            raise ValueError(f"layers must be at least 0; got {self.layers}")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Train low-rank adapters of some layers, and the head; the adapters are merged into the weights at the end.

    Attributes:
        r: Rank.
        alpha: Scale; the adapter's output is multiplied by alpha / r.
        target_modules: Names of the adapted layers; None for the attention projections of the architecture.

    Source: Hu et al. (2021), https://arxiv.org/abs/2106.09685, section 4.1.
    """

    r: int = 8
    alpha: int = 16
    target_modules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _positive(r=self.r, alpha=self.alpha)


@dataclass(frozen=True, kw_only=True)
class LayerDecay:
    """Train every parameter, the lower the slower; the head, and what stands above the layers, at the full rate.

    The highest layer has the learning rate times `factor`, the next one times `factor` again, and so on down to the
    embeddings. Layers that share their weights are one layer.

    Attributes:
        factor: In (0, 1].

    Source: Howard and Ruder (2018), https://arxiv.org/abs/1801.06146, section 3.2 (there 1 / 2.6).
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1:
            raise ValueError(f"factor must lie in (0, 1]; got {self.factor}")


@dataclass(frozen=True, kw_only=True)
class BitFit:
    """Train the biases, and the head where it is new.

    Source: Ben Zaken et al. (2022), https://arxiv.org/abs/2106.10199, section 3.
    """


Strategy = Full | HeadOnly | Frozen | Lora | LayerDecay | BitFit


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What is trained on, in a fixed order; one entry is one example.

    Attributes:
        texts: N texts.
        pairs: Their second halves, or None.
        labels: Class indices, or None where the task has no classes.
        units: The privacy unit that each example belongs to, such as its person's pseudonym; None where each example
            is a unit of its own.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None = None
    labels: Sequence[int] | None = None
    units: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, column in (("pairs", self.pairs), ("labels", self.labels), ("units", self.units)):
            if column is not None and len(column) != len(self.texts):
                raise ValueError(f"{name} must be as many as texts; got {len(column)} and {len(self.texts)}")
        if not len(self.texts):
            raise ValueError("training needs at least one example; got none")

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """A training recipe; the same for private and standard arms.

    Attributes:
        task: What is learned.
        head: What the model answers with; a causal model classifies by the word it puts after a prompt.
        prompt: Template with `{text}` (and `{text_pair}`) for a causal model that classifies; ends in words of its own.
        label_words: The classes' words in their order, for the same.
        label_loss_weight: How much the label word's tokens count in the mean over an example's tokens, others being 1.
        epochs: Passes over the data; expected passes under Poisson sampling.
        max_steps: Most steps, however many epochs that is; None for no such limit.
        batch_size: Examples in a step; expected examples under Poisson sampling.
        micro_batch_size: Examples computed at once; changes memory and time, not what is computed.
        learning_rate: Peak learning rate.
        head_learning_rate: That of a classification head, which is new and far from where it has to go; None for the
            same.
        optimizer: AdamW, or stochastic gradient descent.
        momentum: Of stochastic gradient descent.
        weight_decay: Decoupled for AdamW; matrices only, biases and normalization are not decayed.
        warmup_fraction: Share of the steps in which the learning rate rises linearly from 0.
        schedule: Linear decay to 0 after that, or none.
        max_length: Most tokens of an example, those that the tokenizer adds included.
        strategy: Which parameters are trained.
        max_grad_norm: Clip the norm of the batch's mean gradient, in arms without differential privacy; None for not.
        dropout: Whether the model's dropout is on while training.
    """

    task: Task
    head: Head
    max_length: int
    prompt: str | None = None
    label_words: tuple[str, ...] | None = None
    label_loss_weight: float = 1.0
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 32
    micro_batch_size: int = 32
    learning_rate: float = 5e-5
    head_learning_rate: float | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.0
    weight_decay: float = 0.0
    warmup_fraction: float = 0.06
    schedule: Literal["linear", "constant"] = "linear"
    strategy: Strategy = field(default_factory=Full)
    max_grad_norm: float | None = 1.0
    dropout: bool = True

    def __post_init__(self) -> None:
        if self.head not in _HEADS[self.task]:
            raise ValueError(f"task {self.task} needs a head among {_HEADS[self.task]}; got {self.head!r}")
        if self.classifies_by_word and (self.prompt is None or self.label_words is None):
            raise ValueError("a causal model that classifies needs prompt and label_words; got neither or only one")
        if self.optimizer == "adamw" and self.momentum:
            raise ValueError(f"momentum belongs to optimizer sgd; got {self.momentum} with adamw")
        _positive(
            epochs=self.epochs,
            max_steps=self.max_steps,
            batch_size=self.batch_size,
            micro_batch_size=self.micro_batch_size,
            learning_rate=self.learning_rate,
            head_learning_rate=self.head_learning_rate,
            max_length=self.max_length,
            label_loss_weight=self.label_loss_weight,
            max_grad_norm=self.max_grad_norm,
        )
        _share(momentum=self.momentum, warmup_fraction=self.warmup_fraction)
        if self.head_learning_rate is not None and self.head != "classifier":
            raise ValueError(f"head_learning_rate is for a classification head; got {self.head_learning_rate}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative; got {self.weight_decay}")

    @property
    def classifies_by_word(self) -> bool:
        """Whether the classes are told by words of a causal model."""
        return self.task == "text-classification" and self.head == "causal"


@dataclass(frozen=True, kw_only=True)
class PrivacySpec:
    """Differential privacy of a training (DP-SGD with Poisson sampling): a whole unit is added or removed.

    Attributes:
        epsilon: Target; the noise is the least that keeps it by the PRV accountant. Give this or `noise_multiplier`.
        noise_multiplier: Standard deviation of the noise over `max_grad_norm`; 0 clips without noise and keeps nothing.
        delta: The delta that epsilon is stated at; at most 1 / (10 N).
        unit: What one unit is, for messages; which examples make one is told by `Examples.units`.
        max_examples_per_unit: Most examples of a unit that are computed in a step; of more, as many are drawn without
            replacement, anew in each step. It bounds time and memory: the guarantee rests on the clipping alone.
        max_grad_norm: Norm that the sum of the gradients of a unit's examples is clipped to.
        clipping: How; see `audit.training.clipping`.
        expected_batch_size: Expected units in a step, and the divisor of the noised sum; None for the recipe's
            batch size. Fixed before training.
        physical_batch_size: Examples computed at once; None for the recipe's micro-batch size.
        dataset_size: A declared, public N from which rate and number of steps follow; None for the number of
            units, which is then treated as public.
        reproducible_seed: Derive noise and draws from this seed, for tests and demonstrations: they are then not
            secret, and the guarantee holds only against those who do not know the seed. None for secret ones.
    """

    delta: float
    epsilon: float | None = None
    noise_multiplier: float | None = None
    unit: Unit = "example"
    max_examples_per_unit: int = 10
    max_grad_norm: float = 1.0
    clipping: Clipping = "flat"
    expected_batch_size: int | None = None
    physical_batch_size: int | None = None
    dataset_size: int | None = None
    reproducible_seed: int | None = None

    def __post_init__(self) -> None:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give either epsilon or noise_multiplier, not both and not neither")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie in (0, 1); got {self.delta}")
        if self.noise_multiplier is not None and self.noise_multiplier < 0:
            raise ValueError(f"noise_multiplier must not be negative; got {self.noise_multiplier}")
        _positive(
            epsilon=self.epsilon,
            max_examples_per_unit=self.max_examples_per_unit,
            max_grad_norm=self.max_grad_norm,
            expected_batch_size=self.expected_batch_size,
            physical_batch_size=self.physical_batch_size,
            dataset_size=self.dataset_size,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        loss: Mean loss of the last step's examples, nats; None for an empty Poisson batch.
    """

    step: int
    steps: int
    loss: float | None

    @property
    def share(self) -> float:
        """Share done, in (0, 1]."""
        return self.step / self.steps


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How often each unit was drawn in a stretch of steps, without saying which: every number of draws is counted.

    Attributes:
        steps: Number of steps.
        counts: (draws, number of units that were drawn so often), the units never drawn among them.
    """

    steps: int
    counts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class NoiseSeen:
    """What the noise that was really added looked like, from some values of every parameter in every step.

    Attributes:
        variates: How many were looked at.
        ratio: Their root mean square over the standard deviation that is accounted.
        p: Probability that honest noise strays so far, over all variates or in any one parameter.
    """

    variates: int
    ratio: float
    p: float


@dataclass(frozen=True, kw_only=True)
class PrivacyResult:
    """What a private training did, and what it keeps.

    Attributes:
        noise_multiplier: Standard deviation of the noise over `max_grad_norm`.
        max_grad_norm: Norm each unit's gradient was clipped to.
        sample_rate: Probability with which a unit was drawn in a step.
        steps: Number of steps that the accountant knows of.
        noised_steps: Number of steps in which noise was added.
        delta: The delta that the epsilons are stated at.
        unit: What one unit is.
        units: Number of units that were drawn from.
        largest_unit: Most examples of one unit.
        max_examples_per_unit: Most of them that were computed in a step.
        expected_batch_size: Divisor of the noised sums.
        dataset_size: The N from which rate and steps followed.
        dataset_size_is_public: Whether it was declared, rather than counted in the training data.
        epsilons: By accountant: "prv", "pld", "rdp"; None where unknown.
        epsilon_unknown: Why there are no epsilons, or None.
        secret_noise: Whether noise and draws came from the operating system's randomness.
        clipped_share: Share of the drawn units whose gradient was shortened; None if none was drawn.
        clipping_error: Relative error of the clipped sum of some units against one computed example by example before
            training; None where their gradients are zero.
        drawn: The draws, in stretches between which the training was interrupted.
        noise: The noise, None where none was to be added.
    """

    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    noised_steps: int
    delta: float
    unit: Unit
    units: int
    largest_unit: int
    max_examples_per_unit: int
    expected_batch_size: int
    dataset_size: int
    dataset_size_is_public: bool
    epsilons: dict[str, float] | None
    epsilon_unknown: str | None
    secret_noise: bool
    clipped_share: float | None
    clipping_error: float | None
    drawn: tuple[Drawn, ...]
    noise: NoiseSeen | None

    @property
    def epsilon(self) -> float | None:
        """By the PRV accountant, an upper bound; None where it is unknown."""
        return None if self.epsilons is None else self.epsilons.get("prv")


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training did. Losses and batch sizes are computed from the training data and not covered by epsilon.

    Attributes:
        steps: Optimizer steps.
        epochs: Examples drawn over examples there are.
        examples: Number of training examples.
        batch_sizes: Units drawn in each step: examples, or with differential privacy what its unit is.
        losses: (step, mean loss of that step's examples in nats), thinned to a few hundred; empty steps are left out.
        final_loss: Mean over the last tenth of the steps, nats; None if no example was drawn in them.
        truncated: Examples cut to the longest length.
        trainable: Number of trained parameters.
        frozen_untouched: Whether the frozen parameters are the same bytes as before; None where none was frozen.
        resumed_at: Steps at which a killed training was continued.
        seconds: Time in the loop, over all its parts.
        privacy: What the training keeps, for a private one.
    """

    steps: int
    epochs: float
    examples: int
    batch_sizes: tuple[int, ...]
    losses: tuple[tuple[int, float], ...]
    final_loss: float | None
    truncated: int
    trainable: int
    frozen_untouched: bool | None
    resumed_at: tuple[int, ...]
    seconds: float
    privacy: PrivacyResult | None


def _positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive; got {value}")


def _share(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1); got {value}")
