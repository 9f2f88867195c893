"""From a YAML file to a config: what it says, what `--set` changes in it, and on which line each setting stands.

YAML is read as version 1.2: `1e-5` is a number and `no` is a word. Nothing is built from a file but text, numbers,
lists and mappings.
"""

import copy
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from audit.settings.changes import apply as apply_change
from audit.settings.config import AuditConfig
from audit.settings.mistakes import ConfigError, Lines, Mistake, Place, Spot, did_you_mean, listed, mistakes_of, shown
from audit.settings.remainder import remainder
from audit.settings.sections.models import WORLD, model_by_name
from audit.settings.sections.policy import PolicyInUse

__all__ = ["ConfigError", "Lines", "Loaded", "Mistake", "configs_folder", "read", "read_with_mistakes"]

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PATHS: tuple[Place, ...] = (
    ("model", "name"),
    ("model", "tokenizer"),
    ("data", "file"),
    ("data", "validation", "file"),
    ("data", "test", "file"),
    ("data", "domains", "*", "file"),
    ("arms", "*", "given"),
    ("probes", "*", "file"),
)
"""Settings that name a file or folder; "*" is any name."""


@dataclass(frozen=True)
class Loaded:
    """A config in which each setting is what it should be.

    Attributes:
        config: The config, its policy in place of the policy's name, its files and folders as absolute paths.
        as_written: The same with files and folders as they are written, which say nothing of this machine.
        path: The config file.
        changes: The `--set` changes, as they were given.
        lines: Where each setting is written.
        untold: Settings whose value is not known, because what is written is a mistake; none where the config was read
            without any.
    """

    config: AuditConfig
    as_written: AuditConfig
    path: Path
    changes: tuple[str, ...]
    lines: Lines
    untold: frozenset[Place] = frozenset()


