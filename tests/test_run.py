"""Whole runs of a tiny audit: what is done stays done, and what changed is done again."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_audit

from audit.opening import opened, ordered
from audit.progress import Lines
from audit.running import execute
from audit.store import RunFolder, Store

REPOSITORY = Path(__file__).parent.parent


def run(config: Path, runs: Path, *changes: str) -> RunFolder:
    """Carry out an order; the run's folder."""
    order = ordered(opened(config, changes), runs)
    execute.run(order, Lines(quiet=True))
    return order.folder


def done(folder: RunFolder) -> list[str]:
    """The units that were done, not found, in the order of the log."""
    events = map(json.loads, folder.events.read_text().splitlines()) if folder.events.is_file() else ()
    return [event["unit"] for event in events if event["event"] == "done"]


def test_the_same_config_gives_the_same_bytes_on_another_day(tmp_path):
    config, first = tiny_audit.finished(tmp_path)
    again = run(config, tmp_path / "elsewhere")
    assert again.record.read_bytes() == (first / "record.json").read_bytes()
    for rows in first.glob("rows/*/*"):
        assert (again.path / rows.relative_to(first)).read_bytes() == rows.read_bytes()


def test_a_finished_run_does_nothing_and_leaves_its_files_as_they_are(tmp_path):
    config, path = tiny_audit.finished(tmp_path)
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    run(config, tmp_path / "runs")
    assert {f: f.read_bytes() for f in path.rglob("*") if f.is_file()} == before


def test_adding_a_probe_costs_that_probe_and_no_more(tmp_path):
    config, _ = tiny_audit.finished(tmp_path)
    folder = run(config, tmp_path / "runs", "probes.perturbation={kinds: [typos]}")
    assert done(folder)
    assert not [unit for unit in done(folder) if unit.startswith(("data", "train", "identify"))]
    assert {unit.split(":")[-1] for unit in done(folder) if unit.startswith("probe")} == {"perturbation"}


def test_adding_an_arm_costs_that_arm_and_no_more(tmp_path):
    config, _ = tiny_audit.finished(tmp_path)
    folder = run(config, tmp_path / "runs", "arms.longer={training: {max_steps: 4}}")
    assert all("longer" in unit for unit in done(folder))


def test_changing_one_weight_does_again_all_that_depends_on_it(tmp_path):
    from safetensors.torch import load_file, save_file

    config, path = tiny_audit.finished(tmp_path)
    weights = tmp_path / "model" / "model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    before = done(RunFolder(path))
    folder = run(config, tmp_path / "runs")
    asks_no_model = ("data", "ask:data:")
    assert sorted(done(folder)[len(before) :]) == sorted(u for u in before if not u.startswith(asks_no_model))


@pytest.mark.parametrize("probe", ["membership", "utility"])
def test_a_probe_that_breaks_leaves_the_others_standing(tmp_path, monkeypatch, probe):
    from probes.catalog import PROBES

    def broken(self, tables, facts):
        raise RuntimeError("a text of the user: do not print me")

    config, _ = tiny_audit.finished(tmp_path)
    monkeypatch.setattr(PROBES[probe], "answers", broken)
    monkeypatch.setattr(PROBES[probe], "version", 99)
    folder = run(config, tmp_path / "runs")
    record = folder.record.read_text()
    plain = json.loads(record)
    errors = [unit for unit in plain["unmeasured"] if unit["outcome"] == "error"]
    assert {unit["probe"] for unit in errors} == {probe}
    assert all(re.fullmatch(r"RuntimeError at test_run\.py:\d+", unit["reason"]) for unit in errors)
    assert "do not print me" not in record
    assert {m["probe"] for m in plain["metrics"]} == {"utility", "group_disparity", "membership", "canaries"} - {probe}
    assert plain["coverage"]["errors"] == len(errors) > 0


# ---- what is measured again, and what is only summarized again ---------------------------------------------------

TABLE = '''
from dataclasses import dataclass
from typing import ClassVar
import pyarrow as pa

@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Lengths of texts."""
    name: ClassVar[str] = "lengths"
    version: ClassVar[int] = 1

    def measure(self, subject, items):
        """Lengths."""
        yield pa.RecordBatch.from_pydict({"item_id": list(items["item_id"]), "n": [len(t) for t in items["text"]]})
'''

PROBE = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from probes.protocol import Ask, Rows
from probes.results import ALL, MetricSpec

@dataclass(frozen=True, kw_only=True)
class Long:
    """How long are the texts?"""
    name: ClassVar[str] = "long"
    version: ClassVar[int] = 1
    pillar: ClassVar[str] = "utility"
    roles: ClassVar[frozenset] = frozenset({"candidate"})
    metrics: ClassVar[dict] = {"mean": MetricSpec(ideal=0.0, unit="score", definition="long:mean", label="length")}

    def answers(self, tables, facts):
        """One row per text."""
        return Rows({c: tables["it"][c] for c in ("item_id", "cluster", "n")})

    def statistics(self, rows, weights):
        """The mean."""
        return {("mean", ALL): float(np.average(rows["n"], weights=weights))}
