"""All sources of a config, read with the columns that the training data lend them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit.data.files import DataError, name_of
from audit.data.names import ShownNames
from audit.data.rows import Reading, read
from audit.settings.config import AuditConfig
from audit.settings.sections.data import Source

TRAIN = "train"

HELD_OUT = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A source of the config, and what came of reading it.

    Attributes:
        source: Which column is what, lent ones included.
        reading: Its usable rows.
    """

    source: Source
    reading: Reading


def read_all(config: AuditConfig, folder: Path, say: Callable[[str], None]) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Read every source, the training data first: their labels are the classes that all others must keep to.

    Args:
        config: The audit.
        folder: The folder that relative files are relative to.
        say: Told in a sentence what is read next.

    Returns:
        The sources that there are, by name: "train", "validation", "test", "domain:<name>"; and the classes, empty for
        language models.

    Raises:
        DataError: A source cannot be used.
    """
    labelled = config.kind == "text-classification"
    classes = config.task.classes if labelled else None
    parts: dict[str, Part] = {}
    shown = ShownNames(config)
    for name, (source, optional) in _sources(config, labelled).items():
        say(f"reading {name_of(source)}")
        reading = read(source, folder, classes=classes, optional=optional, skip=config.data.bad_rows == "skip")
        shown.take(source, reading)
        parts[name] = Part(source=source, reading=reading)
        if labelled and classes is None:
            classes = _classes(reading)
    return parts, classes or ()


def _sources(config: AuditConfig, labelled: bool) -> dict[str, tuple[Source, frozenset[str]]]:
    data = config.data
    if labelled and data.label is None:
        raise DataError("data.label must name the column of the label, for the task is text-classification")
    training: Source = data.model_copy(update={"text": data.text or "text", "label": data.label if labelled else None})
    sources = {TRAIN: (training, frozenset[str]())}
    for name in HELD_OUT:
        if isinstance(source := getattr(data, name), Source):
            sources[name] = _completed(source, training, labelled, ("id", "person", "domain"))
    for name, source in data.domains.items():
        if source.domain is not None:
            raise DataError(
                f"data.domains.{name}: domain must not be set, for all rows of this source are of that domain"
            )
        sources[f"domain:{name}"] = _completed(source, training, labelled, ("id", "person"))
    return sources


def _completed(
    source: Source, training: Source, labelled: bool, may_lack: tuple[str, ...]
) -> tuple[Source, frozenset[str]]:
    """The source with the training data's columns where it names none, and those lent columns that it may lack."""
    lent = {
        name: getattr(training, name)
        for name in ("text", "text_pair", "label", "label_names", *may_lack)
        if getattr(source, name) is None
    }
    optional = {lent[name] for name in may_lack if lent.get(name) is not None}
    if "groups" not in source.model_fields_set:
        lent["groups"] = training.groups
        optional |= set(training.groups)
    if not labelled:
        lent["label"] = None
    return source.model_copy(update=lent), frozenset(optional)


def _classes(reading: Reading) -> tuple[str, ...]:
    """The labels found, sorted; by their value where all are whole numbers."""
    found = {row.label for row in reading.rows if row.label is not None}
    if len(found) < 2:
        raise DataError(f"{reading.name}: the rows must have labels of two or more classes; all have the same one")
    if all(label.isdecimal() for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))
