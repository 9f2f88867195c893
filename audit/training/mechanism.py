"""The sampled Gaussian mechanism of a training: rate, steps, divisor and noise, fixed before it starts.

They follow from a declared N, or from the number of units as if it were known: a rate and a divisor that follow the
number of units really there are not those of the mechanism that the accountant analyses
(https://arxiv.org/abs/2605.15648).
"""

from dataclasses import dataclass

from audit.training.accounting import noise_multiplier_for
from audit.training.spec import PrivacySpec, TrainingSpec


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """The sampled Gaussian mechanism of a training, with every number fixed before it starts.

    Attributes:
        noise_multiplier: Standard deviation of the noise over `max_grad_norm` (sigma).
        sample_rate: Probability that a unit is drawn in a step (q).
        steps: Number of steps (T).
        expected_batch_size: Divisor of the noised sum.
        max_grad_norm: Norm each unit's gradient is clipped to.
        delta: The delta that epsilon is stated at.
        dataset_size: The N that rate, steps and divisor follow from.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    expected_batch_size: int
    max_grad_norm: float
    delta: float
    dataset_size: int


def mechanism(privacy: PrivacySpec, spec: TrainingSpec, units: int) -> Mechanism:
    """Fix rate, number of steps, divisor and noise.

    Args:
        privacy: What is asked for.
        spec: The recipe: its epochs are expected ones, its batch size the expected one where `privacy` gives none.
        units: Number of units in the training data; the N where `privacy` declares no public one.

    Raises:
        ValueError: The expected batch exceeds N, delta exceeds 1 / (10 N), or no noise keeps the target.
    """
    size = privacy.dataset_size or units
    batch = privacy.expected_batch_size or spec.batch_size
    if batch > size:
        whose = f"{size} {privacy.unit}s" + (" that are declared" if privacy.dataset_size else "")
        raise ValueError(f"expected_batch_size must not exceed the {whose}; got {batch}; choose a smaller one")
    most = max(size, units)
    if privacy.delta > 1 / (10 * most):
        limit = 1 / (10 * most)
        raise ValueError(f"delta must be at most 1 / (10 N) = {limit:.3g} for N = {most}; got {privacy.delta:g}")
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
