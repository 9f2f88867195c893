"""Trainings that are made to leak: found where there is something to find with, and nowhere else in the way."""

import functools
import re
import tempfile
from pathlib import Path

import pytest
import tiny_audit

from audit.judging.verify import verified
from audit.opening import opened, ordered
from audit.planning.forecast import forecast
from audit.planning.plan import make_plan
from audit.progress import Lines
from audit.running import execute
from audit.settings.config import AuditConfig
from audit.store import RunFolder
from probes.results import Estimate
from reports.html import render
from reports.index import Index
from reports.markdown import summary
from reports.parts.controls import battery
from reports.record import load_record, load_run
from reports.view import view

SMALL = {"model": "world", "data": {"world": {}}}
BOTH = {"leaky": None, "no_noise": None}
QUIET = Lines(quiet=True)


def config(**sections):
    return AuditConfig.model_validate({**SMALL, **sections})


@functools.cache
def folder_of(width):
    """The tiny audit's files, with a model of some width: a head of 16 numbers could learn nothing by heart."""
    folder = Path(tempfile.mkdtemp(prefix="controls-"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tiny_audit, "WIDTH", width)
        tiny_audit.files(folder)
    return folder


def order_of(*changes, width=64):
    folder = folder_of(width)
    few = "arms={standard: {training: {max_steps: 5}}}", "gates=null", "probes={membership: {fprs: [0.1]}, canaries: }"
    return ordered(opened(folder / "tiny.yaml", (*few, *changes)), folder / "runs")


@functools.cache
def audited(*changes, width=64):
    order = order_of(*changes, width=width)
    execute.run(order, QUIET)
    return load_record(order.folder.record), order.folder.path


FOUND = ("controls={leaky: {training: {epochs: 25}}, no_noise: }", "data.canaries=[{kind: random, count: 280}]")
FEW = ("controls={no_noise: {training: {epochs: 1}}}", "data.canaries=[{kind: random, count: 12}]")


def number(record, arm, probe, name):
    return next(m.estimate for m in record.metrics if (m.arm, m.probe, m.name) == (arm, probe, name))


def test_one_line_switches_a_control_on_and_a_silent_config_has_none():
    assert not config().controls.on()
    both = config(controls=BOTH)
    assert list(both.controls.on()) == ["leaky", "no_noise"]
    assert AuditConfig.model_validate(both.model_dump(mode="json")) == both
    assert AuditConfig.model_validate(config().model_dump(mode="json")) == config()


def test_controls_are_trained_on_the_twins_data_and_are_asked_about_privacy_alone():
    plan = make_plan(config(controls=BOTH))
    leaky, no_noise = plan.arm("leaky"), plan.arm("no_noise")
    for arm in (leaky, no_noise):
        assert (arm.role, arm.source, arm.twin_of, len(arm.seeds)) == ("control", "trained", None, 1)
        assert {probe.pillar for probe in arm.probes.values()} == {"privacy"}
    assert (leaky.repetitions, leaky.privacy, leaky.claims) == (16, None, None)
    assert (no_noise.privacy.noise_multiplier, no_noise.claims.epsilon) == (0, 1)
    assert not [pair for pair in plan.contrasts if {"leaky", "no_noise"} & set(pair)]
    assert "leaky-twin" not in [arm.name for arm in plan.arms]


def test_a_classifiers_controls_train_the_head_alone_and_others_what_the_config_says():
    classifier = config(controls=BOTH, training={"epochs": 2.0})
    assert classifier.training_of_control("leaky").strategy == "head"
    by_word = config(controls=BOTH, training={"epochs": 2.0, "strategy": "lora"}, task={"label_words": {"a": "b"}})
    found = by_word.training_of_control("no_noise")
    assert (found.strategy, found.epochs) == ("lora", 6.0)
    own = config(controls={"leaky": {"training": {"epochs": 7.0}}}).training_of_control("leaky")
    assert own.epochs == 7.0


def test_a_slower_head_in_the_config_does_not_slow_a_head_that_is_to_learn_by_heart():
    recipe = config(controls=BOTH, training={"head_learning_rate": 1e-4}).training_of_control("leaky")
    assert (recipe.learning_rate, recipe.head_learning_rate) == (1e-2, None)


def test_a_training_that_learnt_by_heart_and_a_claim_without_noise_are_found():
    record, _ = audited(*FOUND)
    auc = number(record, "leaky", "canaries", "auc")
    assert auc.low > 0.5
    verdicts = {c.check.name: c.check.outcome for c in record.checks if c.arm == "no_noise"}
    assert "refuted" in (verdicts["claimed epsilon"], verdicts["claimed mechanism"])
    assert number(record, "no_noise", "canaries", "epsilon_lower_bound").value > 0.5
    assert {c.word for c in battery(Index(record)).controls} == {"Found"}
    assert not record.coverage.errors


def test_a_leaky_control_sees_every_planted_canary_16_times():
    record, _ = audited(*FOUND)
    arms = {arm.name: arm for arm in record.arms}
    planted = sum(record.data.canaries_planted.values())
    ours, theirs = (arms[name].runs[0].training.examples for name in ("leaky", "standard-twin"))
    assert ours - theirs == 15 * planted


def test_a_model_that_leaks_on_purpose_says_that_it_is_never_to_be_deployed():
    _, folder = audited(*FOUND)
    notes = [path.read_text() for path in folder.parent.glob("objects/model/*/*/NEVER_DEPLOY.txt")]
    assert sum("leaks on purpose" in note for note in notes) >= 2


def test_with_few_canaries_the_claim_could_not_have_been_refuted_and_the_page_says_how_many_could():
    record, _ = audited(*FEW)
    (control,) = battery(Index(record)).controls
    assert control.word == "Could not be found"
    assert re.search(r"by \d+ canaries if all guesses were right", " ".join(control.said))
    assert "no_noise could not have been found on these data" in battery(Index(record)).answer[0]


def test_a_head_that_can_learn_nothing_by_heart_is_a_control_that_was_missed():
    record, _ = audited("controls={leaky: {training: {epochs: 1}}}", width=16)
    (control,) = battery(Index(record)).controls
    assert (control.word, control.tone) == ("Missed", "fail")
    assert "leaky was missed" in battery(Index(record)).answer[0]


def test_the_page_shows_controls_in_the_privacy_chapter_and_one_sentence_on_the_first_screen():
    record, _ = audited(*FOUND)
    page = view(record)
    words = render(record)
    first, chapter = words.split('id="battery"')[0], words.split('id="battery"')[1]
    assert "Would this battery have found a leak?" in chapter
    sentence = "Both trainings made to leak on purpose (leaky and no_noise) were found"
    assert first.count("no_noise") == 1
    assert sentence in first
    assert sentence.replace("_", r"\_") in summary(record)
    assert "deliberately false differential privacy claim of no_noise" in words
    assert not any("leaky" in gap.name for gap in page.gaps)
    columns = {c for block in page.chapters[1].blocks for table in block.tables for c in table.columns}
    assert columns == {"standard-twin"}


def test_without_controls_nothing_speaks_of_them(tmp_path):
    tiny_audit.finished(tmp_path)
    (run,) = (tmp_path / "runs").glob("tiny-*")
    record = load_record(run / "record.json")
    assert battery(Index(record)) is None
    assert "made to leak" not in render(record)


def test_lines_of_a_false_claim_say_that_it_is_false():
    record, _ = audited(*FOUND)
    lines = [c.check for c in record.checks if (c.arm, c.probe) == ("no_noise", "dp_claim")]
    assert {line.name: line.outcome for line in lines} == {"accounting": "not checked", "epsilon": "fail"}
    assert all(line.evidence.startswith("false on purpose") for line in lines)


def test_the_plan_counts_what_controls_cost():
    told = {work.unit: work for work in forecast(order_of(*FOUND, "title=other"), QUIET).work}
    leaky, no_noise = told["train:leaky@0"], told["train:no_noise@0"]
    assert "made to leak on purpose, the head alone" in leaky.what
    assert "clipped, without noise" in no_noise.what
    assert "on the same pass of the body" in no_noise.what
    assert {"probe:leaky@0:canaries", "probe:no_noise@0:canaries"} <= set(told)


def test_both_controls_and_all_heads_share_one_pass_of_the_body():
    _, folder = audited(*FOUND)
    done = [line for line in (folder / "events.jsonl").read_text().splitlines() if '"done"' in line]
    assert sum('"unit":"features"' in line for line in done) == 1


def test_a_second_look_at_trained_heads_leaves_the_run_as_it_is():
    _, folder = audited(*FOUND)
    before = (folder / "run.json").read_bytes()
    execute.run(order_of(*FOUND), QUIET)
    assert (folder / "run.json").read_bytes() == before


def test_heads_trained_on_another_pass_of_the_body_are_other_models():
    # In the last digits a text's hidden states depend on the texts that stand in a batch with it.
    alone = "arms={standard: {training: {max_steps: 2, strategy: head}}}", "probes={canaries: }"
    planted = (f"data.canaries=[{{kind: random, count: {count}}}]" for count in (12, 20))
    first, again = (load_run(audited(*alone, canaries)[1] / "run.json").objects for canaries in planted)
    assert first["features"] != again["features"]
    assert first["train:standard@0"] != again["train:standard@0"], "trained on the same texts, no canary among them"


def test_verifying_recomputes_what_was_found_on_controls():
    _, folder = audited(*FOUND)
    assert not verified(RunFolder(folder)).differences


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (("controls={leaky: }", "arms={leaky: }"), "is also a control that is on"),
        (("controls={no_noise: }", "probes={membership: }"), "only the probe canaries could refute"),
        (("controls={leaky: }", "probes={utility: }"), "is to be found by the probes canaries and membership"),
        (("controls={leaky: {repetitions: 1}}",), "at least 2"),
        (("controls={leeky: }",), "did you mean 'leaky'"),
        (("controls={leaky: }", "arms={base: }"), "no arm is trained here"),
    ],
)
def test_a_control_that_would_show_nothing_is_refused(changes, rule, tmp_path):
    path = tiny_audit.files(tmp_path)
    with pytest.raises(ValueError, match=rule):
        opened(path, (*changes, "gates=null", "deploy=null"))


def test_an_estimate_of_a_control_is_of_the_role_control():
    record, _ = audited(*FOUND)
    assert {m.role for m in record.metrics if m.arm in BOTH} == {"control"}
    assert isinstance(number(record, "leaky", "membership", "auc"), Estimate)
