"""Log-probabilities of tokens, and the moments of the log-probability, without a log-softmax over the vocabulary.

For logits l over a vocabulary, with p = softmax(l): the log-probability of a token, the mean μ = Σ p log p, the
standard deviation σ with σ² = Σ p (log p − μ)², and whether the token was the most likely one. The vocabulary is
walked in tiles that stay in the processor's cache. Each tile gives its maximum, its weight Σ exp(l − maximum), and its
mean and squared deviation under those weights, the latter centred on the tile's own mean; the tiles' moments are then
merged in float64 with the update of Chan, Golub and LeVeque (1983), https://doi.org/10.2307/2683386, for weighted
samples. Nothing is ever a difference of two large numbers, so rows with all their probability on one token, where σ²
is 1e-10 and less, keep their digits, which E[x²] − E[x]² would not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from probes.protocol import Array

ROWS, TILE = 512, 1024
"""Rows and vocabulary entries of a tile on a CPU: 2 MiB of float32."""

DEVICE_ROWS, DEVICE_TILE = 4096, 8192
"""The same elsewhere, where many small kernels cost more than memory does."""

Tiles = Iterator[tuple[int, torch.Tensor]]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What a row of logits says of n tokens, and of itself.

    Attributes:
        logprobs: Log-probability of each token, nats, float64, shape (R, n).
        is_top: Whether no token was more likely, shape (R, n); of exact ties all are top.
        means: Mean of the log-probability under the predicted distribution, nats, float64, shape (R,).
        deviations: Its standard deviation, nats, float64, shape (R,); exactly 0 where all logits are equal.
    """

    logprobs: Array
    is_top: Array
    means: Array
    deviations: Array


def logit_moments(logits: torch.Tensor, tokens: torch.Tensor) -> Moments:
    """The moments of (R, V) logits of any float type at (R, n) tokens.

    Raises:
        ValueError: A logit is NaN or infinite.
    """

    def tiles(rows: slice, width: int) -> Tiles:
        part = logits[rows]
        for start in range(0, logits.shape[1], width):
            tile = part[:, start : start + width]
            yield start, tile.to(_working_type(tile))

    return _in_rows(tiles, tokens)


def head_moments(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, tokens: torch.Tensor
) -> Moments:
    """The moments of the logits `hidden @ weight.T + bias`, which are never held all at once.

    Args:
        hidden: Shape (R, d), any float type; half precision is widened to float32 before the product.
        weight: Shape (V, d).
        bias: Shape (V,), or None.
        tokens: Shape (R, n), indices into the vocabulary.

    Raises:
        ValueError: A logit is NaN or infinite.
    """
    kind = _working_type(hidden)

    def tiles(rows: slice, width: int) -> Tiles:
        part = hidden[rows].to(kind)
        for start in range(0, weight.shape[0], width):
            stop = start + width
            yield (
                start,
                F.linear(part, weight[start:stop].to(kind), None if bias is None else bias[start:stop].to(kind)),
            )

    return _in_rows(tiles, tokens)


def _working_type(values: torch.Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)


def _in_rows(tiles: Callable[[slice, int], Tiles], tokens: torch.Tensor) -> Moments:
    rows, width = (ROWS, TILE) if tokens.device.type == "cpu" else (DEVICE_ROWS, DEVICE_TILE)
    parts = []
    for start in range(0, len(tokens), rows):
        chunk = slice(start, start + rows)
        parts.append(_walk(tiles(chunk, width), tokens[chunk]))
    if not parts:
        empty = np.zeros(tuple(tokens.shape))
        return Moments(logprobs=empty, is_top=empty.astype(bool), means=empty[:, 0], deviations=empty[:, 0])
    logprobs, is_top, means, deviations = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    return Moments(logprobs=logprobs, is_top=is_top, means=means, deviations=deviations)


@dataclass(frozen=True)
class _Seen:
    """Part of a vocabulary: its maximum, and weight, mean and squared deviation under exp(l − maximum), each (R,)."""

    maximum: torch.Tensor
    weight: torch.Tensor
    mean: torch.Tensor  # relative to the maximum, so never positive
    square: torch.Tensor  # Σ exp(l − maximum) (l − mean)²

    def merged(self, other: "_Seen") -> "_Seen":
        maximum = torch.maximum(self.maximum, other.maximum)
        mine = self.weight * torch.exp(self.maximum - maximum)
        its = other.weight * torch.exp(other.maximum - maximum)
        weight = mine + its
        mean, its_mean = self.mean + (self.maximum - maximum), other.mean + (other.maximum - maximum)
        return _Seen(
            maximum,
            weight,
            (mine / weight) * mean + (its / weight) * its_mean,  # terms of one sign: nothing cancels
            self.square * torch.exp(self.maximum - maximum)
            + other.square * torch.exp(other.maximum - maximum)
            + (its_mean - mean).square() * mine * (its / weight),
        )


def _of_tile(tile: torch.Tensor) -> _Seen:
    maximum = tile.amax(dim=1, keepdim=True)  # (R, 1)
    gap = tile - maximum  # (R, K)
    likelihood = torch.exp(gap)
    weight = likelihood.sum(dim=1)
    mean = torch.linalg.vecdot(likelihood, gap) / weight
    gap -= mean[:, None]
    square = torch.linalg.vecdot(likelihood.mul_(gap), gap)
    return _Seen(maximum[:, 0].double(), weight.double(), mean.double(), square.double())


def _walk(tiles: Tiles, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    seen: _Seen | None = None
    chosen = torch.full(tokens.shape, float("nan"), dtype=torch.float64, device=tokens.device)
    for start, tile in tiles:
        inside = (tokens >= start) & (tokens < start + tile.shape[1])
        here = tile.gather(1, (tokens - start).clamp(0, tile.shape[1] - 1)).double()  # (R, n)
        chosen = torch.where(inside, here, chosen)
        part = _of_tile(tile)
        seen = part if seen is None else seen.merged(part)
    assert seen is not None, "a vocabulary has at least one entry"
    log_weight = torch.log(seen.weight)
    if not torch.isfinite(chosen.sum(dim=1) + log_weight + seen.square).all():
        raise ValueError("logits must be finite; the model gave NaN or infinity, so its weights or inputs are broken")
    logprobs = (chosen - seen.maximum[:, None]) - log_weight[:, None]
    is_top = chosen >= seen.maximum[:, None]
    return logprobs, is_top, seen.mean - log_weight, torch.sqrt(seen.square / seen.weight)
