"""What people read of a run is drawn once, drawn again where something changed, and compared with the run's files."""

import pytest
import tiny_audit

from audit.judging import judge as judging
from audit.judging.pages import redrawn, write_reports
from audit.store import RunFolder, write_json, write_text
from reports.record import dumps, load_run


@pytest.fixture
def drawn(tmp_path) -> RunFolder:
    """A finished run, judged and drawn."""
    folder = RunFolder(tiny_audit.finished(tmp_path)[1])
    judging.write_judgement(folder, judging.judge(folder))
    write_reports(folder)
    return folder


@pytest.fixture
def renderings(monkeypatch) -> list[str]:
    """What is rendered from now on."""
    rendered = []
    monkeypatch.setattr("reports.html.render", lambda record, *_: rendered.append(record.title) or "page")
    return rendered


def test_pages_that_are_there_are_not_drawn_again(drawn, renderings):
    write_reports(drawn)
    assert renderings == []
    write_reports(drawn, afresh=True)
    assert renderings == ["tiny"]


@pytest.mark.parametrize("change", ["the page", "a page is gone", "the run", "no verdicts", "the code", "the note"])
def test_what_changed_is_drawn_again(drawn, renderings, monkeypatch, change):
    if change == "the page":
        write_text(drawn.report, "forged")
    elif change == "a page is gone":
        drawn.summary.unlink()
    elif change == "the run":
        write_text(drawn.run, dumps(load_run(drawn.run)).replace('"complete"', '"incomplete"'))
    elif change == "no verdicts":
        judging.forget(drawn)
    elif change == "the code":
        monkeypatch.setattr("audit.judging.pages._code", lambda: "other")
    else:
        write_json(drawn.drawn, {"files": {}})
    write_reports(drawn)
    assert renderings == ["tiny"]
    assert drawn.tampered() == []


@pytest.mark.parametrize("name", ["report.html", "summary.md", "junit.xml"])
def test_a_page_that_says_something_else_is_named(drawn, name):
    assert redrawn(drawn) == ([], [])
    path = drawn.path / name
    path.write_text(path.read_text().replace("accuracy", "accuracy!"))
    assert redrawn(drawn) == ([f"{name} is not what the run's files say; 'audit report' draws it again"], [])


def test_a_page_that_another_version_drew_cannot_be_verified_and_is_no_forgery(drawn, monkeypatch):
    monkeypatch.setattr("reports.html.render", lambda *_: "drawn otherwise")
    wrong, unclear = redrawn(drawn)
    assert (len(wrong), unclear) == (1, [])
    monkeypatch.setattr("audit.judging.pages._code", lambda: "other")
    assert redrawn(drawn) == ([], ["report.html: drawn by another version; 'audit report' draws it with this one"])
    drawn.report.write_text(drawn.report.read_text() + " ")
    wrong, unclear = redrawn(drawn)
    assert (len(wrong), unclear) == (1, [])


def test_verdicts_in_a_page_without_verdicts_in_a_file_are_named(drawn):
    drawn.gates.unlink()
    assert "junit.xml tells verdicts, and there is no gates.json" in redrawn(drawn)[0]
