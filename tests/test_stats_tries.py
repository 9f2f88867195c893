import math

import numpy as np
import pytest

from probes.stats.tries import chance_within, log10_tries


def test_the_chance_to_see_a_text_is_that_of_not_missing_it_every_time():
    assert chance_within(np.log(1e-3), 1000) == pytest.approx(0.6323046)
    assert chance_within(np.log(1e-3), 1000) == pytest.approx(1 - (1 - 1e-3) ** 1000)


def test_a_text_of_tiny_probability_has_a_chance_still():
    # Exponentiating first, as one published code does, gives 0.
    assert chance_within(np.array([-20 * math.log(10)]), 10**6) == pytest.approx([1e-14])


@pytest.mark.parametrize(("chance", "tries"), [(0.1, 106), (0.5, 693), (0.9, 2302), (0.99, 4603)])
def test_tries_are_those_of_hayes_et_al(chance, tries):
    assert math.ceil(10 ** log10_tries(np.log(1e-3), chance)) == tries


def test_tries_and_chance_undo_each_other():
    logprob = np.log([0.3, 1e-2, 1e-5])
    for value in logprob:
        tries = round(10 ** float(log10_tries(value, 0.9)))
        assert chance_within(value, tries) == pytest.approx(0.9, abs=0.07)


def test_tries_never_vanish_nor_overflow():
    found = log10_tries(np.array([0.0, -1e-12, -700.0, -5000.0]), 0.5)
    assert found[:2].tolist() == [0.0, 0.0]  # the first answer
    np.testing.assert_allclose(found[2:], (np.array([700.0, 5000.0]) + np.log(np.log(2))) / np.log(10))


def test_the_two_forms_of_the_logarithm_meet():
    assert np.diff(log10_tries(np.array([-599.999, -600.001]), 0.5)) == pytest.approx(0.002 / np.log(10), abs=1e-9)


def test_what_is_certain_is_seen():
    assert chance_within(np.array([0.0]), 1) == 1.0


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_chance_is_neither_nothing_nor_certain(chance):
    with pytest.raises(ValueError, match="chance must lie in"):
        log10_tries(np.array([-1.0]), chance)
