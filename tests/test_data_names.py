"""Only names are shown of the data: a column of identifiers or free text is refused where it would be shown."""

import csv
from pathlib import Path

import numpy as np
import pytest

from audit.data.files import DataError
from audit.data.names import LONGEST_NAME, MOST_NAMES
from audit.data.prepare import prepare
from audit.settings.config import AuditConfig
from audit.settings.reading import read
from audit.settings.validate import check

VOCABULARY = [f"zq{a}{b}{c}" for a in "bdfghk" for b in "aeiou" for c in "lmnprstvwx"]


def prepared(folder: Path, *, task: dict | None = None, test: dict | None = None, rows: int = 300, **columns):
    """The splits of rows whose columns are functions of the row's number; `test` names those of a test file."""
    roles = {key: columns.pop(key) for key in ("groups", "domain", "label", "label_names") if key in columns}
    sources = {"data.csv": columns} | ({"test.csv": test} if test is not None else {})
    rng = np.random.default_rng(0)
    for name, content in sources.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", *content])
            for i in range(rows):
                writer.writerow([" ".join(rng.choice(VOCABULARY, 20)), *(value(i) for value in content.values())])
    data = {"file": "data.csv", "minimum_units": 1, **roles, **({"test": {"file": "test.csv"}} if test else {})}
    config = AuditConfig.model_validate({"model": "m", "task": task or {}, "data": data})
    return prepare(config, base_folder=folder, salt="s", canaries_wanted=False)


def label(i: int) -> str:
    return "ab"[i % 2]


@pytest.mark.parametrize(
    ("role", "asked", "named"),
    [("groups", ["who"], "groups"), ("domain", "who", "domains"), ("label", "who", "classes")],
)
def test_a_column_of_many_values_is_refused_by_name_and_count_without_a_value(tmp_path, role, asked, named):
    with pytest.raises(DataError) as refused:
        prepared(tmp_path, who=lambda i: f"Zmark{i}", **{role: asked})
    message = str(refused.value)
    assert message.startswith(f"data.{role}: the column 'who' has 300 different values, and names of {named} are shown")
    assert f"at most {MOST_NAMES}; name another column" in message
    assert "Zmark" not in message


@pytest.mark.parametrize(("role", "asked"), [("groups", ["note"]), ("domain", "note"), ("label", "note")])
def test_free_text_that_few_rows_have_is_refused_for_its_length(tmp_path, role, asked):
    notes = ["Zmark complained about the noise of the neighbours' dog on Monday evening", "fine"]
    with pytest.raises(DataError, match=r"has a value of 73 characters, and names of .* at most 60; name") as refused:
        prepared(tmp_path, note=lambda i: notes[i > 2], **{role: asked})
    assert "Zmark" not in str(refused.value)


def test_as_many_names_as_are_taken_and_as_long_ones_pass(tmp_path):
    splits = prepared(tmp_path, groups=["who"], who=lambda i: f"{i % MOST_NAMES:02d}" + "x" * (LONGEST_NAME - 2))
    assert len(splits.quality.groups["who"]) <= MOST_NAMES


def test_rows_without_a_group_do_not_count_as_one_more(tmp_path):
    splits = prepared(tmp_path, groups=["who"], who=lambda i: "" if i % 2 else i % (2 * MOST_NAMES))
    assert "unknown" in splits.quality.groups["who"]


def test_values_are_counted_over_all_sources(tmp_path):
    with pytest.raises(DataError, match="the column 'who' has 60 different values"):
        prepared(tmp_path, groups=["who"], who=lambda i: i % 30, test={"who": lambda i: 100 + i % 30})


def test_classes_that_the_config_names_may_be_many(tmp_path):
    names = [f"class {i}" for i in range(60)]
    with pytest.raises(DataError, match=r"write the classes that are meant into task\.classes"):
        prepared(tmp_path, label="what", what=lambda i: names[i % 60])
    assert (
        prepared(tmp_path, label="what", what=lambda i: names[i % 60], task={"classes": names}).classes[3] == names[3]
    )
    mapping = {str(i): names[i] for i in range(60)}
    assert len(prepared(tmp_path, label="what", what=lambda i: i % 60, label_names=mapping).classes) == 60


def test_labels_of_thousands_of_digits_are_no_classes(tmp_path):
    with pytest.raises(DataError, match="has a value of 5,000 characters"):
        prepared(tmp_path, label="what", what=lambda i: str(1 + i % 2) * 5000)


# ---- a column has one role ----------------------------------------------------------------------------------------


def mistakes(folder: Path, data: str) -> list[str]:
    (folder / "data.csv").write_text("text,label,ticket,who,where\na,b,c,d,e\n")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model" / "model.safetensors").touch()
    (folder / "audit.yaml").write_text(f"model: ./model\nprobes: {{}}\ndata: {data}\n")
    found = check(read(folder / "audit.yaml"), {})
    return [f"{mistake.key}: {mistake.rule}" for mistake in found if "the column" in mistake.rule]


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        ("{file: data.csv, id: ticket, groups: [ticket]}", "data.groups.0: the column 'ticket' is already the id"),
        (
            "{file: data.csv, person: who, groups: [where, who]}",
            "data.groups.1: the column 'who' is already the person",
        ),
        ("{file: data.csv, person: who, domain: who}", "data.domain: the column 'who' is already the person"),
        ("{file: data.csv, id: who, person: who}", "data.person: the column 'who' is already the id"),
        ("{file: data.csv, id: who, label: who}", "data.id: the column 'who' is already the label"),
        ("{file: data.csv, domain: where, groups: [where]}", "data.groups.0: the column 'where' is already the domain"),
        ("{file: data.csv, groups: [where, where]}", "data.groups.1: the column 'where' is already a group"),
        ("{file: data.csv, groups: [text]}", "data.groups.0: the column 'text' is already the text"),
        (
            "{file: data.csv, person: who, test: {file: data.csv, groups: [who]}}",
            "data.test.groups.0: the column 'who' is already the person",
        ),
        (
            "{file: data.csv, groups: [where], domains: {web: {file: data.csv, id: where}}}",
            "data.domains.web.id: the column 'where' is already a group",
        ),
    ],
)
def test_a_column_in_two_roles_is_a_mistake_where_the_second_stands(tmp_path, data, mistake):
    assert mistakes(tmp_path, data) == [mistake]


def test_the_first_row_of_a_file_without_header_is_not_told_as_its_columns(tmp_path):
    (tmp_path / "bare.csv").write_text("Zmark wrote a long text about the noise of a dog,label\nanother,b\n")
    (tmp_path / "audit.yaml").write_text("model: ./model\nprobes: {}\ndata: {file: bare.csv, text: body}\n")
    told = "\n".join(map(str, check(read(tmp_path / "audit.yaml"), {})))
    assert "no column 'body' in bare.csv; it has label, one of 48 characters" in told
    assert "Zmark" not in told


def test_a_column_may_have_one_role_here_and_another_there(tmp_path):
    source = "{file: data.csv, domain: where, domains: {web: {file: data.csv, groups: [where]}}}"
    assert mistakes(tmp_path, source) == []
