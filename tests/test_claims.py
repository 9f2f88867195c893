"""The lines of a DP claim on records made by hand, and the batch sizes that give shuffled batches away."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from audit.planning.plan import ArmPlan
from audit.running.arms import StoredModel
from audit.running.claims import OtherTraining, claim_lines
from audit.running.draw_tests import Binomials, dispersion_p, poisson_p, sizes_of_batches
from audit.settings.sections.arms import Claims
from audit.settings.sections.models import Model
from audit.settings.sections.training import Privacy
from audit.training.accounting import composed_epsilon
from reports.record import Identity, PrivacyRecord, SeedRecord, TrainingRecord

KEPT = PrivacyRecord(
    epsilon=7.93, delta=1e-6, unit="example", noise_multiplier=0.7, max_grad_norm=1.0, sample_rate=0.02, steps=500,
    units=10_000, expected_batch_size=200, accountants={"PRV": 7.93, "PLD": 7.92, "RDP": 8.4},
    realised_mean_batch=199.8, largest_person=None, secret_noise=True,
)  # fmt: skip

DRAWN = np.random.default_rng(0).random((500, 10_000)) < 0.02
"""Which of 10,000 units were drawn in each of 500 steps."""

POISSON = DRAWN.sum(axis=1).tolist()
COUNTS = sorted(zip(*(column.tolist() for column in np.unique(DRAWN.sum(axis=0), return_counts=True)), strict=True))
NOTES = {
    "batch_sizes": POISSON, "frozen_untouched": None, "noised_steps": 500, "units_in_data": 10_000, "largest_unit": 1,
    "clipping_error": 2e-7, "draws": [[500, COUNTS]], "noise": {"variates": 64_000, "ratio": 1.001, "p": 0.72},
}  # fmt: skip


def lines(kept=KEPT, claims=None, others=(), trials=None, **notes):
    arm = ArmPlan(
        name="dp", role="candidate", source="trained", twin_of=None, training=None,
        privacy=Privacy(epsilon=8.0, prior_trials=trials), claims=claims, given=None, seeds=(0,), probes={},
    )  # fmt: skip
    identity = Identity(weights="w", tokenizer="t", parameters=1)
    training = TrainingRecord(examples=10_000, steps=500, final_loss=0.5, truncated=0)
    run = SeedRecord(seed=0, identity=identity, training=training, privacy=kept)
    model = StoredModel(source=Model(name="m"), head="classifier", record=run, notes=NOTES | notes)
    return {check.name: check for check in claim_lines(arm, model, others)}


def outcome(name, kept=KEPT, **notes):
    return lines(kept, **notes)[name].outcome


def test_an_honest_private_training_passes_all_that_can_be_checked():
    outcomes = {name: check.outcome for name, check in lines().items()}
    assert outcomes == {
        "epsilon": "pass",
        "accountants agree": "pass",
        "every step accounted": "pass",
        "Poisson draws": "pass",
        "N is fixed beforehand": "not checked",
        "delta": "pass",
        "privacy unit": "not checked",
        "every trained parameter clipped": "pass",
        "frozen parameters untouched": "not checked",
        "noise as accounted": "pass",
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
    assert found["delta"].evidence == "1e-06 against 1 / (10 · 10,000 examples) = 1e-05"
    assert found["privacy unit"].evidence.endswith("no person column tells how many examples one person contributes")
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
    ("prv", "pld", "expected"),
    [(7.93, 7.6, "pass"), (7.93, 7.0, "fail"), (0.02, 0.01, "pass"), (1.0, 1.1, "fail"), (7.6, 7.93, "fail")],
)
def test_accountants_agree_within_their_own_error_and_what_is_stated_is_hardly_less(prv, pld, expected):
    assert outcome("accountants agree", replace(KEPT, accountants={"PRV": prv, "PLD": pld})) == expected


def test_an_accountant_below_the_others_is_found_out():
    assert outcome("accountants agree", replace(KEPT, accountants={"PRV": 4.68, "PLD": 4.67, "RDP": 3.72})) == "fail"


@pytest.mark.parametrize(("steps", "noised"), [(250, 500), (500, 250), (499, 499)])
def test_steps_that_were_taken_noised_and_accounted_must_be_as_many(steps, noised):
    found = lines(replace(KEPT, steps=steps), noised_steps=noised)["every step accounted"]
    assert found.outcome == "fail"
    assert found.evidence == f"500 steps taken, {noised} noised, {steps} accounted"


def test_a_declared_public_number_of_units_passes_and_bounds_delta():
    found = lines(replace(KEPT, public_n=20_000, delta=1e-5))
    assert found["N is fixed beforehand"].outcome == "pass"
    assert "20,000, and not from the data" in found["N is fixed beforehand"].evidence
    assert found["delta"].outcome == "fail"


@pytest.mark.parametrize(("delta", "expected"), [(1e-6, "pass"), (1e-5, "pass"), (2e-5, "fail")])
def test_delta_must_be_below_a_tenth_of_one_over_the_units(delta, expected):
    assert outcome("delta", replace(KEPT, delta=delta)) == expected


@pytest.mark.parametrize(
    ("unit", "largest", "expected"),
    [("example", None, "not checked"), ("example", 1, "pass"), ("example", 7, "fail"), ("person", 7, "pass")],
)
def test_a_person_with_several_examples_is_not_what_an_example_is(unit, largest, expected):
    assert outcome("privacy unit", replace(KEPT, unit=unit, largest_person=largest)) == expected


def test_a_person_split_over_two_units_is_found_out():
    found = lines(replace(KEPT, unit="person", largest_person=3), units_in_data=9_999)["privacy unit"]
    assert found.outcome == "fail"
    assert found.evidence.startswith("the data have 9,999 persons, and 10,000 units were drawn")


def test_the_rule_that_bounds_a_persons_contributions_is_told_where_it_had_an_effect():
    kept = replace(KEPT, unit="person", largest_person=31, max_examples_per_unit=10)
    assert "up to 31 examples, of which 10 are computed in a step" in lines(kept)["privacy unit"].evidence
    assert "of which" not in lines(replace(kept, largest_person=10))["privacy unit"].evidence


@pytest.mark.parametrize(("error", "expected"), [(3e-7, "pass"), (0.02, "fail"), (None, "not checked")])
def test_clipping_that_differs_from_that_of_single_examples_fails(error, expected):
    assert outcome("every trained parameter clipped", clipping_error=error) == expected


def test_noise_of_another_size_than_accounted_fails():
    wrong = {"variates": 64_000, "ratio": 0.1, "p": 0.0}
    found = lines(noise=wrong)["noise as accounted"]
    assert (found.outcome, "0.1000 times the standard deviation 0.7 · 1" in found.evidence) == ("fail", True)
    assert outcome("noise as accounted", noise=None) == "not checked"


def test_trials_that_came_before_are_composed():
    assert lines(trials=0)["prior trials"].outcome == "pass"
    found = lines(trials=3)
    assert found["prior trials"].outcome == "pass", "they are declared, and what all keep together is told"
    together = f"all 4 keep epsilon {composed_epsilon([(0.7, 0.02, 2000)], 1e-6):.4g} at delta 1e-06 by PLD"
    assert found["prior trials"].evidence == (
        "3 trainings on these data came before, as declared; the stated epsilon is this training's alone; were they "
        f"like it, {together}"
    )
    assert f"with 3 trainings that came before, were they like it, {together}" in found["what epsilon covers"].evidence


def test_far_too_many_trials_are_summed():
    evidence = lines(trials=999)["prior trials"].evidence
    assert evidence.endswith("all 1,000 keep epsilon 7930 at delta 0.001 (the sums)")


def test_trials_that_cannot_be_composed_are_not_checked():
    found = lines(replace(KEPT, epsilon=None), trials=1)["prior trials"]
    assert found.outcome == "not checked"
    assert found.evidence.endswith("alone, and what they keep together cannot be told")


def test_what_epsilon_covers_names_the_audits_other_trainings():
    twin = OtherTraining("dp-twin@0", replace(KEPT, epsilon=8.0, noise_multiplier=0.71, sample_rate=0.04, steps=250))
    evidence = lines(others=[twin, OtherTraining("standard@0", None)])["what epsilon covers"].evidence
    both = composed_epsilon([(0.7, 0.02, 500), (0.71, 0.04, 250)], 1e-6)
    assert f"privately on these data (dp-twin@0), all 2 keep epsilon {both:.4g} at delta 1e-06 by PLD" in evidence
    assert "who sees standard@0, trained on the same data without privacy, is promised nothing" in evidence
    before = lines(others=[twin], trials=1)["what epsilon covers"].evidence
    assert "with one training that came before, were they like it and what else was trained privately on" in before
    assert "all 3 keep epsilon" in before


def test_trainings_whose_epsilons_cannot_be_added_are_named():
    lost = OtherTraining("dp@1", replace(KEPT, epsilon=None))
    assert "nothing can be said of it together with dp@1" in lines(others=[lost])["what epsilon covers"].evidence


def test_models_of_an_older_version_have_lines_that_are_not_checked():
    keys = ("noised_steps", "units_in_data", "clipping_error", "draws", "noise")
    found = lines(**dict.fromkeys(keys))
    open_lines = ("every step accounted", "every trained parameter clipped", "noise as accounted")
    assert {found[name].outcome for name in open_lines} == {"not checked"}
    assert found["Poisson draws"].outcome == "pass"


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


def test_shuffled_units_cut_into_batches_of_random_sizes_are_found_out():
    rng = np.random.default_rng(3)
    order = np.concatenate([rng.permutation(1000) for _ in range(12)])
    sizes, start, drawn = rng.binomial(1000, 0.02, size=500), 0, np.zeros(1000, dtype=int)
    for size in sizes:
        drawn[order[start : start + size]] += 1
        start += size
    counts = list(zip(*np.unique(drawn, return_counts=True), strict=True))
    assert dispersion_p([sizes_of_batches(sizes.tolist(), 1000)], 0.02) > 0.001
    assert poisson_p(sizes.tolist(), [Binomials(500, counts)], 1000, 0.02) < 1e-6


def test_stretches_of_an_interrupted_training_are_tested_together():
    rng = np.random.default_rng(4)
    first, second = rng.binomial(30, 0.1, size=400), rng.binomial(70, 0.1, size=400)
    stretches = [Binomials(steps, Counter(draws.tolist()).items()) for steps, draws in ((30, first), (70, second))]
    assert dispersion_p(stretches, 0.1) > 0.01


@pytest.mark.parametrize(("units", "rate", "steps"), [(10_000, 0.02, 40), (1000, 0.004, 40), (200, 0.5, 40)])
def test_independent_draws_are_rarely_accused(units, rate, steps):
    rng = np.random.default_rng(2)
    p = np.array([p_of_sizes(rng.binomial(units, rate, size=steps), units, rate) for _ in range(2000)])
    # 2,000 runs: 5 % within three standard errors, and hardly any at the threshold of one in a thousand.
    assert abs((p < 0.05).mean() - 0.05) < 0.015
    assert (p < 0.001).sum() <= 8


@pytest.mark.parametrize(("steps", "rate"), [(40, 0.15), (10, 0.02), (500, 0.004)])
def test_independent_draws_of_units_are_rarely_accused(steps, rate):
    rng = np.random.default_rng(5)
    samples = [Binomials(steps, Counter(rng.binomial(steps, rate, size=800).tolist()).items()) for _ in range(2000)]
    p = np.array([dispersion_p([sample], rate) for sample in samples])
    assert abs((p < 0.05).mean() - 0.05) < 0.015
    assert (p < 0.001).sum() <= 8


def p_of_sizes(sizes, units, rate):
    return dispersion_p([sizes_of_batches(list(sizes), units)], rate)


def test_a_rate_of_one_leaves_nothing_to_chance():
    assert p_of_sizes([50] * 10, 50, 1.0) == 1.0
    assert p_of_sizes([50] * 9 + [49], 50, 1.0) == 0.0
