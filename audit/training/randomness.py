"""Where a training's randomness comes from: seeds for what may be known, the operating system for what must not.

Nothing here carries state from step to step: every generator is made anew from (seed, purpose, step) or from
the operating system, so a resumed training needs no stored random state, and none is ever written.
"""

import hashlib
import math
import secrets
import ssl
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_CHUNK = 2**18
"""Normal variates made at once, so that they stay in a processor's cache."""

_STATE = slice(24, 24 + 8 * 624)
"""Bytes of a CPU generator's state that hold the 624 words of its Mersenne twister."""


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for one purpose, independent of those for other purposes."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class PrivateRandomness(Protocol):
    """The source of Poisson draws and of noise."""

    @property
    def is_secret(self) -> bool:
        """Whether nobody can know or repeat what comes from it."""

    def for_draws(self, step: int) -> torch.Generator:
        """The generator of the step's Poisson draws."""

    def for_noise(self, step: int) -> "NoiseSource":
        """The source of the step's noise."""


class NoiseSource(Protocol):
    """Gaussian noise of one step."""

    def add_to(self, values: Tensor, standard_deviation: float) -> None:
        """Add independent normal variates to every value, in place."""


@dataclass(frozen=True)
class SecretRandomness:
    """Draws and noise that nobody can know: from cryptographic generators that the operating system seeds.

    What this secures: nobody can predict or repeat the noise, not even from the noise of other coordinates, of
    other steps, or from every published model on the way. Its bytes come from OpenSSL's generator, a block cipher in
    counter mode with a key of 256 bits that is seeded, and seeded anew as it goes, from the operating system. That is
    some ten times as fast as asking the operating system for every byte, and holds as long as the cipher does. (An
    ordinary generator for simulations would not do: from 624 of its words, such as the noise of tokens that no text
    contains, all others can be computed.) Nothing of it is stored or can be set. The Poisson draws come from a
    generator whose whole state (19,937 bits) is filled from the operating system in each step; a seed would give it 32
    bits, few enough to try them all.

    What it does not secure: noise and sums are floating-point numbers, whose gaps can betray the noiseless value to
    someone who sees the exact bits of a step's noised gradient (Mironov 2012, https://doi.org/10.1145/2382196.2382264;
    Holohan and Braghin 2021, https://arxiv.org/abs/2107.10138); optimizer steps and rounding come between that and a
    published model, but no proof is given here. Variates beyond 6.6 standard deviations do not occur (probability 4e-11
    each). Whoever reads this process's memory reads the noise.
    """

    is_secret: bool = True

    def for_draws(self, step: int) -> torch.Generator:
        """A generator filled anew from the operating system; the step does not matter."""
        del step
        generator = torch.Generator()
        state = generator.manual_seed(0).get_state()
        words = torch.frombuffer(bytearray(secrets.token_bytes(4 * 624)), dtype=torch.int32).to(torch.int64)
        state[_STATE] = (words & 0xFFFFFFFF).view(torch.uint8)
        generator.set_state(state)
        return generator

    def for_noise(self, step: int) -> NoiseSource:
        """Noise of fresh bytes; the step does not matter."""
        del step
        return _SecretNoise()


class _SecretNoise:
    """Normal variates by the Box–Muller transform of fresh random bytes."""

    def add_to(self, values: Tensor, standard_deviation: float) -> None:
        flat = values.view(-1)
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            part.add_(_normal(len(part)).to(part.device), alpha=standard_deviation)


def _normal(count: int) -> Tensor:
    """Standard normal variates, shape (count,), float32.

    Source: Box and Muller (1958), https://doi.org/10.1214/aoms/1177706645. The uniform of the radius keeps all its bits
    near zero, where the tail of the normal distribution is.
    """
    pairs = (count + 1) // 2
    words = torch.frombuffer(bytearray(ssl.RAND_bytes(8 * pairs)), dtype=torch.int32)
    uniform = (words[:pairs] & 0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).clamp_(max=1.0)  # (0, 1]
    radius = uniform.log_().mul_(-2.0).sqrt_()
    angle = words[pairs:].float().mul_(math.pi * 2.0**-31)  # [-pi, pi]
    variates = torch.empty(2 * pairs)
    torch.mul(radius, angle.cos(), out=variates[:pairs])
    torch.mul(radius, angle.sin_(), out=variates[pairs:])
    return variates[:count]


@dataclass(frozen=True)
class ReproducibleRandomness:
    """Draws and noise derived from a seed: for tests and demonstrations, since who knows the seed knows the noise."""

    seed: int
    is_secret: bool = False

    def for_draws(self, step: int) -> torch.Generator:
        """A generator seeded for this step's draws."""
        return torch.Generator().manual_seed(derived_seed(self.seed, "draws", step))

    def for_noise(self, step: int) -> NoiseSource:
        """A generator seeded for this step's noise."""
        return _SeededNoise(torch.Generator().manual_seed(derived_seed(self.seed, "noise", step)))


@dataclass(frozen=True)
class _SeededNoise:
    generator: torch.Generator

    def add_to(self, values: Tensor, standard_deviation: float) -> None:
        # Drawn on the CPU wherever the model is, so that devices agree.
        variates = torch.randn(values.shape, generator=self.generator, dtype=values.dtype).mul_(standard_deviation)
        values.add_(variates.to(values.device))
