"""Whether each arm can be come by as it says, and keeps what it says."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from audit.settings.checks import Check
from audit.settings.checks_of_models import REMEDY, checkpoint
from audit.settings.config import AuditConfig
from audit.settings.inspection import why_not_a_model
from audit.settings.mistakes import Place, Wrong
from audit.settings.sections.arms import TWIN, Arm
from audit.settings.sections.training import Frozen, Training

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What an arm or a domain may be called: its name becomes a part of metric ids and of file names."""

Bounds = tuple[int, int | None]
"""The fewest and the most examples, or units, that an arm is trained on; None where the most are not known."""

_ARMS, _TRAINING, _CONTROLS = ("arms",), ("training",), ("controls",)


def checks_of_arms(config: AuditConfig, units: Bounds) -> Iterator[Check]:
    """The checks of the arms and of their training.

    Args:
        config: The config.
        units: How many examples are trained on, as far as that is known.
    """
    for name, arm in config.arms.items():
        here: Place = (*_ARMS, name)
        yield Check((here,), partial(_wrong_arm, config, name, arm))
        if config.source_of(name) == "trained":
            yield Check((here, _TRAINING, ("data",)), partial(wrong_privacy, config, name, _units(config, name, units)))
            yield Check((here, ("data",)), partial(_wrong_unit, config, name))
            yield Check((here, _TRAINING, ("model",)), partial(_wrong_strategy, config, name))
    yield Check((_ARMS, _TRAINING, ("task",)), partial(_without_effect, config))
    yield Check((_ARMS, _CONTROLS, ("probes",)), partial(_wrong_controls, config))
    yield Check((_ARMS, _TRAINING, ("data", "canaries")), partial(_nothing_trained, config))


def setting_of(config: AuditConfig, name: str, key: str) -> Place:
    """Where an arm's training gets a setting from: its own section, or the one that all arms share."""
    return (*_ARMS, name, "training", key) if key in config.arms[name].training else (*_TRAINING, key)


def wrong_privacy(config: AuditConfig, name: str, units: Bounds, whose: str = "it") -> Iterator[Wrong]:
    """What is wrong with a private arm for so many units: its delta, and its batch size.

    Args:
        config: The config.
        name: The arm, which is trained here.
        units: How many units are trained on: the fewest, and the most. The batch is drawn as a declared number says.
        whose: Who is trained on them.
    """
    privacy, batch_size = config.privacy_of(name), config.training_of(name).batch_size
    if privacy is None:
        return
    declared = privacy.public_n
    fewest, most = max(units[0], declared or 0), declared or units[1]
    if privacy.delta is not None and fewest and privacy.delta > 1 / (10 * fewest):
        some = f"{fewest:,} units{'' if fewest == units[1] else ' or more'}{'' if whose == 'it' else f' of {whose}'}"
        rule = f"must be at most 1/(10 · units) = {1 / (10 * fewest):.2g} for {some}; got {privacy.delta:g}"
        yield Wrong((*_ARMS, name, "privacy", "delta"), rule, "leave it out for the power of ten below that")
    if most is not None and batch_size > most:
        some = f"the {most:,} {privacy.unit}s{'' if fewest == most else ' or fewer'} that {whose} is trained on"
        if declared is not None:
            some = f"the {most:,} {privacy.unit}s that privacy.public_n declares"
        rule = f"a private arm cannot draw more than {some}; got {batch_size:,} for '{name}'"
        yield Wrong(setting_of(config, name, "batch_size"), rule, "lower it, or set it in the arm's own training")


def _units(config: AuditConfig, name: str, examples: Bounds) -> Bounds:
    """How many units an arm is trained on: of persons and clusters no more than examples."""
    privacy = config.privacy_of(name)
    return examples if privacy is None or privacy.unit == "example" else (0, examples[1])


def _wrong_unit(config: AuditConfig, name: str) -> Iterator[Wrong]:
    """What is wrong with what a private arm protects."""
    privacy, place = config.privacy_of(name), (*_ARMS, name, "privacy")
    if privacy is None:
        return
    if privacy.unit == "person" and config.data.person is None:
        rule = "a person is protected with all rows of theirs, and no column tells whose a row is"
        yield Wrong((*place, "unit"), rule, "name the column as data.person, or set unit: example")
    if privacy.unit == "example" and "max_examples_per_unit" in privacy.model_fields_set:
        rule = "is for persons and clusters, and here the unit is the example"
        yield Wrong((*place, "max_examples_per_unit"), rule, "leave it out")


