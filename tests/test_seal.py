"""The seal: what came first, the gates or the answers, and what is said where the answers did."""

import pytest
import tiny_audit

from audit.judging.judge import judge
from audit.opening import opened, ordered
from audit.progress import Lines
from audit.refusal import Damaged
from audit.running import execute
from audit.running.seal import read_seal
from audit.settings.sections.policy import Policy
from audit.store import RunFolder, digest, read_json, write_json
from reports.record import load_record, load_run

LATE = "the run was sealed after some of its answers were already measured (by an earlier run)"


def run(config, runs, *changes) -> RunFolder:
    """Carry out an order; the run's folder."""
    order = ordered(opened(config, changes), runs)
    execute.run(order, Lines(quiet=True))
    return order.folder


@pytest.fixture
def finished(tmp_path):
    config, path = tiny_audit.finished(tmp_path)
    return config, RunFolder(path)


def told(folder: RunFolder) -> tuple[str, ...]:
    """What the verdicts say of the seal."""
    return judge(folder).deviations


def test_a_seal_that_came_first_says_so(finished):
    _, folder = finished
    assert read_seal(folder).measured_before == ()
    assert load_record(folder.record).provenance.measured_before == 0
    assert told(folder) == ()


def test_answers_of_an_earlier_run_make_another_title_s_seal_late(finished):
    config, first = finished
    other = run(config, first.path.parent, "title=another")
    assert other.path != first.path
    before = read_seal(other).measured_before
    assert {unit.partition(":")[0] for unit in before} == {"ask", "probe"}
    assert "probe:dp@0:utility" in before
    assert load_record(other.record).provenance.measured_before == len(before)
    assert told(other) == (LATE,)
    assert told(first) == ()


def test_a_seal_that_was_removed_is_not_replaced_by_one_that_came_first(finished):
    config, folder = finished
    sealed_at = read_seal(folder).sealed_at
    folder.seal.unlink()
    run(config, folder.path.parent)
    assert read_seal(folder).measured_before[0] == "record.json"
    assert told(folder) == (LATE,)
    assert load_run(folder.run).sealed_at == read_seal(folder).sealed_at >= sealed_at


def test_a_seal_that_was_changed_by_hand_is_none(finished):
    config, folder = finished
    easy = Policy(**read_json(folder.config)["gates"] | {"on_inconclusive": "fail"})
    write_json(folder.seal, {**read_json(folder.seal), "gates": digest(easy.model_dump(mode="json"))})
    run(config, folder.path.parent, "gates.on_inconclusive=fail")
    assert told(folder) == (LATE,)


def test_gates_that_are_changed_later_are_told_beside_a_late_seal(finished):
    config, first = finished
    other = run(config, first.path.parent, "title=another")
    run(config, first.path.parent, "title=another", "gates.on_inconclusive=fail")
    assert told(other)[0] == LATE
    assert "changed afterwards" in told(other)[1]


def test_a_killed_run_goes_on_under_its_own_seal(finished):
    config, folder = finished
    record, seal = folder.record.read_bytes(), folder.seal.read_bytes()
    for file in (folder.record, folder.manifest, folder.run):
        file.unlink()
    run(config, folder.path.parent)
    assert folder.seal.read_bytes() == seal
    assert folder.record.read_bytes() == record
    assert told(folder) == ()


def test_a_probe_that_breaks_does_not_keep_the_run_from_being_sealed(finished, monkeypatch):
    from probes.utility.task import Utility

    config, first = finished
    monkeypatch.setattr(Utility, "needs", lambda *_: {}["gone"])
    other = run(config, first.path.parent, "title=another")
    before = read_seal(other).measured_before
    assert before
    assert not [unit for unit in before if unit.endswith(":utility")]


def test_seals_of_before_that_do_not_know_the_line_are_read(finished):
    _, folder = finished
    seal = read_json(folder.seal)
    del seal["measured_before"]
    write_json(folder.seal, seal)
    assert read_seal(folder).measured_before == ()


def test_a_seal_that_cannot_be_read_is_named(finished):
    config, folder = finished
    folder.seal.write_text("{")
    with pytest.raises(Damaged, match=r"seal\.json: damaged or changed"):
        ordered(opened(config), folder.path.parent)
