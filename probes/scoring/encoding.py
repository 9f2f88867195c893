"""Texts to token ids: what the tokenizer adds is marked, and what was cut off is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.protocol import Array


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token ids of N texts.

    Attributes:
        ids: One int64 array of shape (T_i,) per text, T_i at least 1.
        types: Token type ids likewise, or None where the tokenizer gives none.
        special: Likewise boolean: added by the tokenizer, and no part of the text.
        truncated: Shape (N,): whether the text was longer than the limit.
    """

    ids: list[Array]
    types: list[Array] | None
    special: list[Array]
    truncated: Array


def encode(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Encoded:
    """Token ids with the tokens that the tokenizer adds, cut to `max_length`.

    Longer texts are cut where the tokenizer's `truncation_side` says, of a pair the longer one first; the added
    tokens stay. A text without any token is asked as the tokenizer's start token alone (else its end, else its
    padding token), marked special.

    Args:
        tokenizer: A tokenizer of transformers.
        texts: N texts.
        pairs: Their second halves, or None.
        max_length: Most tokens of a text, added ones included.
    """
    whole = _call(tokenizer, texts, pairs)
    columns = {name: [np.asarray(row, dtype=np.int64) for row in rows] for name, rows in whole.items()}
    truncated = np.array([len(ids) > max_length for ids in columns["input_ids"]], dtype=bool)
    long = np.flatnonzero(truncated).tolist()
    if long:
        seconds = None if pairs is None else [pairs[i] for i in long]
        cut = _call(tokenizer, [texts[i] for i in long], seconds, truncation=True, max_length=max_length)
        for name, rows in cut.items():
            for i, row in zip(long, rows, strict=True):
                columns[name][i] = np.asarray(row, dtype=np.int64)
    for i, ids in enumerate(columns["input_ids"]):
        if not len(ids):
            stand_in = {"input_ids": _start_token(tokenizer), "special_tokens_mask": 1}
            for name in columns:
                columns[name][i] = np.array([stand_in.get(name, 0)], dtype=np.int64)
    return Encoded(
        ids=columns["input_ids"],
        types=columns.get("token_type_ids"),
        special=[mask.astype(bool) for mask in columns["special_tokens_mask"]],
        truncated=truncated,
    )


def spans(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Array]:
    """Where each token of the text itself stands in it, in the tokens and the cut of `encode`.

    Args:
        tokenizer: A fast tokenizer of transformers; others do not tell.
        texts: N texts.
        max_length: Most tokens of a text, added ones included.

    Returns:
        One array of shape (T_i, 2) per text, for every token: first character, and one past the last. Of a token that
        the tokenizer added both are 0.

    Raises:
        ValueError: The tokenizer is a slow one.
    """
    if not tokenizer.is_fast:
        raise ValueError("where tokens stand in a text is known to fast tokenizers alone; got another")
    cut = {"truncation": True, "max_length": max_length, "return_offsets_mapping": True}
    rows = _call(tokenizer, texts, None, **cut).get("offset_mapping", [])
    return [np.asarray(row, dtype=np.int64).reshape(-1, 2) for row in rows]


def lengths(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Array:
    """Tokens of each text before anything is cut, added ones included, shape (N,)."""
    return np.array([len(ids) for ids in _call(tokenizer, texts, pairs)["input_ids"]], dtype=np.int64)


def padding_id(model: Any, tokenizer: Any) -> int:
    """The id to pad with: the model's own where it has one, since some look for it, else the tokenizer's, else 0."""
    for holder in (getattr(model, "config", None), tokenizer):
        known = getattr(holder, "pad_token_id", None)
        if known is not None and known >= 0:
            return int(known)
    return 0


def _call(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, **cut: Any) -> dict[str, list[list[int]]]:
    if not len(texts):
        return {"input_ids": [], "special_tokens_mask": []}
    encoded = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        padding=False,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        verbose=False,  # the length is dealt with here
        **cut,
    )
    return dict(encoded)


def _start_token(tokenizer: Any) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        if token is not None:
            return int(token)
    return 0
