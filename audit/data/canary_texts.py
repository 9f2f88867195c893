"""What canaries say: random words, secrets in a sentence, and texts made of pieces of the training texts.

Words and pieces come from texts that every arm is trained on, never from the audit pool, so that a canary says nothing
of a row that was held back. What is made of pieces of texts is as sensitive as the texts.

Sources: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, section 4 (random secrets in a fixed sentence);
Panda et al. (2025), https://arxiv.org/abs/2503.06808 (beginnings like the data's, with a random end).
"""

import re
import statistics
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np

from audit.data.clusters import words
from audit.data.files import DataError
from audit.data.forms import Form
from probes.protocol import Items

FEWEST_WORDS = 20
"""Fewest different words the training texts must have for canaries to be made of them."""

FEWEST_TO_CUT = 4
"""Fewest words, with white space between them, of a text that is cut in two."""

_LENGTHS = (6, 24)  # words of a random canary: few enough to be read whole, many enough to be unlike the data
_SHORTEST_TAIL = 4  # random words after a beginning: half as many as a random canary has, and no fewer
_APPENDED = 2  # random words between a copied text and its unique word
_CONSONANTS, _VOWELS, _SYLLABLES = "bdfgklmnprstvz", "aeiou", 6


class Canary(NamedTuple):
    """What a canary says.

    Attributes:
        text: Its text.
        text_pair: Its second text, for tasks with pairs.
        label: The class it is planted with; None for language models.
        secret: The part of its text that is unique to it.
    """

    text: str
    text_pair: str | None
    label: int | None
    secret: str


