"""What `audit plan` says: which units there will be, which are done, how long the rest takes, which gates can pass."""

import json
from functools import partial
from pathlib import Path

import pytest
import tiny_audit

from audit.opening import opened, ordered
from audit.planning import prospects
from audit.planning.ahead import Work, _parameters
from audit.planning.forecast import Forecast, forecast
from audit.planning.prospects import Prospect, _Case, _outlook
from audit.progress import Lines
from audit.settings.sections.models import Model
from audit.settings.sections.policy import Gate
from audit.store import RunFolder
from audit.units import events_of
from probes.catalog import instantiate
from probes.privacy.canaries import Canaries
from probes.protocol import Ask, Facts, Items, PrivacyClaim
from probes.scoring.tables import ClassLogits


def foreseen(config: Path, runs: Path, *changes: str) -> Forecast:
    return forecast(ordered(opened(config, changes), runs), Lines(quiet=True))


def left(found: Forecast) -> list[str]:
    return [work.unit for work in found.work if not work.done]


@pytest.fixture
def audit(tmp_path):
    return tiny_audit.finished(tmp_path)


def test_the_units_that_are_foreseen_are_those_that_a_run_does(audit, tmp_path):
    config, run = audit
    done = {event["unit"] for event in events_of(RunFolder(run)) if event["event"] == "done"}
    # What the untouched model can be asked is known once it is loaded: it is asked, and has no head to answer with.
    done = {unit for unit in done if not unit.startswith("ask:base@0")}
    found = foreseen(config, tmp_path / "elsewhere")
    assert {work.unit for work in found.work} == done
    assert left(found) == [unit for unit in (work.unit for work in found.work) if unit != "data"]


def test_of_a_finished_run_nothing_is_left(audit, tmp_path):
    found = foreseen(audit[0], tmp_path / "runs")
    assert left(found) == []
    assert "nothing to do: the run is finished" in found.words()


def test_what_another_run_did_counts_as_done(audit, tmp_path):
    found = foreseen(audit[0], tmp_path / "runs", "arms.longer={training: {max_steps: 4}}")
    assert left(found)
    assert all("longer" in unit for unit in left(found))
    assert "train:longer@0" in left(found)


def test_what_was_done_before_a_kill_counts_as_done(audit, tmp_path):
    config, run = audit
    for name in ("record.json", "run.json"):
        (run / name).unlink()
    found = foreseen(config, tmp_path / "runs")
    assert left(found) == []


def test_a_table_that_is_gone_is_left_with_all_that_rests_on_it(audit, tmp_path):
    import shutil

    config, run = audit
    (train,) = (e for e in events_of(RunFolder(run)) if e["unit"] == "train:dp@0" and e["event"] == "done")
    kind, key = train["object"].split("/")
    shutil.rmtree(run.parent / "objects" / kind / key[:2] / key)
    units = left(foreseen(config, tmp_path / "runs"))
    assert units[0] == "train:dp@0"
    assert "probe:dp@0:utility" in units
    assert "contrast:dp:standard:utility" in units
    assert not any("standard@" in unit for unit in units)


def test_a_forecast_loads_no_model_and_writes_nothing_but_the_data(audit, tmp_path):
    found = foreseen(audit[0], tmp_path / "elsewhere")
    objects = {path.parent.parent.name for path in (tmp_path / "elsewhere" / "objects").glob("*/*/*")}
    assert objects == {"data"}
    assert found.clusters == 420


def test_all_rows_of_a_person_are_one_independent_unit(tmp_path):
    config = tiny_audit.files(tmp_path)
    header, *rows = (tmp_path / "tickets.csv").read_text().splitlines()
    named = [f"{header},who", *(f"{row},p{number // 2}" for number, row in enumerate(rows))]
    (tmp_path / "tickets.csv").write_text("\n".join(named) + "\n")
    found = foreseen(config, tmp_path / "runs", "data.person=who", "data.pool=60")
    assert found.clusters == 210
    assert "data: 210 independent units; rows: " in found.words()


