"""Dirac canaries: examples whose gradient is one coordinate, longer than the clipping norm, and known to the auditor.

They stand in the training data like others, so they are drawn, clipped, summed, noised and accounted by the very code
that trains every private arm; only their loss is not the task's. Each has a coordinate of its own that nothing else
moves, in one of the kinds of layer there are: what is read off it after the training is the canary's draws and the
noise.

Source: Nasr et al. (2023), https://arxiv.org/abs/2302.07956, section 4 (gradient-space canaries, the strongest
white-box attack); many in one run: Steinke et al. (2023), https://arxiv.org/abs/2305.08846, section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.training.collate import Batch, Collator
from audit.training.setup import Setup


class DiracCanaries(nn.Module):
    """One coordinate for each canary: a quarter of them each in a table, a matrix, its bias and a normalization's bias.

    Args:
        canaries: How many there are, a multiple of 4.
    """

    def __init__(self, canaries: int) -> None:
        super().__init__()
        self.quarter = canaries // 4
        self.table = nn.Embedding(self.quarter, 1)
        self.matrix = nn.Linear(self.quarter, 1, bias=False)
        self.biases = nn.Linear(1, self.quarter)
        self.normalization = nn.LayerNorm(self.quarter)
        for parameter in (self.table.weight, self.matrix.weight, self.biases.weight, self.biases.bias):
            nn.init.zeros_(parameter)

    def forward(self, own: Tensor) -> Tensor:
        """The canaries' coordinates, shape (B,).

        Args:
            own: One-hot, shape (B, canaries): which canary a row is; zeros for a row that is none.
        """
        table, matrix, biases, normalization = own.chunk(4, dim=1)
        nothing = torch.zeros_like(biases)
        moved: Tensor = (
            self.table(table.argmax(dim=1, keepdim=True)).flatten(1).squeeze(1) * table.sum(dim=1)
            + self.matrix(matrix).squeeze(1)
            + (self.biases(nothing[:, :1]) * biases).sum(dim=1)
            + (self.normalization(nothing) * normalization).sum(dim=1)
        )
        return moved

    def values(self) -> Tensor:
        """The coordinates as they are now, in the canaries' order, shape (canaries,), zero at first."""
        parts = (self.table.weight, self.matrix.weight, self.biases.bias, self.normalization.bias)
        return torch.cat([part.detach().flatten() for part in parts])


class RememberingCollator(Collator):
    """A collator that remembers which examples it collated last."""

    last: Sequence[int] = ()

    def __call__(self, indices: Sequence[int], step: int) -> Batch:
        """See `Collator`."""
        self.last = indices
        return super().__call__(indices, step)


@dataclass(frozen=True, kw_only=True)
class CanarySetup(Setup):
    """A training in which some examples are canaries; their text is read, and counts for nothing.

    Attributes:
        canary_of: The canary that each example is, shape (N,); -1 for an ordinary example.
        loudness: Norm of a canary's gradient before clipping.
    """

    canary_of: Tensor
    loudness: float

    @classmethod
    def of(cls, setup: Setup, canary_of: Sequence[int], loudness: float) -> "CanarySetup":
        """The same training with canaries; its model has `DiracCanaries` as `dirac`."""
        same = {field.name: getattr(setup, field.name) for field in fields(Setup)}
        return cls(**same, canary_of=torch.tensor(canary_of), loudness=loudness)

    def losses(self, batch: Batch) -> Tensor:
        """See `Setup`; a canary's loss is its coordinate, times the loudness."""
        assert isinstance(self.collate, RememberingCollator)
        dirac = self.model.dirac
        assert isinstance(dirac, DiracCanaries)
        canaries = self.canary_of[list(self.collate.last)]
        own = F.one_hot(canaries + 1, 4 * dirac.quarter + 1)[:, 1:].to(dirac.matrix.weight)
        moved: Tensor = self.loudness * dirac(own)
        return super().losses(batch) * (canaries < 0) + moved
