"""The lines of a DP claim on records made by hand, and the batch sizes that give shuffled batches away."""

from dataclasses import replace

import numpy as np
import pytest

from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.claims import claim_lines, dispersion_p
from audit.settings.config import Claims, Model, Privacy
from reports.record import Identity, PrivacyRecord, SeedRecord

KEPT = PrivacyRecord(
    epsilon=7.93, delta=1e-6, unit="example", noise_multiplier=0.7, max_grad_norm=1.0, sample_rate=0.02, steps=500,
    units=10_000, expected_batch_size=200, accountants={"PRV": 7.93, "PLD": 7.92, "RDP": 8.4},
    realised_mean_batch=199.8, largest_person=None, secret_noise=True,
)  # fmt: skip

POISSON = np.random.default_rng(0).binomial(10_000, 0.02, size=500).tolist()


def lines(kept=KEPT, claims=None, **notes):
    arm = ArmPlan(
        name="dp", role="candidate", source="trained", twin_of=None, training=None, privacy=Privacy(epsilon=8.0),
        claims=claims, given=None, seeds=(0,), probes={},
    )  # fmt: skip
    identity = Identity(weights="w", tokenizer="t", parameters=1)
    notes = {"batch_sizes": POISSON, "frozen_untouched": None} | notes
    run = SeedRecord(seed=0, identity=identity, training=None, privacy=kept)
    model = StoredModel(source=Model(name="m"), head="classifier", record=run, notes=notes)
    return {check.name: check for check in claim_lines(arm, model)}


def outcome(name, kept=KEPT, **notes):
    return lines(kept, **notes)[name].outcome


def test_an_honest_private_training_passes_all_that_can_be_checked():
    outcomes = {name: check.outcome for name, check in lines().items()}
    assert outcomes == {
        "epsilon": "pass",
        "accountants agree": "pass",
        "Poisson draws": "pass",
        "delta": "pass",
        "privacy unit": "pass",
        "every trained parameter clipped": "pass",
        "frozen parameters untouched": "not checked",
        "noise is secret": "pass",
        "prior trials": "not checked",
        "what epsilon covers": "not checked",
    }


def test_each_line_gives_its_evidence():
    found = lines()
    assert found["epsilon"].evidence.startswith(
        "7.93 at delta 1e-06 by PRV: noise multiplier 0.7, sample rate 0.02, 500"
    )
    assert found["accountants agree"].evidence == "PLD 7.9200, PRV 7.9300, RDP 8.4000"
    assert "where 200.0 is expected, over 500 steps" in found["Poisson draws"].evidence
    assert all(check.evidence for check in found.values())


def test_an_arm_without_privacy_has_no_lines_and_one_that_claims_it_has_one():
    assert lines(kept=None) == {}
    claimed = lines(kept=None, claims=Claims(epsilon=3.0, delta=1e-5))
    assert {name: check.outcome for name, check in claimed.items()} == {"accounting": "not checked"}
    assert claimed["accounting"].evidence == "epsilon 3 at delta 1e-05 is claimed, not accounted here"


def test_an_arm_that_keeps_one_epsilon_and_claims_another_shows_both():
    both = lines(claims=Claims(epsilon=1.0, delta=1e-6))
    assert both["accounting"].outcome == "not checked"
    assert both["epsilon"].outcome == "pass"


def test_an_epsilon_that_is_not_known_fails():
    lost = lines(replace(KEPT, epsilon=None, accountants={}))
    assert lost["epsilon"].outcome == "fail"
    assert lost["epsilon"].evidence.startswith("epsilon unknown")
    assert lost["accountants agree"].outcome == "not checked"


def test_an_epsilon_beyond_the_fine_accountants_fails_for_its_size():
    huge = lines(replace(KEPT, epsilon=None, accountants={"RDP": 830.0}))["epsilon"]
    assert huge.outcome == "fail"
    assert huge.evidence.startswith("too large to mean anything (RDP 830)")


@pytest.mark.parametrize(
    ("prv", "pld", "expected"), [(7.93, 7.6, "pass"), (7.93, 7.0, "fail"), (0.02, 0.01, "pass"), (1.0, 1.1, "fail")]
)
def test_accountants_agree_within_their_own_error(prv, pld, expected):
    assert outcome("accountants agree", replace(KEPT, accountants={"PRV": prv, "PLD": pld})) == expected


@pytest.mark.parametrize(("delta", "expected"), [(1e-6, "pass"), (1e-5, "pass"), (2e-5, "fail")])
def test_delta_must_be_below_a_tenth_of_one_over_the_units(delta, expected):
    assert outcome("delta", replace(KEPT, delta=delta)) == expected


@pytest.mark.parametrize(
    ("unit", "largest", "expected"),
    [("example", None, "pass"), ("example", 1, "pass"), ("example", 7, "fail"), ("person", 7, "pass")],
)
def test_a_person_with_several_examples_is_not_what_an_example_is(unit, largest, expected):
    assert outcome("privacy unit", replace(KEPT, unit=unit, largest_person=largest)) == expected


@pytest.mark.parametrize(("untouched", "expected"), [(True, "pass"), (False, "fail"), (None, "not checked")])
def test_frozen_parameters_must_not_have_moved(untouched, expected):
    assert outcome("frozen parameters untouched", frozen_untouched=untouched) == expected


def test_noise_from_a_seed_is_not_secret():
    assert outcome("noise is secret", replace(KEPT, secret_noise=False)) == "fail"


def test_shuffled_batches_of_one_size_are_found_out():
    assert outcome("Poisson draws", batch_sizes=[200] * 500) == "fail"
    assert outcome("Poisson draws", batch_sizes=[200] * 5) == "fail"


def test_a_smaller_last_batch_of_each_epoch_does_not_hide_shuffling():
    assert outcome("Poisson draws", batch_sizes=([200] * 49 + [150]) * 10) == "fail"


def test_draws_that_are_correlated_are_found_out():
    sizes = np.random.default_rng(1).binomial(100, 0.02, size=500) * 100  # a hundred examples at a time
    assert outcome("Poisson draws", batch_sizes=sizes.tolist()) == "fail"


def test_sizes_that_were_not_logged_or_are_too_few_are_not_checked():
    assert outcome("Poisson draws", batch_sizes=[]) == "not checked"
    assert outcome("Poisson draws", batch_sizes=[200] * 4) == "not checked"


@pytest.mark.parametrize(("units", "rate"), [(10_000, 0.02), (1000, 0.004), (200, 0.5)])
def test_independent_draws_are_rarely_accused(units, rate):
    rng = np.random.default_rng(2)
    p = np.array([dispersion_p(rng.binomial(units, rate, size=40).tolist(), units, rate) for _ in range(2000)])
    # 2,000 runs: 5 % within three standard errors, and hardly any at the threshold of one in a thousand.
    assert abs((p < 0.05).mean() - 0.05) < 0.015
    assert (p < 0.001).sum() <= 8


def test_a_rate_of_one_leaves_nothing_to_chance():
    assert dispersion_p([50] * 10, 50, 1.0) == 1.0
    assert dispersion_p([50] * 9 + [49], 50, 1.0) == 0.0
