"""Gram matrices of each example's positions: what the norm of a gradient is read off, without making the gradient.

A gradient Σ_t g_t x_tᵀ has the squared norm Σ_{s,t} (g_s · g_t)(x_s · x_t): the inner product of two T × T matrices.
Both are symmetric, so their lower triangle is enough; it is made in bands of rows. Layers that read the same input
(query, key and value; gate and up) share its matrix.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

Gram = list[Tensor]
"""Bands of rows of a lower triangle, the k-th of shape (B, rows of the band, rows so far)."""

_SMALLEST_BAND, _LARGEST_BAND = 32, 128
"""Rows of a band: thinner ones multiply too slowly, thicker ones compute too much twice.

Measured on one CPU thread at T = 32 to 512 and widths 384 to 3072: 0.85 of the time of the full square at T = 64 and
128, 0.67 at 512.
"""


def gram(factors: Tensor) -> Gram:
    """The inner products of each example's positions with one another.

    Args:
        factors: Shape (B, T, n).
    """
    positions = factors.shape[1]
    band = band_of(positions)
    return [
        torch.bmm(factors[:, start : start + band], factors[:, : start + band].transpose(1, 2))
        for start in range(0, positions, band)
    ]


def inner_product(one: Gram, other: Gram) -> Tensor:
    """Inner product of two Gram matrices of the same positions, as whole squares, shape (B,)."""
    total = one[0].new_zeros(len(one[0]))
    start = 0
    for a, b in zip(one, other, strict=True):
        products = a * b  # (B, rows, start + rows)
        total += products[..., start:].sum(dim=(1, 2))
        if start:
            total += 2 * products[..., :start].sum(dim=(1, 2))  # what lies left of the square lies above it too
        start = a.shape[2]
    return total


def reach(one: Gram, other: Gram) -> Tensor:
    """How long the gradient could be, if nothing in it cancelled: Σ_t ‖g_t‖ ‖x_t‖, shape (B,)."""
    total = one[0].new_zeros(len(one[0]))
    for a, b in zip(one, other, strict=True):
        total += (_diagonal(a) * _diagonal(b)).sqrt_().sum(dim=1)
    return total


def _diagonal(band: Tensor) -> Tensor:
    start = band.shape[2] - band.shape[1]
    return band[..., start:].diagonal(dim1=1, dim2=2)


def band_of(positions: int) -> int:
    """Rows of a band for so many positions."""
    return min(max(-(-positions // 2), _SMALLEST_BAND), _LARGEST_BAND)


@dataclass
class LastGram:
    """The Gram matrix of the last input, for the next layer if it reads the same.

    Layers that read the same input come one after the other on the way back, so one matrix is enough. The input is kept
    with it, so that its memory cannot become another tensor's meanwhile; without its history, which would hold the
    whole pass, and through the pass this, for ever.
    """

    _input: Tensor | None = None
    _gram: Gram = field(default_factory=list)

    def of(self, factors: Tensor) -> Gram:
        """`gram(factors)`, made once for the same tensor."""
        if self._input is None or not is_same(self._input, factors):
            self._input, self._gram = factors.detach(), gram(factors)
        return self._gram


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory; autograd hands out a new object for each use."""
    return (one.data_ptr(), one.shape, one.stride(), one.dtype) == (
        other.data_ptr(),
        other.shape,
        other.stride(),
        other.dtype,
    )
