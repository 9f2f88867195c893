"""Differentially private training as a change of setup: Poisson batches, clipped sums, noise once per step.

Opacus' optimizer takes the step; the clipped sums come from our book-keeping. What is fixed before training stands in
`audit.training.mechanism`; what was really done is counted, and told in the result.

Source: Abadi et al. (2016), https://arxiv.org/abs/1607.00133, algorithm 1, with Poisson sampling as accounted.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from audit.training.accounting import History
from audit.training.bookkeeping import Bookkeeping
from audit.training.draws import Contributions, DrawLog, PoissonDraws
from audit.training.exactness import TOLERANCE, InexactClipping, clipping_error
from audit.training.mechanism import Mechanism, mechanism
from audit.training.randomness import PrivateRandomness, ReproducibleRandomness, SecretRandomness
from audit.training.setup import Setup, make_optimizer
from audit.training.spec import Clipping, PrivacyResult, PrivacySpec
from audit.training.witness import WitnessedOptimizer

_TRIED = 50
"""Units that are tried for a gradient to check the clipping on; a short text often has no masked token."""


class PrivateGradients:
    """Clipped sums of the micro-batches of a logical batch; see `audit.training.setup.Gradients`.

    Attributes:
        drawn: Units seen so far.
        clipped: Those whose gradient was shortened.
    """

    def __init__(self, model: nn.Module, max_grad_norm: float, clipping: Clipping = "flat") -> None:
        self._books = Bookkeeping(model, max_grad_norm, clipping)
        self.drawn = self.clipped = 0

    def accumulate(self, compute_losses: Callable[[], Tensor], counts: Sequence[int], logical_size: int) -> Tensor:
        """Losses (B,) of one micro-batch, its clipped gradients added up; the logical batch's size does not matter."""
        del logical_size
        losses, norms = self._books.accumulate(compute_losses, sum(counts), counts)
        self.drawn += len(norms)
        self.clipped += int(self._books.shortened.sum())
        return losses


class DPGuarantee:
    """Counts what one private training really does; see `audit.training.setup.Guarantee`.

    Args:
        privacy: What is asked for.
        mechanism: What was fixed for it.
        contributions: The units and their examples.
        draw: Draws the units.
        gradients: Makes the clipped sums.
        optimizer: Adds the noise; tells of each noised step.
        error: Relative error of a clipped sum; see `audit.training.exactness`.

    Attributes:
        history: The steps so far, or None where they are not known any more: epsilon is then unknown, not small.
    """

    def __init__(
        self,
        privacy: PrivacySpec,
        mechanism: Mechanism,
        contributions: Contributions,
        draw: PoissonDraws,
        gradients: PrivateGradients,
        optimizer: WitnessedOptimizer,
        error: float | None,
    ) -> None:
        self.privacy, self.mechanism, self.contributions, self.draw = privacy, mechanism, contributions, draw
        self.gradients, self.optimizer, self.error = gradients, optimizer, error
        self.history: History | None = History()
        self.draws = DrawLog(len(contributions))
        optimizer.attach_step_hook(lambda _: self.count())

    def drew(self, units: Sequence[int]) -> None:
        """A step is about to be taken on these units."""
        self.draws.drew(units)

    def count(self) -> None:
        """One more noised step."""
        if self.history is not None:
            self.history = self.history.step(self.mechanism.noise_multiplier, self.mechanism.sample_rate)

    def state(self) -> dict[str, Any]:
        """Plain JSON: the accountant's history and counts; nothing of a variate or of which units were drawn."""
        return {
            "history": None if self.history is None else self.history.to_json(),
            "drawn": self.gradients.drawn,
            "clipped": self.gradients.clipped,
            "draws": self.draws.state(),
            "noised": self.optimizer.noised_steps,
            "noise": self.optimizer.noise_state(),
        }

    def restore(self, state: dict[str, Any] | None, step: int) -> None:
        """Continue at `step`; a state that is missing or does not tell of `step` steps makes epsilon unknown.

        Raises:
            ValueError: Noise is derived from a seed, and noise that was used already would come again.
        """
        known = state or {}
        entries = known.get("history")
        history = None if entries is None else History.from_json(entries)
        self.history = history if history is not None and history.steps == step else None
        self.gradients.drawn, self.gradients.clipped = known.get("drawn", 0), known.get("clipped", 0)
        if self.draw.randomness.is_secret:
            self.draws.restore(known.get("draws", []))
        else:  # the same draws come again: a training that was killed tells the same of them as one that was not
            for earlier in range(step):
                self.draws.drew(self.draw(earlier))
        self.optimizer.restore_noise(known.get("noise", []))
        self.optimizer.continue_at(step, noised=known.get("noised"))

    def result(self) -> PrivacyResult:
        """What has been kept so far."""
        epsilons, unknown = self._epsilons()
        fixed, privacy = self.mechanism, self.privacy
        return PrivacyResult(
            noise_multiplier=fixed.noise_multiplier,
            max_grad_norm=fixed.max_grad_norm,
            sample_rate=fixed.sample_rate,
            steps=fixed.steps if self.history is None else self.history.steps,
            noised_steps=self.optimizer.noised_steps,
            delta=fixed.delta,
            unit=privacy.unit,
            units=len(self.contributions),
            largest_unit=self.contributions.largest,
            max_examples_per_unit=privacy.max_examples_per_unit,
            expected_batch_size=fixed.expected_batch_size,
            dataset_size=fixed.dataset_size,
            dataset_size_is_public=privacy.dataset_size is not None,
            epsilons=epsilons,
            epsilon_unknown=unknown,
            secret_noise=self.optimizer.randomness.is_secret,
            clipped_share=self.gradients.clipped / self.gradients.drawn if self.gradients.drawn else None,
            clipping_error=self.error,
            drawn=self.draws.stretches,
            noise=self.optimizer.seen(fixed.noise_multiplier * fixed.max_grad_norm),
        )

    def _epsilons(self) -> tuple[dict[str, float] | None, str | None]:
        if self.history is None:
            return None, "the accountant's state was lost when the training was continued"
        if self.mechanism.noise_multiplier == 0:
            return None, "no noise was added, so no finite epsilon holds"
        return self.history.epsilons(self.mechanism.delta), None


