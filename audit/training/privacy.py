"""Differentially private training as a change of setup: Poisson batches, clipped sums, noise once per step.

Opacus' optimizer takes the step and Opacus' sampler draws the batches; the clipped sums come from our book-keeping.
Rate, divisor and number of steps are fixed before training from a declared N: a divisor that follows the number of
examples really there is not the mechanism that the accountant analyses (https://arxiv.org/abs/2605.15648).

Source: Abadi et al. (2016), https://arxiv.org/abs/1607.00133, algorithm 1, with Poisson sampling as accounted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch import Tensor, nn

from audit.training.accounting import History, noise_multiplier_for
from audit.training.bookkeeping import Bookkeeping
from audit.training.private_optimizer import BookkeepingOptimizer
from audit.training.randomness import PrivateRandomness, ReproducibleRandomness, SecretRandomness
from audit.training.setup import Setup, make_optimizer
from audit.training.spec import PrivacyResult, PrivacySpec, TrainingSpec


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """The sampled Gaussian mechanism of a training, with every number fixed before it starts.

    Attributes:
        noise_multiplier: Standard deviation of the noise over `max_grad_norm` (sigma).
        sample_rate: Probability that an example is drawn in a step (q).
        steps: Number of steps (T).
        expected_batch_size: Divisor of the noised sum.
        max_grad_norm: Norm each example's gradient is clipped to.
        delta: The delta that epsilon is stated at.
        dataset_size: The declared N.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    expected_batch_size: int
    max_grad_norm: float
    delta: float
    dataset_size: int


def mechanism(privacy: PrivacySpec, spec: TrainingSpec, examples: int) -> Mechanism:
    """Fix rate, number of steps, divisor and noise.

    Args:
        privacy: What is asked for.
        spec: The recipe: its epochs are expected ones, its batch size the expected one where `privacy` gives none.
        examples: Number of training examples; the declared N where `privacy` declares none.

    Raises:
        ValueError: The expected batch exceeds N, delta exceeds 1 / (10 N), or no noise keeps the target.
    """
    size = privacy.dataset_size or examples
    batch = privacy.expected_batch_size or spec.batch_size
    if batch > size:
        raise ValueError(f"expected_batch_size must not exceed the {size} examples; got {batch}; choose a smaller one")
    if privacy.delta > 1 / (10 * size):
        limit = 1 / (10 * size)
        raise ValueError(f"delta must be at most 1 / (10 N) = {limit:.3g} for N = {size}; got {privacy.delta:g}")
    rate = batch / size
    steps = max(1, round(spec.epochs / rate))
    steps = steps if spec.max_steps is None else min(steps, spec.max_steps)
    sigma = privacy.noise_multiplier
    if sigma is None:
        assert privacy.epsilon is not None
        sigma = noise_multiplier_for(privacy.epsilon, privacy.delta, rate, steps)
    return Mechanism(
        noise_multiplier=sigma,
        sample_rate=rate,
        steps=steps,
        expected_batch_size=batch,
        max_grad_norm=privacy.max_grad_norm,
        delta=privacy.delta,
        dataset_size=size,
    )


class PoissonDraws:
    """The indices of each step's logical batch: every example by an independent coin of probability q.

    Args:
        examples: Number of examples there are.
        sample_rate: Probability q.
        randomness: The source of the coins.
    """

    def __init__(self, examples: int, sample_rate: float, randomness: PrivateRandomness) -> None:
        self.examples, self.sample_rate, self.randomness = examples, sample_rate, randomness

    def __call__(self, step: int) -> list[int]:
        """The batch of a step; it may be empty."""
        sampler = UniformWithReplacementSampler(
            num_samples=self.examples,
            sample_rate=self.sample_rate,
            generator=self.randomness.for_draws(step),
            steps=1,
        )
        (indices,) = sampler
        return cast(list[int], indices)


class PrivateGradients:
    """Clipped sums of the micro-batches of a logical batch; see `audit.training.setup.Gradients`.

    Attributes:
        drawn: Examples seen so far.
        clipped: Those whose gradient was longer than the limit.
    """

    def __init__(self, model: nn.Module, max_grad_norm: float) -> None:
        self._books = Bookkeeping(model, max_grad_norm)
        self.drawn = self.clipped = 0

    def accumulate(self, compute_losses: Callable[[], Tensor], size: int, logical_size: int) -> Tensor:
        """Losses (B,) of one micro-batch, its clipped gradients added up; the logical batch's size does not matter."""
        del logical_size
        losses, norms = self._books.accumulate(compute_losses, size)
        self.drawn += size
        self.clipped += int((norms > self._books.max_grad_norm).sum())
        return losses


