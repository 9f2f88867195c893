"""Whether the model, the task and the data fit each other and the files they name."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from audit.settings.checks_of_arms import NAME, REMEDY
from audit.settings.config import WORLD, AuditConfig, Canaries, Data, Source, Threshold
from audit.settings.inspection import columns_of, why_not_a_model
from audit.settings.mistakes import Place, Wrong, did_you_mean, listed

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARES = {"validation": 0.1, "test": 0.2}
"""What is held out where the config is silent."""


def wrong_model(config: AuditConfig) -> Iterator[Wrong]:
    """What is wrong with the model section."""
    model, place = config.model, ("model",)
    if model.name == WORLD:
        if config.data.world is None:
            yield Wrong(
                (*place, "name"), "the embedded model knows only the embedded world's words", "add data.world: {}"
            )
    elif Path(model.name).is_absolute():
        why = why_not_a_model(Path(model.name))
        if why is not None:
            yield Wrong((*place, "name"), f"{why}; got '{model.name}'", REMEDY)
        if model.revision is not None:
            yield Wrong((*place, "revision"), "a folder has no revision", "leave it out")
    elif not _HUB_NAME.fullmatch(model.name):
        yield Wrong((*place, "name"), f"neither a folder nor a name on the hub; got '{model.name}'")
    else:
        yield from _wrong_revision(model.name, model.revision, place)
    if model.tokenizer is not None and not Path(model.tokenizer).is_dir():
        yield Wrong((*place, "tokenizer"), f"no such folder; got '{model.tokenizer}'")
    if model.pretraining is not None and model.name != WORLD:
        yield Wrong((*place, "pretraining"), "is for the embedded model, 'world'", "leave it out")


def _wrong_revision(name: str, revision: str | None, place: Place) -> Iterator[Wrong]:
    if revision is None:
        rule = f"'{name}' on the hub needs a pinned revision, or what is audited could change"
        yield Wrong((*place, "revision"), rule, "write the 40 hex digits of its commit")
    elif not _COMMIT.fullmatch(revision):
        rule = f"must be a commit of 40 hex digits, for a branch or tag may move; got '{revision}'"
        yield Wrong((*place, "revision"), rule)


def _classes(config: AuditConfig) -> list[str] | None:
    """The classes, where the config itself tells them."""
    if config.task.classes is not None:
        return list(config.task.classes)
    names = config.data.label_names
    return sorted(set(names.values())) if names else None


def wrong_task(config: AuditConfig) -> Iterator[Wrong]:
    """What is wrong with the task section."""
    task, classes = config.task, _classes(config)
    if task.classes is not None and (len(set(task.classes)) < len(task.classes) or len(task.classes) < 2):
        rule = f"must be two or more different names; got {', '.join(task.classes) or 'none'}"
        yield Wrong(("task", "classes"), rule)
    if config.kind == "text-classification" and config.data.world is None and config.data.label is None:
        yield Wrong(("data", "label"), "is required for text-classification", "name the column of the label")
    if isinstance(task.decision, Threshold):
        place: Place = ("task", "decision", "class")
        if config.kind != "text-classification":
            yield Wrong(place, f"is for text-classification, and this is {config.kind}", "leave decision out")
        elif classes is not None and task.decision.class_name not in classes:
            yield Wrong(place, *_no_class(task.decision.class_name, classes))
    yield from _wrong_words(config, classes)


def _no_class(name: str, classes: Collection[str]) -> tuple[str, str]:
    return f"no such class; got '{name}'", did_you_mean(name, classes) or f"there are {listed(classes)}"


def _wrong_words(config: AuditConfig, classes: Collection[str] | None) -> Iterator[Wrong]:
    """The prompt and the words by which a causal model classifies."""
    prompt, words, place = config.task.prompt, config.task.label_words, ("task", "label_words")
    if prompt is not None and "{text}" not in prompt:
        yield Wrong(("task", "prompt"), f"must have {{text}} where the text goes; got '{prompt}'")
    if prompt is not None and words is None:
        yield Wrong(("task", "prompt"), "is for a model that classifies by a word", "add label_words or leave it out")
    if words is None:
        return
    if config.kind != "text-classification":
        yield Wrong(place, f"are for text-classification, and this is {config.kind}", "set task.kind or leave them out")
    if len(set(words.values())) < len(words):
        yield Wrong(place, f"must differ from class to class; got {listed(words.values())}")
    if classes is not None:
        for name in sorted(set(words) - set(classes)):
            yield Wrong((*place, name), *_no_class(name, classes))
        missing = set(classes) - set(words)
        if missing:
            yield Wrong(place, f"must have a word for each class; missing {listed(missing)}")


def wrong_data(config: AuditConfig) -> Iterator[Wrong]:
    """What is wrong with the data section and the files it names."""
    data = config.data
    for place, source in _sources(data):
        yield from _wrong_origin(source, place)
        yield from _wrong_labels(config, source, place)
        yield from _wrong_columns(data, source, place)
    for name, source in data.domains.items():
        if not NAME.fullmatch(name):
            yield Wrong(("data", "domains", name), "a domain's name must be of letters, digits, '_', '-' and '.'")
        if source.domain is not None:
            yield Wrong(
                ("data", "domains", name, "domain"), "all rows of this source are of one domain", "leave it out"
            )
    if data.in_domain is not None and data.domain is None:
        yield Wrong(("data", "in_domain"), "is a value of the domain column, and none is named", "add data.domain")
    yield from _wrong_shares(data)
    for i, canaries in enumerate(data.canaries):
        yield from _wrong_canaries(config, canaries, ("data", "canaries", i))


def _sources(data: Data) -> Iterator[tuple[Place, Source]]:
    yield ("data",), data
    for name, held_out in (("validation", data.validation), ("test", data.test)):
        if isinstance(held_out, Source):
            yield ("data", name), held_out
    for name, domain in data.domains.items():
        yield ("data", "domains", name), domain


def _wrong_origin(source: Source, place: Place) -> Iterator[Wrong]:
    world = source.world if isinstance(source, Data) else None
    given = [key for key, value in (("file", source.file), ("hub", source.hub), ("world", world)) if value is not None]
    if len(given) != 1:
        choices = "file, hub or world" if isinstance(source, Data) else "file or hub"
        yield Wrong(place, f"must name one of {choices}; got {listed(given)}")
    if source.hub is not None:
        yield from _wrong_revision(source.hub, source.revision, place)
        return
    for key in sorted({"revision", "subset", "split"} & source.model_fields_set):
        yield Wrong((*place, key), "is for data from the hub", "leave it out")


def _wrong_labels(config: AuditConfig, source: Source, place: Place) -> Iterator[Wrong]:
    if source.label_names is None:
        return
    if source.label is None and config.data.label is None:
        yield Wrong((*place, "label_names"), "name the values of a label column, and none is named", "add data.label")
    classes = _classes(config)
    for written, name in source.label_names.items():
        if classes is not None and name not in classes:
            yield Wrong((*place, "label_names", written), *_no_class(name, classes))


def _wrong_columns(data: Data, source: Source, place: Place) -> Iterator[Wrong]:
    """Columns that the file has not; those that every source needs are the training data's where one names none."""
    own = {key: getattr(source, key) for key in ("text", "text_pair", "label", "id", "person", "domain")}
    roles = {key: column for key, column in own.items() if column is not None}
    roles |= {f"groups.{i}": column for i, column in enumerate(source.groups)}
    yield from _in_two_roles(roles, place)
    if source.file is None:
        return
    inherited = {"text": data.text or "text", "text_pair": data.text_pair, "label": data.label}
    needed = {**{key: column for key, column in inherited.items() if column is not None}, **roles}
    try:
        columns = columns_of(Path(source.file), needed.values())
    except ValueError as error:
        yield Wrong((*place, "file"), f"{error}; got '{source.file}'")
        return
    for key, column in needed.items():
        at, name = (*place, *key.split(".")), Path(source.file).name
        if column not in columns:
            near = did_you_mean(column, columns)
            yield Wrong(at, f"no column '{column}' in {name}", near or f"it has {listed(columns)}")
        elif columns.count(column) > 1:
            yield Wrong(at, f"the column '{column}' stands in {name} twice", "rename one")


