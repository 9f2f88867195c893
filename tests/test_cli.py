"""The command line: exit codes, one document on stdout, words on stderr, and no torch where no model is needed."""

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tiny_audit
from click.testing import CliRunner

from audit import demo
from audit.cli import main
from audit.judging import judge as judging
from audit.judging import pages
from audit.opening import opened, ordered
from audit.running import execute
from audit.shadows import shadow
from audit.store import RunFolder, read_json, write_json
from reports.record import load_judgement, load_record, load_run

GATE = {"id": "g", "kind": "bound", "metric": "utility.accuracy", "arm": "dp"}


def audit(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def document(result: click.testing.Result) -> dict:
    """The one JSON document on stdout."""
    return json.loads(result.stdout)


@pytest.fixture
def config(tmp_path) -> Path:
    """A config without mistakes whose model is never loaded."""
    path = tmp_path / "small.yaml"
    path.write_text("model: world\ndata: {world: {}}\n")
    return path


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A finished run."""
    return RunFolder(tiny_audit.finished(tmp_path)[1])


@pytest.fixture
def unrendered(monkeypatch):
    """Nothing is drawn: the exit code does not depend on it."""
    monkeypatch.setattr(pages, "write_reports", lambda *_, **__: None)


def objects_of(folder: RunFolder) -> dict[str, str]:
    """Where the objects of a run lie, seen from the folder of all runs."""
    names = {unit: name.split("/") for unit, name in load_run(folder.run).objects.items()}
    return {unit: f"objects/{kind}/{key[:2]}/{key}" for unit, (kind, key) in names.items()}


def with_gates(folder: RunFolder, *gates: dict, **policy: object) -> RunFolder:
    """The run as if it had these gates."""
    config = read_json(folder.config)
    listed = [{**GATE, "id": f"g{i}", **gate} for i, gate in enumerate(gates)]
    config["gates"] = {"name": "p", "version": 1, "owner": "me", "gates": listed, **policy} if gates else None
    write_json(folder.config, config)
    folder.write_manifest()
    return folder


# ---- what every verb has ------------------------------------------------------------------------------------------


def verbs(group=main, above=()):
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from verbs(command, (*above, name))
        else:
            yield " ".join((*above, name)), command


@pytest.mark.parametrize("verb", [pytest.param(verb, id=name) for name, verb in verbs()])
def test_every_verb_has_json_and_says_what_it_does(verb):
    assert "as_json" in {parameter.name for parameter in verb.params}
    assert verb.help


def test_help_loads_little_and_nothing_heavy_and_tells_the_exit_codes():
    code = "import sys; from audit.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert len(said.splitlines()[-1].split()) < 300
    assert not {"torch", "numpy", "pydantic", "pyarrow", "scipy", "rich"} & set(said.split())
    for words in ("13  integrity", "130  interrupted", "3  incomplete", "10  a blocking gate failed"):
        assert words in said


def test_verbs_that_need_no_model_never_load_torch(run):
    config = run.path.parent.parent / "tiny.yaml"
    commands = [
        ["validate", config], ["plan", config, "--runs", run.path.parent], ["run", config, "--runs", run.path.parent],
        ["gate", run.path], ["report", run.path], ["verify", run.path], ["probes", "list"],
    ]  # fmt: skip
    code = f"""
import sys
from audit.cli import main
for command in {[[str(part) for part in command] for command in commands]!r}:
    try:
        main(command)
    except SystemExit as end:
        assert not end.code, (command, end.code)
    assert not {{"torch", "transformers", "opacus"}} & set(sys.modules), command
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ": 0 numbers" not in ended.stderr


# ---- a user's mistakes, and ours ----------------------------------------------------------------------------------


def refused(result: click.testing.Result, words: str) -> None:
    """One clear sentence on stderr, code 2, nothing on stdout."""
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize("verb", ["validate", "plan", "run", "ci"])
def test_a_mistake_in_the_config_is_its_sentence_and_code_2(verb, config):
    config.write_text("model: world\ndata: {world: {}}\ntraining: {epoch: 3}\n")
    refused(audit(verb, config), "small.yaml:3: training.epoch: no such setting; did you mean 'epochs'?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("model: ./gone\ndata: {world: {}}\n", "no such folder"),
        ("model: world\ndata: {world: {}}\ndeploy: dp\ngates: ./policy.yaml\n", "no such file; got './policy.yaml'"),
        ("model: world\ndata: {file: gone.csv, label: y}\n", "data.file: no such file; got "),
    ],
)
def test_a_file_that_is_not_there_is_a_mistake_of_the_config(config, text, words):
    config.unlink() if text is None else config.write_text(text)
    refused(audit("validate", config), words)


