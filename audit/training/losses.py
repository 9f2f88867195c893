"""One loss per example, in nats: what every arm minimizes, private or not.

A loss of its own for every example is what makes clipping per example possible; using the same one in the standard arm
keeps the comparison between arms a controlled one. Library losses average over all tokens of a batch instead, so that
an example's weight depends on its neighbours, and some cast to float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""Label of a position that has no loss."""


def classification_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each example's class.

    Args:
        logits: Shape (B, C).
        labels: Class indices, shape (B,).

    Returns:
        Shape (B,).
    """
    return F.cross_entropy(logits, labels, reduction="none")


def masked_losses(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross entropy over each example's own labelled tokens.

    Args:
        logits: Shape (B, T, V), at the labelled positions themselves.
        labels: Token ids, shape (B, T); `IGNORED` where there is no loss.
        weights: How much each position counts in its example's mean, shape (B, T), positive; None for all alike.

    Returns:
        Shape (B,); 0 for an example without a labelled token.
    """
    counted = labels != IGNORED
    example = counted.nonzero()[:, 0]  # (n,), n labelled positions
    tokens = F.cross_entropy(logits[counted], labels[counted], reduction="none")  # (n,)
    shares = torch.ones_like(tokens) if weights is None else weights[counted].to(tokens.dtype)
    totals = tokens.new_zeros(len(labels)).index_add(0, example, shares)
    return tokens.new_zeros(len(labels)).index_add(0, example, tokens * shares / totals[example])


def causal_losses(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross entropy over each example's own labelled tokens, each predicted from those before it.

    Args:
        logits: Shape (B, T, V); position t predicts token t + 1.
        labels: Token ids, shape (B, T); `IGNORED` where there is no loss. The first position is predicted from nothing
            and never counts.
        weights: See `masked_losses`; a weight of 10 on a token counts as if it stood there ten times.

    Returns:
        Shape (B,); 0 for an example without a labelled token.
    """
    return masked_losses(logits[:, :-1], labels[:, 1:], None if weights is None else weights[:, 1:])
