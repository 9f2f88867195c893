"""What guesses say of a claimed guarantee: refuted, not refuted, or beyond what they could have refuted.

Two tests read the same number of right guesses. One asks whether the claimed (epsilon, delta) can be true for any
mechanism; the other whether the claimed mechanism itself can be: its whole trade-off curve, from its noise, sampling
and steps, is the null, and it takes fewer right guesses. Both refute from some number of right guesses on, so that one
of the two is wrong to refute no more often than the one that refutes first.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from probes.privacy.guessing import Game
from probes.protocol import PrivacyClaim
from probes.results import Check, Estimate, NotMeasured, Null, Outcome
from probes.stats.curve_audit import mmc_fewest_right_guesses, mmc_rejects, mmc_tails
from probes.stats.epsilon import fewest_right_guesses, snj_p_value, snj_tails
from probes.stats.evalues import largest_log_e_value, log_e_value, refuting_wealth
from probes.stats.power import MOST_CANARIES, canaries_needed
from probes.stats.tradeoff import TradeOff, dp_sgd_curve, dp_sgd_epsilon, gdp_curve, gdp_mu

LARGEST_EPSILON = 100.0
"""A larger claim promises nothing that guesses could contradict, and has no curve in double precision."""

OF_EPSILON, OF_MECHANISM = "claimed epsilon", "claimed mechanism"
"""The names of the two verdicts."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The trade-off curve that a claim amounts to.

    Attributes:
        of: Whose curve it is, in words.
        tradeoff: The curve.
    """

    of: str
    tradeoff: TradeOff


def curve_of(claim: PrivacyClaim) -> Curve | None:
    """The curve of the mechanism that is claimed; a Gaussian one of the same epsilon and delta where none is named.

    None for claims that promise nothing.
    """
    if claim.epsilon > LARGEST_EPSILON:
        return None
    mechanism = _mechanism(claim)
    if mechanism is None:
        words = f"a Gaussian mechanism with epsilon {claim.epsilon:.4g} at delta {claim.delta:g}"
        return Curve(of=words, tradeoff=gdp_curve(gdp_mu(claim.epsilon, claim.delta)))
    sigma, rate, steps = mechanism
    words = f"DP-SGD with noise multiplier {sigma:.4g}, sample rate {rate:.4g} and {steps} steps"
    return Curve(of=words, tradeoff=dp_sgd_curve(sigma, rate, steps))


def accounted_again(claim: PrivacyClaim) -> float | None:
    """Epsilon by the privacy loss distribution of the mechanism that is claimed; None where none is named."""
    mechanism = None if claim.epsilon > LARGEST_EPSILON else _mechanism(claim)
    return None if mechanism is None else dp_sgd_epsilon(*mechanism, claim.delta)


def verdicts(game: Game, claim: PrivacyClaim) -> Iterator[Check]:
    """Whether the guesses refute the claimed epsilon, and whether they refute the claimed mechanism."""
    if isinstance(game.bound, NotMeasured):
        yield Check(name=OF_EPSILON, outcome="not checked", evidence=game.bound.reason)
        return
    yield _of_epsilon(game, claim, game.bound)
    curve = curve_of(claim)
    if curve is not None:
        yield _of_curve(game, curve)


def _of_epsilon(game: Game, claim: PrivacyClaim, bound: Estimate) -> Check:
    m, r = game.canaries, game.guesses
    needed = fewest_right_guesses(m, r, claim.epsilon, claim.delta, level=game.level)
    could = f"no number of right guesses could refute it, the largest that could have been is {game.ceiling:.4g}"
    if needed is not None:
        could = f"{needed} or more refute it, and the largest that could have been refuted is {game.ceiling:.4g}"
    accounted = "accounted here" if claim.accounted else "claimed, not accounted here"
    return Check(
        name=OF_EPSILON,
        outcome=_outcome(game, needed),
        evidence=f"epsilon {claim.epsilon:.4g} at delta {claim.delta:g} ({accounted}); {game.said} among {m} canaries "
        f"planted at most once, which takes at least {bound.value:.4g}; {could}",
    )


def _of_curve(game: Game, curve: Curve) -> Check:
    needed = mmc_fewest_right_guesses(curve.tradeoff, game.canaries, game.guesses, level=game.level)
    could = "no number of right guesses could refute it" if needed is None else f"{needed} or more refute it"
    return Check(
        name=OF_MECHANISM,
        outcome=_outcome(game, needed),
        evidence=f"the trade-off curve of {curve.of}; {game.said} among {game.canaries} canaries; {could}",
    )


def _outcome(game: Game, needed: int | None) -> Outcome:
    if needed is None:
        return "could not have been refuted"
    return "refuted" if game.right >= needed else "not refuted"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one audit adds to a series of them.

    Attributes:
        value: Natural logarithm of its e-value.
        largest: The same if all guesses had been right.
        against: The null, in words.
    """

    value: float
    largest: float
    against: str


