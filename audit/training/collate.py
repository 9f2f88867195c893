"""Texts to batches, in the same way for every arm: tokenized once, padded on the right, labelled by the task.

Padding stands on the right whatever the tokenizer prefers: a token's position is then its index, so that models which
count positions from the left see an example alike in every batch.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from audit.training.losses import IGNORED
from audit.training.prompts import prompted
from audit.training.randomness import derived_seed
from audit.training.spec import Examples, TrainingSpec
from probes.protocol import Array
from probes.scoring.batching import padded
from probes.scoring.encoding import encode, padding_id

MASKED_SHARE = 0.15
"""Share of tokens that a masked model must recover; of these 0.8 are masked, 0.1 replaced, 0.1 left as they are.

Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1.
"""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """N training examples as tokens.

    Attributes:
        ids: One int64 array of shape (T_i,) per example.
        types: Token type ids likewise, or None.
        special: Likewise boolean: added by the tokenizer, never masked.
        classes: Class indices, shape (N,), for a classification head; else None.
        word_tokens: How many of the last tokens name the class, shape (N,); 0 where none does.
        truncated: Number of examples cut to the longest length.
    """

    ids: list[Array]
    types: list[Array] | None
    special: list[Array]
    classes: Array | None
    word_tokens: Array
    truncated: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch of B examples.

    Attributes:
        inputs: What the model is called with; ids and mask of shape (B, T).
        labels: Class indices (B,), or token labels (B, T) with `IGNORED` where there is no loss.
        weights: How much each token counts in its example's mean, (B, T); None for all alike.
    """

    inputs: dict[str, Any]
    labels: Tensor
    weights: Tensor | None = None


def encode_examples(tokenizer: Any, examples: Examples, spec: TrainingSpec) -> Encoded:
    """Tokenize all examples once.

    Language models are trained on the text with the tokens that the tokenizer adds, and no others.

    Raises:
        ValueError: The task needs labels and there are none, or prompt and label words cannot be used.
    """
    if spec.classifies_by_word:
        assert spec.prompt is not None
        assert spec.label_words is not None
        whole = prompted(tokenizer, examples, spec.prompt, spec.label_words, spec.max_length)
        return Encoded(
            ids=whole.ids,
            types=None,
            special=[np.zeros(len(ids), dtype=bool) for ids in whole.ids],
            classes=None,
            word_tokens=whole.word_tokens,
            truncated=int(whole.truncated.sum()),
        )
    if spec.head == "classifier" and examples.labels is None:
        raise ValueError("a classifier needs labels; the examples have none")
    encoded = encode(tokenizer, examples.texts, examples.pairs, spec.max_length)
    return Encoded(
        ids=encoded.ids,
        types=encoded.types,
        special=encoded.special,
        classes=np.asarray(examples.labels, dtype=np.int64) if spec.head == "classifier" else None,
        word_tokens=np.zeros(len(examples), dtype=np.int64),
        truncated=int(encoded.truncated.sum()),
    )


class Collator:
    """Makes the batches of one training.

    Args:
        encoded: The examples.
        model: The model; it says how it pads, and what it wants besides ids and mask.
        tokenizer: Its tokenizer.
        spec: The recipe.
        seed: Training seed; which tokens are masked follows from it, the step and the example's number alone.

    Raises:
        ValueError: A class index outside the model's classes, a masked model without a mask token, or a decoder
            without a padding token.
    """

    def __init__(self, encoded: Encoded, model: nn.Module, tokenizer: Any, spec: TrainingSpec, seed: int) -> None:
        config: Any = model.config
        self.encoded, self.spec, self.seed = encoded, spec, seed
        self.lengths = [len(ids) for ids in encoded.ids]
        self.device = next(model.parameters()).device
        self.padding_id = padding_id(model, tokenizer)
        # GPT-2 would take token type ids for words.
        self.types = encoded.types if getattr(config, "type_vocab_size", 0) > 1 else None
        # A cache of keys is of no use in training.
        self.options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
        self.mask_id, self.vocabulary = tokenizer.mask_token_id, int(config.vocab_size)
        if spec.head == "masked" and self.mask_id is None:
            raise ValueError("a masked model needs a tokenizer with a mask token; this one has none")
        if spec.head == "classifier":
            _check_classifier(encoded, config)

    def with_seed(self, seed: int) -> Self:
        """The same batches, with masks that follow from another seed."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def any_input(self) -> dict[str, Any]:
        """An input that the model can be called with, of no example: one text of two tokens."""
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **self.options}

    def __call__(self, indices: Sequence[int], step: int) -> Batch:
        """The batch of some examples in a step."""
        rows = [self.encoded.ids[i] for i in indices]
        labels: Array
        weights = None
        if self.encoded.classes is not None:
            labels = self.encoded.classes[list(indices)]
        elif self.spec.head == "masked":
            pairs = [self._masked(i, step) for i in indices]
            rows = [row for row, _ in pairs]
            labels = _filled([label for _, label in pairs])
        else:
            labels = _filled(rows)
            weights = self._weights(indices, labels.shape)
        ids, mask = padded(rows, self.padding_id)
        columns = {"input_ids": ids, "attention_mask": mask}
        if self.types is not None:
            columns["token_type_ids"] = padded([self.types[i] for i in indices], 0)[0]
        tensors = {name: torch.from_numpy(column).to(self.device) for name, column in columns.items()}
        return Batch(
            inputs={**tensors, **self.options},
            labels=torch.from_numpy(labels).to(self.device),
            weights=None if weights is None else torch.from_numpy(weights).to(self.device),
        )

    def _weights(self, indices: Sequence[int], shape: tuple[int, ...]) -> Array | None:
        if self.spec.label_loss_weight == 1.0 or not self.encoded.word_tokens.any():
            return None
        weights = np.ones(shape)
        for row, i in enumerate(indices):
            length = len(self.encoded.ids[i])
            weights[row, length - self.encoded.word_tokens[i] : length] = self.spec.label_loss_weight
        return weights

    def _masked(self, index: int, step: int) -> tuple[Array, Array]:
        """An example's ids with some masked, and the labels to recover."""
        rng = np.random.default_rng(derived_seed(self.seed, "mask", step, index))
        ids = self.encoded.ids[index]
        chosen = (rng.random(len(ids)) < MASKED_SHARE) & ~self.encoded.special[index]
        fate = rng.random(len(ids))
        other = rng.integers(self.vocabulary, size=len(ids))
        shown = np.where(chosen & (fate < 0.8), self.mask_id, np.where(chosen & (fate < 0.9), other, ids))
        return shown, np.where(chosen, ids, IGNORED)


def _filled(labels: Sequence[Array]) -> Array:
    return padded(labels, IGNORED)[0]


def _check_classifier(encoded: Encoded, config: Any) -> None:
    assert encoded.classes is not None
    low, high = int(encoded.classes.min()), int(encoded.classes.max())
    if low < 0 or high >= config.num_labels:
        raise ValueError(f"labels must lie in [0, {config.num_labels}); got [{low}, {high}]")
    if config.model_type == "gpt2" and config.pad_token_id is None:
        raise ValueError("a GPT-2 classifier needs config.pad_token_id to find each text's last token; got None")