def test_data_that_cannot_be_used_are_refused_in_words(tmp_path):
    config = tiny_audit.files(tmp_path)
    with (tmp_path / "tickets.csv").open("a") as file:
        file.write(",praise,f\n")
    refused(audit("plan", config, "--runs", tmp_path / "runs"), "tickets.csv")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("{decision: {class: prais, threshold: 0.5}}", "no such class; got 'prais'; did you mean 'praise'?"),
        ("{decision: {class: x, threshold: 0.5}}", "no such class; got 'x'; there are complaint, praise"),
    ],
)
def test_classes_that_only_the_data_tell_are_checked_before_anything_is_trained(tmp_path, task, words):
    config = tiny_audit.files(tmp_path)
    config.write_text(config.read_text().replace("data:", f"task: {task}\ndata:"))
    result = audit("run", config, "--runs", tmp_path / "runs", "--quiet")
    assert result.exit_code == 2
    assert words in result.stderr
    assert [path.name for path in (tmp_path / "runs" / "objects").iterdir()] == ["data"]


def test_validate_gives_its_mistakes_as_a_list(config):
    assert document(audit("validate", config, "--json")) == {"valid": True, "mistakes": []}
    config.write_text("model: world\ndata: {world: {}}\ntraining: {epoch: 3}\ndeplyo: dp\n")
    result = audit("validate", config, "--json")
    assert result.exit_code == 2
    mistakes = document(result)["mistakes"]
    assert [(m["line"], m["key"], m["suggestion"]) for m in mistakes] == [
        (3, "training.epoch", "did you mean 'epochs'?"),
        (4, "deplyo", "did you mean 'deploy'?"),
    ]


@pytest.mark.parametrize("verb", ["gate", "report", "verify", "clean"])
def test_a_folder_that_is_no_run_is_named(verb, tmp_path):
    refused(audit(verb, tmp_path), f"{tmp_path}: no record.json; give the folder of a run")
    assert document(audit(verb, tmp_path, "--json"))["exit"] == 2


@pytest.mark.parametrize("verb", ["gate", "report", "verify"])
def test_a_run_that_has_not_finished_is_incomplete(verb, run):
    run.record.unlink()
    result = audit(verb, run.path)
    assert result.exit_code == 3
    assert "has not finished" in result.stderr


def test_a_record_of_a_newer_schema_is_refused_in_words(run):
    record = read_json(run.record)
    write_json(run.record, {**record, "schema": 99})
    run.write_manifest()
    refused(audit("report", run.path), "schema 99 is newer")


USAGES = [
    ["verify"],
    ["verfy", "x"],
    ["run", "a.yaml", "--sett", "x"],
    ["clean", "x", "--keep", "all"],
    ["probes", "lst"],
]


@pytest.mark.parametrize("words", USAGES, ids=" ".join)
def test_words_that_make_no_command_are_one_document_and_code_2(words):
    plain = audit(*words)
    assert (plain.exit_code, plain.stdout) == (2, "")
    result = audit(*words, "--json")
    assert result.exit_code == 2
    assert result.stderr == plain.stderr
    assert document(result)["exit"] == 2
    assert document(result)["error"] in result.stderr


def fails_with(monkeypatch, error: BaseException) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("audit.opening.opened", broken)


def test_what_nobody_expected_is_a_bug_of_ours_with_its_trace(monkeypatch, config):
    fails_with(monkeypatch, KeyError("surprise"))
    result = audit("validate", config, "--json")
    assert result.exit_code == 1
    assert "this is a bug in finetune-audit" in result.stderr
    assert "Traceback (most recent call last)" in result.stderr
    assert document(result) == {"exit": 1, "error": "this is a bug in finetune-audit, no mistake of yours: KeyError"}


@pytest.mark.parametrize("name", ["torch", "huggingface_hub"])
def test_a_light_installation_says_what_to_install(monkeypatch, config, name):
    fails_with(monkeypatch, ModuleNotFoundError(f"No module named '{name}'", name=name))
    refused(audit("run", config), f"{name} is not installed; to train and to ask, install 'finetune-audit[models]'")


def test_a_full_disk_is_no_bug(monkeypatch, config):
    fails_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/data/runs"))
    refused(audit("run", config), "/data/runs: no space left on device")


