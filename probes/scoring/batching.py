"""Many texts, few computations: windows in order, each different question once, batches of like length."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from probes.protocol import Array

WINDOW = 4096
"""Texts that are answered together: enough to sort by length, few enough to hold."""

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


def in_windows(
    questions: Sequence[Q], answer: Callable[[list[Q]], Sequence[A]], window: int = WINDOW
) -> Iterator[list[A]]:
    """Answers in the order of the questions, window by window; nothing is computed before it is asked for.

    Args:
        questions: What to ask, in any order, with repetitions.
        answer: Called once for each window with its different questions; must return one answer each.
        window: Questions to a window; memory grows with it and not with the number of questions.

    Yields:
        One list of answers for each window; repeated questions share one answer object.
    """
    for start in range(0, len(questions), window):
        place: dict[Q, int] = {}
        index = [place.setdefault(question, len(place)) for question in questions[start : start + window]]
        answers = answer(list(place))
        yield [answers[i] for i in index]


def by_length(lengths: Sequence[int] | Array, batch_tokens: int, batch_rows: int | None = None) -> Iterator[Array]:
    """Batches of indices of like length, the longest first, so that a batch too large for memory fails at once.

    Args:
        lengths: Tokens of each sequence, shape (N,).
        batch_tokens: Most tokens in a batch, padding included; a longer sequence is a batch of its own.
        batch_rows: Most sequences in a batch; no limit by default.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        size = size if batch_rows is None else min(size, batch_rows)
        yield order[start : start + size]
        start += size


def padded(sequences: Sequence[Array], fill: int) -> tuple[Array, Array]:
    """Sequences of unequal length side by side, padded on the right.

    On the right, a token's position is its index whether or not others in the batch are longer, so models that
    count positions from the left need no position ids.

    Returns:
        Ids and attention mask, both (B, T) int64.
    """
    longest = max(len(sequence) for sequence in sequences)
    ids = np.full((len(sequences), longest), fill, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask
