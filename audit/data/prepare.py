"""From a config to the data of its audit: read, cluster, split, toss the coins, make the canaries."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from audit.data.canaries import DEFAULT, make_canaries
from audit.data.clusters import first_seen, near_duplicates
from audit.data.coins import commitment, pseudonym
from audit.data.division import audit_pool, held_out, linked_units, units_of
from audit.data.files import DataError
from audit.data.quality import data_quality
from audit.data.rows import NOBODY, UNKNOWN, Row
from audit.data.sources import HELD_OUT, TRAIN, Part, read_all
from audit.data.splits import Splits, stack
from audit.data.unused_words import unused_words
from audit.settings.config import AuditConfig
from audit.settings.sections.data import Source
from probes.privacy.personal import naming
from probes.protocol import Array, Items

SHARES = {"test": 0.2, "validation": 0.1}
"""What is held out where the config is silent."""


def prepare(
    config: AuditConfig,
    *,
    base_folder: Path,
    salt: str,
    canaries_wanted: bool,
    progress: Callable[[str], None] | None = None,
) -> Splits:
    """Prepare the data of an audit; the same files, config and salt give the same splits.

    Args:
        config: The audit.
        base_folder: The folder that relative files are relative to.
        salt: What identifiers are hashed with; whoever has it can tell by trying which identifiers are in the data.
        canaries_wanted: Plant 200 canaries where the config names none: random ones, in the embedded world secrets.
        progress: Told in a sentence what is done next.

    Raises:
        DataError: The data cannot be used as the config asks.
    """
    if config.data.world is not None:
        from audit.world.splits import splits

        return splits(config, salt=salt, canaries_wanted=canaries_wanted)
    say = progress or (lambda sentence: None)
    parts, classes = read_all(config, base_folder, say)
    say("looking for near-duplicates")
    items = _items(config, parts, classes, salt)
    say("splitting, and tossing the coins")
    named, domains = _by_domain(config, items)
    named = _split(config, named)
    units = _units(named[TRAIN])
    train, pool = _with_coins(config, named[TRAIN], units)
    canaries, references = _canaries(
        config, train, (*named.values(), *domains.values()), len(classes), salt, canaries_wanted
    )
    held = {name: named[name] for name in HELD_OUT}
    quality = data_quality(
        train=train,
        pool=pool,
        domains=domains,
        canaries=canaries,
        groups=config.data.groups,
        notes=(*_notes(parts, items, named), *_heaviest(units)),
        **(held | _counts(parts)),
    )
    held, domains = _by_unit(held, domains)
    return Splits(
        train=train,
        pool=pool,
        domains=domains,
        canaries=canaries,
        canary_references=references,
        classes=classes,
        groups=config.data.groups,
        quality=quality,
        commitment=commitment(salt, pool, canaries),
        **held,
    )


def _canaries(
    config: AuditConfig, train: Items, audit: Sequence[Items], classes: int, salt: str, wanted: bool
) -> tuple[Items | None, Items | None]:
    """What is planted, and what it is ranked among; made of the training rows outside the pool."""
    return make_canaries(
        config.data.canaries or ((DEFAULT,) if wanted else ()),
        train.take(~train["in_pool"]),
        classes=classes,
        seed=config.seeds.coins,
        salt=salt,
        known=(text for rows in audit for text in rows["text"]),
        unused=lambda others: _unused(config, audit, others),
    )


def _unused(config: AuditConfig, audit: Iterable[Items], others: Iterable[str]) -> list[str]:
    """The unused words of the model's vocabulary, but for those in or around a text that is classified by a word.

    None stands in the prompt within a word either, so that what stands at the end of a text stands nowhere before it.
    """
    said = (text for rows in audit for column in ("text", "text_pair") if column in rows for text in rows[column])
    prompt = config.task.prompt or ""
    around = (prompt, *(config.task.label_words or {}).values())
    return [word for word in unused_words(config.model, chain(said, around, others)) if word not in prompt]


def _counts(parts: Mapping[str, Part]) -> dict[str, Any]:
    """How many records were read, and how many were bad, by reason."""
    readings = [part.reading for part in parts.values()]
    bad = sum((reading.bad for reading in readings), Counter[str]())
    return {"read": sum(reading.read for reading in readings), "bad": bad}


def _items(config: AuditConfig, parts: Mapping[str, Part], classes: Sequence[str], salt: str) -> dict[str, Items]:
    """The rows of every source as items; near-duplicates share a cluster across sources too."""
    texts = [_said(row.text, row.text_pair) for part in parts.values() for row in part.reading.rows]
    origins = [place for place, part in enumerate(parts.values()) for _ in part.reading.rows]
    near = config.data.near_duplicates
    clusters = near_duplicates(texts, origins, threshold=near.threshold, boilerplate=near.boilerplate)
    names, items, start = _numbered("c", clusters), {}, 0
    for name, part in parts.items():
        rows = part.reading.rows
        columns = {
            "item_id": [pseudonym(salt, name, *_identity(row)) for row in rows],
            "cluster": names[start : start + len(rows)],
            **_columns(name, part, classes, salt),
        }
        absent = {f"group:{group}": [UNKNOWN] * len(rows) for group in config.data.groups}
        items[name] = Items({**columns, **{c: v for c, v in absent.items() if c not in columns}})
        start += len(rows)
    return items


def _identity(row: Row) -> tuple[str, str | int]:
    return ("row", row.number) if row.identifier is None else ("id", row.identifier)


def _columns(name: str, part: Part, classes: Sequence[str], salt: str) -> dict[str, Any]:
    """The columns that the source has."""
    source, rows, present = part.source, part.reading.rows, part.reading.present
    columns: dict[str, Any] = {"text": [row.text for row in rows]}
    if source.text_pair is not None:
        columns["text_pair"] = [row.text_pair for row in rows]
    if source.label is not None:
        index = {label: number for number, label in enumerate(classes)}
        columns["label"] = np.array([index[row.label or ""] for row in rows], dtype=np.int64)
    if source.person in present:
        columns["person"] = [_person(name, row, salt) for row in rows]
        columns["person_named"] = [naming(row.text, row.person) if row.person else "" for row in rows]
    if name.startswith("domain:"):
        columns["domain"] = [name.removeprefix("domain:")] * len(rows)
    elif source.domain in present:
        columns["domain"] = [row.domain or UNKNOWN for row in rows]
    for place, group in enumerate(source.groups):
        columns[f"group:{group}"] = [row.groups[place] for row in rows]
    return columns


def _person(name: str, row: Row, salt: str) -> str:
    """The person's pseudonym, the same in every source; a row that names nobody is a person of its own."""
    if row.person is None:
        return NOBODY + pseudonym(salt, "nobody", name, row.number)
    return pseudonym(salt, "person", row.person)


