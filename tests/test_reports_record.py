import dataclasses
import inspect
import json
import re
from dataclasses import replace

import pytest

import reports.record
from probes.results import Series
from reports.record import digest, dumps, load_judgement, load_record, load_run
from tests import record_factory as make


def _written(tmp_path, document, name="document.json"):
    path = tmp_path / name
    path.write_text(dumps(document), "utf-8")
    return path


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_a_record_read_back_is_the_record(tmp_path, kind):
    record, judgement, run = make.ALL_KINDS[kind]()
    assert dumps(load_record(_written(tmp_path, record))) == dumps(record)
    if judgement is not None:
        assert load_judgement(_written(tmp_path, judgement)) == judgement
    if run is not None:
        assert load_run(_written(tmp_path, run)) == run


def test_whole_numbers_do_not_change_the_digest_of_a_record_that_is_read_back(tmp_path):
    whole = Series(name="s", kind="roc", columns={"fpr": (0, 1), "tpr": (0, 1)}, notes={"n": 5})
    record = make.record()
    record = replace(record, series=(replace(record.series[0], series=whole),))
    assert digest(load_record(_written(tmp_path, record))) == digest(record)


def test_the_digest_is_that_of_the_file(tmp_path):
    import hashlib

    record = make.record()
    assert hashlib.sha256(_written(tmp_path, record).read_bytes()).hexdigest() == digest(record)


def test_columns_of_words_stay_words(tmp_path):
    series = Series(name="s", kind="groups", columns={"group": ("1", None, "3"), "value": (1.0, None, 2.0)})
    record = make.record()
    record = replace(record, series=(replace(record.series[0], series=series),))
    assert load_record(_written(tmp_path, record)).series[0].series.columns["group"] == ("1", None, "3")


def test_a_record_of_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(dumps(make.record())) | {"schema": 99}))
    with pytest.raises(ValueError, match="schema 99 is newer than 1"):
        load_record(path)


def test_what_is_no_json_is_refused_with_its_line(tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{\n "title": }')
    with pytest.raises(ValueError, match="line 2: not valid JSON"):
        load_record(path)


def test_what_is_no_record_is_refused_without_repeating_what_stands_there(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(dumps(make.record())) | {"classes": "a secret text"}))
    with pytest.raises(ValueError, match=r"no AuditRecord of schema 1: classes") as error:
        load_record(path)
    assert "secret" not in str(error.value)


def test_a_number_that_is_none_is_refused():
    record = make.record()
    broken = replace(record, coverage=replace(record.coverage, planned=float("nan")))
    with pytest.raises(ValueError, match="planned"):
        dumps(broken)


def test_every_field_of_the_formats_is_documented():
    untold = []
    for name, kind in inspect.getmembers(reports.record, dataclasses.is_dataclass):
        if kind.__module__ == reports.record.__name__:
            told = set(re.findall(r"^    (\w+):", inspect.cleandoc(kind.__doc__), re.MULTILINE))
            untold += [f"{name}.{field.name}" for field in dataclasses.fields(kind) if field.name not in told]
    assert untold == []
