"""Puts our own private training to the test, on this machine, in a minute: could it keep the epsilon it claims?

From the coordinates of 200 canaries we guess 50 of the coins that decided who was put in; the right guesses bound the
epsilon that was really kept. The same training without noise must be found out, or the verdict would mean nothing; and
what the training says of itself is read like the claim of any arm.

Source: Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, algorithm 1 and theorem 5.2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

from audit.planning.plan import ArmPlan
from audit.progress import Lines, part_of
from audit.refusal import Refused
from audit.running.accounts import notes_of, privacy_record
from audit.running.arms import StoredModel
from audit.running.claims import claim_lines
from audit.settings.sections.models import Model
from audit.settings.sections.training import Privacy
from audit.training.exactness import InexactClipping
from audit.training.selfcheck import CANARIES, MAX_GRAD_NORM, UNITS, Attacked, attacked
from audit.training.spec import PrivacySpec
from audit.units import Observer
from probes.privacy.guessing import Game, play
from probes.protocol import Items
from probes.results import Check, Estimate
from probes.stats.epsilon import fewest_right_guesses
from reports.record import Identity, SeedRecord, TrainingRecord

GUESSES = 50
"""How many coins are guessed: the surest quarter, half of them in and half out."""

LEVEL = 0.95
"""An honest training is refuted at most once in twenty times."""

_DELTA = 1e-5

_LINES = (
    "accountants agree",
    "every step accounted",
    "Poisson draws",
    "delta",
    "privacy unit",
    "every trained parameter clipped",
    "noise as accounted",
)
"""Lines of a DP claim that speak of how a training was done, whatever its data."""

Verdict = Literal["refuted", "not refuted", "could not have been refuted"]


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """What came of it.

    Attributes:
        epsilon: What the training claims to have kept, by its accountant.
        delta: The delta that it is claimed at.
        canaries: Number of canaries.
        guesses: Number of coins that were guessed.
        right: How many guesses were right.
        needed: From how many right guesses the claim is refuted; None where no number would do.
        bound: The least epsilon that explains the right guesses, with confidence `LEVEL`.
        ceiling: The largest epsilon that so many guesses could refute.
        control: Right guesses against the same training without noise.
        verdict: Whether the claim is refuted.
        lines: The lines of its DP claim that speak of how it was done.
    """

    epsilon: float
    delta: float
    canaries: int
    guesses: int
    right: int
    needed: int | None
    bound: float
    ceiling: float
    control: int
    verdict: Verdict
    lines: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        """Whether the claim is refuted, or a line of it fails."""
        return self.verdict == "refuted" or any(line.outcome == "fail" for line in self.lines)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "failed": self.failed}

    def words(self) -> str:
        """As lines for a person."""
        needs = "no number of right guesses refutes it" if self.needed is None else f"{self.needed} or more refute it"
        found = "found" if self.needed is not None and self.control >= self.needed else "NOT found"
        return "\n".join(
            [
                f"claimed epsilon  {self.epsilon:.4g} at delta {self.delta:g}",
                f"lower bound      {self.bound:.4g} at {LEVEL:.0%} confidence: {self.right} of {self.guesses} guesses "
                f"right among {self.canaries} canaries; {needs}",
                f"ceiling          {self.ceiling:.4g}, the largest epsilon that so many guesses could refute",
                f"control          without noise {self.control} of {self.guesses} right: that defect is {found}",
                *(f"{line.outcome:15}  {line.name}: {line.evidence}" for line in self.lines),
                f"verdict          {self.verdict}",
            ]
        )


def selfcheck(epsilon: float = 1.0, seed: int | None = None, observer: Observer | None = None) -> SelfCheck:
    """Train, guess, and judge; and the same without noise.

    Args:
        epsilon: The epsilon to be kept and claimed.
        seed: Derive all randomness from it, to be repeated; None for the operating system's, as in real trainings.
        observer: Who is shown how far it is.

    Raises:
        Refused: No noise keeps the epsilon.
        InexactClipping: Gradients are not clipped as they are meant to be.
    """
    privacy = PrivacySpec(epsilon=epsilon, delta=_DELTA, unit="person", max_grad_norm=MAX_GRAD_NORM)
    told = observer or Lines(quiet=True)
    try:
        with _one_thread():
            with part_of(told, "training with noise"):
                honest = attacked(privacy, seed)
            with part_of(told, "training without noise"):
                control = attacked(replace(privacy, epsilon=None, noise_multiplier=0.0), seed)
    except InexactClipping:
        raise
    except ValueError as error:
        raise Refused(str(error)) from error
    return judged(honest, control)


def game_of(training: Attacked) -> Game:
    """The guesses at who was put in."""
    return play(training.score, training.is_member, GUESSES, delta=_DELTA, level=LEVEL)


def judged(training: Attacked, control: Attacked) -> SelfCheck:
    """The verdict on what a training claims.

    Args:
        training: The training.
        control: The same without noise.
    """
    assert training.result.privacy is not None
    claimed = training.result.privacy.epsilon
    assert claimed is not None, "a training in one go knows its epsilon"
    game, against_none = game_of(training), game_of(control)
    needed = fewest_right_guesses(CANARIES, GUESSES, claimed, game.delta, level=LEVEL)
    verdict: Verdict = "not refuted"
    if needed is not None and game.right >= needed:
        verdict = "refuted"
    elif needed is None or against_none.right < needed:
        verdict = "could not have been refuted"
    bound = game.bound
    assert isinstance(bound, Estimate), "there are guesses"
    return SelfCheck(
        epsilon=claimed,
        delta=game.delta,
        canaries=CANARIES,
        guesses=GUESSES,
        right=game.right,
        needed=needed,
        bound=bound.value,
        ceiling=game.ceiling,
        control=against_none.right,
        verdict=verdict,
        lines=tuple(lines_of(training)),
    )


def lines_of(training: Attacked) -> Iterator[Check]:
    """The lines of the training's DP claim, as an arm of an audit would have them."""
    result, units = training.result, training.examples.units
    assert units is not None
    names = [str(i) for i in range(len(units))]
    items = Items({"item_id": names, "cluster": names, "text": training.examples.texts, "person": units})
    privacy = Privacy(epsilon=1.0, unit="person", public_n=UNITS, prior_trials=0)
    arm = ArmPlan(
        name="self-check",
        role="control",
        source="trained",
        twin_of=None,
        training=None,
        privacy=privacy,
        claims=None,
        given=None,
        seeds=(0,),
        probes={},
    )
    record = SeedRecord(
        seed=0,
        identity=Identity(weights="", tokenizer="", parameters=result.trainable),
        training=TrainingRecord(
            examples=result.examples, steps=result.steps, final_loss=result.final_loss, truncated=result.truncated
        ),
        privacy=privacy_record(result, items),
    )
    notes = notes_of(result, privacy, items)
    model = StoredModel(source=Model(name="self-check"), head="classifier", record=record, notes=notes)
    yield from (line for line in claim_lines(arm, model) if line.name in _LINES)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
