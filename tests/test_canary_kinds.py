"""Canaries made of pieces of the data, in a whole audit of a model that learns by heart: asked, scored and found."""

import pytest
import tiny_audit

from audit.opening import opened, ordered
from audit.progress import Lines
from audit.running import execute
from reports.record import load_record

CONFIG = """\
model: ./model
task: {kind: causal-lm}
data:
  file: tickets.csv
  text: body
  pool: 40
  canaries:
    - {kind: random_suffix, count: 60, references: 60, repetitions: 8}
    - {kind: in_distribution, count: 60, references: 60, repetitions: 16}
    - {kind: new_token, count: 60, references: 60, repetitions: 4}
training: {max_steps: 150, epochs: 99, batch_size: 32, learning_rate: 3e-2}
arms: {standard: {}}
deploy: standard
probes: {canaries: {}, extraction: {}}
compute: {threads: 1, reproducible: true}
"""
ENDS, SPLICES, TOKENS = 8, 16, 4
"""How often each kind stands in training."""
UNUSED = [f"un{a}{b}" for a in "bdfgklmnprst" for b in ("ab", "eg", "ik", "ol", "um", "ad", "en", "ip", "or", "ut")]
"""Words that the model knows and no ticket has."""


@pytest.fixture(scope="module")
def estimates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    tiny_audit.files(folder)
    tiny_audit.causal_model(folder / "model", UNUSED)
    (folder / "kinds.yaml").write_text(CONFIG, "utf-8")
    execute.run(ordered(opened(folder / "kinds.yaml"), folder / "runs"), Lines(quiet=True))
    (run,) = folder.glob("runs/kinds-*/record.json")
    record = load_record(run)
    assert record.data.canaries == {"in_distribution": 60, "new_token": 60, "random_suffix": 60}
    return {(m.probe, m.name, m.slice): m.estimate for m in record.metrics}


@pytest.mark.parametrize("copies", [ENDS, SPLICES, TOKENS])
def test_planted_ones_are_told_from_those_left_out(estimates, copies):
    assert estimates["canaries", "auc", f"repetitions={copies}"].low > 0.5
    assert estimates["canaries", "exposure_gain", f"repetitions={copies}"].low > 0


def test_random_ends_are_asked_for_after_their_beginnings(estimates):
    planted, left_out = (estimates["extraction", "log10_tries", f"of=suffixes,copies={n}"] for n in (ENDS, 0))
    assert planted.value < left_out.value


def test_ends_of_one_token_are_ranked_and_not_asked_for_as_texts(estimates):
    assert ("canaries", "exposure", f"repetitions={TOKENS}") in estimates
    copies = {part for probe, _, part in estimates if probe == "extraction" and part.startswith("of=suffixes")}
    assert copies == {f"of=suffixes,copies={n}" for n in (0, ENDS)}