class DPGuarantee:
    """Counts the noised steps of one training; see `audit.training.setup.Guarantee`.

    Attributes:
        history: The steps so far, or None where they are not known any more: epsilon is then unknown, not small.
    """

    def __init__(self, mechanism: Mechanism, gradients: PrivateGradients, randomness: PrivateRandomness) -> None:
        self.mechanism, self.gradients, self.randomness = mechanism, gradients, randomness
        self.history: History | None = History()
        self.optimizer: BookkeepingOptimizer | None = None

    def count(self) -> None:
        """One more noised step."""
        if self.history is not None:
            self.history = self.history.step(self.mechanism.noise_multiplier, self.mechanism.sample_rate)

    def state(self) -> dict[str, Any]:
        """Plain JSON: the accountant's history and counts; nothing of noise or draws."""
        history = None if self.history is None else self.history.to_json()
        return {"history": history, "drawn": self.gradients.drawn, "clipped": self.gradients.clipped}

    def restore(self, state: dict[str, Any] | None, step: int) -> None:
        """Continue at `step`; a state that is missing or does not tell of `step` steps makes epsilon unknown."""
        known = state or {}
        entries = known.get("history")
        history = None if entries is None else History.from_json(entries)
        self.history = history if history is not None and history.steps == step else None
        self.gradients.drawn, self.gradients.clipped = known.get("drawn", 0), known.get("clipped", 0)
        assert self.optimizer is not None
        self.optimizer.noised_steps = step

    def result(self) -> PrivacyResult:
        """What has been kept so far."""
        epsilons, unknown = self._epsilons()
        return PrivacyResult(
            noise_multiplier=self.mechanism.noise_multiplier,
            max_grad_norm=self.mechanism.max_grad_norm,
            sample_rate=self.mechanism.sample_rate,
            steps=self.mechanism.steps if self.history is None else self.history.steps,
            delta=self.mechanism.delta,
            expected_batch_size=self.mechanism.expected_batch_size,
            dataset_size=self.mechanism.dataset_size,
            epsilons=epsilons,
            epsilon_unknown=unknown,
            secret_noise=self.randomness.is_secret,
            clipped_share=self.gradients.clipped / self.gradients.drawn if self.gradients.drawn else None,
        )

    def _epsilons(self) -> tuple[dict[str, float] | None, str | None]:
        if self.history is None:
            return None, "the accountant's state was lost when the training was continued"
        if self.mechanism.noise_multiplier == 0:
            return None, "no noise was added, so no finite epsilon holds"
        return self.history.epsilons(self.mechanism.delta), None


def privatize(setup: Setup, privacy: PrivacySpec) -> Setup:
    """The same setup with Poisson-sampled batches and clipped, noised gradients.

    Raises:
        ValueError: See `mechanism`; or the model has parameters whose per-example gradients would not be exact.
    """
    examples = len(setup.collate.encoded)
    gradients = PrivateGradients(setup.model, privacy.max_grad_norm)  # refuses a model before anything is worked out
    fixed = mechanism(privacy, setup.spec, examples)
    randomness: PrivateRandomness = SecretRandomness()
    if privacy.reproducible_seed is not None:
        randomness = ReproducibleRandomness(privacy.reproducible_seed)
    guarantee = DPGuarantee(fixed, gradients, randomness)
    optimizer = BookkeepingOptimizer(
        make_optimizer(setup.model, setup.spec),
        noise_multiplier=fixed.noise_multiplier,
        max_grad_norm=fixed.max_grad_norm,
        expected_batch_size=fixed.expected_batch_size,
        randomness=randomness,
        on_noised=guarantee.count,
    )
    guarantee.optimizer = optimizer
    return replace(
        setup,
        optimizer=optimizer,
        gradients=gradients,
        draw=PoissonDraws(examples, fixed.sample_rate, randomness),
        steps=fixed.steps,
        micro_batch_size=privacy.physical_batch_size or setup.micro_batch_size,
        guarantee=guarantee,
    )