def _wrong_arm(config: AuditConfig, name: str, arm: Arm) -> Iterator[Wrong]:
    place: Place = (*_ARMS, name)
    if not NAME.fullmatch(name):
        yield Wrong(place, "an arm's name must be of letters, digits, '_', '-' and '.'")
    if name.endswith(TWIN):
        yield Wrong(place, f"an arm's name must not end with '{TWIN}', as those of the audit's own twins do")
    yield from _wrong_source(config, name, arm, place)
    yield from _wrong_claims(config, name, arm, place)


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
    why = why_not_a_model(Path(arm.given)) if arm.given else None
    if why is not None:
        yield Wrong((*place, "given"), f"{why}; got '{arm.given}'", REMEDY)


def _wrong_controls(config: AuditConfig) -> Iterator[Wrong]:
    """Controls that would show nothing, or that could be taken for another arm."""
    on = config.controls.on()
    for name in on:
        if name in config.arms:
            yield Wrong((*_ARMS, name), f"'{name}' is also a control that is on", "give the arm another name")
    if on and all(config.source_of(name) != "trained" for name in config.arms):
        rule = "show what attacks on twins would find, and no arm is trained here that would have one"
        yield Wrong(_CONTROLS, rule, "leave them out, or add such an arm")
    probes = None if config.probes is None else config.probes.keys()
    if "no_noise" in on and probes is not None and "canaries" not in probes:
        rule = "claims an epsilon, which only the probe canaries could refute, and that is off"
        yield Wrong((*_CONTROLS, "no_noise"), rule, "add probes.canaries, or leave the control out")
    if "leaky" in on and probes is not None and not {"canaries", "membership"} & probes:
        rule = "is to be found by the probes canaries and membership, and both are off"
        yield Wrong((*_CONTROLS, "leaky"), rule, "add one of them, or leave the control out")


def _wrong_claims(config: AuditConfig, name: str, arm: Arm, place: Place) -> Iterator[Wrong]:
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


def _wrong_strategy(config: AuditConfig, name: str) -> Iterator[Wrong]:
    strategy, told = config.training_of(name).strategy, checkpoint(config.model.name)
    if isinstance(strategy, Frozen) and told is not None and told.layers is not None and strategy.frozen > told.layers:
        layers = f"{told.layers} layer{'' if told.layers == 1 else 's'}"
        rule = f"the model has {layers}, so {strategy.frozen} cannot be frozen"
        yield Wrong((*setting_of(config, name, "strategy"), "frozen"), rule, f"write {told.layers} or fewer")


def _without_effect(config: AuditConfig) -> Iterator[Wrong]:
    """Settings of the training that nothing would read."""
    trained = [name for name in config.arms if config.source_of(name) == "trained"]
    recipes = {name: config.training_of(name) for name in trained}
    if trained and config.training.momentum and all(recipe.optimizer != "sgd" for recipe in recipes.values()):
        yield Wrong((*_TRAINING, "momentum"), "is for sgd, which no arm uses", "set optimizer: sgd or leave it out")
    weight, by_word = "label_loss_weight", config.task.label_words is not None
    weightless = ("is for a causal model that classifies by a word", "add task.label_words or leave it out")
    if trained and weight in config.training.model_fields_set and not by_word:
        yield Wrong((*_TRAINING, weight), *weightless)
    for name, recipe in recipes.items():
        own, place = config.arms[name].training, (*_ARMS, name, "training")
        if own.get("momentum") and recipe.optimizer != "sgd":
            yield Wrong((*place, "momentum"), "is for sgd", "set optimizer: sgd or leave it out")
        if "max_grad_norm" in own and config.arms[name].privacy is not None:
            rule = "clips whole batches, and this arm clips each example"
            yield Wrong((*place, "max_grad_norm"), rule, f"write arms.{name}.privacy.max_grad_norm")
        if weight in own and not by_word:
            yield Wrong((*place, weight), *weightless)
    yield from _headless(config, recipes)


def _headless(config: AuditConfig, recipes: Mapping[str, Training]) -> Iterator[Wrong]:
    """A rate of a head that no arm has."""
    if config.head != "classifier":
        for name in [name for name, recipe in recipes.items() if recipe.head_learning_rate is not None]:
            rule = "is for the new head of a classifier, and there is none"
            yield Wrong(setting_of(config, name, "head_learning_rate"), rule, "leave it out")


def _nothing_trained(config: AuditConfig) -> Iterator[Wrong]:
    """Settings that only an arm that is trained here would read."""
    if any(config.source_of(name) == "trained" for name in config.arms):
        return
    if config.training.model_fields_set:
        yield Wrong(_TRAINING, "no arm is trained here, so this changes nothing", "leave it out, or add such an arm")
    if config.data.canaries:
        rule = "are planted in the twins of arms that are trained here, and there is none"
        yield Wrong(("data", "canaries"), rule, "leave them out, or add such an arm")
