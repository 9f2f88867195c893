"""Per-example clipping with one backward pass: book-keeping.

The model's own forward and backward run once on the ordinary padded batch. Every trainable layer writes down its
input and output gradient; from these follow the norm of each example's whole gradient, the factor that clips
it, and the sum of the clipped gradients, as one matrix product per layer. Each step is exact: no approximation, no
second backward pass, no copy of the model per example.

Source: Bu et al. (2023), "Differentially Private Optimization on Large Model at Small Cost",
https://arxiv.org/abs/2210.00038, algorithm 1 and section 3; shared parameters by the norm of the sum of their uses.

Limits: examples must not influence each other in the forward pass (no batch normalization), and a layer's input must
have one row per example; both hold for the architectures of `SUPPORTED`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from audit.training.bookkeeping_layers import RULES, Book, refused_option

SUPPORTED = (
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "GPT2ForSequenceClassification",
    "GPT2LMHeadModel",
)
"""The architectures whose per-example gradients are tested against single examples; a MiniLM is a BERT."""

_MARGIN = 1e-6
"""Added to the norm before dividing, as Opacus does: rounding cannot make a clipped gradient longer than the limit."""


def check_supported(model: nn.Module) -> None:
    """Refuse a model whose per-example gradients would not be exact, before anything is trained.

    Args:
        model: A transformers model, possibly with adapters in its layers, `requires_grad` set as it will be trained.

    Raises:
        ValueError: The architecture is not among `SUPPORTED`; a trainable parameter belongs to no layer that has a
            rule; a layer uses an option that mixes examples; or nothing is trainable.
    """
    kind = type(model)
    if kind.__name__ not in SUPPORTED or not kind.__module__.startswith("transformers.models."):
        raise ValueError(
            f"private training supports {', '.join(SUPPORTED)}; got {kind.__name__}; "
            f"train it without differential privacy or choose a supported architecture"
        )
    covered: set[int] = set()
    for name, layer in _private_layers(model):
        option = refused_option(layer)
        if option is not None:
            raise ValueError(
                f"private training does not support {type(layer).__name__} with {option}; got it at {name}"
            )
        covered.update(id(parameter) for parameter in layer.parameters(recurse=False))
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(f"private training needs a trainable parameter; {kind.__name__} has none")
    for name, parameter in trainable.items():
        if id(parameter) not in covered:
            owner = model.get_submodule(name.rpartition(".")[0])
            raise ValueError(
                f"private training has no rule for layer {type(owner).__name__}; got its trainable parameter {name}; "
                f"freeze it or train without differential privacy"
            )


def _private_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers that have a rule and at least one trainable parameter of their own."""
    for name, layer in model.named_modules():
        if type(layer) in RULES and any(p.requires_grad for p in layer.parameters(recurse=False)):
            yield name, layer


class Bookkeeping:
    """Clipped sums of per-example gradients, added up in each parameter's `summed_grad`.

    Args:
        model: The model to train; its parameters, their names and `requires_grad` stay as they are, and outside
            `accumulate` its layers are the ordinary ones.
        max_grad_norm: The norm to which each example's gradient over all trainable parameters is clipped.

    Raises:
        ValueError: See `check_supported`; or `max_grad_norm` is not positive.
    """

    def __init__(self, model: nn.Module, max_grad_norm: float) -> None:
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive; got {max_grad_norm}")
        check_supported(model)
        self.max_grad_norm = max_grad_norm
        self._layers = [layer for _, layer in _private_layers(model)]
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def accumulate(self, compute_losses: Callable[[], Tensor], size: int) -> tuple[Tensor, Tensor]:
        """Run one micro-batch forward and back, and add its clipped gradients to what has been added so far.

        Args:
            compute_losses: Runs the model on the micro-batch; returns one loss per example, shape (B,), in nats.
            size: Number of examples B; 0 runs nothing (an empty Poisson batch) and still leaves a sum of zeros.

        Returns:
            Losses (B,), and norms of the examples' gradients before clipping (B,).

        Raises:
            RuntimeError: A trainable parameter was used by something that is not one of the known layers.
            FloatingPointError: An example's gradient is not finite.
        """
        self._open_sums()
        if size == 0:
            empty = self._parameters[0].new_zeros(0)
            return empty, empty
        book = Book(size)
        with self._attached(book):
            losses = compute_losses()
            if losses.shape != (size,):
                raise RuntimeError(f"expected one loss per example, shape ({size},); got {tuple(losses.shape)}")
            torch.autograd.backward(losses.sum())
        self._refuse_other_uses()
        return losses.detach(), self._clip(book)

    @torch.no_grad()
    def _clip(self, book: Book) -> Tensor:
        squared = torch.zeros(book.size, dtype=self._parameters[0].dtype, device=self._parameters[0].device)
        for used in book.ledgers.values():
            squared += used.squared_norms()
        norms = squared.clamp(min=0.0).sqrt()  # rounding can leave a ghost norm of zero slightly negative
        if not bool(torch.isfinite(norms).all()):
            raise FloatingPointError("an example's gradient is not finite; lower the learning rate or check the data")
        factors = (self.max_grad_norm / (norms + _MARGIN)).clamp(max=1.0)
        for parameter in self._parameters:
            ledger = book.ledgers.pop(id(parameter), None)  # frees the factors as it goes
            if ledger is not None:
                ledger.add_clipped(factors, parameter.summed_grad)  # type: ignore[attr-defined]
        return norms

    @contextmanager
    def _attached(self, book: Book) -> Iterator[None]:
        """Replace the forward of every private layer for one pass."""
        own = [layer.__dict__.get("forward") for layer in self._layers]  # set by other tools, as a rule not there
        for layer in self._layers:
            layer.forward = RULES[type(layer)](layer, book)
        try:
            yield
        finally:
            for layer, forward in zip(self._layers, own, strict=True):
                del layer.forward
                if forward is not None:
                    layer.forward = forward

    def _open_sums(self) -> None:
        for parameter in self._parameters:
            if getattr(parameter, "summed_grad", None) is None:
                parameter.summed_grad = torch.zeros_like(parameter)  # type: ignore[attr-defined]

    def _refuse_other_uses(self) -> None:
        """A parameter whose gradient autograd itself computed was used outside the layers that keep books."""
        if any(parameter.grad is not None for parameter in self._parameters):
            raise RuntimeError("a trainable parameter has a gradient that is not per example; it would not be clipped")
