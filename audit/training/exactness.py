"""Whether clipping is exact on this model and this machine: the clipped sum against one made example by example.

Done once before a private training starts, with the training's own model, data and losses, on a few units. A unit that
is clipped wrongly, a parameter that is left out of the norm, a batch that is clipped as a whole, or a layer in which
examples touch each other all show as a difference.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audit.training.bookkeeping import Bookkeeping
from audit.training.clipping import STABILITY, layers_of
from audit.training.setup import Setup
from audit.training.spec import Clipping

TOLERANCE = 1e-3
"""Largest relative error that rounding may make in single precision; a forgotten term makes hundredths."""

_UNITS, _EXAMPLES = 3, 4


class InexactClipping(ValueError):  # noqa: N818 - it says what is wrong with the gradients
    """A model whose gradients are not clipped exactly on this machine: training it would not be private."""


def clipping_error(setup: Setup, units: Sequence[Sequence[int]], clipping: Clipping) -> float | None:
    """Relative error of the clipped sum of the first few units.

    The norm they are clipped to lies between their norms, so that some are clipped and some are not. Dropout is off.

    Args:
        setup: The training, its per-example gradients supported.
        units: The examples of each unit; of the first ones, the first few are used.
        clipping: The training's way of clipping.

    Returns:
        The norm of the difference over the norm of the sum by ordinary autograd; None where every gradient is zero.
    """
    chosen = [list(unit[:_EXAMPLES]) for unit in units[:_UNITS]]
    parameters = [p for p in setup.model.parameters() if p.requires_grad]
    together = layers_of(setup.model, clipping)
    groups = [together[id(parameter)] for parameter in parameters]
    was_training = setup.model.training
    setup.model.eval()
    try:
        alone = [_gradient(setup, unit, parameters) for unit in chosen]
        norms = sorted(_norm(each) for each in alone)
        limit = 0.99 * norms[len(norms) // 2]
        if limit == 0:
            return None
        ours = _sum(setup, chosen, Bookkeeping(setup.model, limit, clipping), parameters)
    finally:
        setup.model.train(was_training)
    clipped = [_clipped(each, groups, limit, clipping) for each in alone]
    expected = [torch.stack(parts).sum(dim=0) for parts in zip(*clipped, strict=True)]
    return _norm([a - b for a, b in zip(ours, expected, strict=True)]) / _norm(expected)


def _clipped(gradient: list[Tensor], groups: Sequence[int], limit: float, clipping: Clipping) -> list[Tensor]:
    """One unit's gradient, clipped by the formulas of `audit.training.clipping` written out for it alone."""
    members = {group: [g for g, its in zip(gradient, groups, strict=True) if its == group] for group in groups}
    norms = {group: _norm(parts) for group, parts in members.items()}
    if clipping == "automatic":
        factors = {group: limit / (norm + STABILITY) for group, norm in norms.items()}
    else:
        share = limit / math.sqrt(1 + max(groups))
        factors = {group: min(1.0, share / norm) if norm else 1.0 for group, norm in norms.items()}
    return [g * factors[group] for g, group in zip(gradient, groups, strict=True)]


def _gradient(setup: Setup, unit: Sequence[int], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The sum of the gradients of a unit's examples, each by ordinary autograd in a batch of its own."""
    for example in unit:
        torch.autograd.backward(setup.losses(setup.collate([example], 0)).sum())
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found


def _sum(
    setup: Setup, units: Sequence[Sequence[int]], books: Bookkeeping, parameters: Sequence[nn.Parameter]
) -> list[Tensor]:
    rows = [i for unit in units for i in unit]
    books.accumulate(lambda: setup.losses(setup.collate(rows, 0)), len(rows), [len(unit) for unit in units])
    sums = [p.summed_grad for p in parameters]  # type: ignore[attr-defined]
    for parameter in parameters:
        parameter.summed_grad = None  # type: ignore[attr-defined]
    return sums


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(t.square().sum()) for t in tensors))
