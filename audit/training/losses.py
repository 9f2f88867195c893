"""One loss per example, in nats: what every arm minimizes, private or not.

A loss of its own for every example is what makes clipping per example possible; using the same one in the standard arm
keeps the comparison between arms a controlled one. Library losses average over all tokens of a batch instead, so that
an example's weight depends on its neighbours, and some cast to float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.training.heads import head_losses

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


def masked_losses(
    outputs: Tensor, labels: Tensor, weights: Tensor | None = None, head: nn.Linear | None = None
) -> Tensor:
    """Mean cross entropy over each example's own labelled tokens: those of a masked model, or of a tagger.

    The mean is the example's own: a short text counts as much as a long one, and neither depends on its neighbours. A
    library's mean over all tokens of a batch is another loss, under which long texts count more.

    Args:
        outputs: Logits, shape (B, T, V), at the labelled positions themselves; with `head`, its inputs, (B, T, d).
        labels: Token ids or classes, shape (B, T); `IGNORED` where there is no loss.
        weights: How much each position counts in its example's mean, shape (B, T), positive; None for all alike.
        head: The layer over the vocabulary, where the outputs are what it has yet to score.

    Returns:
        Shape (B,); 0 for an example without a labelled token.
    """
    counted = labels != IGNORED
    rows = counted.flatten().nonzero()[:, 0]  # (n,), n labelled positions
    example = rows // labels.shape[1]
    chosen = outputs.flatten(0, 1).index_select(0, rows)
    if head is None:
        tokens = F.cross_entropy(chosen, labels[counted], reduction="none")  # (n,)
    else:
        tokens = head_losses(chosen, head, labels[counted], counted.sum(dim=1).tolist())
    shares = torch.ones_like(tokens) if weights is None else weights[counted].to(tokens.dtype)
    totals = tokens.new_zeros(len(labels)).index_add(0, example, shares)
    return tokens.new_zeros(len(labels)).index_add(0, example, tokens * shares / totals[example])


def causal_losses(
    outputs: Tensor, labels: Tensor, weights: Tensor | None = None, head: nn.Linear | None = None
) -> Tensor:
    """Mean cross entropy over each example's own labelled tokens, each predicted from those before it.

    Args:
        outputs: Shape (B, T, V), or (B, T, d) with `head`; position t predicts token t + 1.
        labels: Token ids, shape (B, T); `IGNORED` where there is no loss. The first position is predicted from nothing
            and never counts.
        weights: See `masked_losses`; a weight of 10 on a token counts as if it stood there ten times.
        head: See `masked_losses`.

    Returns:
        Shape (B,); 0 for an example without a labelled token.
    """
    return masked_losses(outputs[:, :-1], labels[:, 1:], None if weights is None else weights[:, 1:], head)
