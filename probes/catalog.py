"""All probes by name, how they are made from parameters, and what they say of themselves.

A new probe is one import and one line here. Probes of third parties come through the entry points
"finetune_audit.probes", whose names are the probes' names. Importing this module loads no model library.
"""

import dataclasses
import difflib
import inspect
import json
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from probes.bias.group_disparity import GroupDisparity
from probes.bias.minimal_pairs import MinimalPairs
from probes.bias.name_swap import NameSwap
from probes.privacy.canaries import Canaries
from probes.privacy.equity import PrivacyEquity
from probes.privacy.extraction import Extraction
from probes.privacy.given_membership import GivenMembership
from probes.privacy.membership import Membership
from probes.privacy.register import PersonRegister
from probes.protocol import Probe
from probes.robustness.domain_shift import DomainShift
from probes.robustness.language_shift import LanguageShift
from probes.robustness.perturbation import Perturbation
from probes.utility.language import LanguageQuality
from probes.utility.task import Utility

ENTRY_POINTS = "finetune_audit.probes"

PROBES: Mapping[str, type[Probe]] = {
    "utility": Utility,
    "language_quality": LanguageQuality,
    "minimal_pairs": MinimalPairs,
    "group_disparity": GroupDisparity,
    "name_swap": NameSwap,
    "domain_shift": DomainShift,
    "language_shift": LanguageShift,
    "perturbation": Perturbation,
    "membership": Membership,
    "canaries": Canaries,
    "extraction": Extraction,
    "given_membership": GivenMembership,
    "privacy_equity": PrivacyEquity,
    "person_register": PersonRegister,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a probe says of itself, from its docstring.

    Attributes:
        question: Its first sentence.
        limits: Its "Limits" paragraph; "" where there is none.
        source: Its "Source" paragraph; "" where there is none.
    """

    question: str
    limits: str
    source: str


def find(name: str) -> type[Probe]:
    """The probe of that name, ours before a third party's.

    Raises:
        ValueError: There is none.
    """
    if name in PROBES:
        return PROBES[name]
    others = third_parties()
    if name not in others:
        raise ValueError(f"no probe called {name!r}; {_suggest(name, [*PROBES, *others])}")
    probe: type[Probe] = others[name].load()
    return probe


def third_parties() -> dict[str, EntryPoint]:
    """The probes that other installed distributions bring, by name; one with a name of ours is never taken."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in PROBES}


def defaults(task: str) -> tuple[str, ...]:
    """Names of our own probes that are for a kind of task; a probe that names none is for all."""
    return tuple(name for name, probe in PROBES.items() if task in getattr(probe, "tasks", {task}))


def instantiate(name: str, parameters: Mapping[str, Any]) -> Probe:
    """A probe with its parameters, as they come from a file: checked strictly, text is no number.

    Args:
        name: The probe's name.
        parameters: Its fields; those left out keep their defaults.

    Raises:
        ValueError: No such probe, no such parameter, or a value that it cannot have.
    """
    probe = find(name)
    fields = [field.name for field in dataclasses.fields(probe)]  # type: ignore[arg-type]
    for parameter in parameters:
        if parameter not in fields:
            raise ValueError(f"{name}: no parameter called {parameter!r}; {_suggest(parameter, fields)}")
    try:
        # Through JSON, where a list may stand for a tuple, and nothing else may stand for anything else.
        return TypeAdapter(probe).validate_json(json.dumps(dict(parameters), default=str), strict=True)
    except ValidationError as error:
        raise ValueError(f"{name}: {_in_words(error)}") from None


def describe(probe: type[Probe]) -> Description:
    """What a probe's docstring says: its question, its limits and its source, each as one line."""
    paragraphs = [" ".join(p.split()) for p in inspect.cleandoc(probe.__doc__ or "").split("\n\n")]
    named = {
        label: next((p.removeprefix(label).strip() for p in paragraphs if p.startswith(label)), "")
        for label in ("Limits:", "Source:")
    }
    return Description(question=paragraphs[0], limits=named["Limits:"], source=named["Source:"])


def listing() -> list[dict[str, Any]]:
    """What each probe says of itself, ours and those of other packages; of one that cannot be loaded, why."""
    others = third_parties()
    return [_listed(name, None) for name in PROBES] + [_listed(name, point) for name, point in others.items()]


def _listed(name: str, point: EntryPoint | None) -> dict[str, Any]:
    package = None if point is None else point.dist.name if point.dist is not None else "an unknown package"
    row: dict[str, Any] = {"name": name, "package": package}
    try:
        probe = find(name)
        said = {"version": probe.version, "pillar": probe.pillar, "question": describe(probe).question}
        return row | said | {"metrics": sorted(probe.metrics)}
    except Exception as error:  # code of others
        return row | {"error": f"cannot be loaded: {type(error).__name__}: {error}"}


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if known else "it has none"


_TYPES = {
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


def _in_words(error: ValidationError) -> str:
    """The first thing that is wrong, in a sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    said = _TYPES.get(first["type"], said.replace("Input should be", "must be"))
    return f"{where}: {said[0].lower()}{said[1:]}; got {first['input']!r}" if where else said
