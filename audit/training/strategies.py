"""Which parameters are trained, and how fast: all, the head, the upper layers, the biases, or adapters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from audit.training.spec import BitFit, Frozen, Full, HeadOnly, LayerDecay, Lora, Strategy


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Where an architecture keeps its parts.

    Attributes:
        embeddings: Names below the body that hold the embeddings.
        layers: Name below the body of the list of layers, the lowest first.
        above: Names below the body that belong to the head, such as a pooler.
        attention: Names of the layers that adapters are put on by default.
        stored_transposed: Whether linear layers keep their weight as (in, out).
        reads_last: Whether a classification head reads the last token, as above a decoder, and not the first.
    """

    embeddings: tuple[str, ...]
    layers: str
    attention: tuple[str, ...]
    above: tuple[str, ...] = ()
    stored_transposed: bool = False
    reads_last: bool = False


_ROBERTA = Anatomy(
    embeddings=("embeddings",),
    layers="encoder.layer",
    above=("pooler",),
    attention=("query", "value"),
)

_LLAMA = Anatomy(
    embeddings=("embed_tokens",),
    layers="layers",
    attention=("q_proj", "v_proj"),
    reads_last=True,
)

ANATOMIES = {
    "albert": Anatomy(
        embeddings=("embeddings", "encoder.embedding_hidden_mapping_in"),
        layers="encoder.albert_layer_groups",
        above=("pooler",),
        attention=("query", "value"),
    ),
    "bert": Anatomy(
        embeddings=("embeddings",),
        layers="encoder.layer",
        above=("pooler",),
        attention=("query", "value"),
    ),
    "distilbert": Anatomy(
        embeddings=("embeddings",),
        layers="transformer.layer",
        attention=("q_lin", "v_lin"),
    ),
    "gpt2": Anatomy(
        embeddings=("wte", "wpe"),
        layers="h",
        attention=("c_attn",),
        stored_transposed=True,
        reads_last=True,
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""By transformers' model type."""


@contextmanager
def applied(model: nn.Module, strategy: Strategy) -> Iterator[None]:
    """Inside, the parameters that the strategy trains require gradients and no others do.

    Outside, each parameter's flag is as it was. Adapters stand in the model inside; when it ends they are merged into
    the weights, so that the model that comes out has the architecture that went in.

    Args:
        model: A model of transformers; changed in place.
        strategy: What is trained.

    Raises:
        ValueError: The strategy needs to know the parts of an architecture that is not in `ANATOMIES`, freezes more
            layers than there are, or leaves nothing to train.
    """
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    finish: Callable[[], None] = _put_adapters(model, strategy) if isinstance(strategy, Lora) else _nothing
    try:
        trained = _trained(model, strategy)
        if not trained:
            raise ValueError(f"{type(strategy).__name__} leaves nothing to train in {type(model).__name__}")
        identities = {id(parameter) for parameter in trained}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in identities)
        yield
    finally:
        finish()
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def _nothing() -> None:
    pass


def _trained(model: nn.Module, strategy: Strategy) -> list[nn.Parameter]:
    if isinstance(strategy, Full):
        return list(model.parameters())
    anatomy = anatomy_of(model)
    if isinstance(strategy, LayerDecay):
        return list(model.parameters())
    if isinstance(strategy, HeadOnly):
        return _head(model, anatomy)
    if isinstance(strategy, Frozen):
        frozen = {id(p) for p in _lower(model, anatomy, strategy.layers)}
        return [p for p in model.parameters() if id(p) not in frozen]
    added = _biases(model) if isinstance(strategy, BitFit) else _adapters(model)
    # A classification head is new and must be learned; a language model's head is as old as its body.
    return added if _is_language_model(model) else added + _head(model, anatomy)


def _adapters(model: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if ".lora_" in name]


def _biases(model: nn.Module) -> list[nn.Parameter]:
    if not any(name.endswith("bias") for name, _ in body_of(model).named_parameters()):
        raise ValueError(f"BitFit trains biases, and {type(model).__name__} has none; choose another strategy")
    return [p for name, p in model.named_parameters() if name.endswith("bias")]


def still_parts(model: nn.Module, strategy: Strategy) -> list[nn.Module]:
    """What runs without dropout in training because nothing above it could learn to live with it: the body of a head.

    With the body as it is when the model is used, a text is the same to the head in every epoch.
    """
    if not isinstance(strategy, HeadOnly):
        return []
    above = anatomy_of(model).above
    return [part for name, part in body_of(model).named_children() if name not in above]


def rates(model: nn.Module, strategy: Strategy) -> dict[int, float]:
    """The share of the learning rate that each parameter is trained at, by its identity; empty for the whole of it.

    Raises:
        ValueError: The strategy needs to know the parts of an architecture that is not in `ANATOMIES`.
    """
    if not isinstance(strategy, LayerDecay):
        return {}
    anatomy = anatomy_of(model)
    body = body_of(model)
    stack = list(body.get_submodule(anatomy.layers).children())
    parts = [*reversed(stack), nn.ModuleList(body.get_submodule(name) for name in anatomy.embeddings)]
    found = {id(parameter): 1.0 for parameter in model.parameters()}
    for depth, part in enumerate(parts, start=1):
        found.update({id(parameter): strategy.factor**depth for parameter in part.parameters()})
    return found


def head_of(model: nn.Module) -> list[nn.Parameter]:
    """What stands above the body of a classifier, a pooler among it.

    Raises:
        ValueError: The parts of the model's architecture are not known.
    """
    kind = getattr(model.config, "model_type", None)
    if kind not in ANATOMIES:
        raise ValueError(
            f"where the head is, is known of {', '.join(ANATOMIES)}; got {kind}; leave the head's rate out"
        )
    return _head(model, anatomy_of(model))


def _is_language_model(model: nn.Module) -> bool:
    return type(model).__name__.endswith(("ForMaskedLM", "ForCausalLM", "LMHeadModel"))


def anatomy_of(model: nn.Module) -> Anatomy:
    """The parts of the model's architecture.

    Raises:
        ValueError: The architecture is not known.
    """
    config: Any = model.config
    if config.model_type not in ANATOMIES:
        raise ValueError(
            f"strategies other than full know {', '.join(ANATOMIES)}; got {config.model_type}; use strategy full"
        )
    return ANATOMIES[config.model_type]


def body_of(model: nn.Module) -> nn.Module:
    """What holds embeddings and layers, below the head."""
    prefix: Any = model.base_model_prefix
    return model.get_submodule(prefix)


def _lower(model: nn.Module, anatomy: Anatomy, layers: int) -> list[nn.Parameter]:
    """Parameters of the embeddings and of the lowest layers."""
    body = body_of(model)
    stack = list(body.get_submodule(anatomy.layers).children())
    if layers > len(stack):
        raise ValueError(f"cannot freeze {layers} layers; the model has {len(stack)}")
    parts = [body.get_submodule(name) for name in anatomy.embeddings] + stack[:layers]
    return [p for part in parts for p in part.parameters()]


def _head(model: nn.Module, anatomy: Anatomy) -> list[nn.Parameter]:
    """Parameters above the body that the body does not share; tied output embeddings are the body's."""
    body = body_of(model)
    above = {id(p) for name in anatomy.above if (part := getattr(body, name, None)) for p in part.parameters()}
    own = {id(p) for p in body.parameters()} - above
    return [p for p in model.parameters() if id(p) not in own]


def _put_adapters(model: nn.Module, strategy: Lora) -> Callable[[], None]:
    """Put adapters on the model's layers; returns what merges them into the weights and takes them out again."""
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    anatomy = anatomy_of(model)
    config = LoraConfig(
        r=strategy.r,
        lora_alpha=strategy.alpha,
        lora_dropout=0.0,
        target_modules=list(strategy.target_modules or anatomy.attention),
        fan_in_fan_out=anatomy.stored_transposed,
    )
    adapted = LoraModel(model, {"default": config}, "default")

    def merge() -> None:
        adapted.merge_and_unload()
        if hasattr(model, "peft_config"):  # else the model would be saved as if it still had adapters
            del model.peft_config

    return merge
