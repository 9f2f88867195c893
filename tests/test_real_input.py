"""The shipped config for real data, cut short: MiniLM on SST-2, standard and private, shifted to reviews and tweets."""

import json
import math

import pytest
from click.testing import CliRunner

from audit.cli import main
from audit.settings.reading import configs_folder

SHORT = (
    "data.limit=512",
    "data.pool=200",
    "data.minimum_units=50",
    "data.validation.limit=64",
    "data.test.limit=200",
    "data.domains.books.limit=50",
    "data.domains.dvd.limit=50",
    "data.domains.electronics.limit=50",
    "data.domains.kitchen.limit=50",
    "data.domains.airline.limit=50",
    "data.domains.tweets.limit=150",
    "training.max_steps=5",
    "arms.standard.seeds=1",
    "arms.dp.training={strategy: bitfit, max_steps: 5, batch_size: 64, learning_rate: 5e-3}",
    "compute.threads=1",
)


@pytest.mark.shared
def test_minilm_on_sst2_is_audited_end_to_end(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIT_SHARED", str(shared.resolve()))
    options = [word for change in SHORT for word in ("--set", change)]
    config = str(configs_folder() / "sst2_minilm.yaml")
    ran = CliRunner().invoke(main, ["ci", config, "--quiet", "--runs", str(tmp_path), *options])
    assert ran.exit_code in {0, 10, 11}, ran.output
    (path,) = tmp_path.glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["coverage"]["errors"] == 0
    found = {(m["arm"], m["probe"], m["name"], m["slice"]): m["estimate"] for m in record["metrics"]}
    for arm in ("standard", "dp"):
        assert 0 < found[arm, "utility", "accuracy", ""]["low"] < 1
        assert "value" in found[arm, "domain_shift", "accuracy_drop", "domain=tweets"]
    # MiniLM brings no head of its own, so the untouched base has no answers.
    assert {u["outcome"] for u in record["unmeasured"] if u["arm"] == "base"} == {"not measured"}
    (run,) = next(a for a in record["arms"] if a["name"] == "dp")["runs"]
    assert run["privacy"]["epsilon"] <= 8
    assert math.isclose(run["privacy"]["epsilon"], run["privacy"]["accountants"]["PLD"], abs_tol=0.03)
    assert record["data"]["bad"], "the neutral tweets are counted"
    assert str(shared.resolve()) not in path.read_text()
