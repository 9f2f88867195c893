"""Whether the model is one that can be loaded safely, and the folders that name one say what the audit needs."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from audit.settings.checks import Check
from audit.settings.config import AuditConfig
from audit.settings.inspection import Checkpoint, checkpoint_of, why_not_a_model, why_other_classes
from audit.settings.mistakes import Place, Wrong
from audit.settings.sections.models import WORLD

REMEDY = "give the folder that save_pretrained writes, with its weights as safetensors"

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

_MODEL: Place = ("model",)
_HEAD: tuple[Place, ...] = (("task",), ("data", "label"), ("data", "world"))
"""What says with which head a model is to answer."""


def checks_of_models(config: AuditConfig) -> Iterator[Check]:
    """The checks of the model section, and of what the arms' folders hold."""
    yield Check((_MODEL,), partial(_wrong_model, config))
    yield Check((_MODEL, ("data",)), partial(_wrong_world, config))
    yield Check((_MODEL, *_HEAD), partial(_wrong_head, config, config.model.name, (*_MODEL, "name")))
    if config.task.classes is not None:
        yield Check((_MODEL, ("arms",), *_HEAD), partial(wrong_number_of_classes, config, config.task.classes))
    for name, arm in config.arms.items():
        if arm.given is not None:
            yield Check((("arms", name), _MODEL, *_HEAD), partial(_wrong_given, config, name, arm.given))


def checkpoint(name: str) -> Checkpoint | None:
    """What a model's folder says; None for a model on the hub and for a folder that is none."""
    folder = Path(name)
    return checkpoint_of(folder) if folder.is_absolute() and why_not_a_model(folder) is None else None


def wrong_revision(revision: str | None, place: Place) -> Iterator[Wrong]:
    """What is wrong with the commit of something on the hub, in the section that names it."""
    if revision is not None and not _COMMIT.fullmatch(revision):
        rule = f"must be a commit of 40 hex digits, for a branch or tag may move; got '{revision}'"
        yield Wrong((*place, "revision"), rule)


def _wrong_model(config: AuditConfig) -> Iterator[Wrong]:
    model = config.model
    if Path(model.name).is_absolute():
        why = why_not_a_model(Path(model.name))
        if why is not None:
            yield Wrong((*_MODEL, "name"), f"{why}; got '{model.name}'", REMEDY)
        if model.revision is not None:
            yield Wrong((*_MODEL, "revision"), "a folder has no revision", "leave it out")
    elif model.name != WORLD:
        yield from _wrong_name(model.name, model.revision)
    if model.tokenizer is not None and not Path(model.tokenizer).is_dir():
        yield Wrong((*_MODEL, "tokenizer"), f"no such folder; got '{model.tokenizer}'")
    if model.name == WORLD:
        for key in sorted({"revision", "tokenizer"} & model.model_fields_set):
            yield Wrong((*_MODEL, key), "the embedded model is made here and has none to choose", "leave it out")
    elif model.pretraining is not None:
        yield Wrong((*_MODEL, "pretraining"), "is for the embedded model, 'world'", "leave it out")
    yield from _beyond_context(config, model.name, (*_MODEL, "max_length"))


def _wrong_name(name: str, revision: str | None) -> Iterator[Wrong]:
    if not _HUB_NAME.fullmatch(name):
        remedy = "write what stands behind the @ as revision" if _HUB_NAME.fullmatch(name.partition("@")[0]) else ""
        yield Wrong((*_MODEL, "name"), f"neither a folder nor a name on the hub; got '{name}'", remedy)
    else:
        yield from wrong_revision(revision, _MODEL)


def _wrong_world(config: AuditConfig) -> Iterator[Wrong]:
    if config.model.name == WORLD and config.data.world is None:
        rule = "the embedded model knows only the embedded world's words"
        yield Wrong((*_MODEL, "name"), rule, "add data.world: {}")


def _beyond_context(config: AuditConfig, name: str, place: Place) -> Iterator[Wrong]:
    told, longest = checkpoint(name), config.model.max_length
    if told is not None and told.context is not None and longest is not None and longest > told.context:
        rule = f"the model in {Path(name).name} has positions for {told.context} tokens; got {longest}"
        yield Wrong(place, rule, f"write {told.context} or fewer")


def _wrong_head(config: AuditConfig, name: str, place: Place) -> Iterator[Wrong]:
    told, head = checkpoint(name), config.head
    if told is not None and head == "causal" and told.looks_ahead:
        rule = f"a {told.kind} model sees the words that come after, so it is no causal model"
        yield Wrong(place, rule, "choose another model, or task.kind: masked-lm")
    if told is not None and head == "masked" and not _is_masked(told):
        rule = f"no head of a masked language model in it ({', '.join(told.architectures)})"
        yield Wrong(place, rule, "choose another model, or another task.kind")


def wrong_number_of_classes(config: AuditConfig, classes: Sequence[str]) -> Iterator[Wrong]:
    """Where the model that is trained further brings a head for classes, and for more or fewer than there are."""
    trains = any(config.source_of(name) == "trained" for name in config.arms)
    told = checkpoint(config.model.name) if trains and config.head == "classifier" else None
    if told is not None and told.architectures and told.classifies and len(told.classes) != len(classes):
        rule = f"its head has {len(told.classes)} classes, and the task has {len(classes)}: {', '.join(classes)}"
        remedy = "give the model that it was trained from, which has no head for classes"
        yield Wrong((*_MODEL, "name"), rule, remedy)


def _is_masked(told: Checkpoint) -> bool:
    return not told.architectures or any(a.endswith(("ForMaskedLM", "ForPreTraining")) for a in told.architectures)


def _wrong_given(config: AuditConfig, name: str, folder: str) -> Iterator[Wrong]:
    place: Place = ("arms", name, "given")
    told = checkpoint(folder)
    if told is None:
        return
    yield from _beyond_context(config, folder, ("model", "max_length"))
    if config.head != "classifier":
        yield from _wrong_head(config, folder, place)
    elif not told.classifies:
        rule = f"no classification head in it ({', '.join(told.architectures)}), so it would answer at random"
        yield Wrong(place, rule, "give a model that was trained to classify")
    elif config.task.classes is not None:
        why = why_other_classes(told.classes, config.task.classes)
        if why is not None:
            remedy = "give task.classes in its order, and data.label_names to match"
            yield Wrong(place, f"{why}; got '{folder}'", remedy)
