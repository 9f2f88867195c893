"""Rows of a micro-batch that belong to one privacy unit, put side by side as one example of more positions.

The gradient of a unit is the sum of its examples' gradients. Every rule of the book-keeping takes an example's gradient
for a sum over positions; a unit's examples laid one after another along the positions are therefore one example to
it, and the norm is that of the whole sum, products between the unit's examples included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """How the R rows of a micro-batch make U units of at most K examples.

    Attributes:
        index: The rows of each unit, shape (U, K); R where a unit has fewer.
        rows: Number of rows R.
    """

    index: Tensor
    rows: int

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device) -> "Grouping | None":
        """The grouping of units whose rows stand side by side, in order; None where each row is a unit of its own.

        Args:
            counts: Rows of each unit, positive.
            device: Where the rows are.
        """
        if all(count == 1 for count in counts):
            return None
        rows, widest = sum(counts), max(counts)
        index = torch.full((len(counts), widest), rows)
        start = 0
        for unit, count in enumerate(counts):
            index[unit, :count] = torch.arange(start, start + count)
            start += count
        return cls(index=index.to(device), rows=rows)

    def joined(self, values: Tensor) -> Tensor:
        """Values of shape (R, T, …) as (U, K · T, …), zero where a unit has fewer than K rows."""
        units, widest = self.index.shape
        if self.rows == units * widest:  # all units of one size: nothing to copy
            return values.reshape(units, widest * values.shape[1], *values.shape[2:])
        padded = torch.cat([values, values.new_zeros(1, *values.shape[1:])])
        return padded[self.index].flatten(1, 2)
