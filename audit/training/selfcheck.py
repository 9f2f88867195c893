"""A short private training that an auditor attacks with everything an auditor can have: canaries, and the weights.

A tiny model is trained by the one loop there is, on a few made-up persons and about half of 200 canaries, each put in
by a coin of its own. Every canary moves one coordinate that nothing else moves, as far as clipping lets it, and the
coordinates are read off after the training.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from audit.training.collate import encode_examples
from audit.training.dirac import CanarySetup, DiracCanaries, RememberingCollator
from audit.training.loop import fit
from audit.training.privacy import privatize
from audit.training.setup import standard_setup
from audit.training.spec import Examples, PrivacySpec, TrainingResult, TrainingSpec
from probes.protocol import Array

CANARIES = 200
"""How many canaries there are; about half of them are put in."""

MAX_GRAD_NORM = 10.0
"""Other than 1, so that noise which forgets to follow the clipping norm is a tenth of what it should be."""

_LOUDNESS = 100 * MAX_GRAD_NORM
"""Norm of a canary's gradient before clipping: without clipping its coordinate would give it away."""

_PERSONS, _EXAMPLES = 20, 3

UNITS = _PERSONS + CANARIES // 2
"""The declared number of units, near that of the persons and of the canaries that are put in."""

_SPEC = TrainingSpec(
    task="text-classification",
    head="classifier",
    max_length=12,
    epochs=40,
    max_steps=40,
    batch_size=UNITS // 2,
    micro_batch_size=64,
    optimizer="sgd",  # whose updates are the gradients
    learning_rate=1e-3,
    schedule="constant",
    warmup_fraction=0.0,
)

_WORDS = ("[PAD]", "[UNK]", "good", "bad", *(f"word{i}" for i in range(40)))


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """An attacked training.

    Attributes:
        result: What the training says of itself.
        examples: What it was trained on, the canaries that were put in at the end.
        score: How far each canary's coordinate went its way, shape (canaries,); larger says that it was put in.
        is_member: The canaries' coins, shape (canaries,).
    """

    result: TrainingResult
    examples: Examples
    score: Array
    is_member: Array


def attacked(privacy: PrivacySpec, seed: int | None = None) -> Attacked:
    """Train with canaries, and read their coordinates.

    Args:
        privacy: What the training is asked to keep.
        seed: Derive coins, texts, draws and noise from it, to be repeated; None for the operating system's randomness,
            which real trainings use.

    Raises:
        ValueError: No noise keeps the target.
    """
    rng = np.random.default_rng(seed)
    is_member = rng.integers(2, size=CANARIES).astype(bool)
    planted = np.flatnonzero(is_member)
    examples = _with_canaries(_people(rng), planted)
    canary_of = [-1] * (_PERSONS * _EXAMPLES) + planted.tolist()
    training_seed = int(rng.integers(2**31))
    tokenizer, model, dirac = _tokenizer(), _model(training_seed), DiracCanaries(CANARIES)
    model.dirac = dirac
    collate = RememberingCollator(encode_examples(tokenizer, examples, _SPEC), model, tokenizer, _SPEC, training_seed)
    setup = CanarySetup.of(standard_setup(model, collate, _SPEC, training_seed), canary_of, _LOUDNESS)
    asked = replace(privacy, dataset_size=UNITS, reproducible_seed=seed)
    result = fit(privatize(setup, asked, examples.units))
    # What is drawn goes down, for gradients are subtracted.
    return Attacked(result=result, examples=examples, score=-dirac.values().double().numpy(), is_member=is_member)


def _people(rng: np.random.Generator) -> Examples:
    """A few made-up persons' examples."""
    texts, labels = [], []
    for _ in range(_PERSONS * _EXAMPLES):
        label = int(rng.integers(2))
        others = rng.choice(_WORDS[4:], size=rng.integers(2, 10)).tolist()
        texts.append(" ".join([_WORDS[3 - label], *others]))
        labels.append(label)
    return Examples(texts=texts, labels=labels, units=[f"person {i // _EXAMPLES}" for i in range(len(texts))])


def _with_canaries(people: Examples, planted: Array) -> Examples:
    """The same, with a row for each canary; its text is read in the same batches, and its label counts for nothing."""
    assert people.labels is not None
    assert people.units is not None
    return Examples(
        texts=[*people.texts, *["good"] * len(planted)],
        labels=[*people.labels, *[0] * len(planted)],
        units=[*people.units, *(f"canary {canary}" for canary in planted)],
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def _model(seed: int) -> nn.Module:
    config = BertConfig(
        vocab_size=len(_WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = BertForSequenceClassification(config)
    return model
