"""Old records stay readable: one of each schema, from the embedded world, is read and shown on every run."""

import gzip
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.html import render
from reports.junit import junit
from reports.markdown import summary
from reports.record import SCHEMA, dumps, load_judgement, load_record, load_run

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = range(1, SCHEMA + 1)


@pytest.fixture(params=SCHEMAS, ids=lambda number: f"schema {number}")
def folder(request, tmp_path):
    kept = GOLDEN / f"schema-{request.param}"
    (tmp_path / "record.json").write_bytes(gzip.decompress((kept / "record.json.gz").read_bytes()))
    for name in ("gates.json", "run.json"):
        (tmp_path / name).write_bytes((kept / name).read_bytes())
    return tmp_path


@pytest.fixture
def documents(folder):
    return load_record(folder / "record.json"), load_judgement(folder / "gates.json"), load_run(folder / "run.json")


def test_the_record_holds_every_number_that_the_file_holds(folder, documents):
    plain = json.loads((folder / "record.json").read_text())
    record = documents[0]
    assert len(record.metrics) == len(plain["metrics"]) > 100
    shown = json.loads(dumps(record))["metrics"]
    for now, kept in zip(shown, plain["metrics"], strict=True):
        assert now == {**now, **kept}, "what a later version adds has a default"


def test_its_page_tells_the_verdict_and_its_candidate(documents):
    record, judgement, run = documents
    page = render(record, judgement, run, judgement.record)
    assert "BLOCKED" in page
    assert record.title in page
    assert all(f'id="{pillar}"' in page for pillar in ("bias", "privacy", "robustness", "utility"))


def test_its_verdicts_are_told_to_other_tools(documents):
    record, judgement, run = documents
    cases = list(ElementTree.fromstring(junit(record, judgement)).iter("testcase"))
    assert len(cases) == len(judgement.gates)
    assert sum(case.find("failure") is not None for case in cases) == sum(
        gate.verdict == "fail" for gate in judgement.gates
    )
    assert "BLOCKED" in summary(record, judgement, run, judgement.record)
