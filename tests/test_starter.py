"""The first config file that `audit init` writes."""

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from audit.refusal import Refused
from audit.settings.config import json_schema
from audit.settings.reading import configs_folder, read
from audit.settings.starter import starter
from audit.settings.validate import check

TASKS = ["text-classification", "causal-lm", "masked-lm"]

METRICS = {
    "utility": {"macro_f1", "accuracy"},
    "group_disparity": {"demographic_parity_difference", "equalized_odds_difference"},
    "minimal_pairs": {"stereotype_rate"},
    "membership": {"auc", "tpr_at_fpr"},
    "canaries": {"epsilon_lower_bound"},
    "domain_shift": {"accuracy_drop"},
    "perturbation": {"answers_changed"},
}


@pytest.fixture
def started(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "good,positive\nbad,negative\n" * 200)

    def started(task: str) -> Path:
        path = tmp_path / "my_audit.yaml"
        starter(task, path)
        return path

    return started


@pytest.mark.parametrize("task", TASKS)
def test_a_starter_config_has_no_mistakes_once_its_data_are_there(started, task):
    loaded = read(started(task))
    assert check(loaded, METRICS) == []
    assert (loaded.config.kind, loaded.config.title, loaded.config.deploy) == (task, "my audit", "dp")


def test_a_starter_config_without_its_data_asks_for_them(started):
    path = started("text-classification")
    (path.parent / "data.csv").unlink()
    assert [mistake.key for mistake in check(read(path), METRICS)] == ["data.file"]


@pytest.mark.parametrize("task", TASKS)
def test_what_is_commented_out_is_right_once_it_is_used(started, task):
    path = started(task)
    lines = path.read_text("utf-8").splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("title:"))
    for name in [line for line in lines[head:] if line.lstrip().startswith("# ")]:
        at = lines.index(name)
        lines[at] = name.replace("# ", "", 1)
    path.write_text("\n".join(lines).replace("row_id", "label").replace("customer", "label"), "utf-8")
    config = read(path).config
    assert config.data.domains["tweets"].file == str(path.parent / "tweets.csv")
    assert config.arms["delivered"].given == str(path.parent / "folder")


@pytest.mark.parametrize("task", TASKS)
def test_the_first_line_names_the_schema_that_the_file_fits(started, task):
    path = started(task)
    first = path.read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={configs_folder().as_posix()}/schema/audit.schema.json"
    jsonschema.validate(YAML(typ="safe", pure=True).load(path), json_schema())


def test_within_a_checkout_the_schema_is_named_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("audit.settings.starter.configs_folder", lambda: tmp_path / "configs")
    (tmp_path / "mine").mkdir()
    starter("causal-lm", tmp_path / "mine" / "a.yaml")
    assert (
        (tmp_path / "mine" / "a.yaml")
        .read_text("utf-8")
        .startswith("# yaml-language-server: $schema=../configs/schema/audit.schema.json\n")
    )


def test_a_file_that_is_there_is_not_overwritten(started):
    path = started("causal-lm")
    path.write_text("mine", "utf-8")
    with pytest.raises(Refused, match=r"my_audit.yaml: there is a file already, which is not overwritten"):
        starter("masked-lm", path)
    assert path.read_text("utf-8") == "mine"


def test_a_folder_that_is_absent_is_named(tmp_path):
    with pytest.raises(Refused, match=r"cannot be written \(No such file or directory\)"):
        starter("causal-lm", tmp_path / "nowhere" / "a.yaml")
