"""The public file formats, written out: JSON Schema, and the page that documents each field.

Both are generated from the types and committed; a test holds them to what this module gives. To write them anew:

    python -m reports.documentation
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reports.record import SCHEMA, AuditRecord, DocumentKind, Judgement, RunInfo, json_schema

FILES: Mapping[str, DocumentKind] = {"record": AuditRecord, "gates": Judgement, "run": RunInfo}
"""The documents of a run folder, by the name of their file."""

_ROOT = Path(__file__).parent
_FIELD = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)
_INTRODUCTION = """\
# The record

An audit leaves three JSON files in its run folder. `record.json` holds what was measured and nothing of when, where or
how it was judged, so that the same inputs give the same bytes. `gates.json` holds the verdicts on it, `run.json` times
and places. Their JSON Schemas are `reports/schema/record-{schema}.json`, `gates-{schema}.json` and `run-{schema}.json`.
Files of an older schema stay readable; a file of a newer one is refused.

Numbers are in natural units: a rate of 4 % is `0.04`, a difference of two rates likewise, log-probabilities are in
nats. An estimate that could not be made is an object with a `reason` in its place, never zero and never a gap.
No text of the audited data stands in any field.

This page is generated from the types' documentation; `python -m reports.documentation` writes it anew.
"""


def schema(kind: DocumentKind) -> dict[str, Any]:
    """A document's JSON Schema, each field with its description."""
    plain = json_schema(kind)
    for part in (plain, *plain.get("$defs", {}).values()):
        _describe(part)
    name = next(name for name, document in FILES.items() if document is kind)
    header = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{name}.json, schema {SCHEMA}"}
    return plain | header


def _describe(part: dict[str, Any]) -> None:
    """Move what a docstring says of its attributes to the fields, and leave its first paragraph."""
    written = inspect.cleandoc(part.get("description", ""))
    told = {name: " ".join(words.split()) for name, words in _FIELD.findall(written)}
    part["description"] = " ".join(written.split("\n\n")[0].split())
    for name, field in part.get("properties", {}).items():
        field.pop("title", None)
        if name in told:
            field["description"] = told[name]


def schema_text(kind: DocumentKind) -> str:
    """The JSON Schema as it is committed."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def record_page() -> str:
    """The documentation of every field of every document, in Markdown."""
    parts = [_INTRODUCTION.format(schema=SCHEMA)]
    seen: set[str] = set()
    for name, kind in FILES.items():
        plain = schema(kind)
        parts.append(f"## {name}.json\n\n{plain['description']}\n\n{_fields(plain)}")
        for part in plain.get("$defs", {}).values():
            if part["title"] not in seen:
                seen.add(part["title"])
                parts.append(f"### {part['title']}\n\n{part['description']}\n\n{_fields(part)}")
    return "\n".join(parts)


def _fields(part: Mapping[str, Any]) -> str:
    required = set(part.get("required", ()))
    lines = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, field in part.get("properties", {}).items():
        absent = "" if name in required else f" Where it is left out: `{json.dumps(field.get('default'))}`."
        kind = " or ".join(dict.fromkeys(_types(field))).replace("|", "\\|")
        meaning = f"{field.get('description', '')}{absent}".strip().replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{name}` | {kind} | {meaning} |")
    return "\n".join([*lines, ""])


def _types(field: Mapping[str, Any]) -> Iterator[str]:
    """The types that a field may have, in words."""
    if "$ref" in field:
        yield _linked(str(field["$ref"]))
    elif "anyOf" in field:
        for option in field["anyOf"]:
            yield from _types(option)
    elif "enum" in field or "const" in field:
        for value in field.get("enum", [field.get("const")]):
            yield f"`{json.dumps(value)}`"
    elif field.get("type") == "array":
        yield f"list of {' or '.join(dict.fromkeys(_types(field.get('items', {}))))}"
    elif isinstance(field.get("additionalProperties"), Mapping):
        yield f"map to {' or '.join(dict.fromkeys(_types(field['additionalProperties'])))}"
    else:
        yield {"object": "map", "string": "text"}.get(str(field.get("type")), str(field.get("type", "any")))


def _linked(reference: str) -> str:
    name = reference.rsplit("/", 1)[-1]
    title = {"probes__results__Coverage": "Coverage", "reports__record__Coverage": "PlanCoverage"}.get(name, name)
    return f"[{title}](#{title.lower()})"


def write(root: Path = _ROOT.parent) -> None:
    """Write the schemas and the page into a checkout."""
    for name, kind in FILES.items():
        (root / "reports" / "schema" / f"{name}-{SCHEMA}.json").write_text(schema_text(kind), "utf-8")
    (root / "docs" / "record.md").write_text(record_page(), "utf-8")


if __name__ == "__main__":
    write()
