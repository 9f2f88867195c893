"""Asking a model without changing it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from probes.protocol import Array
from probes.scoring.batching import padded


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off and no gradients inside; every module's training flag is as it was outside.

    `no_grad` and not `inference_mode`: models keep tables of positions that they make when first called, and
    tensors made in inference mode could not be trained through afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: Any) -> torch.device:
    """Where the model's parameters are."""
    device: torch.device = next(model.parameters()).device
    return device


def batch_tokens_on(device: torch.device, asked: int | None) -> int:
    """Most tokens of a batch: what was asked for, else what suits the device.

    On a CPU batches should be small enough for their activations to stay in its cache: for encoders and decoders
    384 wide, 8,192 tokens take a quarter more time than 2,048. Elsewhere many small kernels cost more.
    """
    return asked if asked is not None else 2048 if device.type == "cpu" else 16384


def batch(sequences: Sequence[Array], fill: int, device: torch.device) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` of shape (B, T), padded on the right."""
    ids, mask = padded(sequences, fill)
    return {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
    }
