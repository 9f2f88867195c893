"""What of a config still tells something when some of its settings are mistakes.

Settings that are wrong are taken out, so that the others can be checked together all the same. Which settings are
then not told is kept: what a check says that reads one of them might be no more than a consequence.
"""

import copy
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from audit.settings.config import AuditConfig
from audit.settings.mistakes import Place, nearest_setting, place_of
from audit.settings.sections.models import WORLD

_ROUNDS = 20
"""Most rounds of taking out: taking one out can show another, or leave a section without what it needs."""

_STAND_INS: dict[str, Any] = {"model": {"name": WORLD}, "data": {"world": {}}}
"""What stands for a section that a config cannot be without; no check that reads it is made then."""


def remainder(settings: dict[str, Any], error: ValidationError) -> tuple[AuditConfig, frozenset[Place]] | None:
    """The config without what is wrong in it, and the settings that are not told.

    Args:
        settings: What was read; it is left as it is.
        error: What is wrong with it.

    Returns:
        None where nothing usable is left.
    """
    kept, untold = copy.deepcopy(settings), set[Place]()
    for _ in range(_ROUNDS):
        for detail in error.errors(include_url=False):
            place = place_of(detail)
            if detail["type"] == "extra_forbidden":
                untold |= set(_meant(place))
                _take_out(kept, place)
            else:
                untold.add(_take_out(kept, place))
        kept |= {name: stand_in for name, stand_in in _STAND_INS.items() if name not in kept}
        try:
            return AuditConfig.model_validate(kept), frozenset(untold)
        except ValidationError as left:
            error = left
    return None


def _meant(place: Place) -> Iterator[Place]:
    """The setting that a misspelt one was probably meant to be, which is then not told."""
    near = nearest_setting(place)
    if near is not None:
        yield (*place[:-1], near)


def _take_out(settings: dict[str, Any], place: Place) -> Place:
    """Take out the innermost setting that holds a mistake; its place.

    Elements of lists keep theirs, so of a list with a bad element the whole is taken out; and where something is
    missing, the section that misses it.
    """
    node: Any = settings
    holder, key, at = settings, _key(settings, place[0]) if place else None, 0
    for depth, step in enumerate(place):
        if isinstance(node, dict):
            found = _key(node, step)
            if found is None:
                break
            holder, key, at = node, found, depth + 1
            node = node[found]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            break
    if key is None:
        return place
    del holder[key]
    return place[:at]


def _key(section: dict[Any, Any], step: str | int) -> Any:
    """The key of a section that a step means; keys that are numbers in YAML are text in a mistake's place."""
    return next((key for key in section if str(key) == str(step)), None)
