"""The private step: noise the clipped sum, divide it by the expected batch size, hand it to the ordinary optimizer."""

from opacus.optimizers import DPOptimizer
from torch import Tensor
from torch.optim import Optimizer

from audit.training.randomness import PrivateRandomness


class BookkeepingOptimizer(DPOptimizer):  # type: ignore[misc] # opacus ships no types
    """Opacus' optimizer on sums of clipped gradients that are already there, in each parameter's `summed_grad`.

    A sum is consumed by the step that noises it, so it can never be noised twice, nor a step be taken without one.

    Args:
        optimizer: The ordinary optimizer.
        noise_multiplier: Standard deviation of the noise over `max_grad_norm`.
        max_grad_norm: Norm that each example's gradient has been clipped to.
        expected_batch_size: Divisor of the noised sum, whatever the batch's real size.
        randomness: The source of the noise.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: int,
        randomness: PrivateRandomness,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
        )
        self.randomness = randomness
        self.noised_steps = 0

    @property
    def grad_samples(self) -> list[Tensor]:
        """The sums that stand for the per-example gradients, one for each parameter."""
        return [p.summed_grad for p in self.params]

    @property
    def accumulated_iterations(self) -> int:
        """Always 1: the expected batch size is that of the whole logical batch."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Nothing: the book-keeping has clipped and added up."""

    def add_noise(self) -> None:
        """Noise each sum, and hand it over as the parameter's gradient.

        Raises:
            RuntimeError: A parameter has no sum.
        """
        deviation = self.noise_multiplier * self.max_grad_norm
        noise = self.randomness.for_noise(self.noised_steps)
        self.noised_steps += 1
        for parameter in self.params:
            if parameter.summed_grad is None:
                raise RuntimeError("a private step needs a clipped sum for every parameter; accumulate one first")
            parameter.grad, parameter.summed_grad = parameter.summed_grad, None
            if deviation > 0:
                noise.add_to(parameter.grad, deviation)

    def continue_at(self, step: int, noised: int | None) -> None:
        """Continue a training at a step, counted from 0.

        Args:
            step: Steps that the model has behind it.
            noised: Steps whose noise was used already; None where that is not known.

        Raises:
            ValueError: Noise is derived from a seed, and noise that was used already would come again.
        """
        if not self.randomness.is_secret and noised != step:
            told = "does not tell how many steps were noised" if noised is None else f"tells of {noised} noised steps"
            raise ValueError(
                f"the checkpoint stands at step {step} and {told}, so noise that is derived from the seed could "
                f"repeat; delete it to train from the start"
            )
        self.noised_steps = step
