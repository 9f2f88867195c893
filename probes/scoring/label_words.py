"""Class scores of a causal language model, by the words that name the classes."""

import string
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from probes.protocol import Array
from probes.scoring.batching import by_length, in_windows
from probes.scoring.causal import CausalScorer
from probes.scoring.encoding import encode
from probes.scoring.inference import evaluating

Question = tuple[str, str | None]
"""A text and its second half, if it has one."""

Tokens = tuple[int, ...]


class LabelWordScorer:
    """Gives the log-probability of each class's word after a prompt made from the text.

    A word is scored as " word": the prompt ends without a space. The score is the sum over the word's tokens, nats, so
    a word of several tokens is at a disadvantage that calibration or a better choice of words must remove. All words of
    one token share one pass over the prompt, and further passes are made only for tokens that need a longer context.

    The template is never cut. Where a prompt would exceed the model's limit, text and text pair may keep the same
    number of tokens each, the largest with which it fits, so the longer loses first; they lose their ends or, where
    the tokenizer's `truncation_side` is "left", their beginnings.

    Args:
        causal: The model, its tokenizer and their limits.
        template: The prompt, with `{text}` and, where there are pairs, `{text_pair}`. It must end in words of its
            own, so that the tokens of the class words do not depend on the text.
        words: The classes' words, in the order of the classes.

    Raises:
        ValueError: The template or the words cannot be used; the message says why.
    """

    def __init__(self, causal: CausalScorer, template: str, words: Sequence[str]) -> None:
        if not causal.tokenizer.is_fast:
            raise ValueError(
                "label words need a fast tokenizer, which tells where tokens stand in the text; got another"
            )
        self.causal = causal
        self.words = tuple(words)
        self.parts = _parts(template)
        self.tokens = self._word_tokens()
        self.passes = _passes(self.tokens)
        self.room = causal.max_length - max(map(len, self.tokens)) + 1  # the last token of a word is never an input

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Iterator[Array]:
        """Windows of (W, C) log-probabilities in the order of the texts, float64.

        Raises:
            ValueError: Texts and pairs differ in number, the template alone exceeds the model's limit, or the tokens
                of prompt and word are not those of the two together.
        """
        return (np.stack(window) for window in in_windows(self._questions(texts, pairs), self._logprobs))

    def truncated(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Array:
        """Whether each prompt is longer than the limit, shape (N,)."""
        prompts = [self._prompt(question) for question in self._questions(texts, pairs)]
        return np.array([len(ids) > self.room for ids in self._prompt_ids(prompts)], dtype=bool)

    def _questions(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[Question]:
        asks_pairs = any(name == "text_pair" for _, name in self.parts)
        if asks_pairs != (pairs is not None):
            given = "pairs were given" if pairs is not None else "no pairs were given"
            raise ValueError(f"template must contain {{text_pair}} where texts come in pairs, and only there; {given}")
        return list(zip(texts, [None] * len(texts) if pairs is None else pairs, strict=True))

    def _logprobs(self, questions: list[Question]) -> list[Array]:
        prompts = self._fitted(questions)
        scores = np.zeros((len(prompts), len(self.words)))
        with evaluating(self.causal.model):
            for inputs, wanted, is_wanted in self.passes:
                for part in by_length([len(ids) + len(inputs) for ids in prompts], self.causal.batch_tokens):
                    sequences = [np.concatenate([prompts[i], np.array(inputs, dtype=np.int64)]) for i in part]
                    positions = [
                        np.arange(len(prompts[i]) - 1, len(ids)) for i, ids in zip(part, sequences, strict=True)
                    ]
                    asked = np.tile(wanted, (len(part), 1))  # (B * S, C), S = len(inputs) + 1 positions read
                    found = self.causal.read(sequences, positions, asked).logprobs.reshape(len(part), *wanted.shape)
                    scores[part] += np.where(is_wanted, found, 0.0).sum(axis=1)
        return list(scores)

    def _prompt(self, question: Question) -> str:
        values = {"text": question[0], "text_pair": question[1], None: ""}
        return "".join(f"{literal}{values[name]}" for literal, name in self.parts)

    def _fitted(self, questions: Sequence[Question]) -> list[Array]:
        """Token ids of the prompts, none longer than there is room for."""
        prompts = self._prompt_ids([self._prompt(question) for question in questions])
        for i, question in enumerate(questions):
            if len(prompts[i]) > self.room:
                prompts[i] = self._cut(question)
        return prompts

    def _cut(self, question: Question) -> Array:
        """The longest prompt that fits, by bisection over the tokens that are kept of the texts."""
        spans = [[] if part is None else self._spans(part) for part in question]
        fits, too_long = 0, max(map(len, spans))
        (best,) = self._prompt_ids([self._prompt(self._shortened(question, spans, 0))])
        if len(best) > self.room:
            raise ValueError(f"template must fit into {self.room} tokens without any text; got {len(best)}")
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            (ids,) = self._prompt_ids([self._prompt(self._shortened(question, spans, middle))])
            if len(ids) > self.room:
                too_long = middle
            else:
                fits, best = middle, ids
        return best

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, in characters."""
        encoded = self.causal.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["offset_mapping"])

    def _shortened(self, question: Question, spans: Sequence[Sequence[tuple[int, int]]], keep: int) -> Question:
        """The texts, each with at most `keep` of its tokens."""

        def cut(part: str, tokens: Sequence[tuple[int, int]]) -> str:
            if len(tokens) <= keep:
                return part
            if keep == 0:
                return ""
            return part[tokens[-keep][0] :] if from_left else part[: tokens[keep - 1][1]]

        from_left = self.causal.tokenizer.truncation_side == "left"
        text, second = question
        return cut(text, spans[0]), None if second is None else cut(second, spans[1])

    def _prompt_ids(self, prompts: Sequence[str]) -> list[Array]:
        """The tokens before a class word, from the tokenization of prompt and word together."""
        word, ids_of_word = self.words[0], self.tokens[0]
        whole = self._ids([f"{prompt} {word}" for prompt in prompts])
        if any(tuple(ids[-len(ids_of_word) :].tolist()) != ids_of_word for ids in whole):
            raise ValueError(f"label word {word!r} must have the same tokens after every text; choose another template")
        return [ids[: -len(ids_of_word)] for ids in whole]

    def _ids(self, strings: Sequence[str]) -> list[Array]:
        """Token ids with what the tokenizer puts in front and without what it puts behind, never cut."""
        encoded = encode(self.causal.tokenizer, strings, None, sys.maxsize)
        return [
            ids[: np.flatnonzero(~special)[-1] + 1] for ids, special in zip(encoded.ids, encoded.special, strict=True)
        ]

    def _word_tokens(self) -> list[Tokens]:
        """Each word's tokens after the template's last words."""
        end = self.parts[-1][0]
        before, *together = self._ids([end, *(f"{end} {word}" for word in self.words)])
        tokens = [tuple(ids[len(before) :].tolist()) for ids in together]
        for word, ids, of_word in zip(self.words, together, tokens, strict=True):
            if ids[: len(before)].tolist() != before.tolist() or not of_word:
                raise ValueError(f"label word {word!r} must not change the tokens of the template; choose another word")
            if self.causal.tokenizer.unk_token_id in of_word:
                raise ValueError(f"label word {word!r} must be known to the tokenizer; choose another word")
        for word, first in zip(self.words, tokens, strict=True):
            if sum(second[: len(first)] == first for second in tokens) > 1:
                raise ValueError(f"label word {word!r} must not be the beginning of another; choose another word")
        return tokens


def _parts(template: str) -> list[tuple[str, str | None]]:
    """Literal text and the field after it, in order; the last part has no field."""
    parts = [(literal, name) for literal, name, _, _ in string.Formatter().parse(template)]
    fields = [name for _, name in parts if name is not None]
    if "text" not in fields or set(fields) - {"text", "text_pair"}:
        raise ValueError(f"template must contain {{text}}, and besides it only {{text_pair}}; got {template!r}")
    end = parts[-1][0] if parts[-1][1] is None else ""
    if not end.strip() or end != end.rstrip():
        raise ValueError(f"template must end in words of its own and not in a space; got {template!r}")
    return parts


def _passes(tokens: Sequence[Tokens]) -> list[tuple[Tokens, Array, Array]]:
    """The fewest passes that see every word's tokens: what follows the prompt, the tokens wanted, and where.

    A pass whose input is the prompt and S − 1 more tokens is read at S positions, so wanted is (S, C), C words.
    """
    inputs = {word[:-1] for word in tokens}
    longest = sorted(one for one in inputs if not any(one != other and other[: len(one)] == one for other in inputs))
    passes = [(one, *np.zeros((2, len(one) + 1, len(tokens)), dtype=np.int64)) for one in longest]
    for column, word in enumerate(tokens):
        for step, token in enumerate(word):
            _, wanted, is_wanted = next(p for p in passes if p[0][:step] == word[:step])
            wanted[step, column], is_wanted[step, column] = token, 1
    return [(one, wanted, is_wanted.astype(bool)) for one, wanted, is_wanted in passes]
