"""The data object of a run: prepared once for a config's data, its coins and its sources."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audit.data.splits import Splits
from audit.data.unused_words import tokenizer_inputs
from audit.planning.plan import Plan
from audit.running.privacy_units import examples_of, unit_count, wrong_persons
from audit.settings.checks_of_arms import wrong_privacy
from audit.settings.checks_of_models import wrong_number_of_classes
from audit.settings.checks_of_task import no_class
from audit.settings.config import AuditConfig
from audit.settings.inspection import checkpoint_of, why_other_classes
from audit.settings.mistakes import ConfigError, Lines, Wrong, listed
from audit.settings.sections.data import Source
from audit.store import Store, digest, file_digest, stored_salt
from audit.units import Units, code_of_data, versions

_FEWEST_UNITS = 2
"""Units outside the test data that are wanted where nothing is trained: the audit pool leaves one out."""


def prepared(
    config: AuditConfig,
    as_written: AuditConfig,
    store: Store,
    units: Units,
    *,
    plan: Plan,
    coins: int,
    lines: Lines,
) -> Splits:
    """The splits, from the store or prepared now.

    Args:
        config: The config, its files as absolute paths.
        as_written: The same with its files as they are written.
        store: Where objects lie.
        units: Does the work, or finds it done.
        plan: Says whether canaries are needed, and whether anything is trained.
        coins: Seed of the coins.
        lines: Where each setting is written.

    Raises:
        DataError: Data that cannot be used as the config asks.
        ConfigError: What the config asks of data that turn out to be others.
    """
    config = config.model_copy(update={"seeds": config.seeds.model_copy(update={"coins": coins})})
    config, as_written = (each if plan.trains else _without_training(each) for each in (config, as_written))
    salt = digest(["salt", coins]) if config.compute.reproducible else stored_salt(store.root / "salt")
    inputs = {
        "data": as_written.data.model_dump(mode="json"),
        "sources": _sources(config),
        "task": {"kind": config.kind, "classes": config.task.classes},
        "coins": coins,
        "salt": salt,
        "canaries": plan.needs_canaries,
        "code": code_of_data(),
        "versions": dict(versions()),
        **_of_words(config),
    }

    def write(part: Path) -> None:
        from audit.data.prepare import prepare

        prepare(config, base_folder=Path(), salt=salt, canaries_wanted=plan.needs_canaries).save(part)

    splits = Splits.load(units.obtain("data", "data", inputs, write))
    wrong = [*_wrong_classes(config, plan, splits.classes), *_wrong_sizes(config, plan, splits)]
    if wrong:
        raise ConfigError(lines.mistake(*each) for each in wrong)
    return splits


def _of_words(config: AuditConfig) -> dict[str, Any]:
    """What the data follow from where canaries end in words of the model's vocabulary that no text has."""
    if all(canaries.kind != "new_token" for canaries in config.data.canaries):
        return {}
    around = {"prompt": config.task.prompt, "label_words": config.task.label_words}
    return {"tokenizer": tokenizer_inputs(config.model), "around": around}


def _without_training(config: AuditConfig) -> AuditConfig:
    """The config of an audit in which no arm is trained: how much there is to train on does not matter then."""
    return config.model_copy(update={"data": config.data.model_copy(update={"minimum_units": _FEWEST_UNITS})})


def _wrong_classes(config: AuditConfig, plan: Plan, classes: tuple[str, ...]) -> Iterator[Wrong]:
    """What speaks of other classes than the data have, which only the data could tell."""
    rule, words = config.task.decision, config.task.label_words
    if not isinstance(rule, str) and rule.class_name not in classes:
        yield Wrong(("task", "decision", "class"), *no_class(rule.class_name, classes))
    if words is not None:
        for name in sorted(set(words) - set(classes)):
            yield Wrong(("task", "label_words", name), *no_class(name, classes))
        missing = set(classes) - set(words)
        if missing:
            rule_of_words = f"must have a word for each class of the data; missing {listed(missing)}"
            yield Wrong(("task", "label_words"), rule_of_words)
    yield from wrong_number_of_classes(config, classes)
    for arm in plan.arms:
        if arm.given is not None and config.head == "classifier":
            why = why_other_classes(checkpoint_of(Path(arm.given)).classes, classes)
            if why is not None:
                remedy = "give task.classes in its order, and data.label_names to match"
                yield Wrong(("arms", arm.name, "given"), why, remedy)


def _wrong_sizes(config: AuditConfig, plan: Plan, splits: Splits) -> Iterator[Wrong]:
    """What is wrong with the private arms for as many units as they, and their twins, are trained on.

    A twin is looked at where nothing is wrong with its arm.
    """
    refused = set()
    for arm in plan.arms:
        if arm.source == "trained" and arm.privacy is not None and arm.control is None and arm.twin_of not in refused:
            items, whose = examples_of(arm, splits), "its twin" if arm.twin_of else "it"
            wrong = list(wrong_persons(arm, items))
            if not wrong:
                n = unit_count(arm.privacy, items)
                wrong = list(wrong_privacy(config, arm.written_as, (n, n), whose=whose))
            yield from wrong
            refused |= {arm.name} if wrong else set()


def _sources(config: AuditConfig) -> dict[str, Any]:
    """What names the content of each source: a file's hash, a hub data set's revision."""
    sources: dict[str, Source] = {"train": config.data, **config.data.domains}
    for name, held_out in (("validation", config.data.validation), ("test", config.data.test)):
        if isinstance(held_out, Source):
            sources[name] = held_out
    return {
        name: file_digest(Path(source.file)) if source.file else [source.hub, source.revision]
        for name, source in sources.items()
    }
