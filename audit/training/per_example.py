"""Per-example gradients of one parameter, kept as the factors they are made of.

The gradient of example i at a weight matrix is a sum of outer products over its T positions. Its norm and the
clipped sum over examples need only the factors, never the B gradients themselves: the norm is read off two T × T
products ("ghost norm"), the clipped sum is one matrix product over all B·T positions. Where T is large for the
matrix (a low-rank adapter, a small layer) the B gradients are cheaper than the T × T products, and are made instead.

Sources: Goodfellow (2015), https://arxiv.org/abs/1510.01799 (norms from factors); Li et al. (2022),
https://arxiv.org/abs/2110.05679, section 4 (ghost clipping over positions); Bu et al. (2023),
https://arxiv.org/abs/2210.00038 (book-keeping: one backward pass, mixed ghost norm). The cross terms between uses of a
shared matrix are ours: all uses of a parameter are one gradient, so they are added before the norm is taken.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

_CACHED = 2**20
"""Numbers in a micro-batch's per-example gradients up to which they stay in a processor's cache."""

_COST_CACHED, _COST_LARGE = 12, 60
"""Cost of one number of a per-example gradient, written and read, in multiply-adds of a T × T product.

Measured on one CPU thread at widths 64 to 768 and T = 28 to 512; where gradients are large, fresh memory is what costs.
"""


class Ledger(Protocol):
    """What a micro-batch of B examples owes to one parameter."""

    def squared_norms(self) -> Tensor:
        """Squared norm of each example's gradient, shape (B,)."""

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        """Add the sum of the examples' gradients, each times its factor, shape (B,), to `into`."""


@dataclass
class VectorLedger:
    """Per-example gradients of a bias or of a normalization layer: small enough to be kept as they are.

    Attributes:
        gradients: Shape (B, n); the sum over all uses of the parameter.
    """

    gradients: Tensor | None = None

    def add(self, gradients: Tensor) -> None:
        """Count one use of the parameter; gradients have shape (B, n)."""
        self.gradients = gradients if self.gradients is None else self.gradients + gradients

    def squared_norms(self) -> Tensor:
        """See `Ledger`."""
        assert self.gradients is not None
        return self.gradients.square().sum(dim=1)

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        """See `Ledger`."""
        assert self.gradients is not None
        into.view(-1).addmv_(self.gradients.t(), factors)


@dataclass
class MatrixLedger:
    """Per-example gradients of a weight matrix of shape (a, c), over all its uses.

    Attributes:
        shape: (a, c), as the parameter is stored.
        products: Uses in a matrix product, each as factors (B, T, a), (B, T, c) whose product over T is the gradient.
        lookups: Uses as a table, each as row numbers (B, T) and the gradient at what was looked up, (B, T, c).
    """

    shape: tuple[int, int]
    products: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    lookups: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _factors: tuple[Tensor, Tensor] | None = None
    _gradients: Tensor | None = None
    _table: "_Lookups | None" = None

    def squared_norms(self) -> Tensor:
        """See `Ledger`; the norm is that of the sum of all uses, cross terms included."""
        if self.lookups:
            self._table = _Lookups.of(self.lookups, self.shape[0])
        if not self.products:
            assert self._table is not None
            return self._table.squared_norms()
        self._factors = (_joined([r for r, _ in self.products]), _joined([c for _, c in self.products]))
        self.products.clear()
        examples, positions, _ = self._factors[0].shape
        if _is_cheaper_materialized(examples, positions, *self.shape):
            return self._materialized_squared_norms()
        return self._ghost_squared_norms()

    def _materialized_squared_norms(self) -> Tensor:
        assert self._factors is not None
        rows, columns = self._factors
        gradients = torch.bmm(rows.transpose(1, 2), columns)  # (B, a, c)
        if self._table is not None:
            self._table.add_each(gradients)
        self._gradients, self._factors, self._table = gradients.flatten(1), None, None
        norms: Tensor = torch.linalg.vector_norm(self._gradients, dim=1)
        return norms.square()

    def _ghost_squared_norms(self) -> Tensor:
        assert self._factors is not None
        rows, columns = self._factors
        squared = (_gram(rows) * _gram(columns)).sum(dim=(1, 2))  # (B,)
        if self._table is not None:
            squared = squared + self._table.squared_norms()
            for ids, deltas in self.lookups:
                squared = squared + 2 * _cross(ids, deltas, rows, columns)
        return squared

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        """See `Ledger`; call `squared_norms` first."""
        if self._gradients is not None:
            into.view(-1).addmv_(self._gradients.t(), factors)
        if self._factors is not None:
            rows, columns = self._factors
            scale = factors[:, None, None]
            # Scale the narrower side: fewer numbers to write.
            rows, columns = (rows * scale, columns) if rows.shape[2] < columns.shape[2] else (rows, columns * scale)
            into.addmm_(rows.flatten(0, 1).t(), columns.flatten(0, 1))
        if self._table is not None:
            self._table.add_clipped(factors, into)


@dataclass
class _Lookups:
    """Looked-up rows added up within each example: one entry per example and distinct row.

    Attributes:
        example: Which example an entry belongs to, shape (U,).
        row: Which row of the table, shape (U,).
        gradient: The example's gradient at that row, shape (U, c).
        size: Number of examples B.
    """

    example: Tensor
    row: Tensor
    gradient: Tensor
    size: int

    @classmethod
    def of(cls, lookups: list[tuple[Tensor, Tensor]], table_rows: int) -> "_Lookups":
        ids, deltas = _joined([i for i, _ in lookups]), _joined([d for _, d in lookups])
        size = ids.shape[0]
        key = torch.arange(size, device=ids.device)[:, None] * table_rows + ids  # (B, T)
        distinct, entry = torch.unique(key.flatten(), return_inverse=True)
        gradient = deltas.new_zeros(len(distinct), deltas.shape[2]).index_add_(0, entry, deltas.flatten(0, 1))
        return cls(distinct // table_rows, distinct % table_rows, gradient, size)

    def squared_norms(self) -> Tensor:
        return self.gradient.new_zeros(self.size).index_add_(0, self.example, self.gradient.square().sum(dim=1))

    def add_each(self, gradients: Tensor) -> None:
        """Add to materialized gradients, shape (B, a, c)."""
        gradients.flatten(0, 1).index_add_(0, self.example * gradients.shape[1] + self.row, self.gradient)

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        into.index_add_(0, self.row, self.gradient * factors[self.example, None])


def _joined(uses: list[Tensor]) -> Tensor:
    """All uses of a parameter side by side, as further positions of the same example."""
    return uses[0] if len(uses) == 1 else torch.cat(uses, dim=1)


def _gram(factors: Tensor) -> Tensor:
    return torch.bmm(factors, factors.transpose(1, 2))  # (B, T, T)


def _cross(ids: Tensor, deltas: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Inner product of a lookup's gradient and a product's gradient, shape (B,).

    The lookup's gradient at row v is the sum of its deltas where ids = v; the product's is the sum over s of
    rows[s, v] · columns[s].
    """
    at_ids = rows.gather(2, ids[:, None, :].expand(-1, rows.shape[1], -1))  # (B, S, T)
    return (at_ids * torch.bmm(columns, deltas.transpose(1, 2))).sum(dim=(1, 2))


def _is_cheaper_materialized(examples: int, positions: int, rows: int, columns: int) -> bool:
    """Whether B gradients of a × c numbers cost less than the T × T products of both factors."""
    cost = _COST_CACHED if examples * rows * columns <= _CACHED else _COST_LARGE
    return cost * rows * columns < positions**2 * (rows + columns)
