"""Class scores of a model with a classification head."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from probes.protocol import Array
from probes.scoring.batching import by_length, in_windows, padded
from probes.scoring.encoding import encode, lengths, padding_id
from probes.scoring.inference import batch, batch_tokens_on, device_of, evaluating

Question = tuple[str, str | None]
"""A text and its second half, if it has one."""


class ClassifierScorer:
    """Gives the logits of a classification head.

    Texts longer than `max_length` are cut where the tokenizer's `truncation_side` says, of a pair the longer first.
    Token type ids are given to models that tell two or more types apart, and to no others: GPT-2 would take them for
    words. A model without a padding token is asked one text at a time.

    Args:
        model: A model of transformers with a classification head, or of peft around one.
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
        self.padding_id = padding_id(model, tokenizer)
        self.has_types = getattr(model.config, "type_vocab_size", 0) > 1
        self.batch_tokens = batch_tokens_on(device_of(self.model), batch_tokens)
        if model.config.get_text_config().pad_token_id is None:
            self.batch_tokens = 1  # decoders without one refuse to find the last token of several texts

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Iterator[Array]:
        """Windows of (W, C) logits in the order of the texts, float64.

        Raises:
            ValueError: Texts and pairs differ in number, or the model gives logits that are not finite.
        """
        seconds = [None] * len(texts) if pairs is None else pairs
        questions: list[Question] = list(zip(texts, seconds, strict=True))
        return (np.stack(window) for window in in_windows(questions, self._logits))

    def truncated(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Array:
        """Whether each text is longer than the limit, shape (N,)."""
        return lengths(self.tokenizer, texts, pairs) > self.max_length

    def _logits(self, questions: list[Question]) -> list[Array]:
        seconds = [second for _, second in questions if second is not None]
        encoded = encode(self.tokenizer, [text for text, _ in questions], seconds or None, self.max_length)
        answers: list[Array] = [np.empty(0)] * len(questions)
        with evaluating(self.model):
            for part in by_length([len(ids) for ids in encoded.ids], self.batch_tokens):
                device = device_of(self.model)
                inputs = batch([encoded.ids[i] for i in part], self.padding_id, device)
                if encoded.types is not None and self.has_types:
                    types, _ = padded([encoded.types[i] for i in part], 0)
                    inputs["token_type_ids"] = torch.from_numpy(types).to(device)
                logits = self.model(**inputs).logits.double()  # (B, C)
                if not torch.isfinite(logits).all():
                    raise ValueError("logits must be finite; the model gave NaN or infinity, so its weights are broken")
                for i, row in zip(part, logits.cpu().numpy(), strict=True):
                    answers[i] = row
        return answers
