"""Texts close to a record, which attacks with passes of their own ask about as well.

A member is liked better than what stands close to it; a stranger is not. Each variant is a function of the record and
of a number, so that it is the same whatever else is asked, and in whatever order.

Sources: Carlini et al. (2021), https://arxiv.org/abs/2012.07805, section 5.2 (small letters); Mattern et al. (2023),
https://arxiv.org/abs/2305.18462, section 3 (neighbours; theirs are rewritten by a masked model, ours exchange words);
Choquette-Choo et al. (2021), https://arxiv.org/abs/2007.14321, section 4.2 (decisions on augmented copies).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

import numpy as np

from probes.protocol import Array, Items
from probes.robustness.edits import EDITS, generator

SWAPPED = 0.1
"""Share of the words of a text that a neighbour exchanges, one at least."""

SLIPS = ("typos", "keyboard", "swap", "lower_case", "punctuation")
"""Edits that a label survives, in turn."""

_WORD = re.compile(r"\w+")


def lowercase(items: Items, count: int) -> Items:
    """One copy of each item in small letters, whatever the count."""
    return _copies(items, 1, lambda text, item, number: text.lower())


def neighbours(items: Items, count: int) -> Items:
    """Copies in which some words are exchanged for words of other texts, drawn as often as they stand there."""
    supply = [word for text in items["text"] for word in _WORD.findall(text)]

    def exchanged(text: str, item: str, number: int) -> str:
        return _exchanged(text, supply, generator(f"neighbour {number}", item))

    return _copies(items, count, exchanged)


def slips(items: Items, count: int) -> Items:
    """Copies with slips of typing and the like, one kind of edit after another."""
    kinds = list(islice(cycle(SLIPS), count))

    def edited(text: str, item: str, number: int) -> str:
        return EDITS[kinds[number]](text, generator(f"slip {number}", item))

    return _copies(items, count, edited)


PASSES: Mapping[str, Callable[[Items, int], Items]] = {
    "lowercase": lowercase,
    "neighbours": neighbours,
    "label_only": slips,
}
"""What each attack with passes of its own asks about, given the records and a number of copies."""


def by_record(values: Array, records: int) -> Array:
    """Values of copies as an array of a row for each record, in the order of the records."""
    return values.reshape(records, -1)


def _copies(items: Items, count: int, changed: Callable[[str, str, int], str]) -> Items:
    """The items, each so many times, with their texts changed by item and number."""
    at = np.repeat(np.arange(items.n), count)
    copies = items.take(at)
    numbers = np.tile(np.arange(count), items.n).tolist()
    ids = [str(item) for item in copies["item_id"]]
    texts = [changed(*row) for row in zip(copies["text"], ids, numbers, strict=True)]
    return copies.assign(item_id=[f"{item}~{number}" for item, number in zip(ids, numbers, strict=True)], text=texts)


def _exchanged(text: str, supply: Sequence[str], rng: np.random.Generator) -> str:
    words = list(_WORD.finditer(text))
    if not words:
        return text
    chosen = sorted(rng.choice(len(words), size=math.ceil(SWAPPED * len(words)), replace=False).tolist())
    pieces, end = [], 0
    for index in chosen:
        pieces += [text[end : words[index].start()], supply[int(rng.integers(len(supply)))]]
        end = words[index].end()
    return "".join([*pieces, text[end:]])