def test_a_stored_object_that_lost_a_file_is_named_with_what_to_do(run, unrendered):
    (rows,) = run.path.parent.glob(f"{objects_of(run)['probe:dp@0:utility']}/rows.parquet")
    rows.unlink()
    result = again(run, "run")
    assert result.exit_code == 13
    assert f"{rows.parent}: a stored object that lost its rows.parquet; remove it and run again" in result.stderr
    shutil.rmtree(rows.parent)
    assert again(run, "run").exit_code == 0


def test_an_interruption_before_a_verb_begins_is_one_too(monkeypatch, config):
    monkeypatch.setattr("audit.cli.shadow", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    result = audit("validate", config, "--json")
    assert result.exit_code == 130
    assert document(result) == {"exit": 130, "error": "interrupted"}


def test_an_interrupted_run_says_how_to_go_on(monkeypatch, config, tmp_path):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run", interrupted)
    result = audit("run", config, "--runs", tmp_path / "runs")
    assert (result.exit_code, result.stderr) == (130, "interrupted; run the same command again to go on from here\n")
    fresh = audit("ci", config, "--runs", tmp_path / "runs", "--fresh-coins", "--json")
    assert fresh.exit_code == 130
    assert "without --fresh-coins, to go on" in fresh.stderr
    assert document(fresh)["run"].startswith(str(tmp_path / "runs" / "small-"))


# ---- judging ------------------------------------------------------------------------------------------------------

PASSES, FAILS, OPEN, ABSENT = {"min": 0.01}, {"max": 0.01}, {"min": 0.5}, {"arm": "base", "min": 0.1}
JUDGED = [
    ([PASSES], {}, 0, "passed"),
    ([PASSES, {**FAILS, "level": "warn"}], {}, 0, "passed"),
    ([PASSES, FAILS], {}, 10, "blocked"),
    ([PASSES, OPEN], {}, 0, "no decision"),
    ([PASSES, OPEN], {"on_inconclusive": "fail"}, 11, "no decision"),
    ([FAILS, OPEN], {"on_inconclusive": "fail"}, 10, "blocked"),
    ([ABSENT], {}, 3, "no decision"),
    ([], {}, 3, None),
]


@pytest.mark.parametrize(("gates", "policy", "code", "verdict"), JUDGED)
def test_gate_ends_with_the_code_of_its_verdict(run, unrendered, gates, policy, code, verdict):
    result = audit("gate", with_gates(run, *gates, **policy).path, "--json")
    assert result.exit_code == code, result.stderr
    assert document(result)["verdict"] == verdict
    assert len(document(result)["gates"]) == len(gates)


def test_changed_files_go_before_every_verdict(run, unrendered):
    with_gates(run, FAILS)
    run.record.write_text(run.record.read_text() + " ")
    for verb in ("gate", "report", "verify"):
        result = audit(verb, run.path, "--json")
        assert result.exit_code == 13
        assert "record.json" in result.stderr
        assert "record.json" in result.stdout
    assert not run.gates.exists()


def test_rows_that_are_none_end_every_look_at_them_with_13_and_a_sentence(run, unrendered):
    (run.rows / "dp@0" / "utility.parquet").write_bytes(b"none")
    with_gates(run, {**PASSES, "metric": "utility.log_loss", "min": 0.0}, {**PASSES, "metric": "utility.macro_f1"})
    for verb in ("gate", "verify"):
        result = audit(verb, run.path, "--json")
        assert result.exit_code == 13
        assert "damaged or changed" in result.stderr
        assert "Traceback" not in result.stderr
        assert document(result)


def test_verify_looks_at_the_pages_too(run):
    audit("gate", run.path)
    run.report.write_text(run.report.read_text().replace("PASSED", "PERFECT"))
    result = audit("verify", run.path)
    assert result.exit_code == 13
    *shown, said = result.stderr.splitlines()
    assert said == "report.html is not what the run's files say; 'audit report' draws it again"
    assert [line.rpartition("  ")[0] for line in shown] == [
        "numbers", "means over seeds", "differences between arms", "seal and verdicts", "pages"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "parts"), [("gate", ["verdicts", "report"]), ("report", ["report"]), ("clean", ["clean"])]
)
def test_short_verbs_have_a_line_for_each_part_too(run, unrendered, verb, parts):
    said = audit(verb, run.path).stderr.splitlines()
    assert [line.split("  ")[0] for line in said if re.fullmatch(r"\w+  \d+\.\d s", line)] == parts


