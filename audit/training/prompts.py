"""Examples of a causal model that classifies by a word: prompt, text and class word as one sequence of tokens.

An example is the template with its text, a space, and the class's word, tokenized together, with what the tokenizer
puts in front and without what it puts behind: the sequence that the model is later asked to continue.
"""

import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audit.training.spec import Examples
from probes.protocol import Array
from probes.scoring.encoding import encode


@dataclass(frozen=True, kw_only=True)
class Prompted:
    """Token ids of N examples, each ending in its class word.

    Attributes:
        ids: One int64 array of shape (T_i,) per example.
        word_tokens: How many of the last tokens are the class word's, shape (N,).
        truncated: Shape (N,): whether the text was cut to fit.
    """

    ids: list[Array]
    word_tokens: Array
    truncated: Array


def prompted(tokenizer: Any, examples: Examples, template: str, words: Sequence[str], max_length: int) -> Prompted:
    """Token ids of prompts followed by class words.

    The template and the word are never cut: where an example would exceed `max_length`, its text and pair are cut
    to one and the same number of characters, the largest that fits, at their ends or, where the tokenizer's
    `truncation_side` is "left", at their beginnings.

    Args:
        tokenizer: A tokenizer of transformers.
        examples: Texts (and pairs) with class indices.
        template: The prompt, with `{text}` and, where there are pairs, `{text_pair}`; ends in words of its own.
        words: The classes' words, in the order of the classes.
        max_length: Most tokens of an example.

    Raises:
        ValueError: The examples have no labels, or template and words cannot be used; the message says why.
    """
    if examples.labels is None:
        raise ValueError("a causal model that classifies needs labels; the examples have none")
    low, high = min(examples.labels), max(examples.labels)
    if low < 0 or high >= len(words):
        raise ValueError(f"labels must lie in [0, {len(words)}), one label word each; got [{low}, {high}]")
    form = _Form(tokenizer, template, tuple(words), max_length, examples.pairs is not None)
    pairs = [""] * len(examples) if examples.pairs is None else examples.pairs
    columns = list(zip(examples.texts, pairs, examples.labels, strict=True))
    whole = form.ids([form.text(*column) for column in columns])
    truncated = np.array([len(ids) > max_length for ids in whole], dtype=bool)
    for i in np.flatnonzero(truncated):
        whole[i] = form.cut(*columns[i])
    lengths = np.array([form.word_length(ids, label) for ids, (_, _, label) in zip(whole, columns, strict=True)])
    return Prompted(ids=whole, word_tokens=lengths, truncated=truncated)


class _Form:
    """A template with its words, checked against the tokenizer."""

    def __init__(self, tokenizer: Any, template: str, words: tuple[str, ...], max_length: int, pairs: bool) -> None:
        self.tokenizer, self.words, self.max_length = tokenizer, words, max_length
        self.parts = [(literal, name) for literal, name, _, _ in string.Formatter().parse(template)]
        fields = {name for _, name in self.parts if name is not None}
        if fields != ({"text", "text_pair"} if pairs else {"text"}):
            wanted = "{text} and {text_pair}" if pairs else "{text} and nothing else"
            raise ValueError(f"prompt must contain {wanted}; got {template!r}")
        end = self.parts[-1][0] if self.parts[-1][1] is None else ""
        if not end.strip() or end != end.rstrip():
            raise ValueError(f"prompt must end in words of its own and not in a space; got {template!r}")
        before, *together = self.ids([end, *(f"{end} {word}" for word in words)])
        for word, ids in zip(words, together, strict=True):
            if ids[: len(before)].tolist() != before.tolist() or len(ids) == len(before):
                raise ValueError(f"label word {word!r} must not change the tokens of the prompt; choose another word")
        self.tokens = [ids[len(before) :].tolist() for ids in together]

    def text(self, text: str, pair: str, label: int, longest: int | None = None) -> str:
        """The example's whole text, its own texts cut to `longest` characters."""
        values = {"text": self._kept(text, longest), "text_pair": self._kept(pair, longest), None: ""}
        return "".join(f"{literal}{values[name]}" for literal, name in self.parts) + f" {self.words[label]}"

    def _kept(self, text: str, longest: int | None) -> str:
        if longest is None:
            return text
        return text[max(0, len(text) - longest) :] if self.tokenizer.truncation_side == "left" else text[:longest]

    def ids(self, strings: Sequence[str]) -> list[Array]:
        """Token ids with what the tokenizer puts in front and without what it puts behind, never cut."""
        encoded = encode(self.tokenizer, strings, None, sys.maxsize)
        return [
            ids[: np.flatnonzero(~special)[-1] + 1] for ids, special in zip(encoded.ids, encoded.special, strict=True)
        ]

    def cut(self, text: str, pair: str, label: int) -> Array:
        """The longest example that fits, by bisection over the characters that are kept."""
        fits, too_long = 0, max(len(text), len(pair))
        (best,) = self.ids([self.text(text, pair, label, 0)])
        if len(best) > self.max_length:
            raise ValueError(f"prompt must fit into {self.max_length} tokens without any text; got {len(best)}")
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            (ids,) = self.ids([self.text(text, pair, label, middle)])
            if len(ids) > self.max_length:
                too_long = middle
            else:
                fits, best = middle, ids
        return best

    def word_length(self, ids: Array, label: int) -> int:
        """How many tokens the class word has at the end of an example."""
        word = self.tokens[label]
        if ids[-len(word) :].tolist() != word:
            raise ValueError(
                f"label word {self.words[label]!r} must have the same tokens after every text; choose another prompt"
            )
        return len(word)
