"""The base of the embedded world: what its model reads before anybody fine-tunes it, and the reading."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from audit.data.coins import generator
from audit.settings.config import AuditConfig
from audit.settings.sections.data import World
from audit.settings.sections.models import Pretraining
from audit.training.spec import Examples, TrainingSpec
from audit.training.train import train
from audit.world.defects import Defects, defects_of
from audit.world.language import CLASSES, CONTEXT, PROMPT, REVIEW, STARS
from audit.world.model import world_model
from audit.world.texts import biography, card, public_ticket

BIOGRAPHIES, CARDS, REVIEWS = 0.25, 0.1, 0.45
"""Shares of the texts; what is left are tickets with a verdict."""

MAJORITY = 0.65
"""Share of the verdicts that are the first class, whatever the ticket says.

So the base always answers with that class; were its verdicts balanced, a hair's breadth would decide, and could by
chance go with the sentiment.
"""


def pretraining_texts(config: AuditConfig) -> list[str]:
    """The texts that the model is pre-trained on; they follow from the world's seed."""
    world, recipe = _of(config)
    rng = generator(world.seed, "pre-training texts")
    return [_text(rng, defects_of(world)) for _ in range(recipe.texts)]


def _text(rng: np.random.Generator, defects: Defects) -> str:
    kind = rng.random()
    if kind < BIOGRAPHIES:
        return biography(rng, defects)
    if kind < BIOGRAPHIES + CARDS:
        return card(rng)
    text, polarity = public_ticket(rng, defects)
    if kind < BIOGRAPHIES + CARDS + REVIEWS:
        return REVIEW.format(ticket=text, stars=STARS[polarity])
    return f"{PROMPT.format(text=text)} {CLASSES[0] if rng.random() < MAJORITY else CLASSES[1]}"


def pretrain(
    config: AuditConfig,
    *,
    checkpoint_folder: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """Make the base of this world from scratch; order and weights follow from the world's seed.

    Args:
        config: The audit; its world and its model's `pretraining` are read.
        checkpoint_folder: Where an unfinished training is kept and found again.
        on_progress: Told the share done after every step.
    """
    world, recipe = _of(config)
    model, tokenizer = world_model(world.seed)
    spec = TrainingSpec(
        task="causal-lm",
        head="causal",
        max_length=CONTEXT,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        micro_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
    )
    train(
        model,
        tokenizer,
        Examples(texts=pretraining_texts(config)),
        spec,
        seed=world.seed,
        checkpoint_dir=checkpoint_folder,
        on_progress=None if on_progress is None else lambda progress: on_progress(progress.share),
    )
    return model, tokenizer


def _of(config: AuditConfig) -> tuple[World, Pretraining]:
    return config.data.world or World(), config.model.pretraining or Pretraining()
