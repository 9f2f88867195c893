"""The records of a local file or of a hub data set, one after another, as they stand there.

Nothing is guessed: a cell of a CSV file is text, so the label "01" stays "01". A record that cannot be read does not
stop the reading; it is handed on with the reason, and `audit.data.rows` decides what becomes of it.
"""

import csv
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.settings.mistakes import columns_shown
from audit.settings.sections.data import Source

MALFORMED = "malformed line"
WRONG_ENCODING = "wrong encoding"
OVER_LONG = "over-long"

_BATCH = 1024


class DataError(ValueError):
    """The data cannot be used as the config asks; one sentence says where, why and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a source.

    Attributes:
        number: Line on which it begins (CSV, JSONL) or its row (Parquet, hub), from 1.
        cells: The asked columns that it has; bytes that are not UTF-8 stand in text as lone surrogates.
        problem: Why it could not be read; empty where it could.
    """

    number: int
    cells: Mapping[str, Any]
    problem: str = ""


def name_of(source: Source) -> str:
    """How messages call a source: the name of the file without its folder, or the hub data set with its split."""
    return Path(source.file).name if source.file is not None else f"{source.hub}[{source.split}]"


def numbered_by(source: Source) -> str:
    """What a record's number counts: "line" or "row"."""
    return "line" if Path(source.file or "").suffix.lower() in {".csv", ".jsonl"} else "row"


def records(source: Source, folder: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Record]:
    """Stream the records of a source.

    Args:
        source: A CSV, JSONL or Parquet file, or a data set on the hub.
        folder: The folder that relative files are relative to.
        required: Columns that must be there.
        optional: Columns that are handed on where they are there.

    Raises:
        DataError: The source is missing, empty or of another kind, or lacks a required column.
    """
    if (source.file is None) == (source.hub is None):
        raise DataError("a source of data needs either a file or a hub name, not both and not neither")
    if source.file is None:
        yield from _hub_records(source, required, optional)
        return
    path = folder / source.file
    readers = {".csv": _csv_records, ".jsonl": _jsonl_records, ".parquet": _parquet_records}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name}: files must end in .csv, .jsonl or .parquet; got '{path.suffix}'")
    if not path.is_file():
        raise DataError(f"{path.name}: no such file; relative names start from the folder of the config file")
    yield from reader(path, path.name, required, optional)


def _check_columns(name: str, required: Sequence[str], present: Sequence[str]) -> None:
    for column in required:
        if column not in present:
            listed = ", ".join(repr(c) for c in columns_shown(present))
            raise DataError(f"{name}: no column {column!r}; its columns are {listed}")


def _csv_records(path: Path, name: str, required: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    # surrogateescape keeps a wrong byte within its own cell, instead of losing the file at the first one.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise DataError(f"{name}: line 1: the header cannot be read ({error})") from error
        places = _places(name, header, required, optional)
        while True:
            number = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = OVER_LONG if "field larger than field limit" in str(error) else MALFORMED
                # A stray quote swallows the lines after it; they are bad rows too, or they would be lost uncounted.
                yield from (Record(line, {}, problem) for line in range(number, max(number, reader.line_num) + 1))
                continue
            if not fields:  # a blank line
                continue
            if len(fields) != len(header):
                yield Record(number, {}, MALFORMED)
            else:
                yield Record(number, {column: fields[place] for column, place in places.items()})


def _places(name: str, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    if not header:
        raise DataError(f"{name}: the file is empty; its first line must name the columns")
    if any("\0" in column or not is_utf8(column) for column in header):
        raise DataError(f"{name}: line 1: the header is not in UTF-8; save the file as UTF-8")
    _check_columns(name, required, header)
    wanted = [column for column in dict.fromkeys([*required, *optional]) if column in header]
    for column in wanted:
        if header.count(column) > 1:
            raise DataError(f"{name}: line 1: the column {column!r} stands there twice; rename one")
    return {column: header.index(column) for column in wanted}


def is_utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8: it has no lone surrogate, be it from a wrong byte or from an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _jsonl_records(path: Path, name: str, required: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    unseen, known = set(required), dict[str, None]()
    wanted = dict.fromkeys([*required, *optional])
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            cells = _json_object(line)
            if cells is None:
                yield Record(number, {}, MALFORMED if is_utf8(line) else WRONG_ENCODING)
                continue
            known = known or dict.fromkeys(cells)
            unseen.difference_update(cells)
            yield Record(number, {column: cells[column] for column in wanted if column in cells})
    if unseen and known:  # no object has it: a misspelt name, not missing values
        _check_columns(name, sorted(unseen), list(known))


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # ValueError: no JSON, or a number of thousands of digits
        return None
    return value if isinstance(value, dict) else None


def _parquet_records(path: Path, name: str, required: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(name, required, names)
            wanted = [column for column in dict.fromkeys([*required, *optional]) if column in names]
            yield from _arrow_records(file.iter_batches(_BATCH, columns=wanted))
    except pa.ArrowException as error:
        raise DataError(f"{name}: not a readable Parquet file; write it anew") from error


def _arrow_records(batches: Iterator[pa.RecordBatch] | Iterator[pa.Table]) -> Iterator[Record]:
    number = 0
    for batch in batches:
        columns = {column: _cells(batch.column(column)) for column in batch.schema.names}
        for row in range(batch.num_rows):
            number += 1
            yield Record(number, {column: cells[row] for column, cells in columns.items()})


def _cells(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    # As bytes, for Parquet does not promise that its text is UTF-8.
    cells = column.cast(pa.large_binary()).to_pylist()
    return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells]


def _hub_records(source: Source, required: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    name = name_of(source)
    if not re.fullmatch(r"[0-9a-f]{40}", source.revision or ""):
        raise DataError(
            f"{name}: revision must be a commit hash of 40 hex digits, for a branch may move; got {source.revision!r}"
        )
    if Path(str(source.hub)).exists():
        raise DataError(f"{name}: a local folder of that name stands in the way of the hub; start from another folder")
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would report the use of the data set
    with tempfile.TemporaryDirectory(prefix="audit-hub-") as cache:
        try:
            rows = datasets.load_dataset(
                source.hub, source.subset, split=source.split, revision=source.revision, cache_dir=cache
            )
        except (OSError, ValueError) as error:  # not there, not reachable, no such subset or split
            raise DataError(f"{name}: could not be fetched from the hub ({type(error).__name__}: {error})") from error
        _check_columns(name, required, rows.column_names)
        wanted = [column for column in dict.fromkeys([*required, *optional]) if column in rows.column_names]
        yield from _arrow_records(rows.select_columns(wanted).with_format("arrow").iter(_BATCH))