def test_gate_writes_its_verdicts_and_the_report_with_them(run):
    assert audit("gate", with_gates(run, FAILS).path).exit_code == 10
    assert load_judgement(run.gates).verdict == "blocked"
    assert "BLOCKED" in run.report.read_text()
    assert run.junit.is_file()
    assert run.summary.is_file()


def test_gate_says_each_criterion_and_why_and_what_only_warns(run, unrendered):
    said = audit("gate", with_gates(run, FAILS, {**PASSES, "level": "warn"}).path).stderr
    assert "\nBLOCKED under p 1 (me)\n  the gates are not those that were sealed" in said
    assert "fail          g0: utility.accuracy at most 0.01; the whole" in said
    assert "pass          g1 (warns only): utility.accuracy at least 0.01; the whole" in said


def test_verify_gives_its_findings_as_a_document(run):
    path = run.rows / "dp@0" / "utility.json"
    path.write_text(path.read_text() + " ")
    found = document(audit("verify", run.path, "--json"))
    assert found["verified"] is False
    assert found["differences"] == ["rows/dp@0/utility.json is not the file that the run wrote"]


def test_clean_says_what_it_deleted(run):
    result = audit("clean", run.path, "--keep", "derived", "--json")
    assert result.exit_code == 0
    assert document(result)["deleted"][0] in result.stderr
    assert audit("gate", run.path).exit_code == 2


# ---- running ------------------------------------------------------------------------------------------------------


def again(run: RunFolder, verb: str, *more: str) -> click.testing.Result:
    return audit(verb, run.path.parent.parent / "tiny.yaml", "--runs", run.path.parent, "--json", *more)


def test_run_never_returns_a_verdict_and_ci_does(run, unrendered):
    blocking = ["--set", "gates.gates.0={id: bad, kind: bound, metric: utility.accuracy, max: 0.01}"]
    first = again(run, "run", *blocking)
    assert first.exit_code == 0, first.stderr
    assert document(first)["errors"] == 0
    second = again(run, "ci", *blocking)
    assert second.exit_code == 10
    assert document(second)["deviations"][0].endswith("they were changed afterwards")


@pytest.mark.parametrize("verb", ["run", "ci"])
def test_a_run_ends_with_the_folder_of_the_weights_to_deploy(run, unrendered, verb):
    result = again(run, verb)
    deployed = document(result)["deployed"]
    assert set(deployed) == {"standard@0", "standard@1"}
    for name, folder in deployed.items():
        assert f"weights of {name}, the arm to be deployed: {folder}\n" in result.stderr
        assert (Path(folder) / "model.safetensors").is_file()
        assert not (Path(folder) / "NEVER_DEPLOY.txt").exists()
    known = load_run(run.run).deployed
    assert {name: str(run.path.parent / at) for name, at in known.items()} == deployed
    assert all(at.startswith("objects/model/") for at in known.values())


def test_a_change_from_the_command_line_is_recorded(run, unrendered):
    change = "gates.on_inconclusive=fail"
    assert again(run, "run", "--set", change).exit_code == 0
    assert load_record(run.record).provenance.changes == (change,)


def test_verdicts_by_other_gates_are_forgotten_and_the_same_are_kept(run, unrendered):
    judging.write_judgement(run, judging.judge(run))
    again(run, "run")
    assert run.gates.is_file()
    again(run, "run", "--set", "gates.on_inconclusive=fail")
    assert not run.gates.exists()


def test_verdicts_that_were_written_by_hand_do_not_outlast_a_second_look(run, unrendered):
    with_gates(run, FAILS)
    assert audit("gate", run.path).exit_code == 10
    honest = run.gates.read_text()
    run.gates.write_text(honest.replace('"blocked"', '"passed"').replace('"fail"', '"pass"'))
    assert audit("gate", run.path).exit_code == 10
    assert run.gates.read_text() == honest


def test_a_unit_that_broke_makes_run_and_ci_incomplete(run, unrendered, monkeypatch):
    from probes.utility.task import Utility

    monkeypatch.setattr(Utility, "needs", lambda *_: {}["gone"])
    result = again(run, "run")
    assert result.exit_code == 3
    assert "error: probe:dp@0:utility: KeyError" in result.stderr
    assert again(run, "ci").exit_code == 3