def test_times_come_from_an_earlier_run_of_the_config_else_from_operations(audit, tmp_path):
    config, run = audit
    by_unit = {w.unit: w for w in foreseen(config, tmp_path / "elsewhere").work}
    train = by_unit["train:standard@0"]
    assert train.seconds > 0
    assert train.basis.startswith("operations counted")
    assert by_unit["probe:standard@0:utility"].seconds is None
    for objects in (run.parent / "objects").iterdir():
        if objects.name != "data":
            objects.rename(objects.with_name(f"gone-{objects.name}"))
    again = {w.unit: w for w in foreseen(config, tmp_path / "runs").work}
    assert again["train:standard@0"].basis.startswith("times of an earlier run")
    assert again["probe:standard@0:utility"].seconds > 0


def test_parameters_are_counted_from_the_headers_of_the_weights_and_embeddings_only_where_words_are_said(
    audit, tmp_path
):
    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "model" / "model.safetensors")
    embedded = sum(w.size for name, w in weights.items() if ".embeddings." in name)
    counted = partial(_parameters, Model(name=str(tmp_path / "model")))
    assert embedded > 0
    assert counted(says_words=True) == sum(w.size for w in weights.values())
    assert counted(says_words=False) == counted(says_words=True) - embedded
    assert _parameters(Model(name="a/hub-name"), says_words=True) is None


def test_a_forecast_is_one_json_document(audit, tmp_path):
    found = foreseen(audit[0], tmp_path / "runs")
    plain = json.loads(json.dumps(found.plain()))
    assert plain["work"][0] == {"unit": "data", "what": "read, cluster, split, toss coins", "done": True,
                                "seconds": None, "basis": ""}  # fmt: skip
    assert {p["gate"] for p in plain["prospects"]} == {"accurate", "private", "cost", "unfair"}


def test_the_words_give_one_line_a_kind_of_unit_and_arm():
    work = (
        Work(unit="train:a@0", what="10 examples", done=True),
        Work(unit="ask:a@0:class_logits:1234", what="class_logits", done=True, seconds=None),
        Work(unit="ask:a@0:class_logits:5678", what="class_logits", done=False, seconds=90.0, basis="hope"),
        Work(unit="probe:a@0:utility", what="utility", done=False),
        Work(unit="contrast:a:b:utility", what="utility", done=False, seconds=7200.0, basis="hope"),
    )
    words = Forecast(run="runs/a-1", clusters=10, rows={"train": 8}, notes=(), work=work, prospects=()).words()
    lines = [" ".join(line.split()) for line in words.splitlines()]
    assert "done train:a@0 10 examples" in lines
    assert "90 s ask:a@0 class_logits (1 of 2 done)" in lines
    assert "? probe:a@0 utility" in lines
    assert "2.0 h contrast:a:b utility" in lines
    assert "about 2.0 h to go" in lines
    assert "1 units to go whose time cannot be told yet" in lines
    assert "by hope" in lines


# ---- gates --------------------------------------------------------------------------------------------------------


def outlook(
    gate, probe, metric, part="", *, n=100, members=50, of_a=0, canaries=0, seeds=1, claim=None, fail_level=0.95
):
    """The prospect of a gate on n items, of which so many are members or of group a, or on so many canaries."""
    count = canaries or n
    columns = {
        "item_id": [f"i{i}" for i in range(count)],
        "cluster": [f"i{i}" for i in range(count)],
        "is_member": [i < members for i in range(count)],
        "repetitions": [1] * count,
        "group:gender": ["a" if i < of_a else "b" for i in range(count)],
        "text": ["x"] * count,
    }
    facts = Facts(arm="a", role="twin", seed=0, head="classifier", task="text-classification", claim=claim)
    ask = Ask(table=ClassLogits(), on=Items(columns))
    case = _Case(
        gate=Gate(id="g", metric=f"{probe}.{metric}", **gate), metric=metric, part=part, probe=instantiate(probe, {}),
        facts=facts, asks={"arm": ask}, seeds=seeds, pass_level=0.95, fail_level=fail_level,
    )  # fmt: skip
    return _outlook(case)