def privatize(setup: Setup, privacy: PrivacySpec, units: Sequence[str] | None = None) -> Setup:
    """The same setup with Poisson-sampled batches of whole units, and clipped, noised gradients.

    Args:
        setup: The standard training.
        privacy: What is asked for.
        units: Name of each example's unit, shape (N,); None where each example is a unit of its own.

    Raises:
        ValueError: See `mechanism`; or the model has parameters whose per-example gradients would not be exact.
        InexactClipping: They are not.
    """
    # Refuses a model before anything is worked out.
    gradients = PrivateGradients(setup.model, privacy.max_grad_norm, privacy.clipping)
    contributions = Contributions(units, len(setup.collate.encoded), privacy.max_examples_per_unit, setup.seed)
    fixed = mechanism(privacy, setup.spec, len(contributions))
    randomness: PrivateRandomness = SecretRandomness()
    if privacy.reproducible_seed is not None:
        randomness = ReproducibleRandomness(privacy.reproducible_seed)
    optimizer = WitnessedOptimizer(
        make_optimizer(setup.model, setup.spec),
        noise_multiplier=fixed.noise_multiplier,
        max_grad_norm=fixed.max_grad_norm,
        expected_batch_size=fixed.expected_batch_size,
        randomness=randomness,
    )
    draw = PoissonDraws(len(contributions), fixed.sample_rate, randomness)
    error = _checked_clipping(setup, contributions, privacy.clipping)
    return replace(
        setup,
        optimizer=optimizer,
        gradients=gradients,
        draw=draw,
        collate=setup.collate.with_seed(_secret_seed()) if randomness.is_secret else setup.collate,
        contribute=contributions,
        steps=fixed.steps,
        micro_batch_size=privacy.physical_batch_size or setup.micro_batch_size,
        dropout_seed=(lambda step: _secret_seed()) if randomness.is_secret else None,
        guarantee=DPGuarantee(privacy, fixed, contributions, draw, gradients, optimizer, error),
    )


def _checked_clipping(setup: Setup, contributions: Contributions, clipping: Clipping) -> float | None:
    """The relative error of a clipped sum.

    Raises:
        InexactClipping: It is larger than rounding explains.
    """
    units = (contributions(unit, 0) for unit in range(min(_TRIED, len(contributions))))
    error = clipping_error(setup, units, clipping)
    if error is not None and error > TOLERANCE:
        raise InexactClipping(
            f"gradients of {type(setup.model).__name__} are not clipped exactly here: their sum is off by {error:.2g} "
            f"of its norm from one made example by example; train it without differential privacy"
        )
    return error


def _secret_seed() -> int:
    """A seed nobody knows, for masks of dropout and of masked tokens.

    Masks that follow from a known seed and an example's place would tie one unit's to another's: without the first
    unit, all others would stand elsewhere, and have other gradients.
    """
    return secrets.randbits(63)
