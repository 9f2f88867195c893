"""Accountants against published values; the least noise against them."""

import math
import subprocess
import sys

import pytest
from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from audit.training.accounting import History, composed_epsilon, epsilons, noise_multiplier_for
from probes.stats.tradeoff import gdp_epsilon

# sigma, q, T, delta; PLD and RDP as computed by dp-accounting 0.6 and Opacus 1.6, PRV by Opacus 1.6; the seventh row's
# exact value is 4.377178 (Gaussian mechanism: Balle and Wang 2018, https://arxiv.org/abs/1805.06530, theorem 8).
KNOWN = [
    (1.0, 0.01, 1000, 1e-5, 1.8282, 1.8384, 2.1014),
    (1.1, 256 / 60000, 14062, 1e-5, 2.3817, 2.3917, 2.5966),
    (0.8, 0.02, 500, 1e-5, 4.6680, 4.6784, 5.3701),
    (0.6, 0.05, 200, 1e-4, 13.1187, 13.1297, 15.2270),
    (2.0, 0.1, 300, 1e-6, 4.7128, 4.7230, 5.0821),
    (4.0, 1.0, 1, 1e-5, 0.9263, 0.9364, 1.0126),
    (1.0, 1.0, 1, 1e-5, 4.3772, 4.3874, 4.7285),
    (0.5, 0.004, 1000, 1e-5, 6.8290, 6.8396, 8.2886),
    (1.0, 0.064, 150, 1e-4, 4.5285, 4.5389, 5.2004),
]


# Of the same rows: the interval of prv-accountant 0.2.0 (microsoft/prv_accountant), RDP by dp-accounting 0.6 (Google),
# and what Opacus 1.6 reports by the central limit theorem (Bu et al. 2020, https://arxiv.org/abs/1911.11607).
OTHERS = [
    (1.8181, 1.8384, 2.1014, 1.6177),
    (2.3715, 2.3917, 2.5966, 2.3243),
    (4.6577, 4.6784, 5.3719, 3.7204),
    (13.1076, 13.1297, 15.2270, 13.3555),
    (4.7025, 4.7230, 5.0821, 4.4622),
    (0.9163, 0.9364, 1.0126, 0.9424),
    (4.3669, 4.3874, 4.7285, 6.0071),
    (6.8184, 6.8390, 8.2957, 4.0056),
    (4.5182, 4.5389, 5.2050, 3.9290),
]
SETTINGS = [row[:4] for row in KNOWN]


@pytest.mark.parametrize(("sigma", "q", "steps", "delta", "pld", "prv", "rdp"), KNOWN)
def test_the_accountants_give_the_known_values(sigma, q, steps, delta, pld, prv, rdp):
    found = epsilons(sigma, q, steps, delta)
    # Half a unit of the last printed digit, and as much again for other versions' grids.
    assert found == pytest.approx({"pld": pld, "prv": prv, "rdp": rdp}, abs=1e-4)


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), SETTINGS)
def test_prv_claims_no_less_than_pld(sigma, q, steps, delta):
    found = epsilons(sigma, q, steps, delta)
    assert found["pld"] <= found["prv"] <= found["rdp"]


@pytest.mark.parametrize(("setting", "others"), list(zip(SETTINGS, OTHERS, strict=True)))
def test_the_fine_accountants_lie_in_the_interval_of_a_third(setting, others):
    low, high, *_ = others
    found = epsilons(*setting)
    assert low < found["pld"] < high
    # PRV is an upper end as well; its grid is not quite that of prv-accountant, which has 6.8390 for its 6.8396.
    assert low < found["prv"] < high + 1e-3


@pytest.mark.parametrize(("setting", "others"), list(zip(SETTINGS, OTHERS, strict=True)))
def test_the_other_rdp_is_the_same_but_for_its_orders(setting, others):
    sigma, q, steps, delta = setting
    step = PoissonSampledDpEvent(q, GaussianDpEvent(sigma)) if q < 1 else GaussianDpEvent(sigma)
    theirs = RdpAccountant().compose(step, steps).get_epsilon(delta)
    assert theirs == pytest.approx(others[2], abs=1e-4)
    assert epsilons(*setting)["rdp"] <= theirs + 5e-5 <= 1.002 * epsilons(*setting)["rdp"]


@pytest.mark.parametrize(("setting", "others"), list(zip(SETTINGS, OTHERS, strict=True)))
def test_nothing_is_claimed_by_the_central_limit_theorem(setting, others):
    sigma, q, steps, delta = setting
    limit = gdp_epsilon(q * math.sqrt(steps * math.expm1(sigma**-2)), delta)
    assert limit == pytest.approx(others[3], abs=1e-4)
    found = epsilons(*setting)
    assert all(abs(claim - limit) > 5e-3 for claim in found.values())
    assert found["prv"] > limit or limit > others[1]  # six of the nine would have claimed too little