MAX, MIN = {"kind": "bound", "max": 0.05}, {"kind": "bound", "min": 0.95}
VERSUS = {"kind": "noninferior", "margin": 0.05, "reference": "b"}
GATES = {
    "a rate that cannot be shown so small": ((MAX, "name_swap", "flip_rate"), {"n": 50}, False),
    "a rate that can": ((MAX, "name_swap", "flip_rate"), {"n": 100}, True),
    "a rate over several seeds, which may come nearer": ((MAX, "name_swap", "flip_rate"), {"n": 50, "seeds": 3}, None),
    "a share that cannot be shown so large": ((MIN, "utility", "accuracy"), {"n": 50}, False),
    "a share that can": ((MIN, "utility", "accuracy"), {"n": 100}, True),
    "a fall, which may be a rise": ((MAX, "domain_shift", "accuracy_drop"), {"n": 10}, True),
    "a rate that is best at one half": (({"kind": "bound", "max": 0.6}, "minimal_pairs", "stereotype_rate"), {}, True),
    "too few non-members for the rate of false alarms": (
        (MAX, "membership", "tpr_at_fpr", "attack=loss,fpr=0.01"), {"n": 120, "members": 60}, False),
    "enough non-members, too few members": (
        (MAX, "membership", "tpr_at_fpr", "attack=loss,fpr=0.01"), {"n": 360, "members": 50}, False),
    "enough of both": ((MAX, "membership", "tpr_at_fpr", "attack=loss,fpr=0.01"), {"n": 420, "members": 120}, True),
    "an AUC that a small pool leaves open": (
        ({"kind": "bound", "max": 0.6}, "membership", "auc", "attack=loss"), {"n": 100}, None),
    "an AUC that a large pool decides": (
        ({"kind": "bound", "max": 0.6}, "membership", "auc", "attack=loss"), {"n": 400, "members": 200}, True),
    "a pool of members only": (
        ({"kind": "bound", "max": 0.6}, "membership", "auc", "attack=loss"), {"n": 100, "members": 100}, False),
    "canaries enough to show the limit": (
        ({"kind": "bound", "max": 2.0}, "canaries", "epsilon_lower_bound"), {"canaries": 400}, True),
    "canaries too few to show it": (
        ({"kind": "bound", "max": 4.0}, "canaries", "epsilon_lower_bound"), {"canaries": 100}, False),
    "no canary to guess": (({"kind": "bound", "max": 0.1}, "canaries", "epsilon_lower_bound"), {"canaries": 2}, False),
    "a difference on enough items": ((VERSUS, "utility", "accuracy"), {"n": 500}, True),
    "a difference on too few": ((VERSUS, "utility", "accuracy"), {"n": 50}, None),
    "a margin of nothing": (({**VERSUS, "margin": 0.0}, "utility", "accuracy"), {"n": 500}, None),
    "a difference that is no rate": ((VERSUS, "utility", "log_loss"), {"n": 500}, None),
    "no regression": (({**VERSUS, "kind": "no_regression"}, "utility", "accuracy"), {"n": 50}, True),
    "a difference between groups of whom one is too small to show it": (
        (MAX, "group_disparity", "equalized_odds_difference", "attribute=gender"), {"n": 200, "of_a": 150}, False),
    "a difference between groups that are large enough": (
        (MAX, "group_disparity", "equalized_odds_difference", "attribute=gender"), {"n": 400, "of_a": 200}, None),
    "a difference between groups of an attribute without a column": (
        (MAX, "group_disparity", "equalized_odds_difference", "attribute=region"), {"n": 200}, None),
    "a rate in a group that is too small": (
        (MAX, "group_disparity", "false_positive_rate", "attribute=gender,group=b"), {"n": 200, "of_a": 150}, False),
    "a number with no bounds": (({"kind": "bound", "max": 1.0}, "utility", "log_loss"), {}, True),
}  # fmt: skip


@pytest.mark.parametrize(("gate", "data", "expected"), GATES.values(), ids=GATES)
def test_whether_a_gate_can_pass_follows_from_its_kind_and_the_data(gate, data, expected):
    can_pass, words = outlook(*gate, **data)
    assert can_pass is expected, words
    assert words


