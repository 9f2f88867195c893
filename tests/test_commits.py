"""A model on the hub whose commit the config leaves open: found at first use, kept with the runs, and told."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import tiny_audit

COMMITS = ("a" * 40, "b" * 40)
TWO_LINES = "model: org/tiny\ndata: {file: tickets.csv, text: body, label: topic, groups: [gender]}\n"
SHORT = ["--set", "training.max_steps=5", "--set", "probes={utility: {}}", "--set", "compute.threads=1"]


@pytest.fixture
def folder(tmp_path):
    """A folder with data and a config of two lines, and a cache of the hub in which the model's branch is known."""
    tiny_audit.files(tmp_path)
    cached = tmp_path / "hub" / "hub" / "models--org--tiny"
    for commit in COMMITS:
        shutil.copytree(tmp_path / "model", cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    move(tmp_path, COMMITS[0])
    (tmp_path / "two.yaml").write_text(TWO_LINES)
    return tmp_path


def move(folder, commit):
    (folder / "hub" / "hub" / "models--org--tiny" / "refs" / "main").write_text(commit)


def audit(folder, *words):
    """The command line, out of the hub's reach but for what lies in the cache."""
    return subprocess.run(
        [sys.executable, "-m", "audit", *words],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_lines_with_a_name_on_the_hub_are_enough_and_later_runs_keep_to_its_commit(folder):
    first = audit(folder, "run", "two.yaml", *SHORT)
    assert first.returncode == 0, first.stderr
    assert f"org/tiny: taken at commit {COMMITS[0]}" in first.stderr
    move(folder, COMMITS[1])
    again = audit(folder, "run", "two.yaml", "--json", *SHORT)
    assert again.returncode == 0, again.stderr
    assert "taken at commit" not in again.stderr
    (run,) = (folder / "runs").glob("two-*")
    assert json.loads((run / "record.json").read_text())["provenance"]["commit"] == COMMITS[0]
    assert COMMITS[0] in (run / "report.html").read_text()
    assert json.loads(again.stdout)["run"] == str(run.relative_to(folder))


def test_a_commit_in_the_config_goes_before_the_one_that_the_runs_keep(folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "commits.json").write_text(json.dumps({"org/tiny": COMMITS[0]}))
    planned = audit(folder, "plan", "two.yaml", "--json", "--set", f"model.revision={COMMITS[1]}")
    kept = audit(folder, "plan", "two.yaml", "--json")
    assert planned.returncode == kept.returncode == 0, planned.stderr + kept.stderr
    assert json.loads(planned.stdout)["run"] != json.loads(kept.stdout)["run"]


def test_what_is_kept_and_was_damaged_is_named(folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "commits.json").write_text("[")
    ended = audit(folder, "run", "two.yaml")
    assert ended.returncode == 2
    assert ended.stderr == "runs/commits.json: damaged; remove it, and the next run takes the newest commits again\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("org/other", "the hub is not reached, and no copy of the model lies on this machine; give a folder"),
        ("a--b/c", "cannot be looked up on the hub (Cannot have -- or .. in repo_id: 'a--b/c')"),
    ],
)
def test_a_model_that_is_not_found_is_named_with_its_line(folder, name, why):
    ended = audit(folder, "run", "two.yaml", "--set", f"model={name}")
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith(f"model.name: {name}: {why}")
    assert not (folder / "runs" / "commits.json").exists()
