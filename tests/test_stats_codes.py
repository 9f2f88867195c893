import gc

import numpy as np

from probes.stats import codes as module
from probes.stats.codes import codes, read_only


def test_values_at_the_index_are_the_column():
    column = np.array(["b", "a", "b", "c"], dtype=object)
    found = codes(column)

    assert found.values.tolist() == ["a", "b", "c"]
    assert found.values[found.index].tolist() == column.tolist()


def test_a_read_only_column_is_taken_apart_once():
    column = read_only(np.array([3.0, 1.0, 3.0]))

    assert codes(column) is codes(column)


def test_a_column_that_can_change_is_taken_apart_anew():
    column = np.array([1.0, 2.0])
    codes(column)
    column[0] = 5.0

    assert codes(column).values.tolist() == [2.0, 5.0]


def test_codes_are_forgotten_with_their_column():
    column = read_only(np.arange(4.0))
    codes(column)
    key = id(column)
    del column
    gc.collect()

    assert key not in module._kept
