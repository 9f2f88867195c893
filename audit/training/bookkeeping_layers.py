"""How each kind of layer tells what its parameters' per-example gradients are made of.

A layer's forward is replaced, for one pass, by an autograd function that computes the same output and, on the way
back, hands input and output gradient to the parameters' ledgers. It returns no gradient for the parameters, so that
autograd never computes the ordinary weight gradient. A new kind of layer is one function here and one line in `RULES`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from audit.training.per_example import Ledger, MatrixLedger, VectorLedger


@dataclass
class Book:
    """The ledgers of one micro-batch.

    Ledgers are kept by parameter, not by layer: a parameter that several layers share is one parameter.

    Attributes:
        size: Number of examples B.
        ledgers: By the identity of the parameter; parameters without an entry were not used.
    """

    size: int
    ledgers: dict[int, Ledger] = field(default_factory=dict)

    def matrix(self, parameter: Tensor) -> MatrixLedger:
        """The ledger of a weight matrix."""
        ledger = self.ledgers.setdefault(id(parameter), MatrixLedger((parameter.shape[0], parameter.shape[1])))
        assert isinstance(ledger, MatrixLedger), "one parameter serves both as a matrix and as a vector"
        return ledger

    def vector(self, parameter: Tensor) -> VectorLedger:
        """The ledger of a bias or of a normalization layer's weight."""
        ledger = self.ledgers.setdefault(id(parameter), VectorLedger())
        assert isinstance(ledger, VectorLedger), "one parameter serves both as a matrix and as a vector"
        return ledger

    def by_example(self, values: Tensor) -> Tensor:
        """Inputs or gradients as (B, T, n): one dimension of positions, one where there was none.

        Raises:
            RuntimeError: The first dimension does not count the examples.
        """
        if values.shape[0] != self.size:
            raise RuntimeError(
                f"a layer saw {values.shape[0]} rows for {self.size} examples; per-example gradients need one row each"
            )
        return values.unsqueeze(1) if values.dim() == 2 else values.flatten(1, -2)


class _Product(torch.autograd.Function):
    """`nn.Linear` (weight (out, in)) and `Conv1D` (weight (in, out))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Module, book: Book) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer, ctx.book = layer, book
        return F.linear(x, weight.t() if isinstance(layer, Conv1D) else weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        x, weight = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        by_example = book.by_example(gradient)
        if layer.weight.requires_grad:
            factors = (by_example, book.by_example(x))
            book.matrix(layer.weight).products.append(factors[::-1] if isinstance(layer, Conv1D) else factors)
        if layer.bias is not None and layer.bias.requires_grad:
            book.vector(layer.bias).add(by_example.sum(dim=1))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        return gradient @ (weight.t() if isinstance(layer, Conv1D) else weight), None, None, None, None


class _Lookup(torch.autograd.Function):
    """`nn.Embedding`."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, layer: nn.Embedding, book: Book) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.layer, ctx.book = layer, book
        return F.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        (ids,) = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        if layer.padding_idx is not None:
            # By definition of the layer, the padding row gets no gradient from being looked up.
            gradient = gradient.masked_fill((ids == layer.padding_idx).unsqueeze(-1), 0.0)
        book.matrix(layer.weight).lookups.append((ids.flatten(1), book.by_example(gradient)))
        return None, None, None, None


class _Normalization(torch.autograd.Function):
    """`nn.LayerNorm`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, layer: nn.LayerNorm, book: Book
    ) -> Tensor:
        normalized, mean, deviation = torch.native_layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        ctx.save_for_backward(x, mean, deviation, weight, bias)
        ctx.layer, ctx.book = layer, book
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        x, mean, reciprocal_deviation, weight, bias = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        if layer.weight.requires_grad:
            standardized = (x - mean) * reciprocal_deviation
            book.vector(layer.weight).add(book.by_example(gradient * standardized).sum(dim=1))
        if layer.bias is not None and layer.bias.requires_grad:
            book.vector(layer.bias).add(book.by_example(gradient).sum(dim=1))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        shape = layer.normalized_shape
        to_input, _, _ = torch.ops.aten.native_layer_norm_backward(
            gradient, x, shape, mean, reciprocal_deviation, weight, bias, [True, False, False]
        )
        return to_input, None, None, None, None


def _product(layer: nn.Module, book: Book) -> Callable[[Tensor], Tensor]:
    return lambda x: _Product.apply(x, layer.weight, layer.bias, layer, book)  # type: ignore[no-untyped-call]


def _lookup(layer: nn.Module, book: Book) -> Callable[[Tensor], Tensor]:
    def forward(input: Tensor) -> Tensor:
        ids = input
        if ids.dim() == 1 or ids.shape[0] == 1:
            # Position ids are shared by the batch; each example looks them up for itself.
            ids = ids.expand(book.size, -1)
        return _Lookup.apply(layer.weight, ids, layer, book)  # type: ignore[no-any-return,no-untyped-call]

    return forward


def _normalization(layer: nn.Module, book: Book) -> Callable[[Tensor], Tensor]:
    return lambda x: _Normalization.apply(x, layer.weight, layer.bias, layer, book)  # type: ignore[no-untyped-call]


RULES: dict[type[nn.Module], Callable[[nn.Module, Book], Callable[[Tensor], Tensor]]] = {
    nn.Linear: _product,
    Conv1D: _product,
    nn.Embedding: _lookup,
    nn.LayerNorm: _normalization,
}
"""The layers with per-example gradients, by exact type: a subclass may compute something else."""


def refused_option(layer: nn.Module) -> str | None:
    """The option of a layer under which its rule would not be exact, or None.

    Gradients scaled by a token's frequency in the batch, or rows renormalized in place, mix examples.
    """
    if isinstance(layer, nn.Embedding):
        options = {"max_norm": layer.max_norm, "scale_grad_by_freq": layer.scale_grad_by_freq, "sparse": layer.sparse}
        return next((name for name, value in options.items() if value), None)
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1:
        return "normalized_shape over several dimensions"
    return None
