"""A series of audits as plain data: what all nights together say of each arm's claim."""

from collections.abc import Mapping
from dataclasses import dataclass

from probes.results import Check, Series
from reports.words.format import counted


@dataclass(frozen=True, kw_only=True)
class ArmNights:
    """What all nights together say of one arm's claim.

    Attributes:
        arm: The twin that was asked.
        probe: The probe.
        verdict: Whether the claim is refuted.
        course: The evidence after each night: columns night, log_e_value, log_evidence; note refutes_at.
        bounds: What all guesses together bound epsilon by, for a number of nights that was fixed beforehand.
    """

    arm: str
    probe: str
    verdict: Check
    course: Series
    bounds: Series


@dataclass(frozen=True, kw_only=True)
class ArmBounds:
    """What all nights together bound the epsilon of an arm by that claims none.

    Attributes:
        arm: The twin that was asked.
        probe: The probe.
        bounds: As of an arm with a claim.
    """

    arm: str
    probe: str
    bounds: Series


@dataclass(frozen=True, kw_only=True)
class Nights:
    """All finished runs of one audit, read as one series.

    Attributes:
        title: The audit's title.
        started: When each run was started, by run, in that order.
        copies: Runs that tell an earlier night again: the same coins and the same weights.
        unfinished: Runs without a record, which are not counted.
        arms: The arms with a claim that was put to the test.
        unclaimed: The other arms whose canaries were guessed.
    """

    title: str
    started: Mapping[str, str]
    copies: tuple[str, ...]
    unfinished: tuple[str, ...]
    arms: tuple[ArmNights, ...]
    unclaimed: tuple[ArmBounds, ...] = ()

    @property
    def outcome(self) -> str:
        """The verdict on the audit: refuted where one arm is; not refuted where all could have been and were not."""
        found = {arm.verdict.outcome for arm in self.arms}
        for outcome in ("refuted", "could not have been refuted"):
            if outcome in found:
                return outcome
        return "not refuted"

    @property
    def summary(self) -> str:
        """How many runs there are and which of them count, as a sentence."""
        parts = [f"{counted(len(self.started), 'finished run')} of {self.title}"]
        if self.copies:
            parts.append(f"{counted(len(self.copies), 'copy')} of an earlier night, counted once")
        if self.unfinished:
            parts.append(f"{counted(len(self.unfinished), 'run')} without a record, not counted")
        return "; ".join(parts) + "."
