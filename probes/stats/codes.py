"""Dense integer codes of a column: each distinct value once, and which of them each row has.

A cluster bootstrap asks for functions of the same columns a thousand times. Sorting a column is most of that work, so
the codes of a read-only column are kept for as long as the column lives.
"""

import weakref
from dataclasses import dataclass

import numpy as np

from probes.protocol import Array


@dataclass(frozen=True, eq=False)
class Codes:
    """A column taken apart.

    Attributes:
        values: The distinct values in ascending order, shape (K,).
        index: Position of each row's value among them, shape (N,); `values[index]` is the column.
    """

    values: Array
    index: Array


_kept: dict[int, tuple[weakref.ref[Array], Codes]] = {}


def codes(column: Array) -> Codes:
    """The codes of a column, computed once for a read-only array."""
    if column.flags.writeable:
        return _take_apart(column)
    key = id(column)
    kept = _kept.get(key)
    if kept is not None and kept[0]() is column:
        return kept[1]
    result = _take_apart(column)
    _kept[key] = (weakref.ref(column, lambda _: _kept.pop(key, None)), result)
    return result


def read_only(column: Array) -> Array:
    """A view of the same values that cannot be written through, so that its codes may be kept."""
    view = column.view()
    view.flags.writeable = False
    return view


def _take_apart(column: Array) -> Codes:
    values, index = np.unique(column, return_inverse=True)
    return Codes(values, index)
