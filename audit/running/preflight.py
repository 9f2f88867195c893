"""What would stop a training, found before any arm is trained: minutes of work must not end in a mistake.

What the config and the folders that it names tell is checked by `audit.settings.validate`, and what the data tell by
`audit.running.preparation`. Here the model itself is loaded once, and each arm's training is begun and not carried out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan, Plan
from audit.refusal import Refused
from audit.running.privacy_units import examples_of, unit_count
from audit.running.recipes import as_examples, privacy_of, spec_of
from audit.settings.checks_of_arms import setting_of
from audit.settings.config import AuditConfig
from audit.settings.mistakes import ConfigError, Lines, Place, Wrong, did_you_mean, listed
from audit.settings.sections.models import Model
from audit.training.spec import Lora, TrainingSpec

if TYPE_CHECKING:
    from audit.running.models import Loaded


@contextmanager
def placed(lines: Lines, place: Place) -> Iterator[None]:
    """Say of what is refused inside which setting asked for it.

    Raises:
        ConfigError: In the place of what is refused.
    """
    try:
        yield
    except Refused as error:
        raise ConfigError([lines.mistake(place, str(error))]) from error


def preflight(config: AuditConfig, plan: Plan, splits: Splits, source: Model, lines: Lines) -> None:
    """Refuse what cannot be trained as asked, all of it at once.

    Args:
        config: The config.
        plan: Its plan.
        splits: The data.
        source: Where the untouched model is loaded from.
        lines: Where each setting is written.

    Raises:
        ConfigError: A model that lacks what its task needs, label words that its tokenizer does not know, a strategy
            that it does not bear, a target epsilon that no noise reaches, or a model whose per-example gradients are
            not exact here.
    """
    from audit.running.models import load, place

    with placed(lines, ("model", "name")):
        loaded = load(source, config.head, splits.classes, new_head=config.kind == "text-classification")
    with placed(lines, ("compute", "device")):
        place(loaded, config.compute.device)
    wrong = dict.fromkeys(_wrong_words(config, loaded, splits, source))
    if not wrong:  # else each arm would say the same again
        for arm in plan.arms:
            if arm.source == "trained":
                wrong |= dict.fromkeys(_wrong_training(config, arm, loaded, splits, source))
    if wrong:
        raise ConfigError(lines.mistake(*each) for each in wrong)


def _wrong_words(config: AuditConfig, loaded: "Loaded", splits: Splits, source: Model) -> Iterator[Wrong]:
    """What the tokenizer makes of prompt and label words."""
    from audit.running.models import longest, subject

    limits = {"max_length": longest(source, loaded), "batch_tokens": config.compute.batch_tokens}
    try:
        subject("the model", loaded, config.task, splits.classes, **limits)
    except ValueError as error:
        key = "label_words" if str(error).startswith("label word") else "prompt"
        yield Wrong(("task", key), str(error).removeprefix("template "))


def _wrong_training(
    config: AuditConfig, arm: ArmPlan, loaded: "Loaded", splits: Splits, source: Model
) -> Iterator[Wrong]:
    """What would stop the training of one arm, or of its twin."""
    from audit.running.models import longest

    spec = spec_of(config, arm, splits, longest(source, loaded))
    strategy = setting_of(config, arm.written_as, "strategy") if arm.control is None else arm.place
    if isinstance(spec.strategy, Lora):
        wrong = list(_absent_modules(loaded, spec.strategy, (*strategy, "lora", "target_modules")))
        yield from wrong
        if wrong:
            return
    yield from _wrong_strategy(arm, loaded, spec, strategy)
    if spec.head_learning_rate is not None:
        yield from _unknown_head(loaded, setting_of(config, arm.written_as, "head_learning_rate"))
    yield from _wrong_examples(arm, loaded, spec, splits)
    if arm.privacy is not None:
        yield from _wrong_privacy(config, arm, spec, splits)


def _absent_modules(loaded: "Loaded", strategy: Lora, place: Place) -> Iterator[Wrong]:
    """Layers that adapters were to be put on and that the model does not have; PEFT would skip them silently."""
    modules = dict(loaded.model.named_modules())
    matrices = [name for name, layer in modules.items() if getattr(getattr(layer, "weight", None), "ndim", 0) == 2]
    known = {name.rpartition(".")[2] for name in matrices}
    for wanted in strategy.target_modules or ():
        if not any(name == wanted or name.endswith(f".{wanted}") for name in modules):
            remedy = did_you_mean(wanted, known) or f"its layers with weights are called {listed(known)}"
            yield Wrong(place, f"the model has no layer '{wanted}'", remedy)


def _wrong_strategy(arm: ArmPlan, loaded: "Loaded", spec: TrainingSpec, place: Place) -> Iterator[Wrong]:
    """What the strategy leaves to train, and whether that can be trained privately where it is to be."""
    from audit.training.bookkeeping import check_supported
    from audit.training.strategies import applied

    at = place
    try:
        with applied(loaded.model, spec.strategy):
            if arm.privacy is not None:
                at = (*arm.place, "privacy") if arm.control is None else arm.place
                check_supported(loaded.model)
    except ValueError as error:
        yield Wrong(at, str(error))


def _unknown_head(loaded: "Loaded", place: Place) -> Iterator[Wrong]:
    from audit.training.strategies import head_of

    try:
        head_of(loaded.model)
    except ValueError as error:
        yield Wrong(place, str(error))


def _wrong_examples(arm: ArmPlan, loaded: "Loaded", spec: TrainingSpec, splits: Splits) -> Iterator[Wrong]:
    """What becomes of the first example on its way into the model."""
    from audit.training.collate import Collator, encode_examples

    first = as_examples(examples_of(arm, splits).take(np.arange(1)))
    try:
        Collator(encode_examples(loaded.tokenizer, first, spec), loaded.model, loaded.tokenizer, spec, seed=0)([0], 0)
    except ValueError as error:
        place: Place = ("task", "prompt") if spec.classifies_by_word else ("model", "name")
        yield Wrong(place, str(error).removeprefix("prompt "))


def _wrong_privacy(config: AuditConfig, arm: ArmPlan, spec: TrainingSpec, splits: Splits) -> Iterator[Wrong]:
    """Whether the noise can be found that keeps the target."""
    from audit.training.mechanism import mechanism

    assert arm.privacy is not None
    try:
        units = unit_count(arm.privacy, examples_of(arm, splits))
        mechanism(privacy_of(config, arm, splits, seed=0), spec, units)
    except ValueError as error:
        yield Wrong((*arm.place, "privacy", "epsilon") if arm.control is None else arm.place, str(error))
