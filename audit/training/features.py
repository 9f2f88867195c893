"""What a frozen body makes of each training text: computed once, and read by every head that is trained on it.

Where the head alone is trained the body never changes, and it runs without dropout: a text has the same hidden states
in every epoch and for every arm. Of these a classification head reads one, that of the first token (encoders) or of
the last (decoders). So one pass over the texts serves all epochs of all heads, however many there are. Heads are
trained by the ordinary loop; what a batch brings are hidden states in the place of token embeddings, and the body hands
them on.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from audit.training.collate import Batch, Collator, Encoded
from audit.training.spec import HeadOnly, TrainingSpec
from audit.training.strategies import ANATOMIES, anatomy_of, body_of
from probes.protocol import Array
from probes.scoring.batching import by_length

_BATCH_TOKENS = 2048
"""Tokens computed at once; part of what the last digits depend on, so no setting."""

_HIDDEN, _TEXTS = "hidden.npy", "texts.npy"


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Hidden states of some texts, as the head reads them.

    Attributes:
        hidden: Shape (M, H), float32; may be a file that is read piece by piece.
        rows: The row of each text, by `key_of`.
        body: SHA-256 of the frozen parameters that made them.
    """

    hidden: Array
    rows: Mapping[str, int]
    body: str

    def of(self, encoded: Encoded) -> Array | None:
        """The rows of some encoded texts, shape (N,); None where one is not among them."""
        found = [self.rows.get(key_of(encoded, i), -1) for i in range(len(encoded))]
        return None if -1 in found else np.array(found)

    def save(self, folder: Path) -> None:
        """Write them; the hidden states alone are large."""
        keys = sorted(self.rows, key=lambda key: self.rows[key])
        np.save(folder / _TEXTS, np.array([*keys, self.body]))
        np.save(folder / _HIDDEN, self.hidden)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the hidden states stay in their file until they are asked for."""
        *keys, body = np.load(folder / _TEXTS).tolist()
        hidden = np.load(folder / _HIDDEN, mmap_mode="r")
        return cls(hidden=hidden, rows={key: row for row, key in enumerate(keys)}, body=body)


def key_of(encoded: Encoded, index: int) -> str:
    """Names an encoded text by its tokens: texts that are the same to the model are the same."""
    types = b"" if encoded.types is None else encoded.types[index].tobytes()
    return hashlib.sha256(encoded.ids[index].tobytes() + b"/" + types).hexdigest()


def have_features(spec: TrainingSpec, model: nn.Module) -> bool:
    """Whether the training is one whose body makes the same of a text every time, for a head that reads one state."""
    config: Any = model.config
    return isinstance(spec.strategy, HeadOnly) and spec.head == "classifier" and config.model_type in ANATOMIES


def features_of(model: nn.Module, collate: Collator, body: str) -> Features:
    """One pass of the body over the texts of a training, each different one once.

    What comes out depends on the texts and on their order of first appearance alone.

    Args:
        model: The model, its head not used.
        collate: The training's own way of making batches.
        body: SHA-256 of the frozen parameters.
    """
    encoded = collate.encoded
    first: dict[str, int] = {}
    for i in range(len(encoded)):
        first.setdefault(key_of(encoded, i), i)
    chosen = list(first.values())
    config: Any = model.config
    hidden = np.empty((len(chosen), config.hidden_size), dtype=np.float32)
    part = body_of(model)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for places in by_length([collate.lengths[i] for i in chosen], _BATCH_TOKENS):
            indices = [chosen[place] for place in places]
            inputs = collate(indices, 0).inputs
            states = _read(model, part(**inputs).last_hidden_state, inputs["input_ids"])
            hidden[places] = states.float().cpu().numpy()
    model.train(was_training)
    return Features(hidden=hidden, rows={key: row for row, key in enumerate(first)}, body=body)


def _read(model: nn.Module, states: Tensor, ids: Tensor) -> Tensor:
    """What a head reads of hidden states (B, T, H) of tokens (B, T): those of the first token, or of the last; (B, H).

    The last is, as for transformers' own heads, the rightmost that is not the one for padding.
    """
    if not anatomy_of(model).reads_last:
        return states[:, 0]
    config: Any = model.config
    places = torch.arange(ids.shape[1], device=ids.device)
    at = (places * (ids != config.pad_token_id)).argmax(dim=1)
    return states[torch.arange(len(ids), device=states.device), at]


class FeatureCollator(Collator):
    """Makes batches of hidden states in the place of texts; see `Collator`.

    Args:
        plain: The collator of the texts.
        features: Their hidden states.
        rows: The row of each example in them.
        dtype: The type of the model's numbers.
    """

    def __init__(self, plain: Collator, features: Features, rows: Array, dtype: torch.dtype) -> None:
        vars(self).update(vars(plain))
        self._hidden, self._rows, self._dtype = features.hidden, rows, dtype
        self._some_token = next(i for i in range(2) if i != self.padding_id)  # heads look for the last that pads not

    def __call__(self, indices: Sequence[int], step: int) -> Batch:
        """The batch of some examples in a step; one position each."""
        del step
        assert self.encoded.classes is not None
        states = torch.from_numpy(np.array(self._hidden[self._rows[list(indices)]])[:, None])  # (B, 1, H)
        ids = torch.full((len(indices), 1), self._some_token, device=self.device)
        labels = torch.from_numpy(self.encoded.classes[list(indices)])
        return Batch(
            inputs={"input_ids": ids, "inputs_embeds": states.to(self.device, self._dtype), **self.options},
            labels=labels.to(self.device),
        )


@contextmanager
def handing_on(model: nn.Module) -> Iterator[None]:
    """Inside, the body gives out what it is given as `inputs_embeds`, pooled where it has a pooler of its own."""
    body: Any = body_of(model)

    def forward(*_: Any, inputs_embeds: Any, **__: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=inputs_embeds, pooler_output=_pooled(body, inputs_embeds)
        )

    body.forward = forward
    try:
        yield
    finally:
        del body.forward


class Memory:
    """What a frozen body made of whole batches, for models that share it and are asked the same.

    A batch that comes again gets what the very same computation gave before, so answers do not depend on it.

    Args:
        most_bytes: How much is remembered; what comes after that is computed each time.
    """

    def __init__(self, most_bytes: int = 2**28) -> None:
        self._kept: dict[bytes, Tensor] = {}
        self._left = most_bytes

    def get(self, key: bytes) -> Tensor | None:
        """The states of a batch, shape (B, H); None where they are not remembered."""
        return self._kept.get(key)

    def put(self, key: bytes, states: Tensor) -> None:
        """Remember the states of a batch, as far as there is room."""
        size = states.numel() * states.element_size()
        if size <= self._left:
            self._left -= size
            self._kept[key] = states


def remembering(model: nn.Module, memory: Memory, body: str) -> None:
    """Let the body look each batch up before it computes, from now on.

    Args:
        model: A classifier whose head alone was trained; in evaluation mode.
        memory: What is shared with other models.
        body: What names the frozen parameters: models of another body share nothing.
    """
    part: Any = body_of(model)
    compute = part.forward

    def forward(input_ids: Tensor, **inputs: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        key = _digest(body, {"input_ids": input_ids, **inputs})
        states = memory.get(key)
        if states is None:
            states = _read(model, compute(input_ids, **inputs).last_hidden_state, input_ids)
            memory.put(key, states)
        everywhere = states[:, None].expand(-1, input_ids.shape[1], -1)  # (B, T, H), wherever the head looks
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=everywhere, pooler_output=_pooled(part, everywhere)
        )

    part.forward = forward


def _digest(body: str, inputs: Mapping[str, Any]) -> bytes:
    hasher = hashlib.sha256(body.encode())
    for name, value in sorted(inputs.items()):
        if isinstance(value, Tensor):
            hasher.update(f"{name} {tuple(value.shape)}".encode() + value.cpu().contiguous().numpy().tobytes())
        else:
            hasher.update(f"{name} {value}".encode())
    return hasher.digest()


def _pooled(body: Any, states: Any) -> Any:
    """What the body's pooler, a part of the head, makes of the states; None where it has none."""
    pooler = getattr(body, "pooler", None)
    if pooler is None:
        return None
    if hasattr(body, "pooler_activation"):  # ALBERT's is a bare layer
        return body.pooler_activation(pooler(states[:, 0]))
    return pooler(states)
