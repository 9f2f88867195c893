"""The register of persons: who is found, and that nobody learns who from anything but the run's own rows."""

import csv
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_audit
from click.testing import CliRunner
from test_probe_equity import FACTS, tables

from audit.cli import main
from probes.catalog import defaults
from probes.privacy.register import PersonRegister
from probes.protocol import Items, Rows
from probes.results import Check, Finding, NotApplicable, NotMeasured
from probes.summary import findings
from reports.record import load_record

PROBE = PersonRegister()


def rows(seed, probe=PROBE, persons=None, **more) -> Rows:
    some = tables(seed, **more)
    ids = some["arm"]["item_id"]
    some["arm"] = some["arm"].assign(person=[f"p-{i}" for i in ids] if persons is None else persons)
    return probe.answers(some, FACTS)


def found(some: Rows, probe=PROBE) -> tuple[Finding, Check]:
    finding, check = findings(probe, some, FACTS, np.random.default_rng(0))
    return finding, check


def test_persons_whose_presence_shows_are_found():
    some = rows(1, leak={"north": 4.0})
    finding, check = found(some)
    assert 0.3 < finding.estimate.value < 0.6  # about half of the members are of the north
    assert finding.estimate.null.p < 0.01
    assert check.outcome == "fail"
    assert check.evidence.startswith(f"{int(some['is_found'].sum())} of {finding.estimate.n} persons are found at a ")
    assert finding.coverage.answered == finding.estimate.n


def test_a_clean_twin_finds_nobody():
    finding, check = found(rows(2))
    assert (finding.estimate.value, check.outcome) == (0.0, "pass")
    # With 383 of 800 let in, the least p-value is 1 / 418, and 0.1 k / 383 reaches it from k = 10 on.
    assert "nobody can be found unless at least 10 stand out" in check.evidence
    assert (finding.estimate.low, finding.estimate.high) == (None, None)


def test_a_stricter_rate_finds_fewer():
    counts = [rows(3, probe=PersonRegister(fdr=fdr), leak={"north": 2.5})["is_found"].sum() for fdr in (0.3, 0.1, 0.03)]
    assert counts[0] > counts[1] > counts[2]


def test_more_trainings_of_the_twin_find_more_where_there_is_something_and_nobody_where_there_is_not():
    def several(first, leak):
        one, *others = (tables(first + k, leak=leak) for k in range(5))
        ids = one["arm"]["item_id"]
        one["arm"] = one["arm"].assign(person=[f"p-{i}" for i in ids])
        more = {f"seed:{k}": other["arm"] for k, other in enumerate(others, 1)}
        return [PROBE.answers({**one, **some}, FACTS)["is_found"].sum() for some in ({}, more)]

    alone, together = several(10, {"north": 2.0})
    assert together > 1.5 * alone
    assert several(20, None)[1] == 0


def test_it_asks_each_training_the_same():
    items = {"item_id": ["a"], "cluster": ["a"], "text": ["x"], "is_member": [True], "label": [0], "person": ["p"]}
    asked = PersonRegister(seeds=3).needs(FACTS, {"pool": Items(items)})
    assert {name for name in asked if name.startswith("seed:")} == {"seed:1", "seed:2"}
    assert {ask.table for name, ask in asked.items() if name in ("arm", "seed:1", "seed:2")} == {asked["arm"].table}
    assert all(asked[name].of == name for name in ("seed:1", "seed:2"))


def test_all_records_of_a_person_make_one_row():
    some = rows(4, persons=[f"p-{i // 2}" for i in range(800)])
    assert some.n == 400
    assert set(some["records"].tolist()) == {2}


def test_nobody_is_listed_where_a_reader_without_the_model_tells_members():
    some = rows(1, leak={"north": 4.0}, blind=True)
    finding, check = found(some)
    assert not some["is_found"].any()
    assert np.isnan(some["score"]).all()
    assert isinstance(finding.estimate, NotMeasured)
    assert finding.estimate.reason.startswith("withheld: ")
    assert check.outcome == "not checked"


def test_too_few_left_out_find_nobody_and_say_so():
    finding, _ = found(rows(5, n=40))
    assert finding.estimate.reason.endswith("where 30 left out are needed to be set against")
    strict = PersonRegister(fdr=0.001)
    finding, _ = found(rows(5, probe=strict), strict)
    assert "1,000 left out are needed" in finding.estimate.reason


def test_every_column_has_the_registers_own_sensitivity():
    assert set(rows(0).sensitivity.values()) == {"register"}


def test_it_is_off_unless_a_config_names_it():
    assert not any("person_register" in defaults(task) for task in ("text-classification", "causal-lm", "masked-lm"))