def configs_folder() -> Path:
    """The folder of the configs, policies and schema that are shipped: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def read(path: Path, changes: Sequence[str] = ()) -> Loaded:
    """Read a config file.

    Args:
        path: The YAML file.
        changes: Settings to change, "key.path=value" with the value in YAML, applied in order.

    Raises:
        ConfigError: All that is wrong with it setting by setting; what takes several settings or the data to see
            is checked by `audit.settings.validate`.
    """
    loaded, mistakes = read_with_mistakes(path, changes)
    if mistakes or loaded is None:
        raise ConfigError(mistakes)
    return loaded


def read_with_mistakes(path: Path, changes: Sequence[str] = ()) -> tuple[Loaded | None, list[Mistake]]:
    """Read a config file as far as that goes: what can still be checked further, and all mistakes so far.

    Args:
        path: The YAML file.
        changes: Settings to change.

    Returns:
        What was read, with the settings that are not told; None where it tells nothing. And what is wrong with it
        setting by setting.

    Raises:
        ConfigError: The file gives no settings at all.
    """
    data, spots, mistakes = _parse(path)
    lines = Lines(spots)
    for change in changes:
        try:
            lines = apply_change(data, lines, change)
        except ConfigError as error:
            mistakes += error.mistakes
    lines, of_policy = _with_policy(data, lines, path.parent)
    resolved, of_paths = _resolved(data, lines, path.parent)
    mistakes += of_policy + of_paths
    loaded = partial(Loaded, path=path, changes=tuple(changes), lines=lines)
    try:
        as_written, config = (AuditConfig.model_validate(settings) for settings in (data, resolved))
    except ValidationError as error:
        mistakes += mistakes_of(error, lines)
        left = remainder(resolved, error)
        return None if left is None else loaded(config=left[0], as_written=left[0], untold=left[1]), mistakes
    return loaded(config=config, as_written=as_written), mistakes


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # so that all of them are found, by `_twice`
    return yaml


def _parse(path: Path, outer: int = 0) -> tuple[dict[str, Any], dict[Place, Spot], list[Mistake]]:
    """What a file says, where it says it, and what stands in it twice.

    Raises:
        ConfigError: The file gives no settings at all.
    """
    text = _text(path)
    try:
        root = _yaml().compose(text)
        settings = list(_settings(root, (), frozenset()))
        data = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([_no_yaml(path, error)]) from None
    if not isinstance(data, dict):
        got = "holds no settings" if data is None else f"must be a mapping of keys to values; got {shown(data)}"
        raise _unusable(path, got)
    spots = {place: Spot(str(path), line, outer) for place, line in reversed(settings)}
    return data, {(): Spot(str(path), root.start_mark.line + 1, outer), **spots}, list(_twice(path, settings))


def _unusable(path: Path, rule: str, suggestion: str = "", line: int | None = None) -> ConfigError:
    return ConfigError([Mistake(file=str(path), line=line, key="", rule=rule, suggestion=suggestion)])


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _unusable(path, "no such file", "'audit init' writes a first one") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"must be UTF-8 text; got the byte 0x{content[error.start]:02x}"
        raise _unusable(path, got, "save it as UTF-8", line) from None


def _no_yaml(path: Path, error: Exception) -> Mistake:
    line, said = None, str(error).partition("\n")[0]
    if isinstance(error, RecursionError):
        said = "it is nested too deeply"
    elif isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line + 1
        said = " ".join(part for part in (error.context, error.problem) if part)
    return Mistake(file=str(path), line=line, key="", rule=f"is not YAML: {said}")


def _settings(node: Node | None, place: Place, around: frozenset[int]) -> Iterator[tuple[Place, int]]:
    """Each setting with its line; what comes by a merge key ("<<") has that of the section it is merged into."""
    if node is not None and id(node) in around:
        raise MarkedYAMLError(problem="an alias stands for what it is a part of", problem_mark=node.start_mark)
    around |= {id(node)}
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                yield (*place, key.value), key.start_mark.line + 1
                yield from _settings(value, (*place, key.value), around)
    elif isinstance(node, SequenceNode):
        for position, value in enumerate(node.value):
            yield (*place, position), value.start_mark.line + 1
            yield from _settings(value, (*place, position), around)


def _twice(path: Path, settings: Sequence[tuple[Place, int]]) -> Iterator[Mistake]:
    first: dict[Place, int] = {}
    repeated: set[Place] = set()
    for place, line in settings:
        if place not in first:
            first[place] = line
            continue
        repeated.add(place)
        if place[:-1] not in repeated:
            rule = f"stands twice, first in line {first[place]}"
            key = ".".join(map(str, place))
            yield Mistake(file=str(path), line=line, key=key, rule=rule, suggestion="keep one of them")


def _with_policy(data: dict[str, Any], lines: Lines, folder: Path) -> tuple[Lines, list[Mistake]]:
    """Put the policy in place of its file's name; the lines, with those of the policy's file."""
    gates = data.get("gates")
    try:
        use = PolicyInUse.model_validate({"policy": gates} if isinstance(gates, str) else gates)
    except ValidationError:  # a policy that is written out, or a mistake that is found with all others
        return lines, []
    own = use.model_dump(exclude={"policy"}, exclude_none=True)
    data["gates"] = None  # the rest is checked all the same where the policy cannot be read
    try:
        policy, spots, twice = _parse(_policy_path(use.policy, lines, folder), outer=1)
    except ConfigError as error:
        return lines, list(error.mistakes)
    data["gates"] = {**policy, **own}
    return lines.replace(("gates",), {**spots, **{(key,): lines.spot(("gates", key)) for key in own}}), twice


def _policy_path(named: str, lines: Lines, folder: Path) -> Path:
    """The file of a policy: a path relative to the config, or the name of one that is shipped."""
    if named.endswith((".yaml", ".yml")):
        path = Path(_absolute(named, ("gates",), lines, folder))
        rule, suggestion = f"no such file; got '{named}'", ""
    else:
        path = configs_folder() / "policies" / f"{named}.yaml"
        shipped = [file.stem for file in path.parent.glob("*.yaml")]
        rule = f"must be the path of a .yaml file, or a policy that is shipped ({listed(shipped)}); got '{named}'"
        suggestion = did_you_mean(named, shipped)
    if not path.is_file():
        raise ConfigError([lines.mistake(("gates",), rule, suggestion)])
    return path


def _resolved(data: dict[str, Any], lines: Lines, folder: Path) -> tuple[dict[str, Any], list[Mistake]]:
    """The same settings with absolute paths."""
    resolved = copy.deepcopy(data)
    if isinstance(resolved.get("model"), str):
        resolved["model"] = model_by_name(resolved["model"])
    mistakes: list[Mistake] = []
    for pattern in _PATHS:
        for section, place in _found(resolved, pattern, ()):
            written = section[place[-1]]
            if place == ("model", "name") and not _is_folder(written, section.get("revision"), folder):
                continue
            if place[0] == "probes" and re.fullmatch(r"\w+", written):  # the name of a published benchmark
                continue
            try:
                section[place[-1]] = _absolute(written, place, lines, folder)
            except ConfigError as error:
                mistakes += error.mistakes
    return resolved, mistakes


def _found(node: Any, pattern: Place, place: Place) -> Iterator[tuple[dict[Any, Any], Place]]:
    """The sections in which a setting that matches a pattern holds text, with its place."""
    if not isinstance(node, dict):
        return
    for key in [key for key in node if pattern[0] in ("*", key)]:
        if len(pattern) > 1:
            yield from _found(node[key], pattern[1:], (*place, key))
        elif isinstance(node[key], str):
            yield node, (*place, key)


def _is_folder(name: str, revision: Any, folder: Path) -> bool:
    """Whether a model's name means a folder: it looks like one, or there is one and no revision on the hub is given."""
    if name == WORLD:
        return False
    looks = name.startswith((".", "/", "~", "${")) or name.endswith("/")
    return looks or (revision is None and (folder / name).is_dir())


def _absolute(written: str, place: Place, lines: Lines, folder: Path) -> str:
    """A path with `${NAME}` and `~` filled in, relative to the config's folder.

    Raises:
        ConfigError: An environment variable that is not set.
    """
    unset = sorted({name for name in _VARIABLE.findall(written) if name not in os.environ})
    if unset:
        rule = f"names the environment variable {listed(unset)}, which is not set"
        raise ConfigError([lines.mistake(place, rule, f"export {unset[0]}=… or write the path")])
    filled = os.path.expanduser(_VARIABLE.sub(lambda match: os.environ[match[1]], written))
    return str((folder / filled).resolve())
