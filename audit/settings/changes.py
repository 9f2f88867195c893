"""What `--set key.path=value` changes in a config before it is checked; each change is recorded with the run."""

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from audit.settings.config import AuditConfig
from audit.settings.mistakes import ConfigError, Lines, Mistake, Place, Spot, shown
from audit.settings.sections.models import model_by_name


def apply(data: dict[str, Any], lines: Lines, change: str) -> Lines:
    """Change one setting in place; sections that are not there yet are begun as they are where a file is silent.

    Args:
        data: What the file says.
        lines: Where it says it.
        change: "key.path=value", the value in YAML; positions in lists are numbers from 0.

    Returns:
        The lines, with the change as the spot of what it changed.

    Raises:
        ConfigError: The change cannot be read, or has no place in this file.
    """
    path, value = _read(change)
    section: Any = data
    place: Place = ()
    began: Place | None = None
    for step in path[:-1]:
        key = _key(change, section, place, step)
        place = (*place, key)
        if isinstance(section, dict) and section.get(key) is None:
            section[key] = _begun(change, place)
            began = began or place
        if place == ("model",) and isinstance(section[key], str):
            section[key] = model_by_name(section[key])
        section = section[key]
    key = _key(change, section, place, path[-1])
    section[key] = value
    return lines.replace(began or (*place, key), {(): _spot(change)})


def _spot(change: str) -> Spot:
    return Spot(f"--set {change}", None)


def _refused(change: str, rule: str, suggestion: str = "") -> ConfigError:
    return ConfigError([Mistake(file=_spot(change).file, line=None, key="", rule=rule, suggestion=suggestion)])


def _read(change: str) -> tuple[list[str], Any]:
    keys, equals, written = change.partition("=")
    path = [step.strip() for step in keys.split(".")]
    if not equals or not all(path):
        raise _refused(change, "must have the form key.path=value")
    try:
        return path, YAML(typ="safe", pure=True).load(written)
    except (YAMLError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise _refused(change, f"its value is not YAML ({said})", "quote what is special to YAML") from None


def _key(change: str, section: Any, place: Place, step: str) -> str | int:
    """The key (or position) that a step means in what is there."""
    where = ".".join(map(str, place))
    if isinstance(section, Mapping):
        return next((key for key in section if str(key) == step), step)  # a class coded 0 is a number in YAML
    if not isinstance(section, list):
        raise _refused(change, f"'{where}' is {shown(section)}, so there is no '{step}' in it")
    if not step.isdecimal() or int(step) >= len(section):
        raise _refused(change, f"'{where}' is a list of {len(section)}, so there is no '{step}' in it")
    return int(step)


def _begun(change: str, place: Place) -> dict[str, Any]:
    """What a section is before its first setting."""
    if place == ("arms",):
        arms: Mapping[str, Any] = AuditConfig.model_fields["arms"].default
        return {name: arm.model_dump(exclude_unset=True) for name, arm in arms.items()}
    if place == ("probes",):
        # The others would silently be off.
        raise _refused(change, "the file names no probes, so all that fit are on", "name in it those that shall be on")
    return {}
