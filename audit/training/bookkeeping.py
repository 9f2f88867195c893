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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from audit.training.bookkeeping_layers import Attached, Book, Rule, refused_option, rule_of
from audit.training.clipping import clipping_factors, layers_of
from audit.training.grouping import Grouping
from audit.training.spec import Clipping

SUPPORTED = {
    "Albert": ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "Bert": ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "DistilBert": ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "GPT2": ("ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification", "LMHeadModel"),
    "Llama": ("ForCausalLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "Mistral": ("ForCausalLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "Qwen2": ("ForCausalLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "Qwen3": ("ForCausalLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "Roberta": ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
    "T5": ("EncoderModel", "ForConditionalGeneration", "ForSequenceClassification", "ForTokenClassification"),
    "XLMRoberta": ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification"),
}
"""The architectures whose per-example gradients are tested against single examples, by family; a MiniLM is a BERT."""


def check_supported(model: nn.Module) -> None:
    """Refuse a model whose per-example gradients would not be exact, before anything is trained.

    Args:
        model: A transformers model, possibly with adapters in its layers, `requires_grad` set as it will be trained.

    Raises:
        ValueError: The architecture is not among `SUPPORTED`; a trainable parameter belongs to no layer that has a
            rule, or has half precision; a layer uses an option that mixes examples; or nothing is trainable.
    """
    _check_architecture(type(model))
    covered: set[int] = set()
    for name, layer, rule in _private_layers(model):
        option = refused_option(layer)
        if option is not None:
            raise ValueError(
                f"private training does not support {type(layer).__name__} with {option}; got it at {name}"
            )
        covered.update(id(parameter) for parameter in rule.trained(layer))
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(f"private training needs a trainable parameter; {type(model).__name__} has none")
    for name, parameter in trainable.items():
        if id(parameter) not in covered:
            owner = model.get_submodule(name.rpartition(".")[0])
            raise ValueError(
                f"private training has no rule for layer {type(owner).__name__}; got its trainable parameter {name}; "
                f"freeze it or train without differential privacy"
            )
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"private training needs trainable parameters in single precision; got {parameter.dtype} at {name}; "
                f"load the model in float32 (its layers may compute in half precision, under autocast)"
            )


def _check_architecture(kind: type) -> None:
    supported = {family + task for family, tasks in SUPPORTED.items() for task in tasks}
    if kind.__name__ not in supported or not kind.__module__.startswith("transformers.models."):
        raise ValueError(
            f"private training supports {', '.join(SUPPORTED)} with heads for classes, tokens, spans and words; "
            f"got {kind.__name__}; train it without differential privacy or choose a supported architecture"
        )


def _private_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module, Rule]]:
    """Layers that have a rule, and at least one trainable parameter that it covers."""
    for name, layer in model.named_modules():
        rule = rule_of(layer)
        if rule is not None and rule.trained(layer):
            yield name, layer, rule


class Bookkeeping:
    """Clipped sums of per-example gradients, added up in each parameter's `summed_grad`.

    Args:
        model: The model to train; its parameters, their names and `requires_grad` stay as they are, and outside
            `accumulate` its layers are the ordinary ones.
        max_grad_norm: The largest norm of what a unit adds to the sum, over all trainable parameters.
        clipping: How it is kept; see `audit.training.clipping`.
        groups: Which parameters are clipped together, where that is not for `clipping` to say: number of the group by
            the parameter's identity.

    Attributes:
        shortened: Which units of the last micro-batch were added with a shorter gradient than theirs, shape (U,).

    Raises:
        ValueError: See `check_supported`; or `max_grad_norm` is not positive.
    """

    def __init__(
        self,
        model: nn.Module,
        max_grad_norm: float,
        clipping: Clipping = "flat",
        groups: Mapping[int, int] | None = None,
    ) -> None:
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive; got {max_grad_norm}")
        check_supported(model)
        self.max_grad_norm, self.clipping = max_grad_norm, clipping
        self._layers = [(layer, rule) for _, layer, rule in _private_layers(model)]
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._groups = layers_of(model, clipping) if groups is None else groups
        self.shortened = torch.zeros(0, dtype=torch.bool)

    def accumulate(
        self, compute_losses: Callable[[], Tensor], size: int, counts: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run one micro-batch forward and back, and add its clipped gradients to what has been added so far.

        Args:
            compute_losses: Runs the model on the micro-batch; returns one loss per example, shape (B,), in nats.
            size: Number of examples B; 0 runs nothing (an empty Poisson batch) and still leaves a sum of zeros.
            counts: How many of the examples, in their order, make each unit that is clipped as one, shape (U,); None
                where each example is a unit.

        Returns:
            Losses (B,), and norms of the units' gradients before clipping (U,).

        Raises:
            RuntimeError: A trainable parameter was used by something that is not one of the known layers.
            FloatingPointError: An example's gradient is not finite.
        """
        self._open_sums()
        if size == 0:
            empty = self._parameters[0].new_zeros(0)
            self.shortened = empty > 0
            return empty, empty
        book = Book(size, grouping=None if counts is None else Grouping.of(counts, self._parameters[0].device))
        with self._attached(book):
            losses = compute_losses()
            if losses.shape != (size,):
                raise RuntimeError(f"expected one loss per example, shape ({size},); got {tuple(losses.shape)}")
            torch.autograd.backward(losses.sum())
        self._refuse_other_uses()
        return losses.detach(), self._clip(book)

    @torch.no_grad()
    def _clip(self, book: Book) -> Tensor:
        first = self._parameters[0]
        with torch.autocast(first.device.type, enabled=False):  # norms in half precision would not bound the sum
            squared = first.new_zeros(1 + max(self._groups.values()), book.units)
            for key, ledger in book.ledgers.items():
                squared[self._groups[key]] += ledger.squared_norms()
            if not bool(torch.isfinite(squared).all()):
                raise FloatingPointError(
                    "an example's gradient is not finite; lower the learning rate or check the data"
                )
            factors = clipping_factors(squared, self.max_grad_norm, self.clipping)
            self.shortened = (factors < 1).any(dim=0)
            for parameter in self._parameters:
                used = book.ledgers.pop(id(parameter), None)  # frees what it holds as it goes
                if used is not None:
                    used.add_clipped(factors[self._groups[id(parameter)]], parameter.summed_grad)  # type: ignore[attr-defined]
        return squared.sum(dim=0).sqrt()

    @contextmanager
    def _attached(self, book: Book) -> Iterator[None]:
        """Replace a method of every private layer for one pass."""
        # Set on the layer by other tools; as a rule there is none.
        own = [vars(layer).get(rule.method) for layer, rule in self._layers]
        for layer, rule in self._layers:
            setattr(layer, rule.method, Attached(layer, book, rule.compute))
        try:
            yield
        finally:
            for (layer, rule), method in zip(self._layers, own, strict=True):
                delattr(layer, rule.method)
                if method is not None:
                    setattr(layer, rule.method, method)

    def _open_sums(self) -> None:
        for parameter in self._parameters:
            if getattr(parameter, "summed_grad", None) is None:
                # Contiguous whatever the parameter is: it is added to as one row of numbers.
                zeros = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
                parameter.summed_grad = zeros  # type: ignore[attr-defined]

    def _refuse_other_uses(self) -> None:
        """A parameter whose gradient autograd itself computed was used outside the layers that keep books."""
        if any(parameter.grad is not None for parameter in self._parameters):
            raise RuntimeError("a trainable parameter has a gradient that is not per example; it would not be clipped")
