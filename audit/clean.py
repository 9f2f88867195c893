"""Delete what a run left behind, by sensitivity: models, data, tables, and the personal columns of its rows."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from audit.refusal import Refused
from audit.store import RunFolder, Store
from audit.units import objects_of
from probes.results import Sensitivity

Keep = Literal["public", "derived", "personal"]
_ORDER: tuple[Sensitivity, ...] = get_args(Sensitivity)


def clean(folder: RunFolder, store: Store, keep: Keep) -> list[str]:
    """Delete the objects that only this run uses, and the columns of its rows that are more sensitive than `keep`.

    Objects go with what a killed training left of them. Record, verdicts and report stay. Rows that lose a column can
    no longer be verified, and the sentences say so; a cleaned run no longer counts as a user of objects.

    Returns:
        What was deleted, a sentence each.

    Raises:
        Refused: Another run's files cannot be read, so that nobody knows what it uses; nothing is deleted then.
    """
    mine, others = objects_of(folder), _used_by_others(folder)
    _remove_leftovers(folder)
    columns = list(_columns(folder, keep))
    removed = 0
    for kind, key in (name.split("/") for name in sorted(mine - others)):
        removed += store.has(kind, key)
        store.remove(kind, key)
    folder.note_cleaned([])
    shared = f"; {len(mine & others)} are used by other runs" if mine & others else ""
    return [f"{removed} stored objects deleted (models, prepared data, tables, answers){shared}", *columns]


def _remove_leftovers(folder: RunFolder) -> None:
    """Remove the half-written files of killed processes: rows among them, with all their columns."""
    for part in list(folder.path.rglob(".*")):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _used_by_others(folder: RunFolder) -> set[str]:
    """The objects of the other runs in the same folder that were not cleaned."""
    runs = (RunFolder(path) for path in folder.path.parent.iterdir() if path.is_dir() and path != folder.path)
    try:
        return {name for run in runs if not run.cleaning.is_file() for name in objects_of(run)}
    except ValueError as error:
        raise Refused(f"nothing is deleted, since it is not known what another run uses: {error}") from error


def _columns(folder: RunFolder, keep: Keep) -> Iterator[str]:
    allowed = _ORDER[: _ORDER.index(keep) + 1]
    tampered = folder.tampered()
    for path in sorted(folder.rows.glob("*/*.parquet")):
        table = pq.read_table(path)
        away = [field.name for field in table.schema if _sensitivity(field) not in allowed]
        if away:
            name = str(path.relative_to(folder.path))
            _replace(path, table.drop_columns(away))
            if name not in tampered:  # a file that was changed before must not pass for one that was only cleaned
                folder.note_cleaned([name])
            yield f"{name}: columns {', '.join(away)} deleted; its numbers can no longer be verified"


def _sensitivity(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"sensitivity", b"derived").decode()  # type: ignore[no-any-return]


def _replace(path: Path, table: pa.Table) -> None:
    part = path.with_name(f".{path.name}")
    pq.write_table(table, part)
    part.chmod(0o600)
    part.replace(path)
