import json
from pathlib import Path

import jsonschema
import pytest

from reports.documentation import FILES, record_page, schema, schema_text, write
from reports.record import SCHEMA, dumps
from tests import record_factory as make

_ROOT = Path(__file__).parents[1]
_AGAIN = "run: python -m reports.documentation"


@pytest.mark.parametrize("name", FILES)
def test_the_committed_schema_is_the_one_the_types_give(name):
    committed = _ROOT / "reports" / "schema" / f"{name}-{SCHEMA}.json"
    assert committed.read_text("utf-8") == schema_text(FILES[name]), _AGAIN


def test_the_committed_page_is_the_one_the_types_give():
    assert (_ROOT / "docs" / "record.md").read_text("utf-8") == record_page(), _AGAIN


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_valid(name):
    jsonschema.Draft202012Validator.check_schema(schema(FILES[name]))


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_every_document_obeys_its_schema(kind):
    for document in make.ALL_KINDS[kind]():
        if document is not None:
            jsonschema.validate(json.loads(dumps(document)), schema(type(document)))


def test_a_field_nobody_knows_breaks_the_schema():
    document = json.loads(dumps(make.record())) | {"surprise": 1}
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(document, schema(FILES["record"]))


def test_every_field_of_every_document_stands_on_the_page():
    page = record_page()
    for kind in FILES.values():
        plain = schema(kind)
        for part in (plain, *plain["$defs"].values()) if "$defs" in plain else (plain,):
            for field in part.get("properties", {}):
                assert f"| `{field}` |" in page


def test_writing_puts_everything_in_its_place(tmp_path):
    (tmp_path / "reports" / "schema").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    write(tmp_path)
    assert sorted(path.name for path in (tmp_path / "reports" / "schema").iterdir()) == [
        "gates-1.json",
        "record-1.json",
        "run-1.json",
    ]
    assert (tmp_path / "docs" / "record.md").read_text("utf-8") == record_page()
