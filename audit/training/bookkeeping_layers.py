"""How each kind of layer tells what its parameters' per-example gradients are made of.

A layer's forward is replaced, for one pass, by an autograd function that computes the same output and, on the way
back, hands input and output gradient to the parameters' ledgers. It returns no gradient for the parameters, so that
autograd never computes the ordinary weight gradient. A new kind of layer is one function here and one line in `RULES`.

Under autocast a layer's output and its gradient have half precision, as they always have; what the ledgers make of them
is computed in single precision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from audit.training.grams import LastGram, is_same
from audit.training.grouping import Grouping
from audit.training.per_example import Ledger, MatrixLedger, VectorLedger, wide


@dataclass
class Book:
    """The ledgers of one micro-batch.

    Ledgers are kept by parameter, not by layer: a parameter that several layers share is one parameter.

    Attributes:
        size: Number of examples B.
        ledgers: By the identity of the parameter; parameters without an entry were not used.
        grouping: Which examples are one unit, clipped as one; None where each is a unit of its own. To the ledgers, a
            unit is an example of more positions.
    """

    size: int
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    grouping: Grouping | None = None
    _grams: LastGram = field(default_factory=LastGram)
    _joined_input: tuple[Tensor, Tensor] | None = None

    @property
    def units(self) -> int:
        """Number of units U."""
        return self.size if self.grouping is None else len(self.grouping.index)

    def matrix(self, parameter: Tensor) -> MatrixLedger:
        """The ledger of a weight matrix."""
        fresh = MatrixLedger((parameter.shape[0], parameter.shape[1]), self._grams)
        ledger = self.ledgers.setdefault(id(parameter), fresh)
        assert isinstance(ledger, MatrixLedger), "one parameter serves both as a matrix and as a vector"
        return ledger

    def vector(self, parameter: Tensor) -> VectorLedger:
        """The ledger of a bias or of a normalization layer's weight."""
        ledger = self.ledgers.setdefault(id(parameter), VectorLedger())
        assert isinstance(ledger, VectorLedger), "one parameter serves both as a matrix and as a vector"
        return ledger

    def by_example(self, values: Tensor) -> Tensor:
        """Inputs or gradients as (U, T, n): one dimension of positions, one where there was none.

        Raises:
            RuntimeError: The first dimension does not count the examples.
        """
        if values.shape[0] != self.size:
            raise RuntimeError(
                f"a layer saw {values.shape[0]} rows for {self.size} examples; per-example gradients need one row each"
            )
        return self.joined(values.unsqueeze(1) if values.dim() == 2 else values.flatten(1, -2))

    def joined(self, values: Tensor) -> Tensor:
        """Values of shape (B, T, …) with the positions of each unit's examples side by side."""
        return values if self.grouping is None else self.grouping.joined(values)

    def sums(self, counts: Sequence[int]) -> tuple[int, ...]:
        """A number for each example, added up for each unit."""
        if self.grouping is None:
            return tuple(counts)
        each = torch.tensor(counts, device=self.grouping.index.device)[:, None]  # (B, 1)
        return tuple(self.grouping.joined(each).sum(dim=1).tolist())

    def input(self, values: Tensor) -> Tensor:
        """As `by_example`; layers that read the same input one after the other get the same tensor."""
        if self.grouping is None:
            return self.by_example(values)
        if self._joined_input is None or not is_same(self._joined_input[0], values):
            self._joined_input = values, self.by_example(values)  # kept, so that its memory stays its own
        return self._joined_input[1]


@dataclass(frozen=True)
class Attached:
    """What stands in for a layer's method while a book is kept.

    Attributes:
        layer: The layer.
        book: The book.
        compute: What is computed instead, from layer, book and the method's arguments.
    """

    layer: nn.Module
    book: Book
    compute: Callable[..., Tensor]

    def __call__(self, *arguments: Any, **named: Any) -> Tensor:
        """The method's result."""
        return self.compute(self.layer, self.book, *arguments, **named)


def book_of(layer: nn.Module) -> Book | None:
    """The book that a layer's forward is kept in, or None outside of a private pass."""
    forward = vars(layer).get("forward")
    return forward.book if isinstance(forward, Attached) else None


class _Product(torch.autograd.Function):
    """`nn.Linear` (weight (out, in)) and `Conv1D` (weight (in, out))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Module, book: Book) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        ctx.layer, ctx.book, ctx.dtype = layer, book, x.dtype
        return F.linear(x, weight.t() if isinstance(layer, Conv1D) else weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        x, weight = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        by_example = book.by_example(gradient)
        if layer.weight.requires_grad:
            factors = (by_example, book.input(x))
            book.matrix(layer.weight).products.append(factors[::-1] if isinstance(layer, Conv1D) else factors)
        if layer.bias is not None and layer.bias.requires_grad:
            book.vector(layer.bias).add(_over_positions(by_example))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        weight = weight.to(gradient.dtype)
        to_input = gradient @ (weight.t() if isinstance(layer, Conv1D) else weight)
        return to_input.to(ctx.dtype), None, None, None, None


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
        book.matrix(layer.weight).lookups.append((book.joined(ids.flatten(1)), book.by_example(gradient)))
        return None, None, None, None


class _Normalization(torch.autograd.Function):
    """`nn.LayerNorm`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.LayerNorm, book: Book, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.layer, ctx.book, ctx.dtype = layer, book, x.dtype
        x = x.to(weight.dtype)  # under autocast, normalization stays in single precision
        normalized, mean, deviation = torch.native_layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        ctx.save_for_backward(x, mean, deviation, weight, bias)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        x, mean, reciprocal_deviation, weight, bias = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        if layer.weight.requires_grad:
            along = (x - mean).mul_(reciprocal_deviation).mul_(gradient)
            book.vector(layer.weight).add(book.by_example(along).sum(dim=1))
        if layer.bias is not None and layer.bias.requires_grad:
            book.vector(layer.bias).add(_over_positions(book.by_example(gradient)))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        shape = layer.normalized_shape
        to_input, _, _ = torch.ops.aten.native_layer_norm_backward(
            gradient.to(x.dtype), x, shape, mean, reciprocal_deviation, weight, bias, [True, False, False]
        )
        return to_input.to(ctx.dtype), None, None, None, None