def test_the_canaries_that_are_needed_grow_with_the_family_and_a_smaller_delta():
    gate = ({"kind": "bound", "max": 2.3}, "canaries", "epsilon_lower_bound")
    strict = PrivacyClaim(epsilon=8.0, delta=1e-6)
    assert outlook(*gate, canaries=150, claim=strict)[0] is True
    assert outlook(*gate, canaries=150, claim=strict, fail_level=0.99)[0] is False
    assert outlook(*gate, canaries=150, claim=PrivacyClaim(epsilon=8.0, delta=1e-3))[0] is False


def gated(audit, tmp_path, *gates: str) -> dict[str, Prospect]:
    listed = ", ".join(gates)
    policy = f"gates={{name: p, version: 1, owner: me, gates: [{listed}]}}"
    return {p.gate: p for p in foreseen(audit[0], tmp_path / "runs", policy).prospects}


def test_a_gate_on_what_is_not_asked_cannot_pass(audit, tmp_path):
    found = gated(
        audit,
        tmp_path,
        "{id: base, kind: bound, metric: utility.accuracy, arm: base, min: 0.1}",
        "{id: to-base, kind: noninferior, metric: utility.accuracy, reference: base, margin: 0.1}",
        "{id: twin, kind: bound, metric: 'membership.auc[attack=loss]', arm: base, max: 0.9}",
        "{id: twins, kind: noninferior, metric: 'membership.auc[attack=loss]', reference: dp, margin: 0.5}",
    )
    assert {name: p.can_pass for name, p in found.items()} == {
        "base": False, "to-base": False, "twin": False, "twins": None,
    }  # fmt: skip
    assert found["twin"].words == "membership is not put to base"
    assert "no head" in found["base"].words


def test_a_gate_on_a_slice_that_the_data_lack_cannot_pass_and_the_slices_there_are_get_named(audit, tmp_path):
    found = gated(audit, tmp_path, "{id: rare, kind: bound, metric: 'utility.recall[class=absent]', min: 0.1}")
    assert found["rare"].can_pass is False
    assert found["rare"].words.startswith("there is no class 'absent'; there are: ")


def test_gates_of_one_family_share_its_alpha_in_the_forecast_too(audit, tmp_path, monkeypatch):
    levels = []
    monkeypatch.setattr(prospects, "_outlook", lambda case: (levels.append(case.fail_level), (None, ""))[1])
    gate = "{id: g%d, kind: bound, metric: utility.accuracy, min: 0.1}"
    gated(audit, tmp_path, *(gate % i for i in range(5)))
    assert levels == [pytest.approx(0.99)] * 5


# ---- canaries -----------------------------------------------------------------------------------------------------


def test_the_plan_declares_score_sign_and_guesses_before_looking_and_tells_what_they_could_refute(audit, tmp_path):
    found = foreseen(audit[0], tmp_path / "elsewhere", "arms.dp={privacy: {epsilon: 8}}")
    by_arm = {reach.arm: reach for reach in found.reaches}
    dp, standard = by_arm["dp-twin"], by_arm["standard-twin"]
    assert dp.largest_refutable < 8 == dp.claim
    assert dp.for_its_curve.if_all_right > dp.canaries
    assert standard.claim is None
    assert standard.for_any_mechanism is None
    words = found.words()
    assert "canaries, declared before looking" in words
    facts = Facts(arm="", role="twin", seed=0, head="classifier", task="text-classification")
    assert f"dp-twin: {Canaries().rule(facts, dp.canaries)}; the largest epsilon" in words
    none = (
        "the claim of 8 could be refuted, whatever the mechanism, with a guess share of 0.25 by no number of canaries"
    )
    assert none in words
    curve = f"if it is the claimed one, with a guess share of 0.25 by {dp.for_its_curve.if_all_right:,} canaries"
    assert curve in words


def test_an_epsilon_that_only_the_accountant_can_tell_is_no_claim_before_it_did(audit, tmp_path):
    before = {reach.arm: reach for reach in foreseen(audit[0], tmp_path / "elsewhere").reaches}
    after = {reach.arm: reach for reach in foreseen(audit[0], tmp_path / "runs").reaches}
    assert before["dp-twin"].claim is None
    assert after["dp-twin"].claim > 0
