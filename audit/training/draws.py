"""Which units a private step draws, which of their examples it computes, and what is kept of the draws.

A unit of privacy is an example, a person or a cluster of near-duplicates. Units are drawn, and a drawn unit's examples
are clipped as one gradient: whoever is added or removed changes the sum by at most the clipping norm.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from audit.training.randomness import PrivateRandomness, derived_seed
from audit.training.spec import Drawn

_SMALL = 2.0**-10
"""Rates above this are kept to 1 part in 16,000 by coins of single precision."""


class PoissonDraws:
    """The units of each step's logical batch: every unit by an independent coin of probability q.

    Args:
        units: Number of units there are.
        sample_rate: Probability q.
        randomness: The source of the coins.
    """

    def __init__(self, units: int, sample_rate: float, randomness: PrivateRandomness) -> None:
        self.units, self.sample_rate, self.randomness = units, sample_rate, randomness

    def __call__(self, step: int) -> list[int]:
        """The batch of a step; it may be empty."""
        # A coin of single precision falls below a rate with a probability that is a multiple of 2^-24 (Opacus' sampler
        # has no other): of a small rate, as a million units have, that is seen in the number drawn.
        precision = torch.float32 if self.sample_rate > _SMALL else torch.float64
        generator = self.randomness.for_draws(step)
        coins = torch.rand(self.units, dtype=precision, generator=generator)
        found: list[int] = (coins < self.sample_rate).nonzero().flatten().tolist()
        return found


class Contributions:
    """The examples that a drawn unit gives to a step: all of them, or as many as the limit, drawn anew in each step.

    Which examples of a unit are drawn follows from the training seed, the step and the unit's name alone, never from
    who else is there: for every outcome of these draws a unit changes the sum by at most the clipping norm, so they
    need not be secret and cost no privacy.

    Args:
        units: Name of each example's unit, shape (N,); None where each example is a unit of its own.
        examples: Number of examples N.
        limit: Most examples of a unit in a step.
        seed: Training seed.
    """

    def __init__(self, units: Sequence[str] | None, examples: int, limit: int, seed: int) -> None:
        self.limit, self.seed = limit, seed
        members: dict[str, list[int]] = {}
        for example in range(examples):
            members.setdefault(str(example) if units is None else units[example], []).append(example)
        self._names, self._members = tuple(members), tuple(members.values())

    def __len__(self) -> int:
        """Number of units."""
        return len(self._members)

    @property
    def largest(self) -> int:
        """Most examples of one unit."""
        return max(map(len, self._members))

    def __call__(self, unit: int, step: int) -> Sequence[int]:
        """The examples that a unit, by its number, gives to a step, in their order."""
        examples = self._members[unit]
        if len(examples) <= self.limit:
            return examples
        rng = np.random.default_rng(derived_seed(self.seed, "contribution", self._names[unit], step))
        return [examples[i] for i in sorted(rng.choice(len(examples), size=self.limit, replace=False))]


class DrawLog:
    """Counts how often each unit was drawn; what is written of it does not say which unit was.

    A training that is continued begins a new stretch: which units were drawn before is not known any more.

    Args:
        units: Number of units there are.
    """

    def __init__(self, units: int) -> None:
        self._earlier: tuple[Drawn, ...] = ()
        self._steps, self._draws = 0, np.zeros(units, dtype=np.int64)

    def drew(self, units: Iterable[int]) -> None:
        """One more step, with the units that it drew."""
        self._steps += 1
        np.add.at(self._draws, list(units), 1)

    @property
    def stretches(self) -> tuple[Drawn, ...]:
        """The draws so far, without stretches of no step."""
        counts = sorted(Counter(self._draws.tolist()).items())
        now = (Drawn(steps=self._steps, counts=tuple(counts)),) if self._steps else ()
        return (*self._earlier, *now)

    def state(self) -> list[Any]:
        """Plain JSON to continue with."""
        return [[stretch.steps, [list(pair) for pair in stretch.counts]] for stretch in self.stretches]

    def restore(self, state: Sequence[Any]) -> None:
        """Continue after the stretches of a state."""
        self._earlier = tuple(Drawn(steps=steps, counts=tuple((n, u) for n, u in counts)) for steps, counts in state)
