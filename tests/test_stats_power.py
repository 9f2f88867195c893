import numpy as np
import pytest
from scipy.stats import binom, norm

from probes.stats.intervals import upper_limit
from probes.stats.power import (
    detectable_difference,
    detectable_from_standard_error,
    detectable_proportion,
    rows_needed,
    rows_needed_for_bound,
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


def test_the_detectable_difference_is_shown_four_times_in_five():
    rng = np.random.default_rng(0)
    difference = detectable_difference(0.3, 400, 250)
    a, b = rng.binomial(400, 0.3, 20_000) / 400, rng.binomial(250, 0.3 + difference, 20_000) / 250
    pooled = (400 * a + 250 * b) / 650
    z = (b - a) / np.sqrt(pooled * (1 - pooled) * (1 / 400 + 1 / 250))

    assert np.mean(z > norm.ppf(0.975)) == pytest.approx(0.8, abs=0.015)  # 0.003 of simulation, the rest normality


def test_the_detectable_difference_is_the_same_for_the_complement():
    assert detectable_difference(0.9, 300, 300) == pytest.approx(detectable_difference(0.1, 300, 300))


def test_a_handful_of_rows_can_show_no_difference():
    assert detectable_difference(0.5, 2, 2) is None
    assert detectable_difference(0.5, 0, 100) is None


@pytest.mark.parametrize(
    ("discordant", "margin", "rows"),
    [(0.1, 0.01, 8564), (0.1, 0.02, 2141), (0.1, 0.03, 952), (0.1, 0.05, 343), (0.2, 0.01, 17_128), (0.2, 0.05, 686)],
)
def test_rows_for_a_noninferiority_margin_are_the_tabled_ones(discordant, margin, rows):
    assert rows_needed(margin, discordant**0.5) == rows


def test_a_two_sided_interval_needs_more_rows():
    assert rows_needed(0.02, 0.3, two_sided=True) == rows_needed(0.02, 0.3, level=0.975) > rows_needed(0.02, 0.3)


def test_no_event_bounds_a_rate_of_one_in_a_thousand_after_about_three_thousand_trials():
    rows = rows_needed_for_bound(0.0, 0.001)

    assert rows == 2995
    assert upper_limit(0, rows) <= 0.001 < upper_limit(0, rows - 1)


def test_a_bound_is_met_as_often_as_planned():
    n = rows_needed_for_bound(0.01, 0.03)
    within = [k for k in range(n + 1) if upper_limit(k, n) <= 0.03]

    assert binom.pmf(within, n, 0.01).sum() >= 0.9


@pytest.mark.parametrize(
    "call",
    [
        lambda: detectable_from_standard_error(float("nan")),
        lambda: detectable_proportion(10, 1.5),
        lambda: detectable_difference(-0.1, 10, 10),
        lambda: rows_needed(0.0, 1.0),
        lambda: rows_needed_for_bound(0.03, 0.01),
    ],
)
def test_impossible_questions_are_refused(call):
    with pytest.raises(ValueError, match="; got "):
        call()
