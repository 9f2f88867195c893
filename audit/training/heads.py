"""The head of a language model and its cross entropy in one, at the labelled positions only.

A vocabulary is the widest thing in a model: scores for positions without a label, and further copies of the scores for
the loss and its gradient, cost more than the layers below. Here each labelled position's scores are made once, in
chunks, and become the gradient of its loss in place. The gradient that arrives from above may be any number for each
position, so a mean, a weight or a scaled loss change nothing. Every arm computes this way, private or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from audit.training.bookkeeping_layers import Book, book_of
from audit.training.per_example import Ragged, wide

_CHUNK = 256
"""Positions scored at once."""


def output_head(model: nn.Module, inputs: Mapping[str, Any]) -> nn.Linear | None:
    """The model's layer over its vocabulary, where its output is the model's answer as it stands.

    Args:
        model: A model of transformers.
        inputs: Any input, to see what the model does with what the layer gives.

    Returns:
        None where there is no such layer, it is not an ordinary one (an adapter is on it), or the model changes what
        comes out of it.
    """
    find = getattr(model, "get_output_embeddings", None)
    head = None if find is None else find()
    if type(head) is not nn.Linear:
        return None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _passed_by(head) as given:
            logits = model(**inputs).logits
    finally:
        model.train(was_training)
    return head if len(given) == 1 and logits is given[0] else None


def inputs_of_head(model: nn.Module, head: nn.Linear, inputs: Mapping[str, Any]) -> Tensor:
    """What the head would score, shape (B, T, d).

    Args:
        model: A model of transformers.
        head: Its `output_head`.
        inputs: What the model is called with.
    """
    with _passed_by(head):
        hidden: Tensor = model(**inputs).logits
    return hidden


@contextmanager
def _passed_by(head: nn.Linear) -> Iterator[list[Tensor]]:
    """Inside, the head hands on what it is given; yields the list of that."""
    own, given = vars(head).get("forward"), []

    def hand_on(hidden: Tensor) -> Tensor:
        given.append(hidden)
        return hidden

    head.forward = hand_on  # type: ignore[method-assign,assignment]
    try:
        yield given
    finally:
        del head.forward
        if own is not None:
            head.forward = own  # type: ignore[method-assign]


def head_losses(hidden: Tensor, head: nn.Linear, labels: Tensor, counts: Sequence[int]) -> Tensor:
    """Cross entropy of labelled positions, in nats.

    Args:
        hidden: What the head scores, shape (n, d), example after example.
        head: The layer over the vocabulary.
        labels: The token at each position, shape (n,).
        counts: How many of the positions are each example's, shape (B,).

    Returns:
        Shape (n,), in single precision or better.
    """
    book = book_of(head)
    losses: Tensor = _HeadLoss.apply(hidden, head.weight, head.bias, labels, counts, book)  # type: ignore[no-untyped-call]
    return losses


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        counts: Sequence[int],
        book: Book | None,
    ) -> Tensor:
        ctx.weight, ctx.bias, ctx.counts, ctx.book = weight, bias, counts, book
        ctx.trains = weight.requires_grad or (bias is not None and bias.requires_grad)
        ctx.dtype = _computed_in(hidden)
        losses = wide(hidden.new_empty(len(hidden)))
        # Gradient of each loss at its scores; where the head is frozen, only that at the head's input is wanted.
        kept = losses.new_empty(len(hidden), len(weight) if ctx.trains else hidden.shape[1])
        chunk = losses.new_empty(0 if ctx.trains else min(_CHUNK, len(hidden)), len(weight))
        for start in range(0, len(hidden), _CHUNK):
            part = slice(start, start + _CHUNK)
            slopes = kept[part] if ctx.trains else chunk[: len(losses[part])]
            losses[part] = _scored(hidden[part], weight, bias, labels[part, None], ctx.dtype, slopes)
            if not ctx.trains:
                kept[part] = slopes.to(ctx.dtype) @ weight.to(ctx.dtype)
        ctx.save_for_backward(hidden, kept)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, kept = ctx.saved_tensors
        scale = gradient[:, None]
        if not ctx.trains:
            return (kept * scale).to(hidden.dtype), None, None, None, None, None
        to_hidden = None
        if ctx.needs_input_grad[0] and len(hidden):
            to_hidden = ((kept.to(ctx.dtype) @ ctx.weight.to(ctx.dtype)) * scale).to(hidden.dtype)
        scaled = wide(hidden) * scale
        if ctx.book is not None:
            _keep(ctx.book, ctx.weight, ctx.bias, kept, scaled, gradient, ctx.counts)
            return to_hidden, None, None, None, None, None
        to_weight = kept.t() @ scaled if ctx.needs_input_grad[1] else None
        to_bias = gradient @ kept if ctx.needs_input_grad[2] else None
        return to_hidden, to_weight, to_bias, None, None, None


def _computed_in(hidden: Tensor) -> torch.dtype:
    """The precision of matrix products: half under autocast."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _scored(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, dtype: torch.dtype, slopes: Tensor
) -> Tensor:
    """The losses of some positions, shape (chunk,); their gradients at the scores are written into `slopes`."""
    # Fresh memory for the scores would cost a third of the product.
    if dtype != slopes.dtype:
        slopes.copy_(F.linear(hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)))
    elif bias is None:
        torch.mm(hidden, weight.t(), out=slopes)
    else:
        torch.addmm(bias, hidden, weight.t(), out=slopes)
    torch.log_softmax(slopes, dim=1, out=slopes)
    losses = -slopes.gather(1, labels)[:, 0]
    slopes.exp_().scatter_add_(1, labels, slopes.new_full(labels.shape, -1.0))
    return losses


def _keep(
    book: Book,
    weight: Tensor,
    bias: Tensor | None,
    slopes: Tensor,
    scaled: Tensor,
    gradient: Tensor,
    counts: Sequence[int],
) -> None:
    """Hand the head's use to its parameters' ledgers."""
    if not len(slopes):
        return
    of_units = book.sums(counts)
    if weight.requires_grad:
        book.matrix(weight).heads.append(Ragged(slopes, scaled, of_units))
    if bias is not None and bias.requires_grad:
        parts = zip(*(torch.split(values, list(of_units)) for values in (gradient, slopes)), strict=True)
        book.vector(bias).add(torch.stack([g @ s for g, s in parts]))
