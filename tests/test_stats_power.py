import numpy as np
import pytest
from scipy.stats import binom

from probes.stats.power import (
    canaries_needed,
    detectable_from_standard_error,
    detectable_proportion,
    rows_needed,
)


def test_a_normal_estimate_shows_two_point_eight_standard_errors():
    assert detectable_from_standard_error(1.0) == pytest.approx(1.959964 + 0.841621, abs=1e-5)


@pytest.mark.parametrize(("n", "null"), [(20, 0.5), (300, 0.5), (1000, 0.01), (50, 0.0), (50, 1.0), (80, 0.9)])
def test_the_exact_test_shows_the_detectable_proportion_four_times_in_five(n, null):
    departure = detectable_proportion(n, null)
    rate = min(null, 1 - null)  # the mirrored problem, in which the departure is upwards
    critical = min(k for k in range(n + 1) if binom.sf(k - 1, n, rate) <= 0.025)

    assert binom.sf(critical - 1, n, rate + departure) == pytest.approx(0.8, abs=1e-9)


def test_too_few_units_can_show_no_departure():
    assert detectable_proportion(5, 0.5) is None  # 5 of 5 has a one-sided p of 1/32
    assert detectable_proportion(6, 0.5) is not None
    assert detectable_proportion(0, 0.5) is None


@pytest.mark.parametrize(
    ("discordant", "margin", "rows"),
    [(0.1, 0.01, 8564), (0.1, 0.02, 2141), (0.1, 0.03, 952), (0.1, 0.05, 343), (0.2, 0.01, 17_128), (0.2, 0.05, 686)],
)
def test_rows_for_a_noninferiority_margin_are_the_tabled_ones(discordant, margin, rows):
    assert rows_needed(margin, discordant**0.5) == rows


def test_a_two_sided_interval_needs_more_rows():
    assert rows_needed(0.02, 0.3, two_sided=True) == rows_needed(0.02, 0.3, level=0.975) > rows_needed(0.02, 0.3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: detectable_from_standard_error(float("nan")),
        lambda: detectable_proportion(10, 1.5),
        lambda: rows_needed(0.0, 1.0),
        lambda: canaries_needed(lambda m, r, v: True, guesses=quarter, right=1.5),
    ],
)
def test_impossible_questions_are_refused(call):
    with pytest.raises(ValueError, match="; got "):
        call()


def quarter(m: int) -> int:
    return 2 * (m // 8)


@pytest.mark.parametrize("right", [1.0, 0.9])
def test_the_canaries_needed_are_the_fewest_that_refute_as_often_as_planned(right):
    needed = canaries_needed(lambda m, r, v: v >= 0.7 * r + 5, guesses=quarter, right=right)

    def power(m: int) -> float:
        r = quarter(m)
        return float(binom.sf(np.ceil(0.7 * r + 5) - 1, r, right))

    fewest = min(m for m in range(8, 500) if power(m) >= 0.8)
    assert power(needed) >= 0.8 > power(needed - 1)
    assert fewest <= needed <= 1.2 * fewest  # up to the saw-tooth


def test_what_no_number_of_canaries_refutes_needs_none():
    assert canaries_needed(lambda m, r, v: False, guesses=quarter) is None
    assert canaries_needed(lambda m, r, v: v > 0.9 * r, guesses=quarter, right=0.8) is None
