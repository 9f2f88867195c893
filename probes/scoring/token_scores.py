"""From scores of single tokens, in whatever order they were computed, back to rows of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from probes.protocol import Array, TokenRows
from probes.scoring.moments import Moments


class TextScores(NamedTuple):
    """One text's part of `TokenRows`: arrays of shape (T,)."""

    token_ids: Array
    logprobs: Array
    means: Array
    deviations: Array
    is_top: Array
    truncated: bool


@dataclass(frozen=True)
class ScoreBoard:
    """Room for the scores of U tokens, written batch by batch.

    Attributes:
        numbers: Log-probability, mean and deviation, shape (3, U), NaN until written.
        is_top: Shape (U,).
    """

    numbers: Array
    is_top: Array

    @classmethod
    def of(cls, size: int) -> "ScoreBoard":
        """An empty board."""
        return cls(np.full((3, size), np.nan), np.zeros(size, dtype=bool))

    def write(self, where: Array, moments: Moments) -> None:
        """Scores of one token to a row, at the tokens `where`, shape (R,)."""
        self.numbers[:, where] = moments.logprobs[:, 0], moments.means, moments.deviations
        self.is_top[where] = moments.is_top[:, 0]

    def texts(self, token_ids: Sequence[Array], truncated: Sequence[bool] | Array) -> list[TextScores]:
        """The board cut into texts of as many tokens as each has ids."""
        assert not np.isnan(self.numbers).any(), "every token has been scored"
        ends = np.cumsum([len(ids) for ids in token_ids])[:-1]
        columns = [np.split(column, ends) for column in (*self.numbers, self.is_top)]
        return [TextScores(*text) for text in zip(token_ids, *columns, truncated, strict=True)]


def token_rows(window: Sequence[TextScores]) -> TokenRows:
    """The texts of a window, side by side."""
    token_ids, logprobs, means, deviations, is_top, truncated = (list(column) for column in zip(*window, strict=True))
    return TokenRows(
        token_ids=token_ids,
        logprobs=logprobs,
        means=means,
        deviations=deviations,
        is_top=is_top,
        truncated=np.array(truncated, dtype=bool),
    )
