"""A game against one training run: guess which canaries were planted, and ask what epsilon that takes.

Every canary was planted by its own fair coin; a rule fixed beforehand guesses some of the coins and abstains on the
rest. The number of right guesses refutes every epsilon under which so many would be too unlikely.

Source: Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, algorithm 1 and theorem 5.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from probes.protocol import Array, PrivacyClaim
from probes.results import Check, Estimate, NotMeasured, Null, Outcome, Series, Value
from probes.stats.epsilon import fewest_right_guesses, largest_refutable, snj_lower_bound, snj_p_value


@dataclass(frozen=True, kw_only=True)
class Game:
    """Guesses at which canaries were planted once.

    Attributes:
        canaries: How many there are.
        guesses: How many are guessed, by a rule that was fixed beforehand.
        right: How many guesses are right.
        delta: The delta that epsilons go with.
        level: Confidence level.
    """

    canaries: int
    guesses: int
    right: int
    delta: float
    level: float

    @property
    def ceiling(self) -> float:
        """The largest epsilon that could have been refuted; there must be a guess."""
        return largest_refutable(self.canaries, self.guesses, delta=self.delta, level=self.level)

    @property
    def bound(self) -> Value:
        """The least epsilon that explains the right guesses, with the largest that could have been shown."""
        if not self.guesses:
            return NotMeasured(reason=f"canaries planted at most once: {self.canaries}, too few to guess any")
        value = snj_lower_bound(self.canaries, self.guesses, self.right, delta=self.delta, level=self.level)
        assert isinstance(value, Estimate), "there is a guess"
        p = snj_p_value(self.canaries, self.guesses, self.right, 0.0, 0.0)
        return replace(
            value,
            method=f"{value.method}: {self._said} among {self.canaries} canaries, delta {self.delta:g}",
            null=Null(value=0.0, p=p, meaning="coins that the model knows nothing of"),
            detectable=self.ceiling,
        )

    @property
    def _said(self) -> str:
        return f"{self.right} of {self.guesses} guesses right"

    def verdict(self, claim: PrivacyClaim) -> Check:
        """Whether the guesses refute a claim, do not, or could not have done so."""
        name = "claimed epsilon"
        if isinstance(self.bound, NotMeasured):
            return Check(name=name, outcome="not checked", evidence=self.bound.reason)
        needed = fewest_right_guesses(self.canaries, self.guesses, claim.epsilon, claim.delta, level=self.level)
        outcome: Outcome = "could not have been refuted"
        could = f"no number of right guesses could refute it, the largest that could have been is {self.ceiling:.4g}"
        if needed is not None:
            outcome = "refuted" if self.right >= needed else "not refuted"
            could = f"{needed} or more refute it"
        accounted = "accounted here" if claim.accounted else "claimed, not accounted here"
        return Check(
            name=name,
            outcome=outcome,
            evidence=f"epsilon {claim.epsilon:.4g} at delta {claim.delta:g} ({accounted}); {self._said} among "
            f"{self.canaries} canaries planted at most once, which takes at least {self.bound.value:.4g}; {could}",
        )

    def chart(self, claim: PrivacyClaim | None) -> Iterator[Series]:
        """The claim, the bound, and the largest epsilon that could have been refuted."""
        if isinstance(self.bound, NotMeasured):
            return
        rows: list[tuple[str, float | None, float | None, float]] = []
        if claim is not None:
            label = "accounted (PRV)" if claim.accounted else "claimed, not accounted here"
            rows.append((label, None, claim.epsilon, claim.epsilon))
        rows.append(("lower bound from one run", self.bound.value, None, self.bound.value))
        rows.append(("largest that could have been refuted", None, None, self.ceiling))
        columns = zip(("label", "low", "high", "value"), zip(*rows, strict=True), strict=True)
        notes = {"ceiling": self.ceiling, "claim": claim.epsilon if claim else None, "delta": self.delta}
        yield Series(name="epsilon", kind="epsilon", columns=dict(columns), notes=notes)


def right_guesses(score: Array, is_member: Array, guesses: int) -> int:
    """Of the canaries with the highest and the lowest scores, half each, how many are guessed rightly in and out.

    Among equal scores the earlier row counts as lower: a rule that cannot know the coins.

    Args:
        score: Shape (m,), without NaN; larger says "planted".
        is_member: The coins, shape (m,).
        guesses: How many are guessed, even.
    """
    order = np.argsort(score, kind="stable")
    half = guesses // 2
    return int((~is_member[order[:half]]).sum() + is_member[order[len(order) - half :]].sum())
