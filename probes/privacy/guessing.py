"""A game against one training run: guess which canaries were planted, and ask what epsilon that takes.

Every canary was planted by its own fair coin; a rule fixed beforehand guesses some of the coins and abstains on the
rest. The number of right guesses is all that bounds and tests are made of.

Sources: Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, algorithm 1 and theorem 5.2; Mahloujifar,
Melis and Chaudhuri (2025), https://arxiv.org/abs/2410.22235; Xiang et al. (2025), https://arxiv.org/abs/2509.08704.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from probes.protocol import Array
from probes.results import Estimate, NotMeasured, Null, Value
from probes.stats.curve_audit import mmc_largest_refutable, mmc_lower_bound
from probes.stats.epsilon import largest_refutable, snj_lower_bound, snj_p_value
from probes.stats.order_statistics import order_statistics_estimate
from probes.stats.two_sample import Accusations


@dataclass(frozen=True, kw_only=True)
class Game:
    """Guesses at which canaries were planted once.

    Attributes:
        canaries: How many there are.
        guesses: How many are guessed, by a rule that was fixed beforehand.
        right: How many guesses are right.
        delta: The delta that epsilons go with.
        level: Confidence level.
        accused: Whom the half of the guesses that says "in" accuses.
    """

    canaries: int
    guesses: int
    right: int
    delta: float
    level: float
    accused: Accusations

    @property
    def said(self) -> str:
        """The outcome in words."""
        return f"{self.right} of {self.guesses} guesses right"

    @cached_property
    def ceiling(self) -> float:
        """The largest epsilon that could have been refuted for any mechanism; there must be a guess."""
        return largest_refutable(self.canaries, self.guesses, delta=self.delta, level=self.level)

    @cached_property
    def gaussian_ceiling(self) -> float:
        """The same for Gaussian mechanisms."""
        return mmc_largest_refutable(self.canaries, self.guesses, delta=self.delta, level=self.level)

    @cached_property
    def bound(self) -> Value:
        """The least epsilon that explains the right guesses, whatever the mechanism; what gates judge."""
        found = snj_lower_bound(self.canaries, self.guesses, self.right, delta=self.delta, level=self.level)
        return self._told(found, self.ceiling) if self.guesses else self._too_few

    @cached_property
    def gaussian_bound(self) -> Value:
        """The least epsilon of a Gaussian mechanism that explains them."""
        found = mmc_lower_bound(self.canaries, self.guesses, self.right, delta=self.delta, level=self.level)
        return self._told(found, self.gaussian_ceiling) if self.guesses else self._too_few

    @cached_property
    def estimate(self) -> Value:
        """Where epsilon would lie if canaries leaked independently of each other."""
        found = order_statistics_estimate(self.canaries, self.guesses, self.right, delta=self.delta, level=self.level)
        return self._told(found, None) if self.guesses else self._too_few

    @property
    def _too_few(self) -> NotMeasured:
        return NotMeasured(reason=f"canaries planted at most once: {self.canaries}, too few to guess any")

    def _told(self, value: Value, reach: float | None) -> Value:
        """With the outcome in the method, what coins alone would show, and the most that could have been shown."""
        assert isinstance(value, Estimate), "there is a guess"
        p = snj_p_value(self.canaries, self.guesses, self.right, 0.0, 0.0)
        return replace(
            value,
            method=f"{value.method}: {self.said} among {self.canaries} canaries, delta {self.delta:g}",
            null=Null(value=0.0, p=p, meaning="coins that the model knows nothing of"),
            detectable=reach,
        )

    def by_assumption(self) -> Iterator[tuple[str, Value]]:
        """All three, by the name of their metric: from the least that is assumed to the most."""
        yield "epsilon_lower_bound", self.bound
        yield "epsilon_if_gaussian", self.gaussian_bound
        yield "epsilon_if_independent", self.estimate


def play(score: Array, is_member: Array, guesses: int, *, delta: float, level: float) -> Game:
    """Guess "in" for the canaries with the highest scores and "out" for those with the lowest, half each.

    Among equal scores the earlier row counts as lower: a rule that cannot know the coins.

    Args:
        score: Shape (m,), without NaN; larger says "planted".
        is_member: The coins, shape (m,).
        guesses: How many are guessed, even.
        delta: The delta that epsilons go with.
        level: Confidence level.
    """
    order = np.argsort(score, kind="stable")
    half = guesses // 2
    said_in, said_out = is_member[order[len(order) - half :]], is_member[order[:half]]
    planted = int(is_member.sum())
    return Game(
        canaries=len(score),
        guesses=guesses,
        right=int(said_in.sum() + (~said_out).sum()),
        delta=delta,
        level=level,
        accused=Accusations(
            true_positives=int(said_in.sum()),
            planted=planted,
            false_positives=int((~said_in).sum()),
            left_out=len(score) - planted,
        ),
    )
