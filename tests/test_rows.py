"""Columns of rows come back from Arrow as they went in."""

import numpy as np
import pyarrow as pa
import pytest

from probes.protocol import Rows

LISTS = [[1.5, 2.5], [], None, [3.5], [4.5, 5.5, 6.5], None]


def read(column: pa.ChunkedArray | pa.Array) -> list[list[float] | None]:
    found = Rows.from_arrow(pa.table({"scores": column}))["scores"]
    return [None if values is None else values.tolist() for values in found]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32())])
def test_lists_come_back_each_as_an_array_and_missing_ones_as_none(kind):
    assert read(pa.array(LISTS, kind)) == LISTS


def test_lists_in_several_parts_come_back_in_their_order():
    parts = [pa.array(LISTS[:2], pa.list_(pa.float64())), pa.array([], pa.list_(pa.float64()))]
    assert read(pa.chunked_array([*parts, pa.array(LISTS[2:], pa.list_(pa.float64()))])) == LISTS


def test_a_part_of_a_column_of_lists_is_that_part():
    assert read(pa.array(LISTS, pa.list_(pa.float64())).slice(2, 3)) == LISTS[2:5]


def test_no_lists_are_no_rows():
    assert read(pa.array([], pa.list_(pa.float64()))) == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[True, False], [True]], pa.bool_()), ([[3, 1], [2]], pa.int32()), ([["a"], ["b", "c"]], pa.string())],
)
def test_lists_keep_what_they_hold(values, kind):
    rows = Rows.from_arrow(pa.table({"lists": pa.array(values, pa.list_(kind))}))
    assert [each.tolist() for each in rows["lists"]] == values
    assert Rows.from_arrow(rows.to_arrow())["lists"][0].tolist() == values[0]


def test_the_lists_of_a_part_lie_in_one_array():
    first, second = Rows.from_arrow(pa.table({"scores": pa.array([[1.0, 2.0], [3.0]])}))["scores"]
    assert np.shares_memory(first.base if first.base is not None else first, second.base)
