"""Intervals at the levels of the gates are computed once, and believed only where nobody can have changed them."""

import pytest
import tiny_audit

from audit.judging import judge as judging
from audit.judging.evidence import Recomputed
from audit.judging.verify import verified
from audit.store import RunFolder, read_json, write_json, write_text
from reports.record import dumps


@pytest.fixture
def judged(tmp_path) -> RunFolder:
    """A finished run, judged."""
    folder = RunFolder(tiny_audit.finished(tmp_path)[1])
    write_text(folder.gates, dumps(judging.judge(folder)))
    return folder


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What is computed from rows."""
    computed = []
    for name in ("value", "difference"):
        original = getattr(Recomputed, name)
        monkeypatch.setattr(
            Recomputed, name, lambda self, *of, original=original: (computed.append(of[0]), original(self, *of))[1]
        )
    return computed


def forge(folder: RunFolder) -> None:
    """Move every kept interval far below any limit."""
    plain = read_json(folder.intervals)
    for _, value in plain["values"]:
        value.update(value=-9.0, low=-9.0, high=-9.0)
    write_json(folder.intervals, plain)


def test_a_second_look_computes_nothing_and_says_the_same(judged, asked):
    assert dumps(judging.judge(judged)) == judged.gates.read_text()
    assert asked == []


def test_kept_intervals_that_were_changed_are_computed_again(judged, asked):
    before = judged.intervals.read_bytes()
    forge(judged)
    assert dumps(judging.judge(judged)) == judged.gates.read_text()
    assert asked
    assert judged.intervals.read_bytes() == before
    assert judged.tampered() == []


def test_intervals_of_other_rows_or_other_code_are_computed_again(judged, asked, monkeypatch):
    monkeypatch.setattr("audit.judging.intervals.code_of_project", lambda: "other")
    judging.judge(judged)
    assert asked


def test_verify_does_not_believe_them_whatever_the_manifest_says(judged):
    honest = judged.gates.read_bytes()
    forge(judged)
    judged.vouch(judged.intervals)
    write_text(judged.gates, dumps(judging.judge(judged)))
    assert judged.gates.read_bytes() != honest, "who writes the manifest too can deceive a second look"
    differences = verified(judged).differences
    assert "gates.json: the verdicts do not come out of the record again" in differences
    assert any(sentence.startswith("intervals.json: the interval of ") for sentence in differences)


def test_a_file_of_intervals_that_is_none_is_written_anew(judged):
    write_text(judged.intervals, "{")
    judged.vouch(judged.intervals)
    assert dumps(judging.judge(judged)) == judged.gates.read_text()
    assert read_json(judged.intervals)["values"]
