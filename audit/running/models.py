"""Load and save models and tokenizers: pinned revisions, safetensors only, no code from elsewhere.

A checkpoint must not be able to run code, so pickled weights and remote code are refused. What is audited is named
by the hash of its tensors, not by a file's name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from audit.refusal import Refused
from audit.settings.checks_of_models import REMEDY
from audit.settings.inspection import ENCODERS, checkpoint_of, positions, why_not_a_model, why_other_classes
from audit.settings.sections.models import Head, Model, Task
from audit.store import digest
from audit.tokenizers import load_tokenizer, revision_of
from audit.training.features import Memory, remembering
from audit.training.spec import HeadOnly
from audit.training.strategies import applied
from probes.protocol import Subject
from probes.scoring.causal import CausalScorer
from probes.scoring.classifier import ClassifierScorer
from probes.scoring.label_words import LabelWordScorer
from probes.scoring.masked import MaskedScorer
from reports.record import Identity

_AUTO: dict[Head | None, Any] = {
    None: AutoModel,
    "classifier": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
}
_LONGEST = 512

NO_GPU = "PyTorch finds no GPU on this machine; write compute.device: cpu, or install PyTorch's build for your GPU"

# What a run does is shown by its units, and what a checkpoint lacks is looked at here.
disable_progress_bar()
set_verbosity_error()


class ModelError(Refused):
    """A model that cannot be loaded, in a sentence that says what to do."""


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, and the head it has."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: Head | None


def set_threads(threads: int) -> None:
    """Threads of torch: they can change the last digits of a sum, so they are part of what a number depends on."""
    torch.set_num_threads(threads)


def place(loaded: Loaded, device: str) -> Loaded:
    """The same model where it is to be computed.

    Raises:
        ModelError: There is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(NO_GPU)
    loaded.model.to(device)
    return loaded


def refuse_unsafe(folder: Path) -> None:
    """Refuse a folder with pickled weights only, or whose config asks for code from elsewhere.

    Raises:
        ModelError: With what to do about it.
    """
    why = why_not_a_model(folder)
    if why is not None:
        raise ModelError(f"{folder}: {why}; {REMEDY}")


def load(source: Model, head: Head | None, classes: tuple[str, ...] = (), *, new_head: bool = False) -> Loaded:
    """Load a model with the head that is asked for.

    Args:
        source: The config's model section; a folder or a hub name with a pinned revision.
        head: The head wanted; None for the model without any.
        classes: Class names, for a classifier.
        new_head: Whether a head that the checkpoint lacks is drawn from torch's seed, to be trained; else a checkpoint
            that lacks any weight is refused, for what it would answer with is random.

    Raises:
        ModelError: The model cannot be loaded safely or whole.
    """
    if Path(source.name).is_dir():
        refuse_unsafe(Path(source.name))
    common: dict[str, Any] = {"trust_remote_code": False, "revision": revision_of(source)}
    labels: dict[str, Any] = {}
    if head == "classifier":
        labels = {"id2label": dict(enumerate(classes)), "label2id": {c: i for i, c in enumerate(classes)}}
    try:
        tokenizer = load_tokenizer(source)
        config = AutoConfig.from_pretrained(source.name, **labels, **common)
        options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True, **common}
        model, info = _AUTO[head].from_pretrained(source.name, config=config, **options)
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{source.name}: cannot be loaded as a {head} model ({_first_line(error)})") from error
    if head == "causal" and config.model_type in ENCODERS and not config.is_decoder:
        raise ModelError(
            f"{source.name}: a {config.model_type} model sees the words that come after, so it is no causal model; "
            f"choose another model, or task.kind: masked-lm"
        )
    missing = sorted(info["missing_keys"])
    if missing and head is not None and not new_head:
        raise ModelError(
            f"{source.name}: its weights lack {missing[0]}, so as a {head} model it would answer at random"
        )
    _refuse_length(source, config)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model=model, tokenizer=tokenizer, head=head)


def _refuse_length(source: Model, config: Any) -> None:
    """Refuse texts longer than the model has positions for."""
    context = positions(config.to_dict(), config.model_type)
    if context is not None and source.max_length is not None and source.max_length > context:
        raise ModelError(
            f"{source.name}: the model has positions for {context} tokens; got max_length {source.max_length}; "
            f"write {context} or fewer"
        )


