"""The data object of a run: prepared once for a config's data, its coins and its sources."""

from pathlib import Path
from typing import Any

from audit.data.splits import Splits
from audit.planning.plan import Plan
from audit.refusal import Refused
from audit.settings.config import AuditConfig, Source
from audit.settings.mistakes import listed
from audit.store import Store, digest, file_digest, stored_salt
from audit.units import Units, code_of_data, versions


def prepared(
    config: AuditConfig, as_written: AuditConfig, store: Store, units: Units, *, plan: Plan, coins: int
) -> Splits:
    """The splits, from the store or prepared now.

    Args:
        config: The config, its files as absolute paths.
        as_written: The same with its files as they are written.
        store: Where objects lie.
        units: Does the work, or finds it done.
        plan: Says whether canaries are needed.
        coins: Seed of the coins.

    Raises:
        DataError: Data that cannot be used as the config asks.
        Refused: A task that speaks of other classes than the data have.
    """
    config = config.model_copy(update={"seeds": config.seeds.model_copy(update={"coins": coins})})
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
    }

    def write(part: Path) -> None:
        from audit.data.prepare import prepare

        prepare(config, base_folder=Path(), salt=salt, canaries_wanted=plan.needs_canaries).save(part)

    splits = Splits.load(units.obtain("data", "data", inputs, write))
    _refuse_other_classes(config, splits.classes)
    return splits


def _refuse_other_classes(config: AuditConfig, classes: tuple[str, ...]) -> None:
    """Refuse a task that speaks of other classes than the data have, which only the data could tell.

    Raises:
        Refused: A class to decide for that is not there, or one without a label word.
    """
    rule, words = config.task.decision, config.task.label_words
    if not isinstance(rule, str) and rule.class_name not in classes:
        raise Refused(f"task.decision.class: no such class; got '{rule.class_name}'; the data have {listed(classes)}")
    missing = set(classes) - set(words) if words is not None else set()
    if missing:
        raise Refused(f"task.label_words: must have a word for each class of the data; missing {listed(missing)}")


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