@pytest.mark.parametrize(
    ("parts", "delta"),
    [
        # DPBayes/PLD-Accountant, README: delta at epsilon 1, add or remove one. It prints the first beside 1000 steps,
        # which keep a delta of 1e-15; the figure is that of 10,000 steps, which its example script takes.
        (((4.0, 0.01, 10_000),), 4.243484012e-6),
        (((2.0, 0.01, 500), (1.0, 0.01, 500)), 3.151995622e-4),
    ],
)
def test_the_delta_of_the_fourier_accountant_costs_the_epsilon_that_it_says(parts, delta):
    assert History(parts).epsilons(delta)["pld"] == pytest.approx(1.0, abs=5e-4)
    assert composed_epsilon(parts, delta) > 1.0 - 5e-4  # on its coarse grid an upper bound


def test_replacing_an_example_costs_what_the_fourier_accountant_says():
    # As above: 1.99312006 at a delta of 1e-5 with 10,000 steps. We claim for one example added or removed, far less.
    accountant = PLDAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
    accountant.compose(PoissonSampledDpEvent(0.01, GaussianDpEvent(4.0)), 10_000)
    assert accountant.get_epsilon(1e-5) == pytest.approx(1.99312006, abs=1e-4)
    assert epsilons(4.0, 0.01, 10_000, 1e-5)["pld"] < 1


@pytest.mark.parametrize(("epsilon", "q", "steps"), [(8.0, 0.2, 60), (3.0, 0.05, 100), (0.5, 0.1, 30)])
def test_the_noise_keeps_the_target_and_a_little_less_does_not(epsilon, q, steps):
    sigma = noise_multiplier_for(epsilon, 1e-5, q, steps)
    assert epsilons(sigma, q, steps, 1e-5)["prv"] <= epsilon
    assert epsilons(sigma / 1.0011, q, steps, 1e-5)["prv"] > epsilon


def test_the_noise_of_one_step_on_all_examples_is_that_of_the_gaussian_mechanism():
    # The exact sigma for epsilon 4.377178 is 1; PRV claims 0.01 more epsilon, so it asks for a little more noise.
    assert noise_multiplier_for(4.377178, 1e-5, 1.0, 1) == pytest.approx(1.0, abs=5e-3)


def test_a_target_that_no_noise_reaches_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"no noise keeps epsilon 0\.001 at delta 1e-05"):
        noise_multiplier_for(0.001, 1e-5, 0.1, 100)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 101.0])
def test_a_target_outside_its_range_is_refused(epsilon):
    with pytest.raises(ValueError, match=r"epsilon must lie in \(0, 100\]"):
        noise_multiplier_for(epsilon, 1e-5, 0.1, 100)


def test_arguments_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"delta must lie in \(0, 1\); got 0"):
        epsilons(1.0, 0.1, 10, 0.0)
    with pytest.raises(ValueError, match=r"sample_rate must lie in \(0, 1\]; got 1.5"):
        epsilons(1.0, 1.5, 10, 1e-5)
    with pytest.raises(ValueError, match="steps must not be negative"):
        epsilons(1.0, 0.1, -1, 1e-5)
    with pytest.raises(ValueError, match="noise_multiplier must be positive"):
        epsilons(0.0, 0.1, 10, 1e-5)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        noise_multiplier_for(1.0, 1e-5, 0.1, 0)


def test_nothing_done_costs_nothing():
    assert epsilons(1.0, 0.1, 0, 1e-5) == {"prv": 0.0, "pld": 0.0, "rdp": 0.0}


def test_where_epsilon_is_huge_rdp_stands_alone():
    assert set(epsilons(0.1, 0.5, 1000, 1e-5)) == {"rdp"}


def test_a_history_counts_equal_steps_together_and_comes_back_from_json():
    history = History().step(1.0, 0.1).step(1.0, 0.1).step(2.0, 0.1)
    assert history.entries == ((1.0, 0.1, 2), (2.0, 0.1, 1))
    assert history.steps == 3
    assert History.from_json(history.to_json()) == history


def test_a_history_in_parts_costs_what_the_whole_costs():
    parts = History(((1.0, 0.05, 40), (1.0, 0.05, 60))).epsilons(1e-5)
    assert parts == pytest.approx(epsilons(1.0, 0.05, 100, 1e-5), abs=2e-3)


def test_several_trainings_together_keep_far_less_than_their_sum_and_no_less_than_the_fine_grid_says():
    trainings = [(1.0, 0.01, 1000), (0.9, 0.012, 1000)]
    together = composed_epsilon(trainings, 1e-5)
    # The accountant's own grid gives 3.3476 for both, and 1.8282 and 2.8106 for each.
    assert 3.3476 < together < 3.3476 + 0.01
    assert composed_epsilon([*trainings, *trainings], 1e-5) < 2 * together
    assert composed_epsilon([], 1e-5) == 0.0
    assert composed_epsilon([(0.7, 0.02, 500_000)], 1e-6) == math.inf


def test_one_training_in_parts_is_composed_to_itself():
    whole = composed_epsilon([(0.8, 0.02, 500)], 1e-5)
    assert whole == pytest.approx(4.6680, abs=0.01)
    assert composed_epsilon([(0.8, 0.02, 200), (0.8, 0.02, 300)], 1e-5) == whole


def test_importing_it_does_not_load_torch():
    code = "import sys, audit.training.accounting, audit.training.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
