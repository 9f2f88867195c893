"""Canaries: texts made for the audit, each planted in the twins by a fair coin of its own.

They are made after near-duplicates are clustered and are never merged with anything. Every canary contains a part
that is unique to it, its `secret`: what a model knows of that, it knows from this canary. Words come from texts that
every arm is trained on, never from the audit pool, so that a canary says nothing of a row that was held back.

Sources: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, section 4 (random secrets in a fixed sentence, ranked
among others of the same form); Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, Algorithm 1 (an
independent coin for each canary).
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np

from audit.data.clusters import words
from audit.data.coins import fair_coins, generator, pseudonym
from audit.data.files import DataError
from audit.data.forms import Form, draw_secrets
from audit.data.splits import stack
from audit.settings.sections.data import Canaries
from probes.protocol import Items

DEFAULT = Canaries(kind="random", count=200)
"""What is planted where the config is silent and a probe asks for canaries."""

FEWEST_WORDS = 20
"""Fewest different words the training texts must have for canaries to be made of them."""

_LENGTHS = (6, 24)  # words of a random canary: few enough to be read whole, many enough to be unlike the data
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


@dataclass(frozen=True)
class _Supply:
    """Different secrets of one form: canaries take theirs first, the references are what is left."""

    name: str
    form: Form
    secrets: Iterator[str]

    @classmethod
    def draw(cls, form: Form, name: str, specs: Sequence[Canaries], seed: int) -> Self:
        """As many as all entries of this form need."""
        mine = [spec for spec in specs if spec.kind == "secret" and _form(spec) == form]
        needed = sum(spec.count for spec in mine) + max(spec.references for spec in mine)
        return cls(name, form, iter(draw_secrets(form, needed, generator(seed, f"secrets {name}"))))


class _Maker:
    """Makes canaries of the training texts outside the pool.

    Args:
        core: These texts.
        classes: Number of the task's classes; 0 for language models.
    """

    def __init__(self, core: Items, classes: int) -> None:
        self.core, self.classes, self.paired = core, classes, "text_pair" in core
        self._unique: set[str] = set()

    def random(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Random words, about as many as the texts have, and a word that stands nowhere else."""
        length = int(np.clip(statistics.median_low(self._lengths), *_LENGTHS))
        made = []
        for _ in range(count):
            secret = self._unique_word(rng)
            text = f"{self._words(length - 1, rng)} {secret}"
            made.append(Canary(text, self._words(length, rng) if self.paired else None, self._label(rng), secret))
        return made

    def secret(self, supply: _Supply, count: int, rng: np.random.Generator) -> list[Canary]:
        """Secrets in their sentence; the second text, for tasks with pairs, is empty."""
        pair = "" if self.paired else None
        taken = islice(supply.secrets, count)
        return [Canary(supply.form.text(secret), pair, self._label(rng), secret) for secret in taken]

    def mislabelled(self, count: int, rng: np.random.Generator) -> list[Canary]:
        """Copies of training texts with a wrong label, each made a row of its own by random words and a unique one.

        These stand at the end, so texts longer than the median are not copied: what is appended might be cut off.
        """
        if self.classes < 2:
            raise DataError(
                "data.canaries: mislabelled ones need a task with classes; plant random ones or secrets instead"
            )
        sources = self._short_rows()
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
            made.append(Canary(text, self.core["text_pair"][row] if self.paired else None, wrong, secret))
        return made

    def _short_rows(self) -> list[int]:
        """A row of each cluster that has one of at most median length, in an order that the file's does not change."""
        median = statistics.median_low(self._lengths)
        short = [row for row in range(self.core.n) if self._lengths[row] <= median]
        short.sort(key=lambda row: (self.core["text"][row], self.core["text_pair"][row] if self.paired else ""))
        first: dict[str, int] = {}
        for row in short:
            first.setdefault(self.core["cluster"][row], row)
        return list(first.values())

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(words(text)) for text in self.core["text"]]

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

    def _label(self, rng: np.random.Generator) -> int | None:
        return int(rng.integers(self.classes)) if self.classes else None


