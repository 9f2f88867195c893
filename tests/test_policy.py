"""A policy is for many audits: who answers for it, and what it compares with, is said where it is used."""

from dataclasses import replace

import pytest

from audit.judging.gate import judge
from audit.planning.plan import make_plan
from audit.settings.mistakes import ConfigError
from audit.settings.reading import read
from audit.settings.sections.policy import Policy
from audit.settings.validate import check
from probes.catalog import PROBES
from tests import record_factory as make

METRICS = {name: set(probe.metrics) for name, probe in PROBES.items()}
SMALL = "model: world\ndata: {world: {}}\ndeploy: dp\n"
PRIVATE_ALONE = "arms: {base: {}, dp: {privacy: {epsilon: 8}}}\n"


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "audit.yaml"
        path.write_text(text)
        return path

    return written


def sentences(path):
    try:
        return [str(mistake) for mistake in check(read(path), METRICS)]
    except ConfigError as error:
        return [str(mistake) for mistake in error.mistakes]


def test_a_policy_in_use_names_its_owner_and_the_arm_to_compare_with(write):
    text = SMALL + "gates: {policy: predeployment, owner: Jo, reference: base, on_inconclusive: fail}\n"
    policy = read(write(text)).config.gates
    assert isinstance(policy, Policy)
    assert (policy.owner, policy.on_inconclusive) == ("Jo", "fail")
    assert {gate.reference for gate in policy.gates if gate.kind != "bound"} == {"base"}


def test_the_shipped_policy_invents_no_owner(write):
    policy = read(write(SMALL + "gates: predeployment\n")).config.gates
    assert policy.owner is None
    assert all(gate.owner is None for gate in policy.gates)


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ("{policy: predeployment, ownr: Jo}", "gates.ownr: no such setting; did you mean 'owner'?"),
        ("{policy: predeploymnt}", "did you mean 'predeployment'?"),
        ("{policy: predeployment, reference: standrd}", "gates.reference: no such arm; got 'standrd'"),
    ],
)
def test_a_mistake_in_the_use_of_a_policy_stands_on_its_line_of_the_config(write, gates, words):
    (sentence,) = sentences(write(SMALL + f"gates: {gates}\n"))
    assert "audit.yaml:4: " in sentence
    assert words in sentence


def test_the_shipped_policy_fits_arms_among_which_there_is_none_to_compare_with(write):
    loaded = read(write(SMALL + PRIVATE_ALONE + "gates: predeployment\n"))
    assert list(check(loaded, METRICS)) == []
    assert {name for pair in make_plan(loaded.config).contrasts for name in pair} <= {"base", "dp", "dp-twin"}


def test_a_policy_in_a_file_may_speak_of_probes_that_this_audit_does_not_switch_on(write):
    text = SMALL + "probes: {utility: {}}\n"
    shared = read(write(text + "gates: predeployment\n"))
    assert list(check(shared, METRICS)) == []
    gate = "{id: g, kind: bound, metric: membership.auc, max: 0.6}"
    written_out = write(text + f"gates: {{name: mine, version: 1, gates: [{gate}]}}\n")
    assert any("the probe 'membership' is not switched on" in sentence for sentence in sentences(written_out))


def _policy(**more):
    gates = ({"id": "cost", "kind": "noninferior", "metric": "utility.macro_f1", "margin": 0.1, **more},)
    return Policy.model_validate({"name": "p", "version": 1, "reference": "standard", "gates": gates})


def _judged(record, policy):
    return judge(record, policy, None, record_digest="0" * 64, sealed_at="2026-01-01T00:00:00+00:00")


def test_a_gate_without_the_arm_to_compare_with_is_not_judged_and_says_why():
    whole = replace(make.record(), deploy="dp")
    alone = replace(whole, arms=tuple(arm for arm in whole.arms if not arm.name.startswith("standard")))
    (gate,) = _judged(alone, _policy()).gates
    assert (gate.verdict, gate.reason) == ("not measured", "there is no arm standard to compare with")
    assert gate.label == "macro-averaged F1"


def test_the_arm_that_others_are_compared_with_is_not_compared_with_itself():
    (gate,) = _judged(make.record(), _policy()).gates
    assert (gate.verdict, gate.reason) == ("not measured", "standard is itself the arm to compare with")


def test_a_difference_in_what_is_neither_better_nor_worse_is_no_loss():
    record = replace(make.record(), deploy="dp")
    aimless = [replace(m, ideal=None) if m.name == "macro_f1" else m for m in record.metrics]
    contrasts = [replace(c, ideal=None, better=0) if "macro_f1" in c.metric else c for c in record.contrasts]
    (gate,) = _judged(replace(record, metrics=tuple(aimless), contrasts=tuple(contrasts)), _policy()).gates
    assert gate.verdict == "not measured"
    assert "no value of it is better than another" in gate.reason


def test_a_gate_on_what_was_not_measured_speaks_of_it_in_words_and_in_its_own_chapter():
    record = replace(make.record(), metrics=(), probes=(), contrasts=())
    policy = _policy(kind="bound", metric="group_disparity.equalized_odds_difference[*]", max=0.1, margin=None)
    (gate,) = _judged(record, policy).gates
    assert (gate.label, gate.unit, gate.pillar) == ("difference in error rates", "rate difference", "bias")


def test_nobody_is_named_where_nobody_answers():
    judgement = _judged(make.record(), _policy())
    assert (judgement.owner, judgement.gates[0].owner) == ("", "")
