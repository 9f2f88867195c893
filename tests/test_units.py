"""Units of work: done once, found afterwards, shown, logged, and keyed by the code they rest on."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from audit import units
from audit.progress import Bars, Lines, shown
from audit.store import RunFolder, Store, private_folder, write_text
from audit.units import Units, code_of, events_of, object_name, objects_of
from probes.privacy import check_digits, personal
from reports.record import RunInfo, dumps


class Told:
    """An observer that remembers."""

    def __init__(self):
        self.said = []

    def begin(self, unit):
        self.said.append(f"begin {unit}")

    def advance(self, unit, share):
        self.said.append(f"{unit} {share:.0%}")

    def end(self, unit, seconds, reused):
        self.said.append(f"{'found' if reused else 'did'} {unit}")

    def say(self, words):
        self.said.append(words)


@pytest.fixture
def work(tmp_path):
    folder = RunFolder(tmp_path / "a-1")
    private_folder(folder.path)
    return Units(store=Store(tmp_path), folder=folder, observer=Told())


def write(part):
    write_text(part / "value", "x")


def test_a_unit_is_done_once_and_found_afterwards(work):
    first = work.obtain("train:a@0", "model", {"seed": 0}, write)
    again = work.obtain("train:a@0", "model", {"seed": 0}, pytest.fail)
    assert first == again
    assert work.observer.said == ["begin train:a@0", "did train:a@0", "found train:a@0"]
    assert list(work.timings) == ["train:a@0"]


def test_what_a_unit_took_is_told_by_a_run_that_finds_it_done_too(work, tmp_path):
    work.obtain("train:a@0", "model", {"seed": 0}, write)
    later = Units(store=Store(tmp_path), folder=work.folder, observer=Told())
    later.obtain("train:b@0", "model", {"seed": 0}, pytest.fail)
    assert later.earlier == {"train:b@0": work.timings["train:a@0"]}
    assert not later.timings


def test_work_that_a_killed_process_did_counts_as_well(work):
    work.obtain("train:a@0", "model", {}, lambda part: 3600.0)
    assert work.timings["train:a@0"]["seconds"] == 3600.0


def test_other_inputs_or_another_kind_are_another_unit(work):
    paths = {
        work.obtain("u", kind, inputs, write)
        for kind, inputs in (("model", {"seed": 0}), ("model", {"seed": 1}), ("table", {"seed": 0}))
    }
    assert len(paths) == 3


def test_a_unit_that_breaks_leaves_nothing_and_is_begun_again(work):
    with pytest.raises(RuntimeError, match="no"):
        work.obtain("u", "model", {}, lambda part: (_ for _ in ()).throw(RuntimeError("no")))
    assert not work.timings
    work.obtain("u", "model", {}, write)
    assert [(e["unit"], e["event"]) for e in events_of(work.folder)] == [("u", "begin"), ("u", "begin"), ("u", "done")]


def test_what_a_run_uses_is_in_its_file_and_what_it_had_begun_in_its_events(work):
    begun, used = object_name("model", {"seed": 0}), "data/abc"
    with pytest.raises(KeyboardInterrupt):
        work.obtain("u", "model", {"seed": 0}, lambda part: (_ for _ in ()).throw(KeyboardInterrupt))
    assert objects_of(work.folder) == {begun}
    info = RunInfo(
        run_id="a-1", status="complete", started="", finished="", sealed_at="", host={}, objects={"data": used}
    )
    write_text(work.folder.run, dumps(info))
    assert objects_of(work.folder) == {begun, used}


def test_a_line_of_events_that_a_kill_cut_short_is_left_out(work):
    work.obtain("u", "model", {}, write)
    with work.folder.events.open("a") as events:
        events.write('{"unit":"v","ev')
    assert len(list(events_of(work.folder))) == 2


def test_the_log_says_what_was_done_and_how_long_it_took(work):
    path = work.obtain("u", "model", {}, write)
    last = json.loads(work.folder.events.read_text().splitlines()[-1])
    assert last["object"] == f"model/{path.name}"
    assert last["seconds"] >= 0


# ---- the code that a key rests on ---------------------------------------------------------------------------------


def test_the_code_that_makes_items_is_also_that_which_looks_for_names_in_texts(monkeypatch):
    asked = []
    monkeypatch.setattr(units, "sources_digest", asked.extend)
    units.code_of_data.__wrapped__()
    assert {Path(personal.__file__), Path(check_digits.__file__)} <= set(asked)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a third party: two modules, of which one uses the other."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "probe.py").write_text("from theirs.scores import loss\nfrom . import more\nimport json\n")
    (folder / "scores.py").write_text("def loss(): return 1\n")
    (folder / "more.py").write_text("")
    (folder / "apart.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("theirs.probe")
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
        del sys.modules[name]


def changed(file, text):
    """Whether the code of the probe is other code after a file was changed."""
    codes = set()
    for content in (file.read_text(), text):
        file.write_text(content)
        code_of.cache_clear()  # a process reads a file once
        units._imports.cache_clear()
        codes.add(code_of("theirs.probe"))
    return len(codes) == 2


@pytest.mark.parametrize(
    ("name", "counts"), [("probe.py", True), ("scores.py", True), ("more.py", True), ("apart.py", False)]
)
def test_a_key_rests_on_what_a_module_takes_from_its_package_and_on_no_more(package, name, counts):
    assert changed(package / name, "from theirs.scores import loss\nx = 1\n") == counts


# ---- what is shown ------------------------------------------------------------------------------------------------


def test_away_from_a_terminal_each_unit_is_a_plain_line_of_stderr(capsys):
    with Lines() as lines:
        lines.begin("train:a@0")
        lines.advance("train:a@0", 0.5)
        lines.end("train:a@0", 1.25, reused=False)
        lines.end("data", 0.0, reused=True)
    said = capsys.readouterr()
    assert said.err == "train:a@0  1.2 s\n1 unit was done already\n"
    assert said.out == ""


def test_quiet_says_nothing(capsys):
    with shown(quiet=True) as observer:
        observer.end("u", 1.0, reused=False)
        observer.say("words")
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    """stderr as a terminal."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_on_a_terminal_there_is_a_bar_and_on_a_dumb_one_there_are_lines(terminal, monkeypatch):
    assert isinstance(shown(), Bars)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(shown(), Lines)


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), (None, True)])
def test_a_bar_has_no_colour_where_that_is_asked_for(terminal, monkeypatch, no_color, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert Bars()._console.no_color != coloured


def test_a_bar_that_a_broken_unit_left_makes_way_for_the_next(terminal):
    with Bars() as bars:
        bars.begin("broke")
        bars.begin("next")
        bars.advance("next", 0.5)
        assert [task.description for task in bars._progress.tasks] == ["next"]
        bars.end("next", 1.0, reused=False)
        assert bars._progress.tasks == []