def make_canaries(
    specs: Sequence[Canaries], core: Items, *, classes: int, seed: int, salt: str
) -> tuple[Items | None, Items | None]:
    """Make the canaries that a config asks for, and toss their coins.

    Args:
        specs: What to make.
        core: The training texts outside the audit pool.
        classes: Number of the task's classes; 0 for language models.
        seed: Seed of texts and coins; each entry of `specs` has draws of its own.
        salt: Salt of the identifiers.

    Returns:
        The canaries, None where there are none: `item_id`, `cluster` (its own for each), `text`, `text_pair` and
        `label` where the task has them, `kind`, `repetitions`, `is_member` (planted), `secret` and `form`.
        And never-planted secrets of the same forms, None where there are none: `item_id`, `cluster` (the `form` of
        the canaries they are there for), `text`, `text_pair` and `label` where the task has them, `kind`. A model that
        classifies by a word is trained on text and word, so what planted secrets are ranked among ends in one too.

    Raises:
        DataError: A template without {secret}, fewer possible secrets than asked for, mislabelled canaries without
            classes, or training texts with too few words.
    """
    maker = _Maker(core, classes)
    supplies = {form: _Supply.draw(form, name, specs, seed) for form, name in _forms(specs).items()}
    parts = []
    for place, spec in enumerate(specs):
        rng = generator(seed, f"canaries {place}")
        supply = supplies.get(_form(spec)) if spec.kind == "secret" else None
        if supply is not None:
            made = maker.secret(supply, spec.count, rng)
        else:
            made = maker.random(spec.count, rng) if spec.kind == "random" else maker.mislabelled(spec.count, rng)
        ids = [pseudonym(salt, "canary", place, i) for i in range(spec.count)]
        part = _items(made, ids).assign(
            kind=[spec.kind] * spec.count,
            repetitions=np.full(spec.count, spec.repetitions),
            is_member=fair_coins(seed, f"canary coins {place}", spec.count),
            form=[spec.kind if supply is None else supply.name] * spec.count,
        )
        parts.append(part)
    references = [_references(supply, maker.paired, salt) for supply in supplies.values()]
    return stack(parts) if parts else None, _labelled(stack(references), classes, seed) if references else None


def _labelled(references: Items, classes: int, seed: int) -> Items:
    """The references with labels drawn as those of the canaries are."""
    if not classes:
        return references
    return references.assign(label=generator(seed, "reference labels").integers(classes, size=references.n))


def _form(spec: Canaries) -> Form:
    return Form.of(spec.secret, spec.digits, spec.template)


def _forms(specs: Sequence[Canaries]) -> dict[Form, str]:
    """The different forms of secrets, each with its name; entries of one form share their references."""
    forms = dict.fromkeys(_form(spec) for spec in specs if spec.kind == "secret")
    return {form: f"{form.kind}-{number}" for number, form in enumerate(forms, start=1)}


def _items(made: Sequence[Canary], ids: Sequence[str]) -> Items:
    columns: dict[str, Any] = {"item_id": ids, "cluster": ids, "text": [canary.text for canary in made]}
    if made[0].text_pair is not None:
        columns["text_pair"] = [canary.text_pair for canary in made]
    if made[0].label is not None:
        columns["label"] = np.array([canary.label for canary in made], dtype=np.int64)
    return Items({**columns, "secret": [canary.secret for canary in made]})


def _references(supply: _Supply, paired: bool, salt: str) -> Items:
    secrets = list(supply.secrets)
    columns: dict[str, Any] = {
        "item_id": [pseudonym(salt, "canary reference", supply.name, i) for i in range(len(secrets))],
        "cluster": [supply.name] * len(secrets),
        "text": [supply.form.text(secret) for secret in secrets],
        "kind": ["secret"] * len(secrets),
    }
    return Items({**columns, "text_pair": [""] * len(secrets)} if paired else columns)
