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

from audit.training.grams import LastGram, gram, inner_product, reach

_CACHED = 2**20
"""Numbers up to which what a micro-batch makes stays in a processor's cache."""

_COST_CACHED, _COST_LARGE = 12, 100
"""Cost of one number of a per-example gradient, written and read, in multiply-adds of a T × T product.

Measured on one CPU thread at widths 64 to 768 and T = 28 to 512; where gradients are large, fresh memory is what costs.
"""


_ROUNDING = 4.0
"""Error of a ghost norm's square, in units of the type's epsilon times the square of the gradient's reach.

A gradient whose parts nearly cancel has a norm far below that of its parts, and what is left of the T × T products is
their rounding: taken for the norm it could be zero, and the gradient would be added unclipped. So the error is added.
Measured at widths 64 to 3072 and T = 32 to 512, with parts that cancel and parts that do not: at most 1.7.
"""


class Ledger(Protocol):
    """What a micro-batch of B examples owes to one parameter."""

    def squared_norms(self) -> Tensor:
        """Squared norm of each example's gradient, shape (B,): not less than it is, whatever is rounded."""

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
        gradients = wide(gradients)
        self.gradients = gradients if self.gradients is None else self.gradients + gradients

    def squared_norms(self) -> Tensor:
        """See `Ledger`."""
        assert self.gradients is not None
        return self.gradients.square().sum(dim=1)

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        """See `Ledger`."""
        assert self.gradients is not None
        into.view(-1).addmv_(self.gradients.t(), factors)


@dataclass(frozen=True)
class Ragged:
    """One use of a matrix at n positions, as many of each example as it has labels.

    Attributes:
        rows: Shape (n, a), example after example.
        columns: Shape (n, c).
        counts: Positions of each of the B examples.
    """

    rows: Tensor
    columns: Tensor
    counts: tuple[int, ...]

    def padded(self) -> tuple[Tensor, Tensor]:
        """The same use as (B, T, a) and (B, T, c), with zeros where an example has fewer positions than others."""
        filled = torch.tensor(self.counts, device=self.rows.device)[:, None]
        places = torch.arange(max(self.counts), device=self.rows.device)[None, :] < filled  # (B, T)
        both = [f.new_zeros(*places.shape, f.shape[1]) for f in (self.rows, self.columns)]
        for padded, values in zip(both, (self.rows, self.columns), strict=True):
            padded[places] = values
        return both[0], both[1]

    def of_example(self) -> list[tuple[Tensor, Tensor]]:
        """Rows and columns of each example."""
        return list(zip(*(torch.split(f, list(self.counts)) for f in (self.rows, self.columns)), strict=True))


