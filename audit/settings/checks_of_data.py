"""Whether the data section says where each row comes from, and the files it names hold what it says."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from audit.settings.checks import Check, below
from audit.settings.checks_of_arms import NAME
from audit.settings.checks_of_models import wrong_revision
from audit.settings.checks_of_task import classes_of, no_class
from audit.settings.config import AuditConfig
from audit.settings.inspection import columns_of, rows_of
from audit.settings.mistakes import Place, Wrong, columns_shown, did_you_mean, listed
from audit.settings.sections.data import Canaries, Data, Source

_SHARES = {"validation": 0.1, "test": 0.2}
"""What is held out where the config is silent."""

_DATA: Place = ("data",)
_TRAINING = below(_DATA, Source.model_fields)
"""The settings of the training data themselves."""
_KIND: tuple[Place, ...] = (("task", "kind"), (*_DATA, "label"), (*_DATA, "world"))
_CLASSES: tuple[Place, ...] = (("task", "classes"), (*_DATA, "label_names"), *_KIND)
_ROLES = ("text", "text_pair", "label", "id", "person", "domain")
"""What a column can be besides a group; of two the same column, the first keeps it."""
_SECRETS = {"phone": 80_000, "card": 10**9}
"""How many different secrets there are of some kinds."""


def checks_of_data(config: AuditConfig) -> Iterator[Check]:
    """The checks of the data section and the files it names."""
    data = config.data
    yield Check((*_TRAINING, (*_DATA, "world")), partial(_wrong_origin, data, _DATA))
    yield Check((*_TRAINING, *_KIND), partial(_of_no_use, config))
    if data.world is not None:
        yield Check((_DATA,), partial(_brought_by_the_world, data))
    else:
        for place, source in _sources(data):
            reads = (*_TRAINING, *([place] if place != _DATA else []))
            if source is not data:
                yield Check(reads, partial(_wrong_origin, source, place))
            yield Check((*reads, *_CLASSES), partial(_wrong_labels, config, source, place))
            yield Check(reads, partial(_wrong_columns, data, source, place))
        yield Check(((*_DATA, "domains"),), partial(_wrong_domains, data))
        yield Check(below(_DATA, ["domain", "in_domain"]), partial(_wrong_in_domain, data))
        yield Check(below(_DATA, _SHARES), partial(_wrong_shares, data))
    for i, canaries in enumerate(data.canaries):
        yield Check(((*_DATA, "canaries"), *_KIND), partial(_wrong_canaries, config, canaries, (*_DATA, "canaries", i)))


def bounds_on_units(config: AuditConfig) -> tuple[int, int | None]:
    """The fewest and the most examples that an arm is trained on, as far as that can be told before they are read.

    Counted are the rows of the file, and only where an arm is private, for which alone it matters. At least so many are
    trained on as are not held out, where none can be left out; where nothing is known, at least 0 and at most None.
    """
    data = config.data
    if data.world is not None:
        return data.world.core + data.world.pool, data.world.core + data.world.pool
    if all(arm.privacy is None for arm in config.arms.values()):
        return 0, None
    counted = rows_of(Path(data.file)) if data.file is not None else None
    rows = min((n for n in (counted, data.limit) if n is not None), default=None)
    if counted is None or rows is None:
        return 0, rows
    held_out = sum(max(1, round(share * rows)) for share in _shares(data).values())
    may_shrink = data.bad_rows == "skip" or data.domain is not None
    return 0 if may_shrink else max(0, rows - held_out), rows


def _of_no_use(config: AuditConfig) -> Iterator[Wrong]:
    """Columns that a language model is not trained on."""
    if config.kind != "text-classification":
        for place, source in _sources(config.data):
            for key in sorted({"label", "text_pair"} & source.model_fields_set):
                if getattr(source, key) is not None:
                    rule = f"is for text-classification, and this is {config.kind}"
                    yield Wrong((*place, key), rule, "leave it out")


def _brought_by_the_world(data: Data) -> Iterator[Wrong]:
    for key in sorted(data.model_fields_set - {"world", "canaries"}):
        if key not in {"file", "hub"}:  # which `_wrong_origin` says
            rule = "the embedded world brings data of its own, and this changes nothing in them"
            yield Wrong((*_DATA, key), rule, "leave it out")


def _wrong_domains(data: Data) -> Iterator[Wrong]:
    for name, source in data.domains.items():
        place: Place = (*_DATA, "domains", name)
        if not NAME.fullmatch(name):
            yield Wrong(place, "a domain's name must be of letters, digits, '_', '-' and '.'")
        if source.domain is not None:
            yield Wrong((*place, "domain"), "all rows of this source are of one domain", "leave it out")


def _wrong_in_domain(data: Data) -> Iterator[Wrong]:
    if data.in_domain is not None and data.domain is None:
        yield Wrong((*_DATA, "in_domain"), "is a value of the domain column, and none is named", "add data.domain")


def _sources(data: Data) -> Iterator[tuple[Place, Source]]:
    yield _DATA, data
    for name, held_out in (("validation", data.validation), ("test", data.test)):
        if isinstance(held_out, Source):
            yield (*_DATA, name), held_out
    for name, domain in data.domains.items():
        yield (*_DATA, "domains", name), domain


def _wrong_origin(source: Source, place: Place) -> Iterator[Wrong]:
    world = source.world if isinstance(source, Data) else None
    given = [key for key, value in (("file", source.file), ("hub", source.hub), ("world", world)) if value is not None]
    if len(given) != 1:
        choices = "file, hub or world" if isinstance(source, Data) else "file or hub"
        yield Wrong(place, f"must name one of {choices}; got {listed(given)}")
    if source.hub is not None:
        if source.revision is None:
            rule = f"'{source.hub}' on the hub needs a pinned revision, or what is audited could change"
            yield Wrong((*place, "revision"), rule, "write the 40 hex digits of its commit")
        yield from wrong_revision(source.revision, place)
        return
    for key in sorted({"revision", "subset", "split"} & source.model_fields_set):
        yield Wrong((*place, key), "is for data from the hub", "leave it out")


def _wrong_labels(config: AuditConfig, source: Source, place: Place) -> Iterator[Wrong]:
    if source.label_names is None:
        return
    if source.label is None and config.data.label is None:
        yield Wrong((*place, "label_names"), "name the values of a label column, and none is named", "add data.label")
    classes = classes_of(config)
    for written, name in source.label_names.items():
        if classes is not None and name not in classes:
            yield Wrong((*place, "label_names", written), *no_class(name, classes))


def _wrong_columns(data: Data, source: Source, place: Place) -> Iterator[Wrong]:
    """Columns that the file has not; those that every source needs are the training data's where one names none."""
    roles = {key: column for key in _ROLES if (column := getattr(source, key)) is not None}
    roles |= {f"groups.{i}": column for i, column in enumerate(source.groups)}
    yield from _in_two_roles(roles, _lent(data, source, place), place)
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
            yield Wrong(at, f"no column '{column}' in {name}", near or f"it has {listed(columns_shown(columns))}")
        elif columns.count(column) > 1:
            yield Wrong(at, f"the column '{column}' stands in {name} twice", "rename one")


