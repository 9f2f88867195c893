"""By what a unit's gradient is multiplied before it is added up, so that no unit moves the sum by more than the norm.

- `flat`: the whole gradient g by min(1, R / ‖g‖). Abadi et al. (2016), https://arxiv.org/abs/1607.00133, section 3.1.
- `automatic`: the whole gradient by R / (‖g‖ + 0.01), so that short gradients are made longer too and R need not be
  tuned. Bu et al. (2023), https://arxiv.org/abs/2206.07136, algorithm 1 (AUTO-S, there with R = 1).
- `per_layer`: the gradient of each of K layers to R / √K; the whole is then at most R. McMahan et al. (2018),
  https://arxiv.org/abs/1710.06963 (per-layer clipping).

All three bound the norm of what a unit adds by R, so noise and accounting are the same.
"""

import math

import torch
from torch import Tensor, nn

from audit.training.spec import Clipping

MARGIN = 1e-6
"""Added to the norm before dividing, as Opacus does: rounding cannot make a clipped gradient longer than the limit."""

STABILITY = 0.01
"""What keeps a gradient of nearly zero from being blown up (gamma of AUTO-S)."""


def layers_of(model: nn.Module, clipping: Clipping) -> dict[int, int]:
    """Which trained parameters are clipped together: number of the group by the parameter's identity.

    A layer is the module that holds the parameters; one that several modules share belongs to the first.
    """
    groups: dict[int, int] = {}
    for module in model.modules():
        fresh = [p for p in module.parameters(recurse=False) if p.requires_grad and id(p) not in groups]
        number = len(set(groups.values())) if clipping == "per_layer" else 0
        groups.update({id(p): number for p in fresh})
    return groups


def clipping_factors(squared: Tensor, max_grad_norm: float, clipping: Clipping) -> Tensor:
    """What each group's part of each unit's gradient is multiplied by.

    Args:
        squared: Squared norms, shape (K, U), of K groups of parameters and U units.
        max_grad_norm: The norm R that bounds what a unit adds to the sum.
        clipping: The rule.

    Returns:
        Shape (K, U), not negative. A gradient of zero stays zero.
    """
    norms = squared.sqrt()
    if clipping == "automatic":
        return max_grad_norm / (norms + STABILITY)
    limit = max_grad_norm / math.sqrt(len(squared))
    return torch.clamp(limit / (norms + MARGIN), max=1.0)