def test_without_a_column_of_the_person_it_says_so():
    pool = Items({"item_id": ["a"], "cluster": ["a"], "text": ["x"], "is_member": [True], "label": [0]})
    with pytest.raises(NotApplicable, match="the data name no column of the person"):
        PROBE.needs(FACTS, {"pool": pool})


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"fdr": 0}, "fdr must lie"),
        ({"share": 0}, "share must lie"),
        ({"references": 3}, "references must be an even"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_a_parameter_outside_its_range_is_refused(parameters, said):
    with pytest.raises(ValueError, match=said):
        PersonRegister(**parameters)


CONFIG = """\
model: ./model
data: {file: tickets.csv, text: body, label: topic, person: customer, groups: [gender], pool: 120, minimum_units: 50}
training: {max_steps: 20, epochs: 9, batch_size: 32, learning_rate: 1e-2}
arms:
  standard:
  dp: {privacy: {noise_multiplier: 3.0}}
deploy: standard
probes: {utility: {}, privacy_equity: {fpr: 0.1}, person_register: {fdr: 0.2, seeds: 2}}
compute: {threads: 1, reproducible: true}
gates: {name: tiny, version: 1, gates: [{id: accurate, kind: bound, metric: utility.accuracy, min: 0.05}]}
"""


def test_a_config_that_names_no_person_is_refused_before_anything_is_trained(tmp_path):
    tiny_audit.files(tmp_path)
    config = tmp_path / "register.yaml"
    config.write_text(CONFIG.replace(" person: customer,", ""), "utf-8")
    result = CliRunner().invoke(main, ["validate", str(config)])
    assert result.exit_code == 2
    assert "probes.person_register: could be put to no arm: a register of persons needs to know them" in result.output


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A finished run whose config names the register, its persons, and what was said on the way."""
    folder = tmp_path_factory.mktemp("register")
    tiny_audit.files(folder)
    rng = random.Random(3)
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "topic", "gender", "customer"])
        for i in range(420):
            is_good = rng.random() < 0.5
            words = [rng.choice(tiny_audit.GOOD if is_good else tiny_audit.BAD) for _ in range(2)]
            words += [rng.choice(tiny_audit.FILLER) for _ in range(6)]
            writer.writerow([" ".join(words), "praise" if is_good else "complaint", rng.choice("fm"), f"Zperson{i}"])
    config = folder / "register.yaml"
    config.write_text(CONFIG, "utf-8")
    result = CliRunner().invoke(main, ["ci", str(config), "--runs", str(folder / "runs")])
    assert result.exit_code == 0, result.output
    (record,) = folder.glob("runs/register-*/record.json")
    return record.parent, result.output


def test_no_person_raw_or_salted_is_in_anything_but_the_rows(audited):
    run, said = audited
    (pool,) = run.parent.glob("objects/data/*/*/pool.parquet")
    salted = set(pq.read_table(pool)["person"].to_pylist())
    listed = pq.read_table(run / "rows" / "standard-twin@0" / "person_register.parquet")["item_id"].to_pylist()
    assert set(listed) == salted
    persons = {*(f"Zperson{i}" for i in range(420)), *salted}
    seen = {path.name: path.read_text("utf-8") for path in run.rglob("*") if path.suffix not in {".parquet", ""}}
    assert {"record.json", "report.html", "summary.md", "junit.xml", "events.jsonl"} <= set(seen)
    for name, text in {**seen, "what was said": said}.items():
        assert not [person for person in persons if person in text], name


def test_a_further_training_of_a_twin_is_like_it_but_for_its_seed_and_counts_among_the_private_ones(audited):
    run, _ = audited
    record = load_record(run / "record.json")
    arms = {arm.name: arm for arm in record.arms}
    for name in ("standard-twin", "dp-twin"):
        twin, again = arms[name], arms[f"{name}-seed-1"]
        assert (again.role, again.recipe) == ("reference", twin.recipe)
        assert (again.runs[0].seed, twin.runs[0].seed) == (1, 0)
        assert again.runs[0].training.examples == twin.runs[0].training.examples
        assert again.runs[0].identity.weights != twin.runs[0].identity.weights
    (covered,) = [c.check for c in record.checks if (c.arm, c.check.name) == ("dp", "what epsilon covers")]
    assert "dp-twin@0, dp-twin-seed-1@1" in covered.evidence


def test_the_page_tells_how_many_are_found_and_how_far_groups_lie_apart(audited):
    run, _ = audited
    page = (run / "report.html").read_text("utf-8")
    assert "Whose presence in the training data shows?" in page
    assert "persons are found at a false discovery rate of 20" in page
    assert "Difference in membership AUC" in page
    assert "dp-twin minus standard-twin" in page


def test_every_number_comes_out_of_the_rows_again_and_cleaning_deletes_the_list(audited):
    run, _ = audited
    verified = CliRunner().invoke(main, ["verify", str(run)])
    assert verified.exit_code == 0, verified.output
    cleaned = CliRunner().invoke(main, ["clean", str(run), "--keep", "personal"])
    assert cleaned.exit_code == 0, cleaned.output
    left = pq.read_table(run / "rows" / "standard-twin@0" / "person_register.parquet")
    assert left.column_names == []
    assert "cannot be recomputed" in CliRunner().invoke(main, ["verify", str(run)]).output
