"""Reading a language model's vocabulary head only where a token is scored.

A head is read in one of three ways, the cheapest that gives what the model itself gives:

- "tiles": the body alone is run, and the head's matrix is walked tile by tile. Right where the head is one linear layer
  on the body's output and the model returns what leaves it (GPT-2, Llama, Qwen …).
- "gathered": the model is run with its body's output narrowed to the scored positions, so that whatever follows
  (a transform, scaling, soft capping) is done by the model and only there (BERT, RoBERTa, DistilBERT, ALBERT, Gemma …).
- "whole": the model is run as it is, and the scored positions are read off its logits.

Which way is right is not looked up by name but tried on a few tokens when the head is made.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from probes.protocol import Array
from probes.scoring.inference import device_of, evaluating
from probes.scoring.moments import Moments, head_moments, logit_moments

Way = Literal["tiles", "gathered", "whole"]

At = tuple[torch.Tensor, torch.Tensor]
"""Rows and positions of a batch, each (R,)."""

LOGITS, DEVICE_LOGITS = 1 << 26, 1 << 29
"""Most logits held at a time where they cannot be walked, on a CPU (256 MiB of float32) and elsewhere (2 GiB)."""


@dataclass(frozen=True)
class Head:
    """A language model's vocabulary head, and how to read it.

    Attributes:
        model: A model of transformers, or of peft around one.
        way: How its head is read; see the module.
        options: Further arguments of its forward pass.
    """

    model: Any
    way: Way
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any, **options: Any) -> "Head":
        """The head, read in the cheapest way that gives what the model itself gives."""
        with evaluating(model):
            if _is_linear_on_body(model, options):
                return cls(model, "tiles", options)
            return cls(model, "gathered" if _can_be_narrowed(model, options) else "whole", options)

    @property
    def most_positions(self) -> int:
        """At how many positions the logits may be held at once; what is walked in tiles is never held."""
        if self.way == "tiles":
            return sys.maxsize
        held = LOGITS if device_of(self.model).type == "cpu" else DEVICE_LOGITS
        return max(1, held // _vocabulary(self.model))

    def moments(self, inputs: Mapping[str, torch.Tensor], rows: Array, positions: Array, tokens: Array) -> Moments:
        """What the model says of tokens at positions of a batch; call it inside `evaluating`.

        Args:
            inputs: `input_ids` and `attention_mask`, shape (B, T).
            rows: Shape (R,): row of the batch of each position read.
            positions: Shape (R,): the position whose logits are read.
            tokens: Shape (R, n): the tokens whose log-probability is asked there.
        """
        device = inputs["input_ids"].device
        asked = torch.from_numpy(tokens).to(device)
        at = (torch.from_numpy(rows).to(device), torch.from_numpy(positions).to(device))
        if self.way == "tiles":
            head = _core(self.model).get_output_embeddings()
            hidden = _body(self.model)(**inputs, **self.options).last_hidden_state
            return head_moments(hidden[at], head.weight, head.bias, asked)
        if self.way == "gathered":
            return logit_moments(_gathered(self.model, inputs, self.options, at), asked)
        return logit_moments(self.model(**inputs, **self.options).logits[at], asked)


def _core(model: Any) -> Any:
    """The model of transformers itself, without an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _body(model: Any) -> Any:
    return _core(model).base_model


def _vocabulary(model: Any) -> int:
    return int(_core(model).get_input_embeddings().weight.shape[0])


def _trial(model: Any) -> dict[str, torch.Tensor]:
    """Two short sequences, one of them padded."""
    ids = torch.tensor([[0, 1, 2], [2, 0, 1]], device=device_of(model)) % _vocabulary(model)
    return {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]], device=ids.device)}


def _is_linear_on_body(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether the body's output enters a linear layer and, bit for bit, the model returns what leaves it.

    Bits and not closeness: soft capping moves small logits by less than any tolerance, and large ones by much.
    """
    head, body, inputs = _core(model).get_output_embeddings(), _body(model), _trial(model)
    if type(head) is not torch.nn.Linear or body is _core(model):
        return False
    passed: list[tuple[torch.Tensor, torch.Tensor]] = []
    watch = head.register_forward_hook(lambda _, entered, left: passed.append((entered[0], left)))
    try:
        logits = model(**inputs, **options).logits
    finally:
        watch.remove()
    if len(passed) != 1:
        return False
    (entered, left), hidden = passed[0], body(**inputs, **options).last_hidden_state
    return torch.equal(entered, hidden) and torch.equal(left.to(logits.dtype), logits)


def _can_be_narrowed(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether the model gives the same logits from a part of its body's output as from the whole."""
    inputs = _trial(model)
    at = (torch.tensor([0, 0, 1]), torch.tensor([2, 1, 0]))
    try:
        narrow = _gathered(model, inputs, options, at)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return False  # whatever follows the body needs all of it; the model's own pass will do
    whole = model(**inputs, **options).logits[at]
    return narrow.shape == whole.shape and torch.allclose(narrow, whole, rtol=1e-4, atol=1e-4)


def _gathered(model: Any, inputs: Mapping[str, torch.Tensor], options: Mapping[str, Any], at: At) -> torch.Tensor:
    """The model's logits at the positions, shape (R, V)."""
    with _narrowed(_body(model), at):
        logits: torch.Tensor = model(**inputs, **options).logits
    return logits[0]


@contextmanager
def _narrowed(body: Any, at: At) -> Iterator[None]:
    """Inside, the body gives its output at the positions only, as one sequence: (B, T, d) becomes (1, R, d)."""

    def narrow(_module: Any, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[at][None]
        return output

    hook = body.register_forward_hook(narrow)
    try:
        yield
    finally:
        hook.remove()