def remember(loaded: Loaded, memory: Memory | None) -> Memory:
    """Let a model whose head alone was trained share what its body makes of batches with others of the same body.

    Args:
        loaded: The model.
        memory: What the others brought; None for nothing yet.
    """
    memory = Memory() if memory is None else memory
    with applied(loaded.model, HeadOnly()):
        frozen = {name: p for name, p in loaded.model.named_parameters() if not p.requires_grad}
        remembering(loaded.model, memory, tensors_digest(frozen))
    return memory


def check_classes(source: Model, classes: tuple[str, ...]) -> None:
    """Refuse a trained classifier that names the same classes in another order, other classes, or more or fewer.

    Raises:
        ModelError: With the classes that its config gives.
    """
    why = why_other_classes(checkpoint_of(Path(source.name)).classes, classes)
    if why is not None:
        raise ModelError(f"{source.name}: {why}; give task.classes in its order, and data.label_names to match")


def own_head(source: Model) -> Head | None:
    """The language-model head that a checkpoint itself brings, from its config; None where it brings none."""
    folder = Path(source.name)
    architectures: list[str]
    if folder.is_dir():
        architectures = json.loads((folder / "config.json").read_text("utf-8")).get("architectures") or []
    else:
        architectures = AutoConfig.from_pretrained(source.name, revision=source.revision).architectures or []
    for architecture in architectures:
        if architecture.endswith("ForMaskedLM"):
            return "masked"
        if architecture.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def save(loaded: Loaded, folder: Path) -> None:
    """Write a model and its tokenizer as safetensors and JSON; an adapter stays an adapter."""
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes, in the order of the names."""
    hasher = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        hasher.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        hasher.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.numpy().tobytes())
    return hasher.hexdigest()


def identity(loaded: Loaded, task: Task) -> Identity:
    """Which model this is; the same tensors, tokenizer and template have the same identity."""
    state = loaded.model.state_dict()
    adapter = {n: t for n, t in state.items() if "lora_" in n or ".modules_to_save." in n}
    template = None
    if task.label_words:
        template = digest({"prompt": task.prompt, "label_words": dict(task.label_words)})
    return Identity(
        weights=tensors_digest(state),
        tokenizer=_tokenizer_digest(loaded.tokenizer),
        adapter=tensors_digest(adapter) if adapter else None,
        template=template,
        parameters=_parameters(loaded.model),
    )


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    # Padding and truncation are settings of the last call, which the backend keeps; they are no part of the tokenizer.
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return digest([{k: v for k, v in backend.items() if k not in {"padding", "truncation"}}, special])


def longest(source: Model, loaded: Loaded) -> int:
    """Longest text in tokens: as the config says, else the model's context up to 512."""
    config = loaded.model.config
    context = positions(config.to_dict(), config.model_type) or _LONGEST
    stated = getattr(loaded.tokenizer, "model_max_length", _LONGEST) or _LONGEST
    return source.max_length or int(min(context, stated, _LONGEST))


def subject(
    name: str, loaded: Loaded, task: Task, classes: tuple[str, ...], max_length: int, batch_tokens: int
) -> Subject:
    """What a table may see of a model.

    Args:
        name: How messages call it.
        loaded: The model.
        task: The config's task section: prompt and label words for a causal model that classifies.
        classes: Class names, in the order of the logits.
        max_length: Longest text in tokens.
        batch_tokens: Tokens computed at once.
    """
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    limits: dict[str, Any] = {"max_length": max_length, "batch_tokens": batch_tokens}
    if loaded.head == "classifier":
        return Subject(name=name, head="classifier", class_scorer=ClassifierScorer(model, tokenizer, **limits))
    if loaded.head == "masked":
        return Subject(name=name, head="masked", masked_scorer=MaskedScorer(model, tokenizer, **limits))
    causal = CausalScorer(model, tokenizer, **limits)
    words = None
    if task.label_words:
        label_words = tuple(task.label_words[c] for c in classes)
        words = LabelWordScorer(causal, task.prompt or "{text}", label_words)
    return Subject(name=name, head="causal", class_scorer=words, token_scorer=causal)
