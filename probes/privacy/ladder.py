"""Theory, bounds and reach on one axis: what is claimed of epsilon, and what guesses show, assuming more and more."""

from collections.abc import Iterator, Mapping

from probes.privacy.claimed import Evidence, accounted_again
from probes.privacy.guessing import Game
from probes.protocol import PrivacyClaim
from probes.results import Estimate, Series

NAME = "epsilon"

ANY_MECHANISM = "lower bound, any mechanism (SNJ)"
"""Label of the bound that gates judge."""

GAUSSIAN = "lower bound, Gaussian noise (MMC)"
"""Label of the bound that assumes the trade-off curve of Gaussian noise."""

Row = tuple[str, str, float | None, float | None, float]
"""Label, kind, low, high and value."""


def chart(game: Game, claim: PrivacyClaim | None, evidence: Evidence | None, rule: str) -> Iterator[Series]:
    """One series of kind "epsilon"; none without a guess.

    Its kinds of rows: "claim" holds from above, "bound" from below whatever the mechanism, "assuming" from below under
    what its label says, "estimate" is no bound, "reach" is the most that the bound could have shown, and so is the note
    "ceiling". The notes hold what a series of audits is made of.

    Args:
        game: What was guessed.
        claim: What is claimed.
        evidence: What the game adds to a series of audits of the claim.
        rule: What was fixed before any coin was looked at.
    """
    if not isinstance(game.bound, Estimate):
        return
    rows = [
        *_claimed(claim),
        *_found(game),
        ("largest that could have been refuted", "reach", None, None, game.ceiling),
    ]
    names = ("label", "kind", "low", "high", "value")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    yield Series(
        name=NAME, kind="epsilon", columns=columns, notes={**_notes(game, claim, evidence), "fixed_beforehand": rule}
    )


def _claimed(claim: PrivacyClaim | None) -> Iterator[Row]:
    if claim is None:
        return
    label = "accounted (PRV)" if claim.accounted else "claimed, not accounted here"
    yield label, "claim", None, claim.epsilon, claim.epsilon
    again = accounted_again(claim)
    if again is not None:
        yield "accounted (PLD)", "claim", None, again, again


def _found(game: Game) -> Iterator[Row]:
    labels = (
        ANY_MECHANISM,
        GAUSSIAN,
        "if canaries were independent (OS)",
    )
    kinds = ("bound", "assuming", "estimate")
    for (_, value), label, kind in zip(game.by_assumption(), labels, kinds, strict=True):
        assert isinstance(value, Estimate), "there is a guess"
        high = value.high if value.detectable is None else value.detectable
        yield label, kind, value.low, high, value.value


def _notes(game: Game, claim: PrivacyClaim | None, evidence: Evidence | None) -> Mapping[str, float | str | None]:
    return {
        "ceiling": game.ceiling,
        "claim": claim.epsilon if claim else None,
        "delta": game.delta,
        "canaries": game.canaries,
        "guesses": game.guesses,
        "right": game.right,
        "planted": game.accused.planted,
        "accused_planted": game.accused.true_positives,
        "accused_left_out": game.accused.false_positives,
        "log_e_value": evidence.value if evidence else None,
        "largest_log_e_value": evidence.largest if evidence else None,
    }
