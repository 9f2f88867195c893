"""A model ready to train: what is drawn, how its gradients are made, who takes the step.

Every arm goes through the same loop; what tells a private arm from a standard one stands here as a value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from audit.training.collate import Batch, Collator
from audit.training.heads import inputs_of_head, output_head
from audit.training.losses import causal_losses, classification_losses, masked_losses
from audit.training.randomness import derived_seed
from audit.training.spec import PrivacyResult, TrainingSpec
from audit.training.strategies import head_of, rates

_FUSED = frozenset({"cpu", "cuda", "mps"})


class Gradients(Protocol):
    """How the gradient of a logical batch is made from its micro-batches."""

    def accumulate(self, compute_losses: Callable[[], Tensor], counts: Sequence[int], logical_size: int) -> Tensor:
        """Run one micro-batch forward and back.

        Args:
            compute_losses: Runs the model; returns one loss per example, shape (B,), nats.
            counts: How many of its examples, in their order, make each unit, shape (U,), with sum B; empty only for an
                empty Poisson batch, and then nothing is run.
            logical_size: Number of examples of the whole logical batch.

        Returns:
            The losses, detached.
        """


class Guarantee(Protocol):
    """What a private training keeps, counted as it goes."""

    def drew(self, units: Sequence[int]) -> None:
        """A step is about to be taken on these units."""

    def state(self) -> dict[str, Any]:
        """Plain JSON to continue with."""

    def restore(self, state: dict[str, Any] | None, step: int) -> None:
        """Continue at `step`; a state that is missing or does not tell of `step` steps makes epsilon unknown."""

    def result(self) -> PrivacyResult:
        """What has been kept so far."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A model ready to train.

    Attributes:
        model: The model, `requires_grad` set.
        optimizer: Takes the step.
        gradients: Makes the gradients.
        draw: The units of a step's logical batch, by number; in a training without privacy, its examples.
        collate: The batch of some examples in a step.
        spec: The recipe.
        steps: Number of steps.
        micro_batch_size: Examples computed at once.
        seed: Training seed.
        output_head: The layer over the vocabulary, where the loss can score the labelled positions itself.
        contribute: The examples that a unit gives to a step; None where each example is a unit of its own.
        dropout_seed: Seed of a step's dropout masks; None for one that follows from the training seed.
        guarantee: What is kept, for a private training.
    """

    model: nn.Module
    optimizer: Optimizer
    gradients: Gradients
    draw: Callable[[int], Sequence[int]]
    collate: Collator
    spec: TrainingSpec
    steps: int
    micro_batch_size: int
    seed: int
    output_head: nn.Linear | None = None
    contribute: Callable[[int, int], Sequence[int]] | None = None
    dropout_seed: Callable[[int], int] | None = None
    guarantee: Guarantee | None = None

    def losses(self, batch: Batch) -> Tensor:
        """One loss per example of a batch, shape (B,), nats."""
        if self.output_head is None:
            outputs = self.model(**batch.inputs).logits
        else:
            outputs = inputs_of_head(self.model, self.output_head, batch.inputs)
        if self.spec.head == "classifier":
            return classification_losses(outputs, batch.labels)
        losses = causal_losses if self.spec.head == "causal" else masked_losses
        return losses(outputs, batch.labels, batch.weights, self.output_head)


class StandardGradients:
    """The gradient of the mean loss over the logical batch; see `Gradients`."""

    def accumulate(self, compute_losses: Callable[[], Tensor], counts: Sequence[int], logical_size: int) -> Tensor:
        """See `Gradients`."""
        del counts
        losses = compute_losses()
        torch.autograd.backward(losses.sum() / logical_size)
        return losses.detach()


class ShuffledDraws:
    """Every example once in an epoch, in an order that follows from the seed and the epoch.

    Args:
        examples: Number of examples N.
        batch_size: Examples in a step; the last step of an epoch has what is left.
        seed: Training seed.
    """

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.steps_per_epoch = -(-examples // batch_size)
        self._order: tuple[int, list[int]] = (-1, [])

    def __call__(self, step: int) -> list[int]:
        """The batch of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "shuffle", epoch))
            self._order = (epoch, torch.randperm(self.examples, generator=generator).tolist())
        return self._order[1][place * self.batch_size : (place + 1) * self.batch_size]


def standard_setup(model: nn.Module, collate: Collator, spec: TrainingSpec, seed: int) -> Setup:
    """The setup of an arm without differential privacy."""
    draw = ShuffledDraws(len(collate.encoded), spec.batch_size, seed)
    steps = max(1, round(spec.epochs * draw.steps_per_epoch))
    optimizer = make_optimizer(model, spec)
    if spec.max_grad_norm is not None:
        _clip_batches(optimizer, spec.max_grad_norm)
    return Setup(
        model=model,
        optimizer=optimizer,
        gradients=StandardGradients(),
        draw=draw,
        collate=collate,
        spec=spec,
        steps=steps if spec.max_steps is None else min(steps, spec.max_steps),
        micro_batch_size=spec.micro_batch_size,
        seed=seed,
        output_head=None if spec.head == "classifier" else output_head(model, collate.any_input()),
    )


def make_optimizer(model: nn.Module, spec: TrainingSpec) -> Optimizer:
    """The optimizer of the trainable parameters; matrices decay, biases and normalization do not.

    A group's "rate" is the share of the learning rate that it is trained at.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    found = rates(model, spec.strategy)
    if spec.head_learning_rate is not None:
        found |= {id(p): spec.head_learning_rate / spec.learning_rate for p in head_of(model)}
    groups = []
    for rate in sorted({found.get(id(p), 1.0) for p in trainable}, reverse=True):
        alike = [p for p in trainable if found.get(id(p), 1.0) == rate]
        groups += [
            {"params": [p for p in alike if p.dim() >= 2], "weight_decay": spec.weight_decay, "rate": rate},
            {"params": [p for p in alike if p.dim() < 2], "weight_decay": 0.0, "rate": rate},
        ]
    fused = all(p.device.type in _FUSED for p in trainable)
    if spec.optimizer == "sgd":
        return SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, fused=fused)
    return AdamW(groups, lr=spec.learning_rate, fused=fused)


def _clip_batches(optimizer: Optimizer, max_grad_norm: float) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def clip(*_: Any) -> None:
        nn.utils.clip_grad_norm_(parameters, max_grad_norm)

    optimizer.register_step_pre_hook(clip)


def learning_rate(spec: TrainingSpec, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0: linear rise over the warm-up, then decay to 0 or none."""
    warmup = round(spec.warmup_fraction * steps)
    if step < warmup:
        return spec.learning_rate * (step + 1) / warmup
    if spec.schedule == "constant":
        return spec.learning_rate
    return spec.learning_rate * (steps - step) / max(1, steps - warmup)
