import numpy as np
import tiny_audit

from audit.data.references import reference_coins, reference_data, reference_examples
from audit.data.splits import Splits
from audit.opening import opened, ordered
from audit.progress import Lines
from audit.running import execute
from probes.results import Estimate
from reports.record import load_record


def splits(folder) -> Splits:
    (stored,) = (folder / "runs" / "objects" / "data").glob("*/*")
    return Splits.load(stored)


def test_references_have_coins_of_their_own_in_pairs_of_opposites(tmp_path):
    tiny_audit.finished(tmp_path)
    some = splits(tmp_path)
    first, second, third = (reference_coins(some, number) for number in range(3))
    assert (first == ~second).all()
    twin = some.pool["is_member"].astype(bool)
    for coins in (first, third):
        assert 0.3 < coins.mean() < 0.7
        assert 0.3 < (coins == twin).mean() < 0.7
    assert 0.3 < (first == third).mean() < 0.7


def test_rows_of_one_unit_share_a_references_coin(tmp_path):
    tiny_audit.finished(tmp_path)
    some = splits(tmp_path)
    coins = reference_coins(some, 0)
    for unit in set(some.pool["cluster"]):
        assert len(set(coins[some.pool["cluster"] == unit].tolist())) == 1


def test_a_reference_is_trained_on_what_its_coins_chose_and_on_no_canary(tmp_path):
    tiny_audit.finished(tmp_path)
    some = splits(tmp_path)
    trained = set(reference_examples(some, 1)["item_id"])
    data = reference_data(some, 2)
    chosen = data["reference:1"]["item_id"][data["reference:1"]["is_member"]]
    assert trained & set(some.pool["item_id"]) == set(chosen)
    assert set(some.train["item_id"][~some.train["in_pool"]]) <= trained
    assert not trained & set(some.canaries["item_id"])
    assert not trained & set(data["population"]["item_id"])
    assert not reference_data(some, 0)


def test_references_are_planned_for_twins_with_other_seeds_and_no_probes(tmp_path):
    config, _ = tiny_audit.finished(tmp_path)
    plan = opened(config, ("probes.membership={references: 2}",)).plan
    found = {arm.name: arm for arm in plan.arms if arm.role == "reference"}
    assert list(found) == [f"{twin}-reference-{k}" for twin in ("standard-twin", "dp-twin") for k in (0, 1)]
    assert [arm.seeds for arm in found.values()] == [(1,), (2,)] * 2
    assert found["dp-twin-reference-0"].privacy == plan.arm("dp").privacy
    assert not any(arm.probes or arm.twin_of for arm in found.values())
    assert not [pair for pair in plan.contrasts if set(pair) & set(found)]


def test_an_audit_with_references_attacks_with_them_and_trains_nothing_twice(tmp_path):
    config, _ = tiny_audit.finished(tmp_path)
    order = ordered(opened(config, ("probes.membership={references: 2, fprs: [0.1]}",)), tmp_path / "runs")
    execute.run(order, Lines(quiet=True))
    record = load_record(order.folder.record)
    roles = {arm.name: arm.role for arm in record.arms}
    assert roles["standard-twin-reference-1"] == "reference"
    values = {m.slice: m for m in record.metrics if (m.arm, m.name) == ("standard-twin", "auc")}
    for attack in ("rmia", "info_rmia"):
        assert isinstance(values[f"attack={attack}"].estimate, Estimate)
        assert "reference models" in values[f"attack={attack}"].access
    assert not record.coverage.errors
    done = (order.folder.path / "events.jsonl").read_text()
    trained = [line for line in done.splitlines() if '"train:' in line and '"done"' in line]
    assert len(trained) == 4
    assert all("reference" in line for line in trained)
    weights = {arm.runs[0].identity.weights for arm in record.arms}
    assert len(weights) == len(record.arms)
    assert np.isfinite(values["attack=rmia"].estimate.value)
