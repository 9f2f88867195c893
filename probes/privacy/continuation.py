"""How likely a model is to say a part of a text after all that stands before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from probes.protocol import Array, Items, Subject
from probes.results import NotApplicable


@runtime_checkable
class _KnowsSpans(Protocol):
    """A token scorer that can tell where its tokens stand in a text."""

    def token_spans(self, texts: Sequence[str]) -> list[Array]:
        """First character and one past the last of each scored token, shape (T_i, 2) per text."""


RANDOM_SUFFIX = "random_suffix"
"""The kind, and the form, of canaries that are a training text's beginning with a random end, their `secret`."""

NEW_TOKEN = "new_token"
"""The kind, and the form, of those whose end, their `secret`, is one token that stands in no other text."""


def has_own_end(form: Array) -> Array:
    """Which canaries, by their forms, are a beginning of their own and an end that a causal model can be asked for."""
    return np.isin(form, (RANDOM_SUFFIX, NEW_TOKEN))


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """The probability that a model says the `secret` of each text after what stands before it, token by token.

    The secret is looked for in the text, and its first place taken. Its tokens are those that share a character with
    it. Greedy decoding gives it word for word exactly where each of its tokens is the first choice after those before.

    Columns: `logprob_nats`, the sum over its tokens; `n_tokens`; `is_greedy`. All are empty, or 0, where it is not in
    the text, was cut off, or begins with a token that nothing stands before.
    """

    name: ClassVar[str] = "continuation"
    version: ClassVar[int] = 1

    def measure(self, subject: Subject, items: Items) -> Iterator[pa.RecordBatch]:
        """Asks for the token scores of `text`."""
        scorer = subject.need_tokens()
        if not isinstance(scorer, _KnowsSpans):
            raise NotApplicable(f"{subject.name} does not tell where its tokens stand in a text")
        texts, secrets, start = list(items["text"]), list(items["secret"]), 0
        for rows in scorer.token_rows(texts):
            here = slice(start, start + len(rows.truncated))
            spans = scorer.token_spans(texts[here])
            parts = [_part_of(*row) for row in zip(texts[here], secrets[here], spans, strict=True)]
            said = [(logprobs[part], part) for logprobs, part in zip(rows.logprobs, parts, strict=True)]
            greedy = [
                bool(top[part].all()) if part.any() else None for top, part in zip(rows.is_top, parts, strict=True)
            ]
            yield pa.record_batch(
                {
                    "item_id": pa.array(items["item_id"][here].tolist(), pa.string()),
                    "logprob_nats": pa.array(
                        [float(s.sum()) if part.any() else None for s, part in said], pa.float64()
                    ),
                    "n_tokens": pa.array([int(part.sum()) for part in parts], pa.int32()),
                    "is_greedy": pa.array(greedy, pa.bool_()),
                }
            )
            start = here.stop


def _part_of(text: str, secret: str, spans: Array) -> Array:
    """Which of the scored tokens are the secret's, shape (T,); none where they do not hold all of it."""
    begin = text.find(secret) if secret else -1
    end = begin + len(secret)
    inside = (spans[:, 0] < end) & (spans[:, 1] > begin)
    held = spans[inside]
    if begin < 0 or not inside.any() or held[0, 0] > begin or held[-1, 1] < end:
        return np.zeros(len(spans), dtype=bool)
    return np.asarray(inside)