def _said(text: str, pair: str | None) -> str:
    return text if pair is None else f"{text}\n{pair}"


def _numbered(letter: str, numbers: Array) -> Array:
    """Names that sort like the numbers, and tell nothing else."""
    return np.array([f"{letter}{number:07d}" for number in numbers], dtype=object)


def _by_domain(config: AuditConfig, items: Mapping[str, Items]) -> tuple[dict[str, Items], dict[str, Items]]:
    """The rows of the training domain by source, and all others by domain, which are only tested on.

    Rows of other domains in a validation source are used for neither.
    """
    domains = {name.removeprefix("domain:"): rows for name, rows in items.items() if name.startswith("domain:")}
    named = {name: rows for name, rows in items.items() if not name.startswith("domain:")}
    if "domain" not in items[TRAIN]:
        return named, domains
    inside = config.data.in_domain or _most_frequent(items[TRAIN]["domain"])
    others: dict[str, list[Items]] = {}
    for name, rows in named.items():
        if "domain" in rows:
            named[name] = rows.take(rows["domain"] == inside)
            if named[name].n == 0:
                raise DataError(f"data.in_domain: no row of the {name} data is of the domain {inside!r}")
            for domain in sorted(set(rows["domain"]) - {inside}) if name != "validation" else ():
                others.setdefault(domain, []).append(rows.take(rows["domain"] == domain))
    for domain, found in others.items():
        if domain in domains:
            raise DataError(f"data.domains: {domain!r} is also a value of the domain column; choose another name")
        domains[domain] = stack(found)
    return named, domains


