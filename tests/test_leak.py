"""The audit must not become the leak: of texts, identifiers, persons and secrets nothing is found in what it writes."""

import csv
import json
import platform
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tiny_audit
from click.testing import CliRunner

from audit.cli import main
from reports.record import load_record

LEAVES = (
    "record.json", "gates.json", "report.html", "junit.xml", "summary.md", "events.jsonl", "run.json", "seal.json",
    "config.json", "manifest.json",
)  # fmt: skip
"""Everything of a run that somebody else may get to see, besides the rows."""

MARK = "zmark"

SHARED = """\
data:
  file: tickets.csv
  text: body
  text_pair: answer
  label: topic
  id: ticket
  person: customer
  domain: channel
  in_domain: mail
  groups: [gender, region]
  bad_rows: skip
  minimum_units: 50
  pool: 80
  canaries:
    - {kind: random, count: 30}
    - {kind: secret, count: 30, digits: 6, references: 50, template: "the card of the customer is {secret}"}
    - {kind: in_distribution, count: 10, references: 20}
    - {kind: random_suffix, count: 10, references: 20}
training: {max_steps: 12, epochs: 9, batch_size: 32, learning_rate: 1e-2}
compute: {threads: 1, reproducible: true}
gates:
  name: tiny
  version: 1
  owner: the tests
  gates:
    - {id: accurate, kind: bound, metric: utility.accuracy, min: 0.05}
    - {id: private, kind: bound, metric: "membership.auc[attack=loss]", max: 0.95}
    - {id: apart, kind: bound, metric: "group_disparity.accuracy_difference[*]", max: 0.9, level: warn}
"""

TASKS = {
    "classifier": "arms: {dp: {privacy: {noise_multiplier: 3.0}}}\ndeploy: dp\n",
    "causal": "arms: {base: , dp: {privacy: {noise_multiplier: 3.0}}}\ndeploy: dp\n"
    'task: {prompt: "{text} and {text_pair} verdict", label_words: {praise: praise, complaint: complaint}}\n',
}


def tickets(path: Path) -> None:
    """Rows with a mark in every text, identifier and person; some of them bad, some persons with several rows."""
    rng = random.Random(2)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "answer", "topic", "ticket", "customer", "channel", "gender", "region"])
        for i in range(420):
            is_good = rng.random() < 0.5
            words = [rng.choice(tiny_audit.GOOD if is_good else tiny_audit.BAD) for _ in range(2)]
            words += [rng.choice(tiny_audit.FILLER) for _ in range(4)]
            body = "" if i % 100 == 99 else f"Zmarktext{i} {' '.join(words)}"
            writer.writerow([
                body, f"Zmarkpair{i} {rng.choice(tiny_audit.FILLER)} fine", "praise" if is_good else "complaint",
                f"Zmarkid{i}", f"Zmarkperson{i % 350}", "chat" if i % 6 == 0 else "mail", rng.choice("fm"),
                rng.choice(["Northland", "Southland", ""]),
            ])  # fmt: skip


@pytest.fixture(scope="module", params=list(TASKS))
def audited(request, tmp_path_factory):
    """A folder with a config and its finished run, and everything that was said on the way."""
    folder = tmp_path_factory.mktemp(f"Zfolder-{request.param}")
    tiny_audit.files(folder)
    if request.param == "causal":
        tiny_audit.causal_model(folder / "model")
    tickets(folder / "tickets.csv")
    config = folder / "leak.yaml"
    config.write_text(f"model: {folder / 'model'}\n{TASKS[request.param]}{SHARED}", "utf-8")
    said = []
    absolute = f"data.file={folder / 'tickets.csv'}"
    runs = ["--runs", str(folder / "runs")]
    for line in (
        ["validate", str(config)],
        ["plan", str(config), *runs, "--set", absolute],
        ["ci", str(config), *runs, "--set", absolute],
        ["ci", str(config), *runs, "--set", absolute, "--json"],
    ):
        result = CliRunner().invoke(main, line)
        assert result.exit_code in {0, 10}, result.output
        said.append(result.output)
    (run,) = folder.glob("runs/leak-*/record.json")
    for line in (["gate", str(run.parent)], ["report", str(run.parent)]):
        result = CliRunner().invoke(main, line)
        assert result.exit_code in {0, 10}, result.output
        said.append(result.output)
    return request.param, run.parent, "\n".join(said)


