"""What a trainer is told of an arm: examples, recipe, and differential privacy."""

import string
from typing import Any

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan
from audit.running.privacy_units import delta_of, unit_names
from audit.settings.config import AuditConfig
from audit.settings.sections.training import Frozen as FrozenLayers
from audit.settings.sections.training import LayerDecay, LoraStrategy, Privacy, Training
from audit.store import digest
from audit.training.spec import BitFit, Examples, Frozen, Full, HeadOnly, Lora, PrivacySpec, Strategy, TrainingSpec
from audit.training.spec import LayerDecay as DecayingLayers
from probes.protocol import Items


def as_examples(items: Items, privacy: Privacy | None = None) -> Examples:
    """Items as what a model is trained on, with the units that differential privacy protects."""
    return Examples(
        texts=items["text"].tolist(),
        pairs=items["text_pair"].tolist() if "text_pair" in items else None,
        labels=items["label"].astype(int).tolist() if "label" in items else None,
        units=unit_names(privacy, items) if privacy is not None else None,
    )


def as_trained(config: AuditConfig, items: Items, classes: tuple[str, ...]) -> Items:
    """The items with their text as a causal model that classifies by a word is trained on it: prompt, text and word."""
    words = config.task.label_words or {}
    parts = list(string.Formatter().parse(config.task.prompt or ""))
    pairs = items["text_pair"] if "text_pair" in items else [""] * items.n
    shown = []
    for text, pair, label in zip(items["text"], pairs, items["label"], strict=True):
        values = {"text": text, "text_pair": pair, None: ""}
        prompt = "".join(f"{literal}{values[name]}" for literal, name, _, _ in parts)
        shown.append(f"{prompt} {words[classes[int(label)]]}")
    return items.assign(text=shown)


def spec_of(config: AuditConfig, arm: ArmPlan, splits: Splits, max_length: int) -> TrainingSpec:
    """The recipe of an arm that is trained here.

    Raises:
        ValueError: A recipe that no model can be trained by.
    """
    assert arm.training is not None
    recipe = arm.training
    task = config.task
    words = tuple(task.label_words[c] for c in splits.classes) if task.label_words else None
    return TrainingSpec(
        task=config.kind,
        head=config.head,
        max_length=max_length,
        prompt=task.prompt if words else None,
        label_words=words,
        label_loss_weight=recipe.label_loss_weight,
        epochs=recipe.epochs,
        max_steps=recipe.max_steps,
        batch_size=recipe.batch_size,
        micro_batch_size=recipe.micro_batch_size,
        learning_rate=recipe.learning_rate,
        head_learning_rate=recipe.head_learning_rate,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        warmup_fraction=recipe.warmup_fraction,
        schedule=recipe.schedule,
        strategy=_strategy(recipe),
        max_grad_norm=None if arm.privacy else recipe.max_grad_norm,
        dropout=recipe.dropout,
    )


def _strategy(recipe: Training) -> Strategy:
    chosen = recipe.strategy
    if isinstance(chosen, FrozenLayers):
        return Frozen(layers=chosen.frozen)
    if isinstance(chosen, LayerDecay):
        return DecayingLayers(factor=chosen.layer_decay)
    if isinstance(chosen, LoraStrategy):
        return Lora(r=chosen.lora.r, alpha=chosen.lora.alpha, target_modules=chosen.lora.target_modules)
    named: dict[str, Strategy] = {"full": Full(), "head": HeadOnly(), "lora": Lora(), "bitfit": BitFit()}
    return named[chosen]


def trains_head_alone(config: AuditConfig, arm: ArmPlan) -> bool:
    """Whether an arm trains nothing but the head of a classifier, and so needs its body once for each text."""
    return config.head == "classifier" and arm.training is not None and arm.training.strategy == "head"


def privacy_of(config: AuditConfig, arm: ArmPlan, splits: Splits, seed: int) -> PrivacySpec:
    """The differential privacy of an arm that is trained with it."""
    assert arm.privacy is not None
    return PrivacySpec(
        epsilon=arm.privacy.epsilon,
        noise_multiplier=arm.privacy.noise_multiplier,
        delta=delta_of(arm, splits),
        unit=arm.privacy.unit or "example",
        max_examples_per_unit=arm.privacy.max_examples_per_unit,
        dataset_size=arm.privacy.public_n,
        max_grad_norm=arm.privacy.max_grad_norm,
        clipping=arm.privacy.clipping,
        # Arms must not share their noise: a difference of two published models would then be free of it.
        reproducible_seed=int(digest([seed, arm.name])[:15], 16) if config.compute.reproducible else None,
    )


def recipe_of(privacy: Privacy) -> dict[str, Any]:
    """What of an arm's privacy can change its weights: how many trials came before cannot."""
    return privacy.model_dump(mode="json", exclude={"prior_trials"})
