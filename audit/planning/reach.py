"""How far the canaries of an audit reach: what is fixed before any coin is looked at, and which claims it could refute.

The rule of guessing and the number of guesses follow from the config, which is sealed before training; so does the
largest epsilon that these canaries could refute if every guess were right. A claim beyond it cannot be put to the test
by this audit, whatever the model does, and the plan says how many canaries would be needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from audit.data.splits import Splits
from audit.planning.expectations import asks_of
from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.order import Order
from probes.privacy.canaries import UNCLAIMED_DELTA, Canaries
from probes.privacy.claimed import OF_EPSILON, OF_MECHANISM, Sufficing
from probes.protocol import Facts, PrivacyClaim
from probes.results import NotApplicable
from probes.stats.epsilon import largest_refutable


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What the canaries of one arm could refute.

    Attributes:
        arm: The twin that will be asked.
        probe: The probe.
        rule: Score, sign and number of guesses, as they are declared before looking.
        canaries: Canaries planted at most once.
        guesses: How many of them are guessed.
        delta: The delta that epsilons go with.
        largest_refutable: The largest epsilon that could be refuted for any mechanism; 0 without a guess.
        claim: The claimed epsilon; None where nothing is claimed, or only the accountant can tell it.
        for_any_mechanism: How many canaries could refute the claim for any mechanism; None where nothing is claimed.
        for_its_curve: The same by the test of the claimed mechanism's own trade-off curve; None where it has none.
    """

    arm: str
    probe: str
    rule: str
    canaries: int
    guesses: int
    delta: float
    largest_refutable: float
    claim: float | None
    for_any_mechanism: Sufficing | None
    for_its_curve: Sufficing | None

    @property
    def words(self) -> str:
        """For a person."""
        could = f"the largest epsilon that they could refute is {self.largest_refutable:.3g} at delta {self.delta:.3g}"
        return f"{self.rule}; {could}{self._of_claim()}"

    def _of_claim(self) -> str:
        if self.claim is None or self.for_any_mechanism is None:
            return ""
        by_any = (
            f"; the claim of {self.claim:.4g} could be refuted, whatever the mechanism, {self.for_any_mechanism.words}"
        )
        return by_any + (f"; if it is the claimed one, {self.for_its_curve.words}" if self.for_its_curve else "")


def reaches(order: Order, splits: Splits, models: Mapping[tuple[str, int], StoredModel]) -> Iterator[Reach]:
    """The reach of every arm whose canaries are guessed.

    Args:
        order: What the run is asked to do.
        splits: The data.
        models: The models there are already: their claims are accounted.
    """
    for arm in order.plan.arms:
        for name, probe in arm.probes.items():
            if isinstance(probe, Canaries):
                try:
                    facts, asks = asks_of(order, splits, arm, arm.seeds[0], name, models)
                except NotApplicable:  # said where the probe is
                    continue
                once = int((asks["arm"].on["repetitions"].astype(int) == 1).sum())
                if once or facts.claim is not None:  # what is planted more than once bounds nothing
                    yield _reach(arm, name, probe, facts, once)


def _reach(arm: ArmPlan, name: str, probe: Canaries, facts: Facts, canaries: int) -> Reach:
    claim = _known_claim(arm, facts)
    delta = UNCLAIMED_DELTA if facts.claim is None else facts.claim.delta
    guesses = probe.guesses(canaries)
    sufficing = {} if claim is None else probe.canaries_sufficing(claim)
    return Reach(
        arm=arm.name,
        probe=name,
        rule=probe.rule(facts, canaries),
        canaries=canaries,
        guesses=guesses,
        delta=delta,
        largest_refutable=largest_refutable(canaries, guesses, delta=delta) if guesses else 0.0,
        claim=None if claim is None else claim.epsilon,
        for_any_mechanism=sufficing.get(OF_EPSILON),
        for_its_curve=sufficing.get(OF_MECHANISM),
    )


def _known_claim(arm: ArmPlan, facts: Facts) -> PrivacyClaim | None:
    """The claim; None where only the noise is given, so that epsilon is known once the training is accounted."""
    claim = facts.claim
    if claim is None or claim.accounted or arm.claims is not None:
        return claim
    return claim if arm.privacy is not None and arm.privacy.epsilon is not None else None
