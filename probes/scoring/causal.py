"""Token scores of a causal language model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from probes.protocol import Array, TokenRows
from probes.scoring.batching import by_length, in_windows
from probes.scoring.encoding import encode, padding_id, spans
from probes.scoring.heads import Head
from probes.scoring.inference import batch, batch_tokens_on, device_of, evaluating
from probes.scoring.moments import Moments
from probes.scoring.token_scores import ScoreBoard, TextScores, token_rows


class CausalScorer:
    """Scores each token of a text given those before it.

    The first token is scored only if the tokenizer puts a token in front of it (a start token): without one nothing
    predicts it. Tokens that the tokenizer adds are conditioned on and never scored, so a text's log-probability
    contains no end token. Texts longer than `max_length` are cut where the tokenizer's `truncation_side` says, and
    flagged. Scores do not depend on the batch, on the other texts, or on the tokenizer's side of padding.

    Args:
        model: A causal model of transformers, or of peft around one.
        tokenizer: Its tokenizer.
        max_length: Most tokens of a text, added ones included.
        batch_tokens: Most tokens of a batch, padding included; 2,048 on a CPU and 16,384 elsewhere by default.
        device: Where to ask it; the model is moved there. Where it is, by default.
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
        self.model = model if device is None else model.to(device)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.head = Head.of(self.model, use_cache=False)
        self.batch_tokens = min(batch_tokens_on(device_of(self.model), batch_tokens), self.head.most_positions)
        self.padding_id = padding_id(model, tokenizer)

    def token_rows(self, texts: Sequence[str]) -> Iterator[TokenRows]:
        """Windows of token scores in the order of the texts; a text without a scored token has empty arrays.

        Raises:
            ValueError: The model gives logits that are not finite.
        """
        return (token_rows(window) for window in in_windows(texts, self._scores))

    def _scores(self, texts: list[str]) -> list[TextScores]:
        encoded = encode(self.tokenizer, texts, None, self.max_length)
        sources = [np.flatnonzero(~special[1:]) for special in encoded.special]  # positions just before a scored token
        tokens = [ids[at + 1] for ids, at in zip(encoded.ids, sources, strict=True)]
        ends = np.cumsum([0, *map(len, tokens)])
        board = ScoreBoard.of(int(ends[-1]))
        asked = np.flatnonzero(np.diff(ends))
        with evaluating(self.model):
            for part in by_length([sources[i][-1] + 1 for i in asked], self.batch_tokens):
                chosen = asked[part].tolist()
                moments = self.read(
                    [encoded.ids[i][: sources[i][-1] + 1] for i in chosen],  # the last token predicts nothing scored
                    [sources[i] for i in chosen],
                    np.concatenate([tokens[i] for i in chosen])[:, None],
                )
                board.write(np.concatenate([np.arange(ends[i], ends[i + 1]) for i in chosen]), moments)
        return board.texts(tokens, encoded.truncated)

    def token_spans(self, texts: Sequence[str]) -> list[Array]:
        """Where each token that `token_rows` scores stands in its text, as an array of shape (T_i, 2) per text.

        First character, and one past the last.

        Raises:
            ValueError: The tokenizer is a slow one.
        """
        special = encode(self.tokenizer, texts, None, self.max_length).special
        places = spans(self.tokenizer, texts, self.max_length)
        return [place[1:][~mask[1:]] for place, mask in zip(places, special, strict=True)]

    def read(self, sequences: Sequence[Array], positions: Sequence[Array], tokens: Array) -> Moments:
        """What the model says of tokens after positions of the sequences of one batch; call it inside `evaluating`.

        Args:
            sequences: B arrays of token ids.
            positions: B arrays: the positions whose prediction is read, R in all.
            tokens: Shape (R, n): the tokens asked there, in the same order.
        """
        rows = np.repeat(np.arange(len(sequences)), [len(at) for at in positions])
        inputs = batch(sequences, self.padding_id, device_of(self.model))
        return self.head.moments(inputs, rows, np.concatenate(positions), tokens)
