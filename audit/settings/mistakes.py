"""What is wrong with a config file, in one sentence a mistake: where it stands, which rule it breaks, what to do."""

import difflib
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from audit.settings.config import json_schema

Place = tuple[str | int, ...]
"""The keys (and positions in lists) that lead to a setting, such as ("arms", "dp", "training", "epochs")."""

_LONGEST_SHOWN = 60
_LONGEST_COLUMN = 40


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        file: The file, or the `--set` that brought it.
        line: Its line, from 1; None where there is none.
        key: The setting, its keys joined by dots; empty where the whole file is meant.
        rule: The rule it breaks, and the value got.
        suggestion: What to do, where there is something to do.
    """

    file: str
    line: int | None
    key: str
    rule: str
    suggestion: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        sentence = ": ".join(part for part in (where, self.key, self.rule) if part)
        return f"{sentence}; {self.suggestion}" if self.suggestion else sentence


class Wrong(NamedTuple):
    """A mistake whose line is not looked up yet."""

    place: Place
    rule: str
    suggestion: str = ""


class ConfigError(ValueError):
    """All mistakes of a config at once.

    Args:
        mistakes: At least one.
    """

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.file, m.line or 0)))
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True)
class Spot:
    """Where a setting is written.

    Attributes:
        file: The file, or the `--set`.
        line: Its line, from 1.
        outer: How many leading keys of its place are not written in that file (1 in a policy's own file).
    """

    file: str
    line: int | None
    outer: int = 0


class Lines:
    """Where each setting of a config is written.

    Args:
        spots: By place; the empty place is the file itself.
    """

    def __init__(self, spots: Mapping[Place, Spot]) -> None:
        self._spots = {_key(place): spot for place, spot in spots.items()}

    def spot(self, place: Place) -> Spot:
        """Where a setting is written; where it is not, the innermost section around it that is."""
        keys = _key(place)
        return next(self._spots[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in self._spots)

    def replace(self, place: Place, spots: Mapping[Place, Spot]) -> "Lines":
        """The same with all at or below a place written elsewhere."""
        keys = _key(place)
        changed: dict[Place, Spot] = {k: s for k, s in self._spots.items() if k[: len(keys)] != keys}
        return Lines(changed | {(*place, *below): spot for below, spot in spots.items()})

    def mistake(self, place: Place, rule: str, suggestion: str = "") -> Mistake:
        """A mistake at a place."""
        spot = self.spot(place)
        key = ".".join(_key(place)[spot.outer :])
        return Mistake(file=spot.file, line=spot.line, key=key, rule=rule, suggestion=suggestion)


def _key(place: Place) -> tuple[str, ...]:
    return tuple(map(str, place))


def did_you_mean(word: str, among: Collection[str], at_least: float = 0.6) -> str:
    """The nearest of the words that could have been meant, as a question; empty where none is so near (1 is equal)."""
    near = difflib.get_close_matches(word, list(among), n=1, cutoff=at_least)
    return f"did you mean '{near[0]}'?" if near else ""


def listed(words: Iterable[str]) -> str:
    """Words in a row, sorted, or "none"."""
    return ", ".join(sorted(words)) or "none"


def columns_shown(columns: Iterable[str]) -> list[str]:
    """Columns as a message may name them: a long one is no name, but a text in a file whose header is missing."""
    return [column if len(column) <= _LONGEST_COLUMN else f"one of {len(column)} characters" for column in columns]


def shown(value: Any) -> str:
    """A value in a message, as a config file would write it."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str | int | float) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def mistakes_of(error: ValidationError, lines: Lines) -> list[Mistake]:
    """What pydantic found, one mistake for each setting that is wrong."""
    details = [(place_of(detail), detail) for detail in error.errors(include_url=False)]
    deeper = {place[:n] for place, _ in details for n in range(len(place))}
    # A list that lost an element to a mistake is also reported as too short.
    return [
        lines.mistake(place, *_sentence(place, detail))
        for place, detail in details
        if not (detail["type"] == "too_short" and place in deeper)
    ]


def place_of(detail: ErrorDetails) -> Place:
    """The setting that something is wrong with."""
    return tuple(step for step in detail["loc"] if not (isinstance(step, str) and (step[:1] == "=" or step == "[key]")))


_RULES = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "invalid_key": "a key must be text",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
_NOT_OFFERED = {
    ("arms", "*", "twin"): (
        "no such setting: what a twin was trained on is known only of those that the audit trains itself",
        "leave it out, and what needs a twin is not measured on this arm",
    ),
    ("report",): ("no such setting: the report never shows texts of the data", "leave it out"),
}
"""What one might look for and is not there, with the reason."""
_SILENT_ABOUT_VALUE = {"missing", "too_short"}


def _sentence(place: Place, detail: ErrorDetails) -> tuple[str, str]:
    """Rule and suggestion."""
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        steps = tuple("*" if place[:1] == ("arms",) and at == 1 else str(step) for at, step in enumerate(place))
        return _NOT_OFFERED.get(steps, ("no such setting", _suggested_setting(place)))
    if kind == "value_error":
        return str(context["error"]), ""
    rule = _RULES[kind].format(**context) if kind in _RULES else detail["msg"]
    if kind not in _SILENT_ABOUT_VALUE:
        rule = f"{rule}; got {shown(got)}"
    return rule, _suggested_value(kind, got, context)


def _suggested_value(kind: str, got: Any, context: Mapping[str, Any]) -> str:
    if kind in {"string_type", "invalid_key"} and not isinstance(got, Mapping | list | type(None)):
        return "write it in quotes"
    if kind == "bool_type" and isinstance(got, str) and got.lower() in {"yes", "no", "on", "off"}:
        return "YAML 1.2 reads it as text; write true or false"
    if kind in {"int_type", "float_type"} and isinstance(got, str) and _reads_as_number(got):
        return "write it without quotes"
    if kind == "literal_error" and isinstance(got, str):
        return did_you_mean(got, context["expected"].replace(" or ", ", ").replace("'", "").split(", "))
    return ""


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def nearest_setting(place: Place) -> str | None:
    """The setting of the same section whose name is nearest to one that does not exist; None where none is near."""
    near = difflib.get_close_matches(str(place[-1]), settings_in(place[:-1]), n=1)
    return near[0] if near else None


def _suggested_setting(place: Place) -> str:
    name, settings = str(place[-1]), settings_in(place[:-1])
    near = did_you_mean(name, settings, at_least=0.8)
    if near:
        return near
    elsewhere = next((section for section, others in _sections() if name in others), None)
    if elsewhere is not None:
        return f"it belongs in '{'.'.join(elsewhere)}'" if elsewhere else "it belongs at the top level"
    return did_you_mean(name, settings) or f"there are {listed(settings)}"


def settings_in(place: Place) -> list[str]:
    """The names of the settings that a section may have; empty where any name goes, or none."""
    nodes = list(_branches({"$ref": "#"}))
    for step in place:
        nodes = [below for node in nodes for below in _below(node, step)]
    return [name for node in nodes for name in node.get("properties", {})]


_schema = functools.cache(json_schema)


def _branches(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemas that a schema stands for: references followed, alternatives one by one."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#").removeprefix("/$defs/")
        yield from _branches(_schema()["$defs"][name] if name else _schema())
        return
    alternatives: Sequence[Mapping[str, Any]] = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    if not alternatives:
        yield node
    for alternative in alternatives:
        yield from _branches(alternative)


def _below(node: Mapping[str, Any], step: str | int) -> Iterator[Mapping[str, Any]]:
    found = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
    if found is None:
        found = node.get("additionalProperties")
    if isinstance(found, Mapping):
        yield from _branches(found)


def _sections() -> Iterator[tuple[tuple[str, ...], Collection[str]]]:
    """All sections with the names of their settings, outer ones first."""
    todo: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), _schema())]
    while todo:
        place, node = todo.pop(0)
        yield place, node.get("properties", {})
        inner = {**node.get("properties", {}), "<name>": node.get("additionalProperties"), "<n>": node.get("items")}
        for step, below in inner.items():
            if isinstance(below, Mapping):
                todo += [((*place, step), branch) for branch in _branches(below)]