def _lent(data: Data, source: Source, place: Place) -> dict[str, str]:
    """The training data's columns that a source takes over where it names none; all of a domain's are of one domain."""
    keys = [key for key in _ROLES if not (key == "domain" and "domains" in place)]
    lent = {key: getattr(data, key) or ("text" if key == "text" else None) for key in keys}
    if "groups" not in source.model_fields_set:
        lent |= {f"groups.{i}": column for i, column in enumerate(data.groups)}
    return {key: column for key, column in lent.items() if column is not None}


def _in_two_roles(own: dict[str, str], lent: dict[str, str], place: Place) -> Iterator[Wrong]:
    """A column has one role: names of groups, domains and classes are shown, texts, identifiers and persons never."""
    roles = {**lent, **own}
    taken: dict[str, str] = {}
    for key in sorted(roles, key=lambda key: _ROLES.index(key) if key in _ROLES else len(_ROLES)):
        first = taken.setdefault(roles[key], key)
        if first != key and (key in own or first in own):
            at, other = (key, first) if key in own else (first, key)
            role = "a group" if other.startswith("groups.") else f"the {other}"
            yield Wrong((*place, *at.split(".")), f"the column '{roles[key]}' is already {role}", "name another column")


def _shares(data: Data) -> dict[str, float]:
    """The shares of the training data that are held out."""
    held_out = {"validation": data.validation, "test": data.test}
    return {k: _SHARES[k] if v is None else v for k, v in held_out.items() if not isinstance(v, Source)}


