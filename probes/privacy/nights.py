"""A series of audits with fresh coins each, read as one: is the claim refuted by all nights together?

Each night's guesses give an e-value against the claim, and these multiply, from each night on which a leak may have
begun. Whenever one looks, and however many nights there are, the chance that a claim that is kept is ever refuted stays
at 1 − level (`probes.stats.evalues`). Nights with the same coins are one night: the first counts. What a night is made
of stands in the notes of its series "epsilon", so that records suffice.

For a number of nights that was fixed beforehand there are intervals too: the bounds for any mechanism and for Gaussian
noise hold for the sum of all guesses, since each canary's coin touches one training only; the intervals of the attack's
two rates take the canaries for independent, which those of different nights are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Self, TypeVar

from probes.privacy.ladder import ANY_MECHANISM, GAUSSIAN, Row
from probes.results import Check, Estimate, Outcome, Series, Value
from probes.stats.curve_audit import mmc_largest_refutable, mmc_lower_bound
from probes.stats.epsilon import largest_refutable, snj_lower_bound
from probes.stats.evalues import log_wealth, refuting_wealth
from probes.stats.two_sample import Accusations, clopper_pearson_epsilon, joint_beta_epsilon

Notes = Mapping[str, float | str | None]
AnyNight = TypeVar("AnyNight", bound="Guessed")

CLOPPER_PEARSON = "if independent (Clopper–Pearson)"
JOINT_BETA = "if independent (joint Beta)"

FEWEST_FOR_RATES = 2
"""Nights from which the two-sample intervals are shown: within one they would be taken for more than they are."""


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """One night's guesses, whether or not anything is claimed.

    Attributes:
        name: What it is called.
        coins: The commitment to its coins.
        delta: The delta that epsilons go with.
        canaries: Canaries planted at most once.
        guesses: How many were guessed.
        right: How many guesses were right.
        accused: Whom the guesses "in" accuse.
    """

    name: str
    coins: str
    delta: float
    canaries: int
    guesses: int
    right: int
    accused: Accusations

    @classmethod
    def from_notes(cls, name: str, coins: str, notes: Notes) -> Self | None:
        """A night from the notes of its series "epsilon"; None where they are of another kind, or lack what is asked.

        Args:
            name: What it is called.
            coins: The commitment to its coins.
            notes: As `probes.privacy.ladder.chart` writes them.
        """
        numbers = {key: value for key, value in notes.items() if isinstance(value, int | float)}
        try:
            return cls(name=name, coins=coins, **cls._fields(numbers))
        except KeyError:
            return None

    @classmethod
    def _fields(cls, numbers: Mapping[str, float]) -> dict[str, Any]:
        canaries, planted = int(numbers["canaries"]), int(numbers["planted"])
        return {
            "delta": numbers["delta"],
            "canaries": canaries,
            "guesses": int(numbers["guesses"]),
            "right": int(numbers["right"]),
            "accused": Accusations(
                true_positives=int(numbers["accused_planted"]),
                planted=planted,
                false_positives=int(numbers["accused_left_out"]),
                left_out=canaries - planted,
            ),
        }


@dataclass(frozen=True, kw_only=True)
class Night(Guessed):
    """One audit of a claim; `from_notes` gives None where nothing was claimed.

    Attributes:
        claim: The epsilon claimed.
        log_e_value: Natural logarithm of its e-value against the claim.
        largest_log_e_value: The same if all guesses had been right.
        basis: What the claim rests on, as the night's own series calls it.
    """

    claim: float
    log_e_value: float
    largest_log_e_value: float
    basis: str = "claimed"

    @classmethod
    def _fields(cls, numbers: Mapping[str, float]) -> dict[str, Any]:
        own = {key: numbers[key] for key in ("claim", "log_e_value", "largest_log_e_value")}
        return super()._fields(numbers) | own


def together(
    nights: Sequence[Night], *, level: float = 0.95, level_of_bounds: float = 0.95
) -> Iterator[Check | Series]:
    """The verdict of a series of audits of one arm, its course, and the bounds of all nights' guesses.

    Args:
        nights: In the order in which they were run.
        level: Confidence level of the verdict, over all nights together.
        level_of_bounds: Confidence level of each of the bounds.
    """
    counted = _first_of_coins(nights)
    if not counted:
        return
    wealth = log_wealth([night.log_e_value for night in counted]).tolist()
    yield _verdict(counted, wealth, len(nights), level)
    yield Series(
        name="nights",
        kind="nights",
        columns={
            "night": tuple(night.name for night in counted),
            "log_e_value": tuple(night.log_e_value for night in counted),
            "log_evidence": tuple(wealth),
        },
        notes={"refutes_at": refuting_wealth(level)},
    )
    yield bounds_of(counted, level=level_of_bounds)


def _first_of_coins(nights: Sequence[AnyNight]) -> list[AnyNight]:
    return list({night.coins: night for night in reversed(nights)}.values())[::-1]


def _verdict(nights: Sequence[Night], wealth: Sequence[float], given: int, level: float) -> Check:
    """Once refuted, a claim stays refuted."""
    limit, most = refuting_wealth(level), max(wealth)
    outcome: Outcome = "not refuted"
    if most >= limit:
        outcome = "refuted"
    elif max(log_wealth([night.largest_log_e_value for night in nights])) < limit:
        outcome = "could not have been refuted"
    again = f", {given - len(nights)} more had coins that had been used before" if given > len(nights) else ""
    claims = sorted({night.claim for night in nights})
    claimed = f"{claims[0]:.4g}" if claims[0] == claims[-1] else f"{claims[0]:.4g} to {claims[-1]:.4g}"
    first = next((f", first reached on {n.name}" for n, p in zip(nights, wealth, strict=True) if p >= limit), "")
    return Check(
        name="claimed epsilon, all nights together",
        outcome=outcome,
        evidence=f"epsilon {claimed}; {_audits(len(nights))} with fresh coins{again}; their evidence is "
        f"e^{wealth[-1]:.3g} (at most e^{most:.3g} on the way), and e^{limit:.3g} refutes{first}; the error over all "
        f"nights together, whenever one looks, is at most {1 - level:.3g}",
    )


def _audits(number: int) -> str:
    return f"{number} audit" if number == 1 else f"{number} audits"


def bounds_of(nights: Sequence[Guessed], *, level: float = 0.95) -> Series:
    """What all guesses together show, for a number of nights that was fixed beforehand, claimed or not.

    Its kinds of rows are those of `probes.privacy.ladder.chart`, and "night": what that night's guesses alone show,
    whatever the mechanism.

    Args:
        nights: At least one, in the order in which they were run; of the same coins the first counts.
        level: Confidence level of each of the bounds.
    """
    nights = _first_of_coins(nights)
    m, r, v = (sum(counts) for counts in zip(*((n.canaries, n.guesses, n.right) for n in nights), strict=True))
    delta = max(night.delta for night in nights)
    claimed = [night for night in nights if isinstance(night, Night)]
    claim = max((night.claim for night in claimed), default=None)
    ceiling = largest_refutable(m, r, delta=delta, level=level)
    gaussian_ceiling = mmc_largest_refutable(m, r, delta=delta, level=level)
    rows: list[Row] = [
        *([] if claim is None else [(_basis(claimed), "claim", None, claim, claim)]),
        _bound(ANY_MECHANISM, "bound", snj_lower_bound(m, r, v, delta=delta, level=level), ceiling),
        _bound(GAUSSIAN, "assuming", mmc_lower_bound(m, r, v, delta=delta, level=level), gaussian_ceiling),
        *(_of_rates(nights, delta, level) if len(nights) >= FEWEST_FOR_RATES else ()),
        *(_bound(night.name, "night", _alone(night, level), None) for night in nights),
        ("largest that could have been refuted", "reach", None, None, ceiling),
    ]
    names = ("label", "kind", "low", "high", "value")
    notes = {
        "ceiling": ceiling,
        "claim": claim,
        "delta": delta,
        "canaries": m,
        "guesses": r,
        "right": v,
        "level": level,
    }
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Series(name="epsilon, all nights together", kind="epsilon", columns=columns, notes=notes)


def _basis(nights: Sequence[Night]) -> str:
    """What the claim rests on, where all nights agree on it."""
    found = {night.basis for night in nights}
    return found.pop() if len(found) == 1 else Night.basis


def _alone(night: Guessed, level: float) -> Value:
    return snj_lower_bound(night.canaries, night.guesses, night.right, delta=night.delta, level=level)


def _bound(label: str, kind: str, value: Value, reach: float | None) -> Row:
    assert isinstance(value, Estimate), "a night has a guess"
    return label, kind, value.value, reach, value.value


def _of_rates(nights: Sequence[Guessed], delta: float, level: float) -> Iterator[Row]:
    accused = reduce(add, (night.accused for night in nights))
    for label, kind, value in (
        (
            CLOPPER_PEARSON,
            "assuming",
            clopper_pearson_epsilon(accused, delta=delta, level=level),
        ),
        (JOINT_BETA, "estimate", joint_beta_epsilon(accused, delta=delta, level=level)),
    ):
        if isinstance(value, Estimate):
            yield label, kind, value.low, value.high, value.value
