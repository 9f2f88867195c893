"""What canaries are made of: the words of the training texts, and the places where their texts can be cut."""

import re
import statistics
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from audit.data.clusters import words
from audit.data.files import DataError
from audit.data.rows import UNKNOWN
from probes.protocol import Items

FEWEST_WORDS = 20
"""Fewest different words the training texts must have for canaries to be made of them."""

FEWEST_TO_CUT = 4
"""Fewest words, with white space between them, of a text that is cut in two."""

SOURCES = f"different training texts of at most median length and {FEWEST_TO_CUT} words or more"
"""What is cut, in words."""

_LENGTHS = (6, 24)  # words of a random canary: few enough to be read whole, many enough to be unlike the data


class Material:
    """The training texts outside the pool, as what canaries are made of.

    Args:
        core: These texts.
        classes: Number of the task's classes; 0 for language models.
    """

    def __init__(self, core: Items, classes: int) -> None:
        self.core, self.classes, self.paired = core, classes, "text_pair" in core

    @cached_property
    def cuts(self) -> dict[int, int]:
        """The short rows that can be cut at a word, each with the place where its second half begins."""
        starts = {
            row: [word.start() for word in re.finditer(r"\S+", self.core["text"][row])] for row in self.short_rows
        }
        return {row: found[len(found) // 2] for row, found in starts.items() if len(found) >= FEWEST_TO_CUT}

    @cached_property
    def short_rows(self) -> list[int]:
        """A row of each cluster that has one of at most median length, in an order that the file's does not change."""
        median = statistics.median_low(self._lengths)
        short = [row for row in range(self.core.n) if self._lengths[row] <= median]
        short.sort(key=lambda row: (self.core["text"][row], self.pair(row) or ""))
        first: dict[str, int] = {}
        for row in short:
            first.setdefault(self.core["cluster"][row], row)
        return list(first.values())

    @property
    def length(self) -> int:
        """Words of a random canary: the median of the texts, within limits."""
        return int(np.clip(statistics.median_low(self._lengths), *_LENGTHS))

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words of the texts, sorted."""
        found = {word for text in self.core["text"] for word in words(text) if word.isalpha() and len(word) <= 15}
        if len(found) < FEWEST_WORDS:
            raise DataError(
                f"data.canaries: the training texts must have {FEWEST_WORDS} different words to make canaries of; got"
                f" {len(found)}"
            )
        return sorted(found)

    def beginning(self, row: int) -> str:
        """The first half of a row's text, with the white space after it."""
        return str(self.core["text"][row][: self.cuts[row]])

    def ending(self, row: int) -> str:
        """The second half of a row's text."""
        return str(self.core["text"][row][self.cuts[row] :])

    def rows_to_begin(self, count: int, kind: str, reuse: bool) -> list[int]:
        """The rows whose beginnings canaries of a kind may have: as many as that, unless they may be used again."""
        rows = list(self.cuts)
        if not rows or (count > len(rows) and not reuse):
            raise DataError(
                f"data.canaries: {count:,} {kind} ones need as many {SOURCES}; got {len(rows):,}; lower count"
            )
        return rows

    def partners(self, rng: np.random.Generator) -> dict[int, int]:
        """Another row of the same class for each row, every one once; a class of one row has only itself."""
        partners: dict[int, int] = {}
        labels = self.core["label"].tolist() if self.classes else [0] * self.core.n
        for label in sorted({labels[row] for row in self.cuts}):
            order = rng.permutation([row for row in self.cuts if labels[row] == label])
            partners |= dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
        return partners

    def words(self, n: int, rng: np.random.Generator) -> str:
        """Random words of the texts."""
        return " ".join(self.vocabulary[i] for i in rng.integers(len(self.vocabulary), size=n))

    def pair(self, row: int) -> str | None:
        """The second text of a row, for tasks with pairs."""
        return self.core["text_pair"][row] if self.paired else None

    def label(self, rng: np.random.Generator) -> int | None:
        """A class drawn, for tasks that have some."""
        return int(rng.integers(self.classes)) if self.classes else None

    def groups(self, made: Iterable[tuple[int | None, int | None]]) -> dict[str, list[str]]:
        """Whose text each begins as: by column `group:<attribute>` of the core, the group of the text that begins it.

        `UNKNOWN` for what is invented, and where another text ends it that is of another group. Empty where none begins
        as a training text, or the core has no such column.

        Args:
            made: Rows that begin and, where that is another one, end each canary.
        """
        rows = [[row for row in ends if row is not None] for ends in made]
        columns = [column for column in self.core if column.startswith("group:")] if any(rows) else []
        return {column: [_shared([str(self.core[column][row]) for row in ends]) for ends in rows] for column in columns}

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(words(text)) for text in self.core["text"]]


def _shared(groups: list[str]) -> str:
    found = set(groups)
    return found.pop() if len(found) == 1 else UNKNOWN