def _most_frequent(values: Array) -> str:
    """The most frequent value; of several the first in the alphabet."""
    counts: Counter[str] = Counter(values.tolist())
    return min(counts, key=lambda value: (-counts[value], value))


def _units(rows: Items) -> Array:
    pairs = rows["text_pair"] if "text_pair" in rows else [None] * rows.n
    said = [_said(text, pair) for text, pair in zip(rows["text"], pairs, strict=True)]
    return units_of(rows["cluster"], rows["person"].tolist() if "person" in rows else None, said)


def _split(config: AuditConfig, named: Mapping[str, Items]) -> dict[str, Items]:
    """Hold out shares of the training data where no source of their own is given, test before validation."""
    rows = named[TRAIN]
    units = _units(rows)
    sizes = np.bincount(units)
    _refuse_too_few(config, len(sizes))
    free = np.ones(len(sizes), dtype=bool)
    split = dict(named)
    for name, default in SHARES.items():
        share = getattr(config.data, name)
        if not isinstance(share, Source):
            taken = held_out(sizes, free, default if share is None else share, name)
            free &= ~taken
            split[name] = rows.take(taken[units])
    _refuse_too_few(config, int(free.sum()))
    return {**split, TRAIN: rows.take(free[units])}


def _refuse_too_few(config: AuditConfig, units: int) -> None:
    least = config.data.minimum_units
    if units < least:
        raise DataError(
            f"data: of independent units to train on there are {units:,}, fewer than data.minimum_units, {least:,}; add"
            " rows, hold out less, or lower it"
        )


def _with_coins(config: AuditConfig, train: Items, units: Array) -> tuple[Items, Items]:
    """The training data with `in_pool`, and the pool with `is_member`, clustered by the unit of its coins."""
    in_pool, is_member = audit_pool(np.bincount(units), config.data.pool, config.seeds.coins)
    train = train.assign(in_pool=in_pool[units])
    mine = units[train["in_pool"]]
    pool = train.take(train["in_pool"]).drop(["in_pool"])
    return train, Items({**pool, "cluster": _numbered("u", first_seen(mine.tolist())), "is_member": is_member[mine]})


def _by_unit(held: Mapping[str, Items], domains: Mapping[str, Items]) -> tuple[dict[str, Items], dict[str, Items]]:
    """What is asked of rows that were held out, clustered by unit: all rows of a person are one piece of evidence."""
    parts = {**held, **{f"domain:{name}": rows for name, rows in domains.items()}}
    if any("person" in rows for rows in parts.values()):
        for name, units in zip(parts, linked_units(list(parts.values())), strict=True):
            parts[name] = parts[name].assign(cluster=_numbered("p", units))
    return {name: parts[name] for name in held}, {name: parts[f"domain:{name}"] for name in domains}


def _notes(parts: Mapping[str, Part], items: Mapping[str, Items], named: Mapping[str, Items]) -> Iterator[str]:
    """Sentences on how the data were prepared, without a word of theirs."""
    for name, part in parts.items():
        reading = part.reading
        if reading.of > reading.read:
            yield f"{reading.read:,} of the {reading.of:,} rows of {name} were drawn and read, as the limit says"
        lacking = [group for group in part.source.groups if group not in reading.present]
        if lacking:
            yield f"{name} has no column for {', '.join(lacking)}; its rows count as unknown there"
        nobody = sum(row.person is None for row in reading.rows)
        if "person" in items[name] and nobody:
            yield f"{nobody:,} rows of {name} name no person; each counts as a person of its own"
    left_out = items["validation"].n - named["validation"].n if "validation" in items else 0
    if left_out:
        yield f"{left_out:,} rows of validation are of other domains than the training data and were left out"


def _heaviest(units: Array) -> Iterator[str]:
    rows = int(np.bincount(units).max())
    if rows > len(units) / 10:
        yield (
            f"{rows:,} of the {len(units):,} training rows are one independent unit, linked by near-duplicates or"
            " persons; it gets no coin"
        )
