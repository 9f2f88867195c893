"""From a config to arms, probes and the pairs that are compared."""

import pytest

from audit.planning.plan import make_plan
from audit.settings.config import AuditConfig

SMALL = {"model": "world", "data": {"world": {}}}


def planned(**sections):
    return make_plan(AuditConfig.model_validate({**SMALL, **sections}))


def names(plan):
    return [arm.name for arm in plan.arms]


def test_a_silent_config_has_base_standard_and_dp_and_the_twins_of_the_trained():
    plan = planned()
    assert names(plan) == ["base", "standard", "dp", "standard-twin", "dp-twin"]
    assert [arm.role for arm in plan.arms] == ["control", "candidate", "candidate", "twin", "twin"]
    assert plan.needs_canaries


def test_a_twin_has_the_recipe_and_the_privacy_of_its_arm_and_one_seed():
    arms = {"standard": {"seeds": 3, "training": {"epochs": 1.0}}, "dp": {"privacy": {"epsilon": 2.0}}}
    plan = planned(arms=arms, seeds={"training": 5})
    assert plan.arm("standard").seeds == (5, 6, 7)
    assert plan.arm("standard-twin").seeds == (5,)
    assert plan.arm("standard-twin").training == plan.arm("standard").training
    assert plan.arm("standard-twin").training.epochs == 1.0
    assert plan.arm("dp-twin").privacy.epsilon == 2.0
    assert plan.arm("dp-twin").twin_of == "dp"


def test_without_a_probe_of_privacy_there_is_no_twin_and_no_canary():
    plan = planned(probes={"utility": {}, "group_disparity": {}})
    assert names(plan) == ["base", "standard", "dp"]
    assert not plan.needs_canaries


def test_membership_alone_needs_twins_and_no_canaries():
    plan = planned(probes={"membership": {}})
    assert "standard-twin" in names(plan)
    assert not plan.needs_canaries


def test_a_probe_is_put_to_the_roles_it_is_for():
    plan = planned(probes={"utility": {}, "membership": {}})
    assert set(plan.arm("standard").probes) == {"utility"}
    assert set(plan.arm("standard-twin").probes) == {"utility", "membership"}


def test_an_arm_that_is_not_trained_has_one_seed_and_no_twin(tmp_path):
    plan = planned(arms={"base": {}, "vendor": {"given": str(tmp_path)}})
    assert names(plan) == ["base", "vendor"]
    assert plan.arm("vendor").seeds == (0,)
    assert plan.arm("vendor").training is None


def test_what_only_a_twin_could_tell_of_a_given_model_is_not_asked_and_says_why(tmp_path):
    plan = planned(arms={"base": {}, "vendor": {"given": str(tmp_path)}})
    assert [(u.arm, u.probe) for u in plan.unasked] == [
        ("vendor", name) for name in ("membership", "canaries", "privacy_equity")
    ]
    assert all(u.reason.startswith("vendor was trained elsewhere: ") for u in plan.unasked)
    assert not plan.needs_canaries  # there is no twin that they could be planted in
    assert not plan.trains


def test_of_arms_that_are_trained_here_everything_is_asked():
    plan = planned()
    assert plan.unasked == ()
    assert plan.trains


def test_each_candidate_is_compared_with_the_one_to_be_deployed_and_with_the_base():
    plan = planned(arms={"base": {}, "a": {}, "b": {}}, deploy="b", probes={"utility": {}})
    assert plan.contrasts == (("a", "b"), ("a", "base"), ("b", "base"))


@pytest.mark.parametrize("deploy", [None, "standard", "dp"])
def test_of_a_private_and_a_standard_arm_the_private_one_stands_first(deploy):
    sections = {"deploy": deploy} if deploy else {}
    plan = planned(probes={"utility": {}}, **sections)
    assert ("dp", "standard") in plan.contrasts
    assert ("standard", "dp") not in plan.contrasts


def test_twins_are_compared_as_their_arms_are():
    plan = planned(probes={"membership": {}})
    assert ("dp-twin", "standard-twin") in plan.contrasts
    assert not any("base" in pair and "twin" in pair[0] for pair in plan.contrasts)


def test_each_twin_is_compared_with_its_candidate_after_all_others():
    plan = planned(probes={"membership": {}, "utility": {}}, arms={"base": {}, "a": {}, "b": {}})
    assert plan.contrasts[-2:] == (("a-twin", "a"), ("b-twin", "b"))
    assert plan.contrasts.count(("a-twin", "a")) == 1


def test_what_a_gate_compares_comes_along_twins_too():
    gate = {"id": "g", "kind": "noninferior", "metric": "membership.auc", "reference": "dp", "margin": 0.1}
    gates = {"name": "p", "version": 1, "owner": "me", "gates": [gate]}
    plan = planned(deploy="standard", gates=gates, probes={"membership": {}})
    assert ("standard", "dp") in plan.contrasts
    assert ("standard-twin", "dp-twin") in plan.contrasts


def test_no_arm_is_compared_with_itself_and_no_pair_stands_twice():
    plan = planned(arms={"base": {"role": "candidate"}, "a": {}}, deploy="base")
    assert all(a != b for a, b in plan.contrasts)
    assert len(set(plan.contrasts)) == len(plan.contrasts)


def test_every_run_of_every_arm_is_planned_once():
    plan = planned(arms={"base": {}, "a": {"seeds": 2}}, probes={"utility": {}})
    assert [(arm.name, seed) for arm, seed in plan.runs()] == [("base", 0), ("a", 0), ("a", 1)]


@pytest.mark.parametrize(
    ("kind", "words", "head"),
    [
        ("text-classification", None, "classifier"),
        ("text-classification", {"a": "yes", "b": "no"}, "causal"),
        ("causal-lm", None, "causal"),
        ("masked-lm", None, "masked"),
    ],
)
def test_the_head_follows_from_the_task(kind, words, head):
    config = AuditConfig.model_validate({**SMALL, "task": {"kind": kind, "label_words": words}})
    assert config.head == head
