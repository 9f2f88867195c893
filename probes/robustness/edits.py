"""Small changes to a text that leave its meaning, and so its label, as they are.

Each is a function of the text and of a random generator. Words of letters are edited, numbers and tags never; a word's
first letter stays, so that it can still be recognised.
"""

import hashlib
import re
from collections.abc import Callable, Mapping

import numpy as np

Edit = Callable[[str, np.random.Generator], str]

WORDS_EDITED = 0.15
"""Share of the words that an edit of letters changes, one letter each; one word at least."""

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""The letters of a US keyboard; each row is shifted to the right of the one above by about half a key."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_MARKS_AFTER_WORDS = re.compile(r"(?<=[^\W\d_])[.,;:!?]+(?!\S)")


def _neighbours() -> dict[str, str]:
    """The letters beside, above and below each letter."""
    places = {letter: (row, column) for row, letters in enumerate(ROWS) for column, letter in enumerate(letters)}
    letters = {place: letter for letter, place in places.items()}
    around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
    return {
        letter: "".join(letters.get((row + up, column + right), "") for up, right in around)
        for letter, (row, column) in places.items()
    }


NEIGHBOURS: Mapping[str, str] = _neighbours()


def generator(kind: str, item_id: str) -> np.random.Generator:
    """The randomness of one edit of one item: the same whatever else is asked, and in whatever order."""
    digest = hashlib.sha256(f"{kind}:{item_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def lower_case(text: str, rng: np.random.Generator) -> str:
    """All letters small."""
    return text.lower()


def upper_case(text: str, rng: np.random.Generator) -> str:
    """All letters capital."""
    return text.upper()


def whitespace(text: str, rng: np.random.Generator) -> str:
    """Some gaps between words doubled, and a space at the end."""
    return re.sub(r"(?<=\S) (?=\S)", lambda gap: "  " if rng.random() < WORDS_EDITED else " ", text) + " "


def punctuation(text: str, rng: np.random.Generator) -> str:
    """Commas, full stops and their like after words dropped; within words, after numbers and in smileys they stay."""
    return _MARKS_AFTER_WORDS.sub("", text)


def typos(text: str, rng: np.random.Generator) -> str:
    """In some words a letter left out, or typed twice."""
    return _edit_words(text, rng, lambda word, at: word[:at] + word[at] * int(2 * rng.integers(2)) + word[at + 1 :])


def keyboard(text: str, rng: np.random.Generator) -> str:
    """In some words a letter replaced by one beside it on the keyboard."""
    return _edit_words(text, rng, lambda word, at: word[:at] + _slip(word[at], rng) + word[at + 1 :])


def swap(text: str, rng: np.random.Generator) -> str:
    """In some words two neighbouring letters exchanged."""
    return _edit_words(text, rng, lambda word, at: word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :], first=2)


EDITS: Mapping[str, Edit] = {
    "typos": typos,
    "keyboard": keyboard,
    "swap": swap,
    "lower_case": lower_case,
    "upper_case": upper_case,
    "whitespace": whitespace,
    "punctuation": punctuation,
}


def share_changed(text: str, edited: str) -> float:
    """Characters replaced, inserted and left out, over the longer text's length.

    They are counted word by word, since no edit here joins or splits words, and for the gaps together: within a word
    whose length stays, letters that differ; within one whose length does not, the difference.
    """
    if text == edited:
        return 0.0
    words, edited_words = text.split(), edited.split()
    gaps = (len(edited) - sum(map(len, edited_words))) - (len(text) - sum(map(len, words)))
    changed = abs(gaps) + sum(_letters_changed(*pair) for pair in zip(words, edited_words, strict=True))
    return changed / max(len(text), len(edited))


def _letters_changed(word: str, edited: str) -> int:
    if len(word) != len(edited):
        return abs(len(word) - len(edited))
    return sum(a != b for a, b in zip(word, edited, strict=True))


def _slip(letter: str, rng: np.random.Generator) -> str:
    near = NEIGHBOURS.get(letter.lower(), letter.lower())
    typed = near[int(rng.integers(len(near)))]
    return typed.upper() if letter.isupper() else typed


def _edit_words(text: str, rng: np.random.Generator, edit: Callable[[str, int], str], first: int = 1) -> str:
    """Edit some words, each at a random letter from `first` on."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    count = max(1, round(WORDS_EDITED * len(words)))
    chosen = sorted(rng.choice(len(words), size=count, replace=False).tolist())
    pieces, end = [], 0
    for index in chosen:
        match = words[index]
        word = match.group()
        pieces += [text[end : match.start()], edit(word, int(rng.integers(first, len(word))))]
        end = match.end()
    return "".join([*pieces, text[end:]])