class _RootMeanSquare(torch.autograd.Function):
    """Normalization by the root mean square alone, scaled by a weight: y = w ∘ x / sqrt(mean(x²) + eps)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module, book: Book, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer, ctx.book = layer, book
        normalized: Tensor = type(layer).forward(layer, x)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        kept, weight = ctx.saved_tensors
        layer, book = ctx.layer, ctx.book
        x = wide(kept)
        reciprocal = x.square().mean(dim=-1, keepdim=True).add_(layer.variance_epsilon).rsqrt_()
        normalized = x * reciprocal
        gradient = gradient.to(x.dtype)
        if layer.weight.requires_grad:
            book.vector(layer.weight).add(_over_positions(book.by_example(gradient * normalized)))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        inner = gradient * weight
        along = (inner * normalized).mean(dim=-1, keepdim=True)
        to_input = inner.sub_(normalized.mul_(along)).mul_(reciprocal)
        return to_input.to(kept.dtype), None, None, None


def _over_positions(values: Tensor) -> Tensor:
    """The sum of each example's positions, shape (U, n), in single precision or better."""
    return values.sum(dim=1, dtype=None if values.dtype == torch.float64 else torch.float32)


def _product(layer: nn.Module, book: Book, input: Tensor) -> Tensor:
    return _Product.apply(input, layer.weight, layer.bias, layer, book)  # type: ignore[no-any-return,no-untyped-call]


def _lookup(layer: nn.Embedding, book: Book, input: Tensor) -> Tensor:
    ids = input
    if ids.dim() == 1 or ids.shape[0] == 1:
        # Position ids are shared by the batch; each example looks them up for itself.
        ids = ids.expand(book.size, -1)
    return _Lookup.apply(layer.weight, ids, layer, book)  # type: ignore[no-any-return,no-untyped-call]


def _normalization(layer: nn.LayerNorm, book: Book, input: Tensor) -> Tensor:
    return _Normalization.apply(input, layer, book, layer.weight, layer.bias)  # type: ignore[no-any-return,no-untyped-call]


def _root_mean_square(layer: nn.Module, book: Book, hidden_states: Tensor) -> Tensor:
    return _RootMeanSquare.apply(hidden_states, layer, book, layer.weight)  # type: ignore[no-any-return,no-untyped-call]


def _relative_bias(
    attention: Any, book: Book, query_length: int, key_length: int, device: Any = None, past_seen_tokens: int = 0
) -> Tensor:
    """The bias of T5's attention, once for every example: its own is shared by the batch, (1, H, query, key).

    Returns:
        Shape (B, H, query, key).
    """
    table = attention.relative_attention_bias
    queries = torch.arange(query_length, device=device or table.weight.device)[:, None] + past_seen_tokens
    keys = torch.arange(key_length, device=queries.device)[None, :]
    buckets = attention._relative_position_bucket(
        keys - queries,
        bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    biases: Tensor = _Lookup.apply(table.weight, buckets.expand(book.size, -1, -1), table, book)  # type: ignore[no-untyped-call]
    return biases.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Rule:
    """How per-example gradients are had from one kind of layer.

    Attributes:
        compute: What stands in for the method; see `Attached`.
        method: The method of the layer that is replaced.
        parameters: Where the layer keeps the parameters that the rule covers.
    """

    compute: Callable[..., Tensor]
    method: str = "forward"
    parameters: tuple[str, ...] = ("weight", "bias")

    def trained(self, layer: nn.Module) -> list[nn.Parameter]:
        """The parameters covered that are trained."""
        found = [_found(layer, place) for place in self.parameters]
        return [parameter for parameter in found if parameter is not None and parameter.requires_grad]


def _found(layer: nn.Module, place: str) -> nn.Parameter | None:
    try:
        parameter: nn.Parameter | None = attrgetter(place)(layer)
    except AttributeError:  # such as Conv1D's bias, or an attention that takes its bias from the layer before
        return None
    return parameter


_T5_BIAS = Rule(_relative_bias, method="compute_bias", parameters=("relative_attention_bias.weight",))
_RMS_NORM = Rule(_root_mean_square)

RULES = {
    "torch.nn.modules.linear.Linear": Rule(_product),
    "torch.nn.modules.sparse.Embedding": Rule(_lookup),
    "torch.nn.modules.normalization.LayerNorm": Rule(_normalization),
    "transformers.models.llama.modeling_llama.LlamaRMSNorm": _RMS_NORM,
    "transformers.models.mistral.modeling_mistral.MistralRMSNorm": _RMS_NORM,
    "transformers.models.qwen2.modeling_qwen2.Qwen2RMSNorm": _RMS_NORM,
    "transformers.models.qwen3.modeling_qwen3.Qwen3RMSNorm": _RMS_NORM,
    "transformers.models.t5.modeling_t5.T5Attention": _T5_BIAS,
    "transformers.models.t5.modeling_t5.T5LayerNorm": _RMS_NORM,
    "transformers.pytorch_utils.Conv1D": Rule(_product),
}
"""The layers with per-example gradients, by exact type, since a subclass may compute something else.

Types are told by name, so that no model's code is imported that is not used.
"""


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer, or None where there is none."""
    return RULES.get(f"{type(layer).__module__}.{type(layer).__qualname__}")


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
