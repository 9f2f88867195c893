"""One loop for every arm: draw, differentiate, step. What differs between arms is in the setup."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from audit.training.checkpoint import Checkpoint
from audit.training.randomness import derived_seed
from audit.training.setup import Setup, learning_rate
from audit.training.spec import Progress, TrainingResult
from audit.training.strategies import still_parts

_POINTS = 200
"""Points of the loss curve that are kept."""


@dataclass(kw_only=True)
class _Counted:
    """What is counted in training; plain values, so that a checkpoint can hold them.

    Attributes:
        losses: Mean loss of each step's examples, nats; None for an empty batch.
        batch_sizes: Units drawn in each step.
        examples: Examples computed in all steps.
        seconds: Time in the loop.
        resumed_at: Steps at which the training was continued.
    """

    losses: list[float | None] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    examples: int = 0
    seconds: float = 0.0
    resumed_at: list[int] = field(default_factory=list)


def fit(
    setup: Setup,
    *,
    checkpoint: Checkpoint | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Train a model, or continue where its checkpoint left it.

    Dropout is drawn from torch's own generator, which is seeded in each step from the training seed and the step; the
    caller's state of that generator is put back afterwards. Nothing is drawn from Python's or NumPy's.

    Args:
        setup: The model, ready to train; trained in place and left in evaluation mode.
        checkpoint: Where to write and find checkpoints; deleted at the end.
        on_progress: Called after every step.

    Raises:
        FloatingPointError: A loss or a gradient is not finite.
        ValueError: The checkpoint is damaged or belongs to another training.
    """
    counted = _continued(setup, checkpoint)
    device = setup.collate.device
    setup.model.train(setup.spec.dropout)
    for part in still_parts(setup.model, setup.spec.strategy):
        part.eval()
    started = time.monotonic() - counted.seconds
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(len(counted.losses), setup.steps):
            units = setup.draw(step)
            loss, examples = _step(setup, step, units)
            counted.losses.append(loss)
            counted.batch_sizes.append(len(units))
            counted.examples += examples
            counted.seconds = time.monotonic() - started
            if checkpoint is not None and checkpoint.is_due() and step + 1 < setup.steps:
                checkpoint.save(setup.model, setup.optimizer, _state(setup, counted))
            if on_progress is not None:
                on_progress(Progress(step=step + 1, steps=setup.steps, loss=loss))
    setup.model.eval()
    if checkpoint is not None:
        checkpoint.clear()
    return _result(setup, counted)


def _step(setup: Setup, step: int, units: Sequence[int]) -> tuple[float | None, int]:
    """One optimizer step on some units; returns the mean loss and the number of examples."""
    if setup.guarantee is not None:
        setup.guarantee.drew(units)
    given = [(unit,) if setup.contribute is None else setup.contribute(unit, step) for unit in units]
    torch.manual_seed(_dropout_seed(setup, step))
    for group in setup.optimizer.param_groups:
        group["lr"] = group["rate"] * learning_rate(setup.spec, step, setup.steps)
    total, examples = 0.0, sum(map(len, given))
    for part in _parts(given, setup):
        indices = [i for unit in part for i in unit]
        losses = setup.gradients.accumulate(partial(_losses, setup, indices, step), [len(u) for u in part], examples)
        total += float(losses.sum())
    if not torch.isfinite(torch.tensor(total)):
        raise FloatingPointError(f"the loss is not finite in step {step + 1}; lower the learning rate")
    setup.optimizer.step()
    setup.optimizer.zero_grad(set_to_none=True)
    return (total / examples if examples else None), examples


def _dropout_seed(setup: Setup, step: int) -> int:
    if setup.dropout_seed is not None:
        return setup.dropout_seed(step)
    return derived_seed(setup.seed, "dropout", step)


def _losses(setup: Setup, indices: Sequence[int], step: int) -> torch.Tensor:
    return setup.losses(setup.collate(indices, step))


def _parts(given: Sequence[Sequence[int]], setup: Setup) -> Iterator[list[Sequence[int]]]:
    """Micro-batches of whole units of like size and length, so that little is padded; one empty one for an empty batch.

    Units count as if each had as many examples as the largest beside it, which is what they cost. A unit of more
    examples than a micro-batch has one to itself: its gradient is known only when all of them are.
    """
    lengths = setup.collate.lengths
    ordered = sorted(given, key=lambda unit: (-len(unit), -max(lengths[i] for i in unit), unit[0]))
    part: list[Sequence[int]] = []
    for unit in ordered:
        if part and (len(part) + 1) * len(part[0]) > setup.micro_batch_size:
            yield part
            part = []
        part.append(unit)
    yield part


def _state(setup: Setup, counted: _Counted) -> dict[str, Any]:
    guarantee = None if setup.guarantee is None else setup.guarantee.state()
    return {**vars(counted), "guarantee": guarantee}


def _continued(setup: Setup, checkpoint: Checkpoint | None) -> _Counted:
    state = None if checkpoint is None else checkpoint.load(setup.model, setup.optimizer)
    if state is None:
        return _Counted()
    guarantee = state.pop("guarantee", None)
    counted = _Counted(**state)
    counted.resumed_at.append(len(counted.losses))
    if setup.guarantee is not None:
        setup.guarantee.restore(guarantee, len(counted.losses))
    return counted


def _result(setup: Setup, counted: _Counted) -> TrainingResult:
    examples = len(setup.collate.encoded)
    curve = [(step + 1, loss) for step, loss in enumerate(counted.losses) if loss is not None]
    last = [loss for loss in counted.losses[-max(1, setup.steps // 10) :] if loss is not None]
    return TrainingResult(
        steps=setup.steps,
        epochs=counted.examples / examples,
        examples=examples,
        batch_sizes=tuple(counted.batch_sizes),
        losses=tuple(_thinned(curve)),
        final_loss=sum(last) / len(last) if last else None,
        truncated=setup.collate.encoded.truncated,
        trainable=sum(p.numel() for p in setup.model.parameters() if p.requires_grad),
        frozen_untouched=None,
        resumed_at=tuple(counted.resumed_at),
        seconds=counted.seconds,
        privacy=None if setup.guarantee is None else setup.guarantee.result(),
    )


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Every k-th point and the last, so that few enough are left."""
    stride = -(-len(curve) // _POINTS) or 1
    return [point for i, point in enumerate(curve) if i % stride == 0 or i == len(curve) - 1]
