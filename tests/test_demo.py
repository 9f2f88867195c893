"""The embedded demo, whole: what was planted is found, the control stays silent, and a kill changes nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from world_findings import ALARMS, FOUND

ROOT = Path(__file__).resolve().parents[1]
PURPOSES = ("data.world.seed", "seeds.coins", "seeds.training", "seeds.probe")


def command(config: str, runs: Path, *changes: str) -> list[str]:
    options = [word for change in changes for word in ("--set", change)]
    run = [sys.executable, "-m", "audit", "run", str(ROOT / "configs" / config), "--quiet", "--runs", str(runs)]
    return [*run, *options]


def record_of(runs: Path) -> dict:
    (path,) = runs.glob("*/record.json")
    return json.loads(path.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_planted_is_found(tmp_path, seed):
    subprocess.run(command("demo.yaml", tmp_path, *(f"{p}={seed}" for p in PURPOSES)), cwd=ROOT, check=True)
    record = record_of(tmp_path)
    missed = [name for name, says in FOUND.items() if not says(record)]
    assert len(missed) <= 1, missed  # of eighteen statements, each of which may miss one seed in twenty


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_control_world_stays_silent(tmp_path, seed):
    subprocess.run(command("demo_control.yaml", tmp_path, *(f"{p}={seed}" for p in PURPOSES)), cwd=ROOT, check=True)
    record = record_of(tmp_path)
    raised = [name for name, says in ALARMS.items() if says(record)]
    assert len(raised) <= 1, raised  # of nine alarms, each of which may be false three times in twenty


@pytest.mark.slow
def test_the_demo_killed_at_several_points_gives_the_same_record_and_does_nothing_twice(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run(command("demo.yaml", undisturbed), cwd=ROOT, check=True)
    took = time.monotonic() - started
    draws = random.Random(os.getpid())
    for _ in range(4):
        process = subprocess.Popen(command("demo.yaml", killed), cwd=ROOT)
        time.sleep(draws.uniform(0.1, 0.4) * took)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command("demo.yaml", killed), cwd=ROOT, check=True)
    first, second = (next(runs.glob("*/record.json")).read_bytes() for runs in (undisturbed, killed))
    assert first == second
    (events,) = killed.glob("*/events.jsonl")
    done = [event["unit"] for event in map(json.loads, events.read_text().splitlines()) if event["event"] == "done"]
    assert len(done) == len(set(done))