'''


@pytest.fixture
def measured_once(tmp_path, monkeypatch):
    """A function that measures a table and summarizes a probe from source files; the units that were done."""
    from audit import units
    from audit.running.arms import StoredModel
    from audit.running.asking import Asking
    from audit.settings.sections.models import Model
    from probes.protocol import Ask, Facts, Items, Subject
    from reports.record import Identity, SeedRecord

    numbers = range(20)
    texts = {"item_id": [f"i{i}" for i in numbers], "cluster": list(numbers), "text": ["x" * i for i in numbers]}
    items = Items(texts)
    identity = Identity(weights="w", tokenizer="t", parameters=1)
    record = SeedRecord(seed=0, identity=identity, training=None, privacy=None)
    model = StoredModel(source=Model(name="m"), head="causal", record=record, notes={})
    facts = Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm")

    def load(name, source):
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(f"changing_{name}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        # A process reads each source once; a new process, which this stands for, reads it anew.
        units.code_of.cache_clear()
        units._imports.cache_clear()
        return module

    def measure(table_source=TABLE, probe_source=PROBE):
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir(exist_ok=True)
        folder.events.unlink(missing_ok=True)
        work = units.Units(store=Store(tmp_path), folder=folder, observer=Lines(quiet=True))
        asking = Asking(units=work, subject_of=lambda unit, m: Subject(name="a", head="causal"), settings={}, seed=0)
        table, probe = load("table", table_source).Lengths(), load("probe", probe_source).Long()
        answered = asking.measure("ask", Ask(table=table, on=items), model)
        asking.summarize("a", 0, "long", probe, facts, {"it": answered})
        return done(folder)

    return measure


def test_what_did_not_change_is_neither_measured_nor_summarized_again(measured_once):
    assert measured_once() == ["ask", "probe:a@0:long"]
    assert measured_once() == []


def test_a_table_whose_code_changed_is_measured_again(measured_once):
    measured_once()
    assert measured_once(table_source=TABLE.replace("len(t)", "len(t) + 1")) == ["ask", "probe:a@0:long"]


def test_a_probe_whose_arithmetic_changed_is_only_summarized_again(measured_once):
    measured_once()
    assert measured_once(probe_source=PROBE.replace("weights=weights))", "weights=weights) * 2)")) == ["probe:a@0:long"]


# ---- a probe of one's own ----------------------------------------------------------------------------------------


def test_the_probe_in_contributing_runs_as_it_stands_there(tmp_path, monkeypatch):
    from probes import catalog

    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    path = tmp_path / "shouting.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("shouting", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "shouting", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(catalog, "PROBES", {**catalog.PROBES, "shouting": module.Shouting})
    monkeypatch.setattr("audit.opening.PROBES", catalog.PROBES)
    config, _ = tiny_audit.finished(tmp_path)
    folder = run(config, tmp_path / "runs", "probes.shouting={limit: 40}")
    record = json.loads(folder.record.read_text())
    (metric,) = [m for m in record["metrics"] if m["probe"] == "shouting" and m["arm"] == "dp"]
    # The tiny tokenizer knows no capitals, so every text becomes one and the same.
    assert 0 <= metric["estimate"]["value"] <= 1
    assert metric["estimate"]["n"] > 0
    assert any(c["probe"] == "shouting" and c["reference"] == "standard" for c in record["contrasts"])


# ---- killed ------------------------------------------------------------------------------------------------------


def killed_after(command: list[str], folder: Path, units: int, with_signal: int = signal.SIGKILL) -> tuple[int, str]:
    """Start a run in a process of its own and kill it once some units are done: its exit code, and what it said."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        events = next(folder.glob("tiny-*/events.jsonl"), None)
        if events is not None and events.read_text().count('"done"') >= units:
            process.send_signal(with_signal)
            break
        time.sleep(0.01)
    _, said = process.communicate()
    return process.returncode, said


def test_a_killed_run_goes_on_and_gives_the_same_record(tmp_path):
    config, undisturbed = tiny_audit.finished(tmp_path)
    command = [sys.executable, "-m", "audit", "run", str(config), "--runs", str(tmp_path / "killed"), "--quiet"]
    points = np.random.default_rng(os.getpid()).integers(2, 30, size=2)
    for point in sorted(points):
        killed_after(command, tmp_path / "killed", int(point))
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    (path,) = (tmp_path / "killed").glob("tiny-*")
    assert (path / "record.json").read_bytes() == (undisturbed / "record.json").read_bytes()
    finished = done(RunFolder(path))
    assert len(finished) == len(set(finished)), "a unit was done twice"


def test_an_interrupted_run_ends_with_130_and_leaves_nothing_half_written(tmp_path):
    config = tiny_audit.files(tmp_path)
    run_it = f"main(['run', {str(config)!r}, '--runs', {str(tmp_path / 'runs')!r}, '--quiet'])"
    # A shell that starts tests in the background has them ignore this signal.
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"import signal; {listen}; from audit.cli import main; {run_it}"]
    code, said = killed_after(command, tmp_path / "runs", 1, signal.SIGINT)
    assert code == 130
    assert said.endswith("interrupted; run the same command again to go on from here\n")
    assert list((tmp_path / "runs" / "objects").glob("*/*/.*")) == []
    (folder,) = (tmp_path / "runs").glob("tiny-*")
    assert not (folder / "record.json").exists()


def test_all_files_of_a_run_are_readable_by_their_owner_only_though_no_command_line_set_a_mask(tmp_path):
    before = os.umask(0o022)
    try:
        config, folder = tiny_audit.finished(tmp_path)
        run(config, tmp_path / "elsewhere")
    finally:
        os.umask(before)
    modes = {
        path: path.stat().st_mode & 0o777
        for runs in (folder.parent, tmp_path / "elsewhere")
        for path in runs.rglob("*")
    }
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