def test_ci_without_gates_has_nothing_to_judge_by(run):
    config = run.path.parent.parent / "tiny.yaml"
    config.write_text(config.read_text().partition("gates:\n")[0])
    result = again(run, "ci")
    assert result.exit_code == 3
    assert "NOT JUDGED" in result.stderr
    assert "NOT JUDGED" in run.report.read_text()


# ---- coins --------------------------------------------------------------------------------------------------------


def test_the_same_config_goes_on_in_the_same_folder(config, tmp_path):
    first, second = (ordered(opened(config), tmp_path / "runs") for _ in range(2))
    assert first.folder == second.folder
    assert first.folder.path.name.startswith("small-")
    assert first.folder.path.name.endswith("-1")
    assert first.coins == 0


def test_fresh_coins_are_drawn_and_kept_under_the_next_number(config, tmp_path):
    runs = tmp_path / "runs"
    one, two = (ordered(opened(config), runs, fresh_coins=True) for _ in range(2))
    assert (one.folder.path.name[-2:], two.folder.path.name[-2:]) == ("-1", "-2")
    assert one.coins != two.coins
    assert min(one.coins, two.coins) > 2**64
    # What was interrupted before anything was sealed goes on with the coins it drew.
    assert ordered(opened(config), runs).coins == two.coins


def test_gates_are_no_part_of_a_run_s_name_and_everything_else_is(config, tmp_path):
    gate = "gates={name: p, version: 1, owner: me, gates: [{id: g, kind: bound, metric: utility.accuracy, min: 0.1}]}"
    plain = ordered(opened(config, ["deploy=dp"]), tmp_path).folder
    assert ordered(opened(config, ["deploy=dp", gate]), tmp_path).folder == plain
    assert ordered(opened(config, ["deploy=dp", "seeds.probe=1"]), tmp_path).folder != plain


# ---- probes of others ---------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A package of a third party with a probe, one that cannot be loaded, and one with a name of ours."""
    folder = tmp_path / "installed"
    (folder / "theirs-1.0.dist-info").mkdir(parents=True)
    (folder / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = (
        "[finetune_audit.probes]\nloud = their_probes:Loud\ngone = their_probes:Gone\nutility = their_probes:Loud\n"
    )
    (folder / "theirs-1.0.dist-info" / "entry_points.txt").write_text(points)
    (folder / "their_probes.py").write_text(
        "class Loud:\n    'Is it loud?'\n    version, pillar, metrics = 1, 'robustness', {'volume': None}\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("their_probes", None)


def test_probes_of_other_packages_are_listed_with_their_package(theirs):
    found = {row["name"]: row for row in document(audit("probes", "list", "--json"))["probes"]}
    assert found["loud"] == {
        "name": "loud", "package": "theirs", "version": 1, "pillar": "robustness", "question": "Is it loud?",
        "metrics": ["volume"],
    }  # fmt: skip
    assert found["gone"]["error"].startswith("cannot be loaded: AttributeError")
    assert found["utility"]["package"] is None
    listed = audit("probes", "list").stdout
    assert "Is it loud? (theirs)" in listed
    assert "cannot be loaded: AttributeError" in listed


# ---- folders that hide ours ---------------------------------------------------------------------------------------


def test_nothing_hides_our_packages_here():
    assert shadow() is None


@pytest.mark.parametrize("room", ["reports", "probes"])
def test_a_package_of_the_user_s_that_hides_ours_is_named_at_the_start(room, tmp_path):
    (tmp_path / room).mkdir()
    command = [sys.executable, "-m", "audit", "validate", "none.yaml"]
    harmless = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "no such file" in harmless.stderr
    (tmp_path / room / "__init__.py").write_text("raise RuntimeError('not ours')")
    hidden = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert hidden.returncode == 2
    assert hidden.stderr == (
        f"{tmp_path / room}: hides finetune-audit's own package '{room}'; rename it, or start from another folder\n"
    )


# ---- the demo -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (10, 0), (11, 0), (3, 3), (2, 2), (1, 1), (130, 130)])
def test_the_demo_ends_well_whatever_its_verdict_and_badly_where_it_did_not_run(monkeypatch, capsys, code, expected):
    asked = []
    monkeypatch.setattr(demo, "main", lambda arguments, **_: (asked.append(arguments), sys.exit(code)))
    assert demo.demo() == expected
    assert asked[0][0] == "ci"
    assert Path(asked[0][1]).name == "demo.yaml"
    assert ("meant to fail" in capsys.readouterr().err) == (expected == 0)