def secrets_of(run: Path) -> list[str]:
    """What is unique to each canary of a run's data, and what secrets are ranked among."""
    (folder,) = {path.parent for path in run.parent.glob("objects/data/*/*/canaries.parquet")}
    tables = [pq.read_table(folder / f"{name}.parquet") for name in ("canaries", "canary_references")]
    return [secret for table in tables for secret in table["secret"].to_pylist()]


def stands_in(secret: str, text: str) -> bool:
    """Whether a secret stands in a text; digits only where they are no part of a longer number or hash."""
    return secret in text and re.search(rf"(?<![0-9a-f.]){re.escape(secret)}(?![0-9a-f])", text) is not None


def test_no_text_id_person_or_canary_is_in_anything_that_leaves_the_run(audited):
    _, run, said = audited
    secrets = secrets_of(run)
    assert len(secrets) == 170
    for name, text in {"what was said": said, **{name: (run / name).read_text("utf-8") for name in LEAVES}}.items():
        assert MARK not in text.casefold(), name
        assert not [secret for secret in secrets if stands_in(secret, text)], name


def test_stored_rows_hold_no_text_and_no_identifier_in_clear(audited):
    _, run, _ = audited
    files = list(run.glob("rows/*/*"))
    assert len(files) > 10
    secrets = set(secrets_of(run))
    for path in files:
        if path.suffix == ".parquet":
            columns = pq.read_table(path).to_pydict()
            cells = {cell for column in columns.values() for cell in column if isinstance(cell, str)}
            assert not cells & secrets, path.name
            text = "\n".join(cells)
        else:
            text = path.read_text("utf-8")
        assert MARK not in text.casefold(), path.name


def test_names_of_groups_domains_and_classes_are_what_is_shown(audited):
    _, run, _ = audited
    record = load_record(run / "record.json")
    assert set(record.data.groups["region"]) == {"Northland", "Southland", "unknown"}
    assert "domain:chat" in record.data.splits
    assert record.classes == ("complaint", "praise")
    assert record.data.bad == {"empty text": 4}


def test_the_record_says_nothing_of_when_and_where(audited):
    _, run, _ = audited
    text = (run / "record.json").read_text("utf-8")
    record = load_record(run / "record.json")
    assert "Zfolder" not in text
    assert "/" + str(run.parent.parent.parent).strip("/").split("/")[0] + "/" not in text
    assert platform.node() not in re.findall(r"[\w.-]+", text)
    assert not re.search(rf"{datetime.now(UTC):%Y-%m}|\d\d:\d\d:\d\d", text)
    assert (record.model, record.provenance.changes) == ("model", ("data.file=tickets.csv",))
    assert record.provenance.versions["python"] == platform.python_version()
    assert record.provenance.versions["finetune-audit"]
    assert record.provenance.machine == f"{platform.system()} {platform.machine()}"


def test_a_causal_model_that_classifies_by_a_word_has_exposures_on_data_from_a_file(audited):
    kind, run, _ = audited
    found = {(m.arm, m.slice): m.estimate for m in load_record(run / "record.json").metrics if m.name == "exposure"}
    measured = {at for at, estimate in found.items() if hasattr(estimate, "value")}
    assert measured == ({("dp-twin", "repetitions=1")} if kind == "causal" else set())


def test_each_twins_utility_is_compared_with_its_candidates(audited):
    _, run, _ = audited
    record = load_record(run / "record.json")
    for arm in (arm.name for arm in record.arms if arm.role == "candidate"):
        found = {c.metric for c in record.contrasts if (c.arm, c.reference) == (f"{arm}-twin", arm)}
        assert "utility.accuracy" in found
        assert {metric.partition(".")[0] for metric in found} == {"utility"}


def test_rows_that_were_cut_are_counted_by_split(audited):
    kind, run, _ = audited
    record = load_record(run / "record.json")
    counted = {"train", "test", "domain:chat", "canaries"}
    assert counted <= set(record.data.cut) <= {*counted, "validation"}
    assert record.data.truncated == record.data.cut["test"]
    trained = [seed.training for arm in record.arms if arm.role == "candidate" for seed in arm.runs]
    assert record.data.cut["train"] == max(training.truncated for training in trained)
    assert json.loads((run / "record.json").read_text())["data"]["cut"]["test"] >= 0
    assert kind in TASKS
