"""Whether a probe could be put to any arm of a config, before its data are read: the probe itself is asked.

The probe sees an outline of the data, of a few made-up rows: the columns, domains, groups and canaries that the config
says there will be. What it then finds missing will be missing in the run.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from audit.settings.checks_of_task import classes_of
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Place
from audit.settings.sections.models import Head
from probes.benchmarks import BENCHMARKS
from probes.catalog import instantiate
from probes.protocol import Facts, Items, Probe
from probes.results import NotApplicable, Role

_ROWS = 4
_WORLDS_GROUPS = ("region", "gender")
_UNKNOWN_CLASSES = ("a", "b")


def why_not(config: AuditConfig, name: str) -> tuple[Place, str] | None:
    """Why a probe that the config names can be put to no arm, and the parameter that is to blame, if one is.

    Args:
        config: The config.
        name: The probe's name.

    Returns:
        None where it can be put to some arm, or where that cannot be told yet.
    """
    try:
        probe = instantiate(name, (config.probes or {})[name])
    except ValueError:  # said where parameters are checked
        return None
    file = getattr(probe, "file", None)
    if isinstance(file, str) and file in BENCHMARKS:  # fetched when the probe is put, and no earlier
        probe, file = dataclasses.replace(probe, file=None), None  # type: ignore[type-var]
    if isinstance(file, str) and not Path(file).is_file():
        known = f" or the name of a published benchmark ({', '.join(sorted(BENCHMARKS))})"
        return ("file",), f"must be the path of a file{known if probe.pillar == 'bias' else ''}; there is no '{file}'"
    return _asked(config, probe, with_file=isinstance(file, str))


def _asked(config: AuditConfig, probe: Probe, *, with_file: bool) -> tuple[Place, str] | None:
    reasons = []
    for facts in _arms(config, probe):
        try:
            probe.needs(facts, _data(config, facts))
        except NotApplicable as reason:
            reasons.append(str(reason))
        except ValueError as error:
            # An outline may be too thin for a probe, which is no mistake of the config; a file is what it is.
            return (("file",), str(error)) if with_file else None
        except Exception:  # as above
            return None
        else:
            return None
    return ((), f"could be put to no arm: {reasons[0]}") if reasons else None


def _arms(config: AuditConfig, probe: Probe) -> Iterator[Facts]:
    """What is known of the arms that the probe is for, those that differ in nothing it could ask about once."""
    known: dict[tuple[Role, Head], None] = {}
    for name in config.arms:
        if config.source_of(name) == "base" and config.head == "classifier":
            # Without a head for the classes it is put what the head that it brings can answer.
            known |= dict.fromkeys([(config.role_of(name), "causal"), (config.role_of(name), "masked")])
        else:
            known[config.role_of(name), config.head] = None
        if config.source_of(name) == "trained":
            known["twin", config.head] = None
    for role, head in known:
        if role in probe.roles:
            yield _facts(config, role, head)


def _facts(config: AuditConfig, role: Role, head: Head) -> Facts:
    labelled = config.kind == "text-classification"
    return Facts(
        arm="arm",
        role=role,
        seed=0,
        head=head,
        task=config.kind,
        classes=tuple(classes_of(config) or _UNKNOWN_CLASSES) if labelled else (),
        groups=_groups(config),
        base_is_comparable=config.head != "classifier",
        seeds=config.seeds.model_dump(),
    )


def _groups(config: AuditConfig) -> tuple[str, ...]:
    return _WORLDS_GROUPS if config.data.world is not None else config.data.groups


def _data(config: AuditConfig, facts: Facts) -> dict[str, Items]:
    """An outline of the items that a probe may ask an arm of that role about."""
    data = {"test": _items(config), "validation": _items(config)}
    data |= {f"domain:{name}": _items(config) for name in config.data.domains}
    if config.data.domain is not None or config.data.world is not None:
        data["domain:other"] = _items(config)
    if facts.role == "twin":
        coins = np.arange(_ROWS) % 2 == 0
        canaries = _items(config).assign(
            is_member=coins, kind=["secret"] * _ROWS, repetitions=np.ones(_ROWS, dtype=int), form=["digits-1"] * _ROWS
        )
        data |= {"pool": _items(config).assign(is_member=coins), "canaries": canaries, "canary_references": canaries}
    return data


def _items(config: AuditConfig) -> Items:
    names = [f"row {i}" for i in range(_ROWS)]
    columns = {"item_id": names, "cluster": names, "text": ["Some words of a text."] * _ROWS}
    if config.data.text_pair is not None:
        columns["text_pair"] = columns["text"]
    if config.data.person is not None or config.data.world is not None:
        columns["person"] = names
    groups = {f"group:{group}": ["one", "other"] * (_ROWS // 2) for group in _groups(config)}
    items = Items({**columns, **groups})
    if config.kind != "text-classification":
        return items
    return items.assign(label=np.arange(_ROWS) % 2)
