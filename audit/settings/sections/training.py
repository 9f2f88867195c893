"""The sections of training and of its differential privacy."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Tag, model_validator

from audit.settings.sections.strict import Positive, Share, Strict, by_shape


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
    by_shape(
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
