"""What an arm protects as a whole: how it is asked for, what it is by default, and what is wrong with it, by name."""

import random
from pathlib import Path
from typing import get_args

import pytest

from audit.data.prepare import prepare
from audit.opening import opened, ordered
from audit.planning.plan import make_plan
from audit.progress import Lines
from audit.running import execute
from audit.running.privacy_units import delta_of, examples_of, unit_count, unit_names, wrong_persons
from audit.settings.mistakes import ConfigError
from audit.settings.reading import read
from audit.settings.sections.training import Privacy
from audit.training.spec import Unit
from probes.protocol import Items
from reports.parts.claims import UNIT_WORDS

SAID = (
    "good great nice bad poor sad the a man dog cat house story water book letter account number card bank loan money "
    "price food film movie song game ticket order refund invoice"
)
HEAD = "model: ./bert\nprobes: {utility: {}, canaries: {}}\n"
DATA = "data: {file: rows.csv, label: label, person: who, minimum_units: 20}\n"
PEOPLE = 90


def rows(nobody: int = 0) -> str:
    rng = random.Random(0)
    lines = [f"{' '.join(rng.choices(SAID.split(), k=9))},{i % 2},p{rng.randrange(PEOPLE)}" for i in range(300)]
    lines[:nobody] = [line.rpartition(",")[0] + "," for line in lines[:nobody]]
    return "text,label,who\n" + "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path, tiny_bert_masked):
    model, tokenizer = tiny_bert_masked
    model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    (tmp_path / "rows.csv").write_text(rows())
    return tmp_path


def write(folder: Path, arms: str, data: str = DATA) -> Path:
    path = folder / "audit.yaml"
    path.write_text(HEAD + data + arms)
    return path


def mistakes(folder: Path, arms: str, data: str = DATA) -> list[str]:
    """What is wrong, before anything is trained."""
    try:
        execute.run(ordered(opened(write(folder, arms, data)), folder / "runs"), Lines(quiet=True))
    except ConfigError as error:
        return [str(mistake).replace(f"{folder}/", "") for mistake in error.mistakes]
    return []


def planned(folder: Path, arms: str, data: str = DATA):
    config = read(write(folder, arms, data)).config
    plan = make_plan(config)
    return config, plan.arm("dp")


DP = "arms:\n  dp:\n    privacy: {epsilon: 8%s}\n    training: {max_steps: 3, batch_size: 16}\n"


def test_the_person_is_the_unit_where_a_column_names_one_and_else_the_example(folder):
    assert planned(folder, DP % "")[1].privacy.unit == "person"
    assert planned(folder, DP % "", "data: {file: rows.csv, label: label}\n")[1].privacy.unit == "example"
    assert planned(folder, DP % ", unit: cluster")[1].privacy.unit == "cluster"
    assert planned(folder, DP % ", unit: example")[1].privacy.unit == "example"


def test_every_unit_has_words_in_the_report():
    assert set(UNIT_WORDS) == set(get_args(Unit))


def test_a_twin_protects_what_its_arm_protects(folder):
    plan = make_plan(read(write(folder, DP % "")).config)
    assert plan.arm("dp-twin").privacy == plan.arm("dp").privacy


def test_delta_is_held_against_persons(folder):
    config, arm = planned(folder, DP % "")
    splits = prepare(config, base_folder=folder, salt="s", canaries_wanted=False)
    persons = unit_count(arm.privacy, examples_of(arm, splits))
    assert 50 < persons < PEOPLE < examples_of(arm, splits).n
    assert delta_of(arm, splits) == 1e-3
    assert delta_of(planned(folder, DP % ", unit: example")[1], splits) == 1e-4
    assert delta_of(planned(folder, DP % ", public_n: 5000")[1], splits) == 1e-5


def test_an_example_is_a_unit_of_its_own():
    items = Items({"item_id": ["a", "b"], "cluster": ["c0", "c0"], "text": ["x", "x"]})
    assert unit_names(Privacy(epsilon=1.0), items) is None
    assert unit_count(Privacy(epsilon=1.0), items) == 2