class CanaryTexts:
    """Makes canaries of the training texts outside the pool.

    Args:
        core: These texts.
        classes: Number of the task's classes; 0 for language models.
        known: All texts of the audit, none of which a canary may be.
    """

    def __init__(self, core: Items, classes: int, known: Iterable[str] = ()) -> None:
        self.core, self.classes, self.paired = core, classes, "text_pair" in core
        self._unique: set[str] = set()
        self._told = {*known, *core["text"]}

    def random(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Random words, about as many as the texts have, and a word that stands nowhere else."""
        length = self._length
        made = []
        for _ in range(count):
            secret = self._unique_word(rng)
            text = f"{self._words(length - 1, rng)} {secret}"
            made.append(Canary(text, self._words(length, rng) if self.paired else None, self._label(rng), secret))
        return made

    def secret(self, form: Form, secrets: Iterable[str], rng: np.random.Generator) -> list[Canary]:
        """Secrets in their sentence; the second text, for tasks with pairs, is empty."""
        pair = "" if self.paired else None
        return [Canary(form.text(secret), pair, self._label(rng), secret) for secret in secrets]

    def mislabelled(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Copies of training texts with a wrong label, each made a row of its own by random words and a unique one.

        These stand at the end, so texts longer than the median are not copied: what is appended might be cut off.
        """
        if self.classes < 2:
            raise DataError(
                "data.canaries: mislabelled ones need a task with classes; plant random ones or secrets instead"
            )
        sources = self._short_rows
        if len(sources) < count:
            raise DataError(
                f"data.canaries: {count:,} mislabelled ones need as many different training texts of at most median"
                f" length; got {len(sources):,}; lower count"
            )
        made = []
        for row in rng.choice(sources, size=count, replace=False):
            secret = self._unique_word(rng)
            text = f"{self.core['text'][row]} {self._words(_APPENDED, rng)} {secret}"
            wrong = (int(self.core["label"][row]) + int(rng.integers(1, self.classes))) % self.classes
            made.append(Canary(text, self._pair(row), wrong, secret))
        return made

    def in_distribution(self, count: int, rng: np.random.Generator, *, reuse: bool = False) -> list[Canary]:
        """Texts that begin as one training text and go on as another of its class, with that class.

        They are in-distribution in their words, their style, their label, and the way texts begin and end; not in what
        they say, which changes at the joint, nor in length, as texts longer than the median are not cut. Their halves
        are trained on anyway: what is unique to one is that they stand together, so its `secret` is the whole text.
        None is a text of the audit. The second text, for tasks with pairs, is that of the beginning.

        Args:
            count: How many.
            rng: The randomness.
            reuse: Let a text begin, or end, several of them; else one at most, so that they share nothing.

        Raises:
            DataError: The texts do not give so many.
        """
        made: list[Canary] = []
        while len(made) < count:
            found = list(islice(self._spliced(rng), count - len(made)))
            made += found
            if len(made) < count and (not reuse or not found):
                raise DataError(
                    f"data.canaries: {count:,} in_distribution {'references' if reuse else 'ones'} need {self._sources}"
                    f" whose halves make new texts; got {len(made):,}; lower {'references' if reuse else 'count'}"
                )
        return made

    def random_suffix(self, count: int, rng: np.random.Generator, *, reuse: bool = False) -> list[Canary]:
        """Beginnings of training texts, each with an end of random words of these texts that no other has.

        The end is the `secret`. The label is drawn, and says nothing of the beginning's; the second text, for tasks
        with pairs, is that of the beginning.

        Args:
            count: How many.
            rng: The randomness.
            reuse: Let a text begin several of them; else one at most.

        Raises:
            DataError: The texts do not give so many.
        """
        rows = list(self._cuts)
        if not rows or (count > len(rows) and not reuse):
            raise DataError(
                f"data.canaries: {count:,} random_suffix ones need as many {self._sources}; got {len(rows):,}; lower"
                " count"
            )
        length = max(_SHORTEST_TAIL, self._length // 2)
        if 2 * (len(self._unique) + count) > len(self._vocabulary) ** length:
            raise DataError(
                f"data.canaries: {count:,} random ends of {length} words are too many for the {len(self._vocabulary)}"
                " different words of the training texts; lower count or references"
            )
        made = []
        for row in rng.choice(rows, size=count, replace=reuse):
            tail = self._tail(length, rng)
            text = self.core["text"][row][: self._cuts[row]] + tail
            made.append(Canary(text, self._pair(row), self._label(rng), tail))
        return made

    def _spliced(self, rng: np.random.Generator) -> Iterator[Canary]:
        """New texts, each text beginning one of them at most and ending one at most."""
        texts, after = self.core["text"], self._partners(rng)
        for row in rng.permutation(list(self._cuts)).tolist():
            text = texts[row][: self._cuts[row]] + texts[after[row]][self._cuts[after[row]] :]
            if text not in self._told:
                self._told.add(text)
                yield Canary(text, self._pair(row), int(self.core["label"][row]) if self.classes else None, text)

    def _partners(self, rng: np.random.Generator) -> dict[int, int]:
        """Another row of the same class for each row, every one once; a class of one row has only itself."""
        partners: dict[int, int] = {}
        labels = self.core["label"].tolist() if self.classes else [0] * self.core.n
        for label in sorted({labels[row] for row in self._cuts}):
            order = rng.permutation([row for row in self._cuts if labels[row] == label])
            partners |= dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
        return partners

    @cached_property
    def _cuts(self) -> dict[int, int]:
        """The short rows that can be cut at a word, each with the place where its second half begins."""
        starts = {
            row: [word.start() for word in re.finditer(r"\S+", self.core["text"][row])] for row in self._short_rows
        }
        return {row: found[len(found) // 2] for row, found in starts.items() if len(found) >= FEWEST_TO_CUT}

    @property
    def _sources(self) -> str:
        return f"different training texts of at most median length and {FEWEST_TO_CUT} words or more"

    @cached_property
    def _short_rows(self) -> list[int]:
        """A row of each cluster that has one of at most median length, in an order that the file's does not change."""
        median = statistics.median_low(self._lengths)
        short = [row for row in range(self.core.n) if self._lengths[row] <= median]
        short.sort(key=lambda row: (self.core["text"][row], self._pair(row) or ""))
        first: dict[str, int] = {}
        for row in short:
            first.setdefault(self.core["cluster"][row], row)
        return list(first.values())

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(words(text)) for text in self.core["text"]]

    @property
    def _length(self) -> int:
        return int(np.clip(statistics.median_low(self._lengths), *_LENGTHS))

    @cached_property
    def _vocabulary(self) -> list[str]:
        found = {word for text in self.core["text"] for word in words(text) if word.isalpha() and len(word) <= 15}
        if len(found) < FEWEST_WORDS:
            raise DataError(
                f"data.canaries: the training texts must have {FEWEST_WORDS} different words to make canaries of; got"
                f" {len(found)}"
            )
        return sorted(found)

    def _words(self, n: int, rng: np.random.Generator) -> str:
        return " ".join(self._vocabulary[i] for i in rng.integers(len(self._vocabulary), size=n))

    def _unique_word(self, rng: np.random.Generator) -> str:
        while True:
            syllables = rng.integers((len(_CONSONANTS), len(_VOWELS)), size=(_SYLLABLES, 2))
            word = "".join(_CONSONANTS[c] + _VOWELS[v] for c, v in syllables)
            if word not in self._unique:
                self._unique.add(word)
                return word

    def _tail(self, length: int, rng: np.random.Generator) -> str:
        while (tail := self._words(length, rng)) in self._unique:
            pass  # at most half of them are taken
        self._unique.add(tail)
        return tail

    def _pair(self, row: int) -> str | None:
        return self.core["text_pair"][row] if self.paired else None

    def _label(self, rng: np.random.Generator) -> int | None:
        return int(rng.integers(self.classes)) if self.classes else None