def _wrong_shares(data: Data) -> Iterator[Wrong]:
    shares = _shares(data)
    if sum(shares.values()) >= 1:
        written = max(shares, key=lambda key: shares[key])
        rule = f"with {' + '.join(f'{key} {share:g}' for key, share in shares.items())} held out, nothing is trained on"
        yield Wrong((*_DATA, written), rule, "hold out less")


def _wrong_canaries(config: AuditConfig, canaries: Canaries, place: Place) -> Iterator[Wrong]:
    kind = canaries.kind
    if kind == "mislabelled" and config.kind != "text-classification":
        yield Wrong((*place, "kind"), f"mislabelled canaries need labels, and {config.kind} has none", "use 'random'")
    if kind in {"random", "mislabelled", "new_token"} and config.data.world is not None:
        rule = f"the embedded world knows no words but its own, and {kind} canaries have others"
        yield Wrong((*place, "kind"), rule, "use 'secret', 'in_distribution' or 'random_suffix'")
    if kind == "secret":
        yield from _wrong_secrets(config, canaries, place)
        return
    if kind != "random":
        yield from _too_many(config, canaries, place)
    for key in sorted({"template", "templates", "secret", "digits"} & canaries.model_fields_set):
        yield Wrong((*place, key), f"is for kind: secret, and this is {kind}", "leave it out")
    if "references" in canaries.model_fields_set and kind in {"random", "mislabelled"}:
        rule = f"is for kinds that are ranked (secret, in_distribution, random_suffix, new_token), and this is {kind}"
        yield Wrong((*place, "references"), rule, "leave it out")


def _too_many(config: AuditConfig, canaries: Canaries, place: Place) -> Iterator[Wrong]:
    """More canaries than there are rows to make one of each; how many can be used is told when they are read."""
    data = config.data
    if data.world is not None:
        rows: int | None = data.world.core
    else:
        rows = rows_of(Path(data.file)) if data.file is not None else None
    if rows is not None and canaries.count > rows:
        rule = f"each of {canaries.count:,} {canaries.kind} canaries is made of a training text of its own, and there"
        yield Wrong((*place, "count"), f"{rule} are {rows:,} rows", "lower it")


def _wrong_secrets(config: AuditConfig, canaries: Canaries, place: Place) -> Iterator[Wrong]:
    yield from _wrong_sentences(config, canaries, place)
    if canaries.secret != "digits" and "digits" in canaries.model_fields_set:
        yield Wrong((*place, "digits"), f"is for secret: digits, and this is {canaries.secret}", "leave it out")
    if config.data.world is not None and canaries.secret not in {"digits", "card"}:
        rule = f"the embedded world knows no words but its own, and a {canaries.secret} has others"
        yield Wrong((*place, "secret"), rule, "use 'digits' or 'card'")
    there_are = 10**canaries.digits if canaries.secret == "digits" else _SECRETS.get(canaries.secret)
    needed = -(-canaries.count // max(1, len(canaries.templates))) + canaries.references
    if there_are is not None and needed > there_are:
        key = "digits" if canaries.secret == "digits" else "references"
        rule = f"{needed:,} different secrets are needed, references included, and there are {there_are:,}"
        remedy = "raise digits, or lower count or references" if key == "digits" else "lower count or references"
        yield Wrong((*place, key), rule, remedy)


def _wrong_sentences(config: AuditConfig, canaries: Canaries, place: Place) -> Iterator[Wrong]:
    """Whether each sentence has one place for a secret, and each entry its sentences from one setting."""
    template, templates = canaries.template, canaries.templates
    if template is not None and templates:
        yield Wrong((*place, "templates"), "stands beside template, and one of them is enough", "leave one of them out")
        return
    given: list[tuple[Place, str | None]] = [((*place, "templates", i), text) for i, text in enumerate(templates)]
    for at, text in given or [((*place, "template"), template)]:
        found = 0 if text is None else text.count("{secret}")
        if found != 1 and not (text is None and config.data.world is not None):
            rule = f"must have {{secret}} once, where the secret goes; it stands there {found} times"
            yield Wrong(at, rule, "write template: such as 'the card of the customer is {secret}'")
    if len(set(templates)) < len(templates):
        yield Wrong((*place, "templates"), "two of them are the same", "leave one out")
    if len(templates) > canaries.count:
        rule = f"{len(templates):,} texts for a count of {canaries.count:,} leave some without a secret"
        yield Wrong((*place, "templates"), rule, "raise count")