def evidence(game: Game, claim: PrivacyClaim) -> Evidence:
    """The e-value of a game against a claim; there must be a guess.

    The null is the claimed mechanism's own curve where it is known, else (epsilon, delta) for any mechanism: a rule
    that looks at no guess.
    """
    m, r, curve = game.canaries, game.guesses, curve_of(claim)
    if curve is None or _mechanism(claim) is None:
        tails, against = snj_tails(m, r, claim.epsilon, claim.delta), "any mechanism"
    else:
        tails, against = mmc_tails(curve.tradeoff, m, r), curve.of
    return Evidence(value=log_e_value(tails, game.right), largest=largest_log_e_value(tails), against=against)


def evidence_value(game: Game, found: Evidence) -> Estimate:
    """The e-value as a number of the record."""
    return Estimate(
        value=found.value,
        low=None,
        high=None,
        level=game.level,
        n=game.guesses,
        unit_of_n="guessed canary",
        method=f"logarithm of the e-value against {found.against}: {game.said} among {game.canaries} canaries; over "
        f"several audits with fresh coins they add up, and {refuting_wealth(game.level):.3g} refutes",
        null=Null(value=0.0, p=min(1.0, math.exp(-found.value)), meaning="no evidence against the claim"),
    )


Guesses = Callable[[int], int]
"""How many of some canaries are guessed, such as `Canaries.guesses`."""

_Test = Callable[[int, int, int], bool]
"""Whether v right of r guesses among m canaries refute a claim, by (m, r, v)."""

REALISTIC = 0.95
"""Share of right guesses in a leak that is strong, and not perfect: what is asked for beside all of them."""

OTHER_SHARES = (0.5, 1.0)
"""Shares of canaries to guess that are tried where the configured one refutes with no number of canaries."""


def _tests(claim: PrivacyClaim, level: float) -> dict[str, _Test | None]:
    """Both tests, by the name of their verdict; None for a claim that has no curve."""

    def by_epsilon(m: int, r: int, v: int) -> bool:
        return snj_p_value(m, r, v, claim.epsilon, claim.delta) < 1 - level

    curve = curve_of(claim)
    by_curve = None if curve is None else partial(mmc_rejects, curve.tradeoff, level=level)
    return {OF_EPSILON: by_epsilon, OF_MECHANISM: by_curve}


@dataclass(frozen=True, kw_only=True)
class Sufficing:
    """How many canaries one test takes to refute a claim; None where no number up to `MOST_CANARIES` does.

    Attributes:
        share: The share of canaries that are guessed.
        if_all_right: The fewest with which the claim could be refuted at all.
        right: Probability that a guess is right in a leak that is not perfect.
        if_realistic: The fewest with which such a leak refutes it 4 times in 5.
        other_share: Where `if_all_right` is None, the first of `OTHER_SHARES` that could refute it; None where none.
        with_other_share: The fewest with that share, if all guesses were right.
    """

    share: float
    if_all_right: int | None
    right: float
    if_realistic: int | None
    other_share: float | None = None
    with_other_share: int | None = None

    @property
    def words(self) -> str:
        """What follows on "could be refuted"."""
        at = f"with a guess share of {self.share:g}"
        if self.if_all_right is not None:
            realistic = "no number" if self.if_realistic is None else f"{self.if_realistic:,}, 4 times in 5,"
            return (
                f"{at} by {self.if_all_right:,} canaries if all guesses were right, "
                f"by {realistic} if {100 * self.right:g} % were"
            )
        none = f"{at} by no number of canaries up to {MOST_CANARIES:,}"
        if self.with_other_share is None:
            return none
        return f"{none}, with one of {self.other_share:g} by {self.with_other_share:,} if all guesses were right"


def sufficing(
    claim: PrivacyClaim,
    *,
    share: float,
    guesses: Callable[[float], Guesses],
    right: float = REALISTIC,
    level: float = 0.95,
) -> dict[str, Sufficing]:
    """How many canaries would do, by the name of the verdict; a claim without a curve has no verdict on its mechanism.

    Args:
        claim: The claim.
        share: The share of canaries that are guessed.
        guesses: How many of some canaries are guessed, by such a share.
        right: Probability that a guess is right in a leak that is not perfect.
        level: Confidence level of the refutation.
    """
    tests = _tests(claim, level).items()
    return {name: _sufficing(test, share, guesses, right) for name, test in tests if test is not None}


def _sufficing(test: _Test, share: float, guesses: Callable[[float], Guesses], right: float) -> Sufficing:
    needed = partial(canaries_needed, test)
    all_right = needed(guesses=guesses(share))
    if all_right is not None:
        some_right = needed(guesses=guesses(share), right=right)
        return Sufficing(share=share, if_all_right=all_right, right=right, if_realistic=some_right)
    none = Sufficing(share=share, if_all_right=None, right=right, if_realistic=None)
    for other in OTHER_SHARES:
        enough = None if other <= share else needed(guesses=guesses(other))
        if enough is not None:
            return replace(none, other_share=other, with_other_share=enough)
    return none


def with_needed(check: Check, needed: Sufficing) -> Check:
    """A verdict with how many canaries it would take to refute the claim."""
    return replace(check, evidence=f"{check.evidence}; it could be refuted {needed.words}")


def _mechanism(claim: PrivacyClaim) -> tuple[float, float, int] | None:
    """Noise multiplier, sample rate and steps; None where they are not all known, or nothing was noised."""
    sigma, rate, steps = claim.noise_multiplier, claim.sample_rate, claim.steps
    return (sigma, rate, steps) if sigma and rate and steps else None