@dataclass
class MatrixLedger:
    """Per-example gradients of a weight matrix of shape (a, c), over all its uses.

    Attributes:
        shape: (a, c), as the parameter is stored.
        last_input: The Gram matrix that the micro-batch's ledgers share.
        products: Uses in a matrix product, each as factors (B, T, a), (B, T, c) whose product over T is the gradient.
        lookups: Uses as a table, each as row numbers (B, T) and the gradient at what was looked up, (B, T, c).
        heads: Uses at labelled positions only.
    """

    shape: tuple[int, int]
    last_input: LastGram = field(default_factory=LastGram)
    products: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    lookups: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    heads: list[Ragged] = field(default_factory=list)
    _gradients: Tensor | None = None
    _table: "_Lookups | None" = None

    def squared_norms(self) -> Tensor:
        """See `Ledger`; the norm is that of the sum of all uses, cross terms included."""
        if self.lookups:
            self._table = _Lookups.of(self.lookups, self.shape[0])
        if self.heads and (len(self.heads) > 1 or self.products or self.heads[0].rows.numel() <= _CACHED):
            self.products += [head.padded() for head in self.heads]
            self.heads.clear()
        if self.products and self._is_cheaper_materialized():
            return self._materialized_squared_norms()
        return self._ghost_squared_norms()

    def _is_cheaper_materialized(self) -> bool:
        """Whether B gradients of a × c numbers cost less than the T × T products of both factors."""
        rows, columns = self.shape
        positions = sum(r.shape[1] for r, _ in self.products)
        examples = len(self.products[0][0])
        cost = _COST_CACHED if examples * rows * columns <= _CACHED else _COST_LARGE
        return cost * rows * columns < positions**2 * (rows + columns)

    def _materialized_squared_norms(self) -> Tensor:
        gradients = None
        for rows, columns in self.products:
            pair = wide(rows).transpose(1, 2), wide(columns)
            gradients = torch.bmm(*pair) if gradients is None else gradients.baddbmm_(*pair)  # (B, a, c)
        assert gradients is not None
        if self._table is not None:
            self._table.add_each(gradients)
        self._gradients, self._table = gradients.flatten(1), None
        self.products.clear()
        norms: Tensor = torch.linalg.vector_norm(self._gradients, dim=1)
        return norms.square()

    def _ghost_squared_norms(self) -> Tensor:
        looked_up = None if self._table is None else self._table.squared_norms()
        if not self.products and not self.heads:
            assert looked_up is not None
            return looked_up
        parts = [self._head_squared_norms(head) for head in self.heads]
        if self.products:
            rows, columns = (wide(_joined(list(factor))) for factor in zip(*self.products, strict=True))
            self.products = [(rows, columns)]
            left, right = gram(rows), self.last_input.of(columns)
            crossed = [_cross(ids, wide(deltas), rows, columns) for ids, deltas in self.lookups]
            parts.append((inner_product(left, right) + 2 * sum(crossed), reach(left, right)))
        squared, reached = (torch.stack(values).sum(dim=0) for values in zip(*parts, strict=True))
        if looked_up is not None:
            squared, reached = squared + looked_up, reached + looked_up.sqrt()
        return (squared + _ROUNDING * torch.finfo(squared.dtype).eps * reached.square()).clamp_(min=0.0)

    def _head_squared_norms(self, head: Ragged) -> tuple[Tensor, Tensor]:
        """Squared norms but for what is looked up, and reaches, both of shape (B,)."""
        squared, reached = head.rows.new_zeros(2, len(head.counts))
        for i, (rows, columns) in enumerate(head.of_example()):
            if not len(rows):
                continue
            left, right = gram(rows[None]), gram(columns[None])
            squared[i], reached[i] = inner_product(left, right)[0], reach(left, right)[0]
            for ids, deltas in self.lookups:
                squared[i] += 2 * _cross(ids[i : i + 1], wide(deltas[i : i + 1]), rows[None], columns[None])[0]
        return squared, reached

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        """See `Ledger`; call `squared_norms` first."""
        if self._gradients is not None:
            into.view(-1).addmv_(self._gradients.t(), factors)
        for rows, columns in self.products:
            scale = factors.repeat_interleave(rows.shape[1])
            _add_product(rows.flatten(0, 1), columns.flatten(0, 1), scale, into)
        for head in self.heads:
            scale = factors.repeat_interleave(torch.tensor(head.counts, device=factors.device))
            _add_product(head.rows, head.columns, scale, into)
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
        ids, deltas = _joined([i for i, _ in lookups]), wide(_joined([d for _, d in lookups]))
        size, positions = ids.shape
        key = (torch.arange(size, device=ids.device)[:, None] * table_rows + ids).flatten()  # (B * T,)
        if table_rows <= positions:  # a small table: an entry for each of its rows
            distinct, entry = torch.arange(size * table_rows, device=ids.device), key
        else:
            distinct, entry = torch.unique(key, return_inverse=True)
        gradient = deltas.new_zeros(len(distinct), deltas.shape[2]).index_add_(0, entry, deltas.flatten(0, 1))
        return cls(distinct // table_rows, distinct % table_rows, gradient, size)

    def squared_norms(self) -> Tensor:
        return self.gradient.new_zeros(self.size).index_add_(0, self.example, self.gradient.square().sum(dim=1))

    def add_each(self, gradients: Tensor) -> None:
        """Add to materialized gradients, shape (B, a, c)."""
        gradients.flatten(0, 1).index_add_(0, self.example * gradients.shape[1] + self.row, self.gradient)

    def add_clipped(self, factors: Tensor, into: Tensor) -> None:
        into.index_add_(0, self.row, self.gradient * factors[self.example, None])


def wide(values: Tensor) -> Tensor:
    """Values in single precision or better: a norm rounded to half precision would not bound what is added."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _joined(uses: list[Tensor]) -> Tensor:
    """All uses of a parameter side by side, as further positions of the same example."""
    return uses[0] if len(uses) == 1 else torch.cat(uses, dim=1)


def _add_product(rows: Tensor, columns: Tensor, scale: Tensor, into: Tensor) -> None:
    """Add rows^T diag(scale) columns, scaling the narrower side: fewer numbers to write."""
    scale = scale[:, None]
    rows, columns = (rows * scale, columns) if rows.shape[1] < columns.shape[1] else (rows, columns * scale)
    into.addmm_(rows.t(), columns)


def _cross(ids: Tensor, deltas: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Inner product of a lookup's gradient and a product's gradient, shape (B,).

    The lookup's gradient at row v is the sum of its deltas where ids = v; the product's is the sum over s of
    rows[s, v] · columns[s].
    """
    at_ids = rows.gather(2, ids[:, None, :].expand(-1, rows.shape[1], -1))  # (B, S, T)
    return (at_ids * torch.bmm(columns, deltas.transpose(1, 2))).sum(dim=(1, 2))