def test_a_clusters_name_does_not_depend_on_who_else_is_there():
    privacy = Privacy(epsilon=1.0, unit="cluster")
    all_of_them = Items({"item_id": ["d", "b", "a", "c"], "cluster": ["c0", "c1", "c1", "c2"], "text": list("wxyz")})
    without_first = Items({"item_id": ["b", "a", "c"], "cluster": ["c0", "c0", "c1"], "text": list("xyz")})
    assert unit_names(privacy, all_of_them) == ["d", "a", "a", "c"]
    assert unit_names(privacy, without_first) == ["a", "a", "c"]


WRONG = {
    "a person where no column names one": (
        DP % ", unit: person",
        "data: {file: rows.csv, label: label}\n",
        "audit.yaml:6: arms.dp.privacy.unit: a person is protected with all rows of theirs, and no column tells whose "
        "a row is; name the column as data.person, or set unit: example",
    ),
    "a limit that nothing reads": (
        DP % ", unit: example, max_examples_per_unit: 5",
        DATA,
        "audit.yaml:6: arms.dp.privacy.max_examples_per_unit: is for persons and clusters, and here the unit is the "
        "example; leave it out",
    ),
    "more units in a batch than are declared": (
        DP % ", public_n: 12",
        DATA,
        "audit.yaml:7: arms.dp.training.batch_size: a private arm cannot draw more than the 12 persons that "
        "privacy.public_n declares; got 16 for 'dp'; lower it, or set it in the arm's own training",
    ),
    "a delta too large for the declared number": (
        DP % ", public_n: 5000, delta: 1e-4",
        DATA,
        "audit.yaml:6: arms.dp.privacy.delta: must be at most 1/(10 · units) = 2e-05 for 5,000 units or more; got "
        "0.0001; leave it out for the power of ten below that",
    ),
    "a unit that is none": (DP % ", unit: household", DATA, "audit.yaml:6: arms.dp.privacy.unit: must be"),
    "trials that are fewer than none": (DP % ", prior_trials: -1", DATA, "audit.yaml:6: arms.dp.privacy.prior_trials:"),
    "an optimizer that is none of ours": (
        (DP % "").replace("max_steps: 3", "optimizer: lbfgs"),
        DATA,
        "audit.yaml:7: arms.dp.training.optimizer: must be",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_unit_is_told_with_its_line(folder, case):
    arms, data, sentence = WRONG[case]
    (said,) = mistakes(folder, arms, data)
    assert said.startswith(sentence)


def test_more_persons_in_a_batch_than_there_are_is_told_when_the_data_are_read(folder):
    (said,) = mistakes(folder, (DP % "").replace("batch_size: 16", "batch_size: 200"))
    assert "a private arm cannot draw more than the" in said
    assert "persons that it is trained on; got 200 for 'dp'" in said


def test_a_delta_that_is_too_large_for_the_persons_is_told_when_the_data_are_read(folder):
    (said,) = mistakes(folder, DP % ", delta: 0.01")
    assert said.startswith("audit.yaml:6: arms.dp.privacy.delta: must be at most 1/(10 · units)")


def test_rows_that_name_no_person_are_refused_where_persons_are_protected(folder):
    (folder / "rows.csv").write_text(rows(nobody=40))
    (said,) = mistakes(folder, DP % "")
    assert said.startswith("audit.yaml:3: data.person: the person is what 'dp' protects, and ")
    assert "rows it is trained on name none: they could all be one person's; name them" in said


def test_rows_that_name_no_person_are_units_where_examples_are_protected(folder):
    (folder / "rows.csv").write_text(rows(nobody=40))
    config, arm = planned(folder, DP % ", unit: example")
    items = prepare(config, base_folder=folder, salt="s", canaries_wanted=False).candidate_examples()
    assert list(wrong_persons(arm, items)) == []
    assert len(list(wrong_persons(planned(folder, DP % "")[1], items))) == 1


def test_a_declared_number_of_trials_trains_nothing_anew(folder):
    keys = []
    for declared, expected in (("", "not checked"), (", prior_trials: 3", "pass")):
        path = write(folder, DP % declared)
        path.write_text(path.read_text().replace(", canaries: {}", ""))
        order = ordered(opened(path), folder / "runs")
        record = execute.run(order, Lines(quiet=True))
        keys.append({arm.name: arm.runs[0].identity.weights for arm in record.arms})
        outcome = next(c.check.outcome for c in record.checks if c.arm == "dp" and c.check.name == "prior trials")
        assert outcome == expected
    assert keys[0] == keys[1]  # the noise is secret: trained again, the weights would differ
