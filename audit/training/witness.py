"""Watches the noise that a private optimizer really adds, from outside: what is accounted is not taken on trust."""

from collections.abc import Sequence
from typing import Any

import torch
from scipy.special import gammainc, gammaincc
from torch import Tensor

from audit.training.private_optimizer import BookkeepingOptimizer
from audit.training.spec import NoiseSeen

_LOOKED_AT = 64
"""Values of each parameter that are looked at in a step, at most."""

_SHIFT = 7919
"""By how much they lie further in the next step: a prime, so that it is a long time before one is looked at again."""


class WitnessedOptimizer(BookkeepingOptimizer):
    """The private optimizer under watch: a few values of every sum are compared before and after the noise.

    They are spread over the whole of it, and are others in every step, so that a part without noise is seen too. Only
    sums of squares are kept, one for each parameter; no variate is.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._squares = [0.0] * len(self.params)
        self._variates = [0] * len(self.params)

    def add_noise(self) -> None:
        """As the private optimizer does, watched."""
        shift = _SHIFT * self.noised_steps
        before = [None if p.summed_grad is None else _some(p.summed_grad, shift).clone() for p in self.params]
        super().add_noise()
        seen = [(i, _some(self.params[i].grad, shift) - value) for i, value in enumerate(before) if value is not None]
        squares = torch.stack([added.float().square().sum() for _, added in seen]).tolist()  # one transfer a step
        for (place, added), square in zip(seen, squares, strict=True):
            self._squares[place] += square
            self._variates[place] += added.numel()

    def noise_state(self) -> list[list[float]]:
        """Plain JSON to continue with: sum of squares and number of variates of each parameter."""
        return [[squares, variates] for squares, variates in zip(self._squares, self._variates, strict=True)]

    def restore_noise(self, state: Sequence[Sequence[float]]) -> None:
        """Continue from a state; one that is of another number of parameters is left alone."""
        if len(state) == len(self._squares):
            self._squares = [float(squares) for squares, _ in state]
            self._variates = [int(variates) for _, variates in state]

    def seen(self, deviation: float) -> NoiseSeen | None:
        """What was added, against the standard deviation that is accounted; None where none was to be, or no step was.

        Source: the sum of squares of n standard normal variates is chi-squared with n degrees of freedom. Both tails
        count over all variates; in a single parameter only too little noise does, with Bonferroni's correction.
        """
        if deviation <= 0 or not any(self._variates):
            return None
        squares = [s / deviation**2 for s in self._squares]
        total, n = sum(squares), sum(self._variates)
        both = 2 * min(gammainc(n / 2, total / 2), gammaincc(n / 2, total / 2))
        parts = [(n, s) for n, s in zip(self._variates, squares, strict=True) if n]
        least = min(float(gammainc(n / 2, s / 2)) for n, s in parts)
        p = min(1.0, 2 * min(float(both), len(parts) * least))
        return NoiseSeen(variates=n, ratio=float((total / n) ** 0.5), p=p)


@torch.no_grad()
def _some(values: Tensor, shift: int) -> Tensor:
    stride = -(-values.numel() // _LOOKED_AT)
    return values.detach().reshape(-1)[shift % stride :: stride]
