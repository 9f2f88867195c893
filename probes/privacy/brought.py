"""Members and non-members that somebody brought: rows that a model is said to be trained on, and others."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from probes.protocol import Items

_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})


def read_brought(path: Path, classes: Sequence[str]) -> Items:
    """The rows of a file as items, with `is_member` as it says.

    Args:
        path: A CSV file in UTF-8 with the columns `text` and `is_member` (true or false, 1 or 0, yes or no), and
            where they apply `text_pair`, `label` (the name of a class) and `cluster` (of near-duplicates).
        classes: The task's classes.

    Raises:
        ValueError: A column is missing, a text is empty, or `is_member` says neither.
        LookupError: A label is none of the classes, which before the data are read may not be the task's.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = list(csv.DictReader(file))
        except UnicodeDecodeError:
            raise ValueError(f"{path.name}: a file of members and others must be in UTF-8; save it so") from None
    missing = {"text", "is_member"} - set(rows[0] if rows else {})
    if missing:
        raise ValueError(f"{path.name}: members and others need text and is_member; missing {sorted(missing)}")
    for number, row in enumerate(rows, start=1):
        if not row["text"]:
            raise ValueError(f"{path.name}: every row needs a text; row {number} has none")
    names = [f"brought:{number:06d}" for number in range(len(rows))]
    columns = {
        "item_id": names,
        "cluster": _clusters([row.get("cluster") or "" for row in rows], names),
        "text": [row["text"] for row in rows],
        "is_member": np.array([_is_member(row, number, path.name) for number, row in enumerate(rows, start=1)]),
    }
    if "text_pair" in rows[0]:
        columns["text_pair"] = [row["text_pair"] or "" for row in rows]
    if "label" in rows[0] and classes:
        columns["label"] = np.array([_label(row, classes, path.name) for row in rows], dtype=np.int64)
    return Items(columns)


def _clusters(said: Sequence[str], names: Sequence[str]) -> list[str]:
    """The cluster of each row, called by its first row: what the file calls it may name somebody, and is not kept."""
    first: dict[str, str] = {}
    return [first.setdefault(cluster, name) if cluster else name for cluster, name in zip(said, names, strict=True)]


def _is_member(row: Mapping[str, str | None], number: int, name: str) -> bool:
    said = (row["is_member"] or "").strip().lower()
    if said not in _TRUE | _FALSE:
        raise ValueError(f"{name}: is_member must be true or false; row {number} says {said!r}")
    return said in _TRUE


def _label(row: Mapping[str, str], classes: Sequence[str], name: str) -> int:
    if row["label"] not in classes:
        raise LookupError(f"{name}: a label is none of the classes {', '.join(classes)}; got {row['label']!r}")
    return classes.index(row["label"])
