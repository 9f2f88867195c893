"""Whether clipping is exact on this model and this machine: the clipped sum against one made example by example.

Done once before a private training starts, with the training's own model, data and losses, on a few units. A unit that
is clipped wrongly, a parameter that is left out of the norm, a batch that is clipped as a whole, or a layer in which
examples touch each other all show as a difference.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from audit.training.bookkeeping import Bookkeeping
from audit.training.clipping import MARGIN, STABILITY, layers_of
from audit.training.setup import Setup
from audit.training.spec import Clipping

TOLERANCE = 1e-3
"""Largest relative error that rounding may make in single precision; a forgotten term makes hundredths."""

_OF_ITSELF, _OF_THE_WHOLE = 1e-2, 5e-6
"""What one parameter's gradient may be off by: a share of its own norm, and of the norm of the whole gradient, whose
rounding, 2e-7 of it as a rule, is much beside a small part. A forgotten parameter is off by all it has."""

_SHARE = 1e-5
"""What each parameter is clipped to when it is looked at alone, over the norm of a whole gradient."""

_UNITS, _EXAMPLES = 3, 4


class InexactClipping(ValueError):  # noqa: N818 - it says what is wrong with the gradients
    """A model whose gradients are not clipped exactly on this machine: training it would not be private."""


def clipping_error(setup: Setup, units: Iterable[Sequence[int]], clipping: Clipping) -> float | None:
    """Relative error of the clipped sum of a few units.

    The norm they are clipped to lies between their norms where these differ enough, so that some are clipped and some
    are not. Then each parameter is looked at alone, clipped by its own norm and hard: in the whole sum a bias that is
    left out of the norm, or is added up unclipped, is too small to be seen. Dropout is off.

    Args:
        setup: The training, its per-example gradients supported.
        units: The examples of each unit; of the first ones with a gradient, the first few are used.
        clipping: The training's way of clipping.

    Returns:
        The norm of the difference over the norm of the sum by ordinary autograd; None where every gradient is zero.

    Raises:
        InexactClipping: A parameter's own part is not clipped as it should be.
    """
    names, parameters = zip(*((n, p) for n, p in setup.model.named_parameters() if p.requires_grad), strict=True)
    together = layers_of(setup.model, clipping)
    groups = [together[id(parameter)] for parameter in parameters]
    was_training = setup.model.training
    setup.model.eval()
    try:
        chosen, alone = _with_a_gradient(setup, units, parameters)
        if not chosen:
            return None
        norm = sorted(map(_norm, alone))[len(alone) // 2]
        _check_each(setup, chosen, alone, dict(zip(names, parameters, strict=True)), _SHARE * norm)
        limit = 0.7 * norm
        ours = _sum(setup, chosen, Bookkeeping(setup.model, limit, clipping), parameters)
    finally:
        setup.model.train(was_training)
    clipped = [_clipped(each, groups, limit, clipping) for each in alone]
    expected = [torch.stack(parts).sum(dim=0) for parts in zip(*clipped, strict=True)]
    return _norm([a - b for a, b in zip(ours, expected, strict=True)]) / _norm(expected)


def _with_a_gradient(
    setup: Setup, units: Iterable[Sequence[int]], parameters: Sequence[nn.Parameter]
) -> tuple[list[list[int]], list[list[Tensor]]]:
    """The first few units whose gradient is not zero, and their gradients."""
    chosen, alone = [], []
    for unit in units:
        few = list(unit[:_EXAMPLES])
        gradient = _gradient(setup, few, parameters)
        if _norm(gradient) > 0:
            chosen.append(few)
            alone.append(gradient)
        if len(chosen) == _UNITS:
            break
    return chosen, alone


def _check_each(
    setup: Setup,
    units: Sequence[Sequence[int]],
    alone: Sequence[list[Tensor]],
    parameters: dict[str, nn.Parameter],
    share: float,
) -> None:
    """Refuse a model of which one parameter, clipped to `share` by its own norm, is not what autograd makes of it."""
    each = {id(parameter): place for place, parameter in enumerate(parameters.values())}
    books = Bookkeeping(setup.model, share * math.sqrt(len(each)), "per_layer", groups=each)
    ours = _sum(setup, units, books, list(parameters.values()))
    wholes = [_norm(gradient) for gradient in alone]
    for name, found, parts in zip(parameters, ours, zip(*alone, strict=True), strict=True):
        norms = [_norm([part]) for part in parts]
        factors = [min(1.0, share / (norm + MARGIN)) for norm in norms]
        right = torch.stack([part * factor for part, factor in zip(parts, factors, strict=True)]).sum(dim=0)
        error = _norm([found - right])
        allowed = (
            factor * (_OF_ITSELF * norm + _OF_THE_WHOLE * whole)
            for factor, norm, whole in zip(factors, norms, wholes, strict=True)
        )
        if error > sum(allowed):
            raise InexactClipping(
                f"gradients of {type(setup.model).__name__} are not clipped exactly here: the part of {name} is off by "
                f"{error / share:.2g} times what it is clipped to; train it without differential privacy"
            )


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
