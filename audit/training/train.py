"""Train one arm: texts and labels in, the model changed in place, what the training did out."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audit.training.checkpoint import Checkpoint
from audit.training.collate import Collator, Encoded, encode_examples
from audit.training.features import FeatureCollator, Features, features_of, handing_on, have_features
from audit.training.loop import fit
from audit.training.privacy import privatize
from audit.training.randomness import derived_seed
from audit.training.setup import Setup, standard_setup
from audit.training.spec import Examples, PrivacySpec, Progress, TrainingResult, TrainingSpec
from audit.training.strategies import applied


def train(
    model: nn.Module,
    tokenizer: Any,
    examples: Examples,
    spec: TrainingSpec,
    *,
    seed: int,
    privacy: PrivacySpec | None = None,
    checkpoint_dir: Path | None = None,
    checkpoint_minutes: float = 5.0,
    on_progress: Callable[[Progress], None] | None = None,
    features: Features | None = None,
) -> TrainingResult:
    """Fine-tune a model on examples, with or without differential privacy.

    On a CPU the result follows from the arguments and the number of threads alone, bit for bit and also over a kill and
    a continuation, unless noise and draws are secret (`privacy` without a `reproducible_seed`).

    Args:
        model: A model of transformers with the head that `spec` names; changed in place and left in evaluation mode,
            adapters merged.
        tokenizer: Its tokenizer.
        examples: What it is trained on.
        spec: The recipe.
        seed: Training seed: order, dropout, masking, and the adapters' initial values.
        privacy: Train with differential privacy; None for not.
        checkpoint_dir: Where an unfinished training is kept and found again; None for nowhere.
        checkpoint_minutes: Least time between two checkpoints.
        on_progress: Called after every step.
        features: What the frozen body makes of the texts, for a training of the head alone; where silent, or where
            they are of another body or other texts, it is computed here if the training sees each text at least once.

    Raises:
        ValueError: Something in the arguments cannot be trained, said before training starts.
        FloatingPointError: A loss or a gradient is not finite.
    """
    device = next(model.parameters()).device
    encoded = encode_examples(tokenizer, examples, spec)
    collate = Collator(encoded, model, tokenizer, spec, seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(seed, "adapters"))
        with applied(model, spec.strategy):
            before = _frozen_digest(model)
            with _reading_features(model, collate, spec, before, features) as batches:
                setup = standard_setup(model, batches, spec, seed)
                if privacy is not None:
                    setup = privatize(setup, privacy, examples.units)
                checkpoint = None
                if checkpoint_dir is not None:
                    fingerprint = _fingerprint(setup, encoded, examples.units, privacy)
                    checkpoint = Checkpoint(checkpoint_dir, fingerprint, 60 * checkpoint_minutes)
                result = fit(setup, checkpoint=checkpoint, on_progress=on_progress)
            is_all_trained = all(p.requires_grad for p in model.parameters())
            untouched = None if is_all_trained else before == _frozen_digest(model)
    return replace(result, frozen_untouched=untouched)


def body_features(model: nn.Module, tokenizer: Any, examples: Examples, spec: TrainingSpec) -> Features:
    """What the frozen body makes of texts, for any number of trainings of a head on some of them.

    Args: as `train`; the spec must train the head of a classifier alone.
    """
    assert have_features(spec, model)
    collate = Collator(encode_examples(tokenizer, examples, spec), model, tokenizer, spec, seed=0)
    with applied(model, spec.strategy):
        return features_of(model, collate, _frozen_digest(model))


@contextmanager
def _reading_features(
    model: nn.Module, collate: Collator, spec: TrainingSpec, body: str, features: Features | None
) -> Iterator[Collator]:
    """The collator of hidden states where the head alone is trained, the model reading them; else that of the texts."""
    encoded = collate.encoded
    rows = None
    if have_features(spec, model):
        rows = features.of(encoded) if features is not None and features.body == body else None
        if rows is None and _sees_everything(spec, len(encoded)):
            features = features_of(model, collate, body)
            rows = features.of(encoded)
    if features is None or rows is None:
        yield collate
        return
    with handing_on(model):
        yield FeatureCollator(collate, features, rows, next(model.parameters()).dtype)


def _sees_everything(spec: TrainingSpec, examples: int) -> bool:
    """Whether as many examples are drawn as there are, so that a pass over all of them saves time."""
    return spec.epochs >= 1 and (spec.max_steps is None or spec.max_steps * spec.batch_size >= examples)


def _frozen_digest(model: nn.Module) -> str:
    """SHA-256 over the parameters that are not trained."""
    hasher = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            hasher.update(name.encode())
            hasher.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _fingerprint(setup: Setup, encoded: Encoded, units: Sequence[str] | None, privacy: PrivacySpec | None) -> str:
    """Names a training: its recipe, seeds, tokens and trained parameters; of the data it tells nothing but a hash."""
    recipe = {
        "spec": asdict(setup.spec),
        "strategy": type(setup.spec.strategy).__name__,
        "privacy": None if privacy is None else asdict(privacy),
        "seed": setup.seed,
        "trained": {n: list(p.shape) for n, p in setup.model.named_parameters() if p.requires_grad},
        "classes": None if encoded.classes is None else encoded.classes.tolist(),
        "words": encoded.word_tokens.tolist(),
        "units": None if units is None else list(units),
    }
    hasher = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for ids in encoded.ids:
        hasher.update(len(ids).to_bytes(4, "big") + ids.tobytes())
    return hasher.hexdigest()
