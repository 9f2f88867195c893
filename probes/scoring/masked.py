"""Token scores of a masked language model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from probes.protocol import Array, TokenRows
from probes.scoring.batching import by_length, in_windows
from probes.scoring.encoding import encode, padding_id
from probes.scoring.heads import Head
from probes.scoring.inference import batch, batch_tokens_on, device_of, evaluating
from probes.scoring.token_scores import ScoreBoard, TextScores, token_rows

Question = tuple[str, tuple[int, ...] | None]
"""A text, and which of its tokens to score: None for all."""


class MaskedScorer:
    """Scores each token of a text with only itself masked: pseudo-log-likelihood.

    A text of T tokens is asked T times; these copies are batched with those of other texts by length, and the head
    is applied at the masked position only. Tokens that the tokenizer adds are never scored. Texts longer than
    `max_length` are cut where the tokenizer's `truncation_side` says, and flagged.

    Pieces of one word predict each other, so words of several pieces get higher scores than words of one.

    Source: Salazar et al. (2020), https://arxiv.org/abs/1910.14659, equation 1.

    Args:
        model: A masked model of transformers, or of peft around one.
        tokenizer: Its tokenizer.
        max_length: Most tokens of a text, added ones included.
        batch_tokens: Most tokens of a batch, padding included; 2,048 on a CPU and 16,384 elsewhere by default.
        device: Where to ask it; the model is moved there. Where it is, by default.

    Raises:
        ValueError: The tokenizer has no mask token.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int,
        batch_tokens: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer of a masked model must have a mask token; got none")
        self.model = model if device is None else model.to(device)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.head = Head.of(self.model)
        self.batch_tokens = batch_tokens_on(device_of(self.model), batch_tokens)
        if self.head.way == "whole":
            self.batch_tokens = min(self.batch_tokens, self.head.most_positions)
        self.padding_id = padding_id(model, tokenizer)

    def token_ids(self, texts: Sequence[str]) -> list[Array]:
        """The tokens that would be scored, one array of shape (T_i,) per text."""
        encoded = encode(self.tokenizer, texts, None, self.max_length)
        return [ids[~special] for ids, special in zip(encoded.ids, encoded.special, strict=True)]

    def pseudo_token_rows(self, texts: Sequence[str], positions: Sequence[Array] | None = None) -> Iterator[TokenRows]:
        """Windows of token scores in the order of the texts.

        Args:
            texts: N texts.
            positions: For each text, which of its tokens to score, as indices into its `token_ids`; all by default.

        Raises:
            ValueError: `positions` is not one array per text, or the model gives logits that are not finite.
        """
        chosen = [None] * len(texts) if positions is None else [tuple(map(int, at)) for at in positions]
        questions: list[Question] = list(zip(texts, chosen, strict=True))
        return (token_rows(window) for window in in_windows(questions, self._scores))

    def _scores(self, questions: list[Question]) -> list[TextScores]:
        encoded = encode(self.tokenizer, [text for text, _ in questions], None, self.max_length)
        masked = [
            np.flatnonzero(~special)[... if chosen is None else list(chosen)]
            for special, (_, chosen) in zip(encoded.special, questions, strict=True)
        ]
        tokens = [ids[at] for ids, at in zip(encoded.ids, masked, strict=True)]
        text_of = np.repeat(np.arange(len(questions)), [len(at) for at in masked])  # (U,), U copies
        position_of = np.concatenate(masked)
        board = ScoreBoard.of(len(text_of))
        with evaluating(self.model):
            lengths = np.array([len(ids) for ids in encoded.ids])[text_of]
            for copies in by_length(lengths, self.batch_tokens, self.head.most_positions):
                rows, at = np.arange(len(copies)), position_of[copies]
                inputs = batch([encoded.ids[i] for i in text_of[copies]], self.padding_id, device_of(self.model))
                asked = inputs["input_ids"][rows, at].cpu().numpy()
                inputs["input_ids"][rows, at] = self.tokenizer.mask_token_id
                board.write(copies, self.head.moments(inputs, rows, at, asked[:, None]))
        return board.texts(tokens, encoded.truncated)
