"""From the records of a source to rows that can be used, and a count of those that cannot.

Everything is read as text. Spaces around labels, identifiers, persons, domains and groups are dropped; texts stay
as they are, character for character.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audit.data.files import (
    MALFORMED,
    OVER_LONG,
    WRONG_ENCODING,
    DataError,
    Record,
    is_utf8,
    name_of,
    numbered_by,
    records,
)
from audit.settings.sections.data import Source

LONGEST_TEXT = 100_000
"""Texts of more characters than this are bad rows ("over-long")."""

NOBODY = "nobody-"
"""What the name of a row's own person begins with where the row names none."""

UNKNOWN = "unknown"
"""The group of a row that states none."""

_SHOWN = 5


class Row(NamedTuple):
    """A usable row; None stands for what the source does not state.

    Attributes:
        number: Its line or row in the source, from 1.
        text: Its text, never blank.
        text_pair: Its second text.
        label: The name of its class.
        identifier: Its identifier, unique within the source.
        person: The person it belongs to.
        domain: Its domain.
        groups: Its group by each mapped attribute; "unknown" where it states none.
    """

    number: int
    text: str
    text_pair: str | None
    label: str | None
    identifier: str | None
    person: str | None
    domain: str | None
    groups: tuple[str, ...]


@dataclass(kw_only=True)
class Reading:
    """What came of reading a source.

    Attributes:
        name: How messages call the source.
        rows: The usable rows, in the source's order.
        present: The mapped columns that the source has.
        read: Number of records read, bad ones included.
        of: Number of records in the source; more than `read` where a limit draws from them.
        bad: Records left out, by reason.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    read: int = 0
    of: int = 0
    bad: Counter[str] = field(default_factory=Counter)


class _BadRow(Exception):  # noqa: N818 - it is no error: the row is counted under these words
    """Raised with the reason why a row cannot be used."""


def read(
    source: Source,
    folder: Path,
    *,
    classes: tuple[str, ...] | None = None,
    optional: frozenset[str] = frozenset(),
    skip: bool = False,
) -> Reading:
    """Read a source and check every row.

    A row is bad for the first of these reasons that applies: "malformed line" (broken JSON, too few or too many
    cells, a list where text should be), "wrong encoding" (not UTF-8), "missing text", "empty text" (nothing but white
    space), "over-long" (more than `LONGEST_TEXT` characters), "missing label", "unknown label", "missing id",
    "repeated id".

    Args:
        source: What to read, and which column is what.
        folder: The folder that relative files are relative to.
        classes: The classes that labels must be among; None where any will do.
        optional: Mapped columns that need not be in the source.
        skip: Leave bad rows out and count them, rather than refuse the source.

    Raises:
        DataError: The source cannot be read, has a bad row and `skip` is false, or has no usable row.
    """
    named = [source.text, source.text_pair, source.label, source.id, source.person, source.domain, *source.groups]
    mapped = dict.fromkeys(column for column in named if column is not None)
    required = [column for column in mapped if column not in optional]
    reading = Reading(name=name_of(source))
    first_bad: list[str] = []
    identifiers: set[str] = set()
    for record in _drawn(records(source, folder, required, sorted(optional & set(mapped))), source.limit, reading):
        reading.read += 1
        try:
            row = _row(record, source, classes, optional)
            if row.identifier in identifiers:
                raise _BadRow("repeated id")
        except _BadRow as reason:
            reading.bad[str(reason)] += 1
            if len(first_bad) < _SHOWN:
                first_bad.append(f"{numbered_by(source)} {record.number}: {reason}")
            continue
        reading.rows.append(row)
        reading.present.update(record.cells)
        if row.identifier is not None:
            identifiers.add(row.identifier)
    if first_bad and not skip:
        raise DataError(_refusal(reading, first_bad))
    if not reading.rows:
        raise DataError(
            f"{reading.name}: none of its {reading.read:,} rows can be used; check the file and its columns"
        )
    return reading


def _drawn(stream: Iterable[Record], limit: int | None, reading: Reading) -> Iterator[Record]:
    """All records, or as many as the limit drawn evenly in one pass (Vitter's algorithm R), in the source's order."""
    rng = np.random.default_rng(0)  # whatever the seeds of the run: the same rows are tried out each time
    kept: list[Record] = []
    for record in stream:
        reading.of += 1
        if limit is None:
            yield record
        elif len(kept) < limit:
            kept.append(record)
        elif (place := int(rng.integers(reading.of))) < limit:
            kept[place] = record
    yield from sorted(kept, key=lambda record: record.number)


def _refusal(reading: Reading, first_bad: list[str]) -> str:
    count = reading.bad.total()
    more = f"; and {count - len(first_bad):,} more" if count > len(first_bad) else ""
    return (
        f"{reading.name}: {count:,} of {reading.read:,} rows cannot be used ({'; '.join(first_bad)}{more}); mend them,"
        " or leave them out with data.bad_rows: skip"
    )


def _row(record: Record, source: Source, classes: tuple[str, ...] | None, optional: frozenset[str]) -> Row:
    if record.problem:
        raise _BadRow(record.problem)
    cells = {column: _as_text(cell) for column, cell in record.cells.items()}
    if not all(is_utf8(cell) for cell in cells.values() if cell is not None):
        raise _BadRow(WRONG_ENCODING)
    row = Row(
        number=record.number,
        text=_text(cells, source.text),
        text_pair=None if source.text_pair is None else _text(cells, source.text_pair),
        label=None if source.label is None else _label(cells, source, classes),
        identifier=_word(cells, source.id),
        person=_word(cells, source.person),
        domain=_word(cells, source.domain),
        groups=tuple(_word(cells, group) or UNKNOWN for group in source.groups),
    )
    if source.id is not None and row.identifier is None and source.id not in optional:
        raise _BadRow("missing id")
    return row


def _as_text(cell: Any) -> str | None:
    """The cell as text: whole numbers without a decimal point, truth values in lower case, NaN as missing."""
    match cell:
        case None | str():
            return cell
        case bool():
            return str(cell).lower()
        case float() if cell != cell:
            return None
        case float() if cell.is_integer():
            return str(int(cell))
        case bytes():
            return cell.decode("utf-8", "surrogateescape")
        case list() | dict() | tuple():
            raise _BadRow(MALFORMED)
        case _:
            return str(cell)


def _text(cells: Mapping[str, str | None], column: str | None) -> str:
    text = None if column is None else cells.get(column)
    if text is None:
        raise _BadRow("missing text")
    if not text.strip():
        raise _BadRow("empty text")
    if len(text) > LONGEST_TEXT:
        raise _BadRow(OVER_LONG)
    return text


def _word(cells: Mapping[str, str | None], column: str | None) -> str | None:
    value = None if column is None else cells.get(column)
    return value.strip() or None if value is not None else None


def _label(cells: Mapping[str, str | None], source: Source, classes: tuple[str, ...] | None) -> str:
    label = _word(cells, source.label)
    if label is None:
        raise _BadRow("missing label")
    name = label if source.label_names is None else source.label_names.get(label)
    if name is None or (classes is not None and name not in classes):
        raise _BadRow("unknown label")
    return name
