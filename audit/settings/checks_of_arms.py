"""Whether each arm can be come by as it says, and keeps what it says."""

import re
from collections.abc import Iterator
from pathlib import Path

from audit.settings.config import TWIN, WORLD, Arm, AuditConfig
from audit.settings.inspection import why_not_a_model
from audit.settings.mistakes import Place, Wrong

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What an arm or a domain may be called: its name becomes a part of metric ids and of file names."""

REMEDY = "give the folder that save_pretrained writes, with its weights as safetensors"


def wrong_arms(config: AuditConfig, units: int | None) -> Iterator[Wrong]:
    """What is wrong with the arms and their training.

    Args:
        config: The config.
        units: Independent units trained on, where known.
    """
    for name, arm in config.arms.items():
        place: Place = ("arms", name)
        if not NAME.fullmatch(name):
            yield Wrong(place, "an arm's name must be of letters, digits, '_', '-' and '.'")
        if name.endswith(TWIN):
            yield Wrong(place, f"an arm's name must not end with '{TWIN}', as those of the audit's own twins do")
        yield from _wrong_source(config, name, arm, place)
        yield from _wrong_privacy(config, name, arm, place, units)
    yield from _without_effect(config)


def _wrong_source(config: AuditConfig, name: str, arm: Arm, place: Place) -> Iterator[Wrong]:
    source = config.source_of(name)
    if source != "trained":
        is_what = "was trained elsewhere" if source == "given" else "is the untouched model"
        if arm.training:
            yield Wrong((*place, "training"), f"'{name}' {is_what}, so it is not trained here", "leave it out")
        if arm.seeds > 1:
            yield Wrong((*place, "seeds"), f"'{name}' {is_what}, so it has no training seeds", "leave it out")
    if arm.given and arm.source is not None:
        yield Wrong((*place, "source"), f"'{name}' is given, so its source is known", "leave it out")
    if arm.twin and not arm.given:
        yield Wrong((*place, "twin"), "is for a given model; the audit trains its own arms' twins", "leave it out")
    for key, folder in (("given", arm.given), ("twin", arm.twin)):
        why = why_not_a_model(Path(folder)) if folder else None
        if why is not None:
            yield Wrong((*place, key), f"{why}; got '{folder}'", REMEDY)


def _wrong_privacy(config: AuditConfig, name: str, arm: Arm, place: Place, units: int | None) -> Iterator[Wrong]:
    source = config.source_of(name)
    if arm.privacy is not None and source == "given":
        rule = f"'{name}' was trained elsewhere, so its privacy is not accounted here"
        yield Wrong((*place, "privacy"), rule, "write 'claims' with epsilon and delta")
    elif arm.privacy is not None and source == "base":
        rule = f"'{name}' is the untouched model, so nothing is trained with privacy"
        yield Wrong((*place, "privacy"), rule, "write it in an arm that is trained")
    if arm.claims is not None and source != "given" and config.role_of(name) != "control":
        rule = f"'{name}' is trained here, so its privacy is accounted and not claimed"
        yield Wrong((*place, "claims"), rule, "write 'privacy' instead")
    delta = arm.privacy.delta if arm.privacy else None
    if delta is not None and units is not None and delta > 1 / (10 * units):
        rule = f"must be at most 1/(10 · units) = {1 / (10 * units):.2g} for {units:,} units; got {delta:g}"
        yield Wrong((*place, "privacy", "delta"), rule, "leave it out for the power of ten below that")


def _without_effect(config: AuditConfig) -> Iterator[Wrong]:
    """Settings of the training that nothing would read."""
    trained = [name for name in config.arms if config.source_of(name) == "trained"]
    recipes = {name: config.training_of(name) for name in trained}
    if config.training.momentum and all(recipe.optimizer != "sgd" for recipe in recipes.values()):
        yield Wrong(("training", "momentum"), "is for sgd, which no arm uses", "set optimizer: sgd or leave it out")
    weight, by_word = "label_loss_weight", config.task.label_words is not None or config.model.name == WORLD
    weightless = ("is for a causal model that classifies by a word", "add task.label_words or leave it out")
    if weight in config.training.model_fields_set and not by_word:
        yield Wrong(("training", weight), *weightless)
    for name, recipe in recipes.items():
        own, place = config.arms[name].training, ("arms", name, "training")
        if own.get("momentum") and recipe.optimizer != "sgd":
            yield Wrong((*place, "momentum"), "is for sgd", "set optimizer: sgd or leave it out")
        if "max_grad_norm" in own and config.arms[name].privacy is not None:
            rule = "clips whole batches, and this arm clips each example"
            yield Wrong((*place, "max_grad_norm"), rule, f"write arms.{name}.privacy.max_grad_norm")
        if weight in own and not by_word:
            yield Wrong((*place, weight), *weightless)
