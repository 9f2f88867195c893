"""What canaries say: random words, secrets in a sentence, and texts made of pieces of the training texts.

Words and pieces come from texts that every arm is trained on, never from the audit pool, so that a canary says nothing
of a row that was held back. What is made of pieces of texts is as sensitive as the texts.

Sources: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, section 4 (random secrets in a fixed sentence);
Panda et al. (2025), https://arxiv.org/abs/2503.06808 (beginnings like the data's, with a random end or a token that is
new to the data).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np

from audit.data.canary_material import SOURCES, Material
from audit.data.files import DataError
from audit.data.forms import Form
from probes.protocol import Items

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
        row: The training text that begins it, as its place in the core; None for what is invented.
        end: The training text that ends it, where that is another one.
    """

    text: str
    text_pair: str | None
    label: int | None
    secret: str
    row: int | None = None
    end: int | None = None


class CanaryTexts:
    """Makes canaries of the training texts outside the pool.

    Args:
        core: These texts.
        classes: Number of the task's classes; 0 for language models.
        known: All texts of the audit, none of which a canary may be.
        unused: Gives the words that are one token each and stand in no text; called for new_token ones alone.
    """

    def __init__(
        self,
        core: Items,
        classes: int,
        known: Iterable[str] = (),
        unused: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.material = Material(core, classes)
        self._unused = unused
        self._unique: set[str] = set()
        self._begun: set[int] = set()
        self._told = {*known, *core["text"]}

    def random(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Random words, about as many as the texts have, and a word that stands nowhere else."""
        length = self.material.length
        made = []
        for _ in range(count):
            secret = self._unique_word(rng)
            text = f"{self.material.words(length - 1, rng)} {secret}"
            pair = self.material.words(length, rng) if self.material.paired else None
            made.append(Canary(text, pair, self.material.label(rng), secret))
        return made

    def secret(self, form: Form, secrets: Iterable[str], rng: np.random.Generator) -> list[Canary]:
        """Secrets in their sentence; the second text, for tasks with pairs, is empty."""
        pair = "" if self.material.paired else None
        return [Canary(form.text(secret), pair, self.material.label(rng), secret) for secret in secrets]

    def mislabelled(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Copies of training texts with a wrong label, each made a row of its own by random words and a unique one.

        These stand at the end, so texts longer than the median are not copied: what is appended might be cut off.
        """
        core, classes = self.material.core, self.material.classes
        if classes < 2:
            raise DataError(
                "data.canaries: mislabelled ones need a task with classes; plant random ones or secrets instead"
            )
        sources = self.material.short_rows
        if len(sources) < count:
            raise DataError(
                f"data.canaries: {count:,} mislabelled ones need as many different training texts of at most median"
                f" length; got {len(sources):,}; lower count"
            )
        made = []
        for row in rng.choice(sources, size=count, replace=False):
            secret = self._unique_word(rng)
            text = f"{core['text'][row]} {self.material.words(_APPENDED, rng)} {secret}"
            wrong = (int(core["label"][row]) + int(rng.integers(1, classes))) % classes
            made.append(Canary(text, self.material.pair(row), wrong, secret, int(row)))
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
                    f"data.canaries: {count:,} in_distribution {'references' if reuse else 'ones'} need {SOURCES}"
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
        rows = self.material.rows_to_begin(count, "random_suffix", reuse)
        length, words = max(_SHORTEST_TAIL, self.material.length // 2), len(self.material.vocabulary)
        if 2 * (len(self._unique) + count) > words**length:
            raise DataError(
                f"data.canaries: {count:,} random ends of {length} words are too many for the {words}"
                " different words of the training texts; lower count or references"
            )
        made = []
        for row in rng.choice(rows, size=count, replace=reuse):
            tail = self._tail(length, rng)
            text = self.material.beginning(row) + tail
            made.append(Canary(text, self.material.pair(row), self.material.label(rng), tail, int(row)))
        return made

    def new_token(self, count: int, rng: np.random.Generator, *, reuse: bool = False) -> list[Canary]:
        """Beginnings of training texts, each with one word that no text has and that is one token to the model.

        The word is the `secret`; neither its beginning nor the second text holds it, not even within a word. A space
        stands before it, whatever stood at the cut. The label is drawn, and says nothing of the beginning's; the second
        text, for tasks with pairs, is that of the beginning.

        Args:
            count: How many.
            rng: The randomness.
            reuse: Make what is never planted, after all that may be: a text may begin several, those first that begin
                no canary. Each ends in a word of its own all the same: what shares a word is no further reference.

        Raises:
            DataError: The texts or the words do not give so many.
        """
        rows = self.material.rows_to_begin(count, "new_token", reuse)
        if reuse:
            drawn = self._in_turn(rows, count, rng)
        else:
            drawn = rng.choice(rows, size=count, replace=False).tolist()
            self._begun.update(drawn)
        beginnings = [self.material.beginning(row).rstrip() for row in drawn]
        pairs = [self.material.pair(row) for row in drawn]
        before = [f"{beginning}\n{pair or ''}" for beginning, pair in zip(beginnings, pairs, strict=True)]
        return [
            Canary(f"{beginning} {word}", pair, self.material.label(rng), word, row)
            for row, beginning, pair, word in zip(drawn, beginnings, pairs, self._ends(before, rng, reuse), strict=True)
        ]

    def _ends(self, before: Sequence[str], rng: np.random.Generator, reuse: bool) -> list[str]:
        """An unused word for each of some texts, which does not hold it; no other will have it."""
        free = len(self._free)
        left: list[str] = rng.permutation(self._free).tolist()
        ends = []
        for text in before:
            word = next((word for word in left if word not in text), None)
            if word is None:
                whose, lower = ("references", "references") if reuse else ("ones", "count")
                raise DataError(
                    f"data.canaries: {len(before):,} new_token {whose} need as many different words that stand in no"
                    f" text or canary and are one token to the model; got {free:,}; lower {lower}, or use random_suffix"
                )
            left.remove(word)
            ends.append(word)
        self._free = sorted(left)
        return ends

    @cached_property
    def _free(self) -> list[str]:
        """The unused words that none made so far has."""
        return list(self._unused())

    def _in_turn(self, rows: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
        """Rows that begin no canary with a new token, in a random order, then all as often as need be."""
        drawn: list[int] = rng.permutation([row for row in rows if row not in self._begun]).tolist()
        while len(drawn) < count:
            drawn += rng.permutation(rows).tolist()
        return drawn[:count]

    def _spliced(self, rng: np.random.Generator) -> Iterator[Canary]:
        """New texts, each text beginning one of them at most and ending one at most."""
        after = self.material.partners(rng)
        for row in rng.permutation(list(self.material.cuts)).tolist():
            end = after[row]
            text = self.material.beginning(row) + self.material.ending(end)
            if text not in self._told:
                self._told.add(text)
                label = int(self.material.core["label"][row]) if self.material.classes else None
                yield Canary(text, self.material.pair(row), label, text, row, end)

    def _unique_word(self, rng: np.random.Generator) -> str:
        while True:
            syllables = rng.integers((len(_CONSONANTS), len(_VOWELS)), size=(_SYLLABLES, 2))
            word = "".join(_CONSONANTS[c] + _VOWELS[v] for c, v in syllables)
            if word not in self._unique:
                self._unique.add(word)
                return word

    def _tail(self, length: int, rng: np.random.Generator) -> str:
        while (tail := self.material.words(length, rng)) in self._unique:
            pass  # at most half of them are taken
        self._unique.add(tail)
        return tail