def _in_two_roles(roles: dict[str, str], place: Place) -> Iterator[Wrong]:
    """A column that is the answer cannot also be asked with, or be a protected attribute."""
    taken = {roles[key]: key for key in ("text", "text_pair", "label") if key in roles}
    for key, column in roles.items():
        other = taken.get(column, key)
        if other != key:
            yield Wrong(
                (*place, *key.split(".")), f"the column '{column}' is already the {other}", "name another column"
            )


def _wrong_shares(data: Data) -> Iterator[Wrong]:
    held_out = {"validation": data.validation, "test": data.test}
    shares = {k: _SHARES[k] if v is None else v for k, v in held_out.items() if not isinstance(v, Source)}
    if sum(shares.values()) >= 1:
        written = max(shares, key=lambda key: shares[key])
        rule = f"with {' + '.join(f'{key} {share:g}' for key, share in shares.items())} held out, nothing is trained on"
        yield Wrong(("data", written), rule, "hold out less")


def _wrong_canaries(config: AuditConfig, canaries: Canaries, place: Place) -> Iterator[Wrong]:
    if canaries.kind == "mislabelled" and config.kind != "text-classification":
        yield Wrong((*place, "kind"), f"mislabelled canaries need labels, and {config.kind} has none", "use 'random'")
    if canaries.kind == "secret":
        if "{secret}" not in (canaries.template or ""):
            rule = "must have {secret} where the secret goes"
            example = "write template: such as 'the card of the customer is {secret}'"
            yield Wrong((*place, "template"), rule, example)
        if canaries.secret != "digits" and "digits" in canaries.model_fields_set:
            yield Wrong((*place, "digits"), f"is for secret: digits, and this is {canaries.secret}", "leave it out")
    else:
        for key in sorted({"template", "secret", "digits"} & canaries.model_fields_set):
            yield Wrong((*place, key), f"is for kind: secret, and this is {canaries.kind}", "leave it out")
