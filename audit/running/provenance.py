"""What a record says of its origins: hashes, versions, seeds and the type of machine, and nothing of when and where."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.data.splits import Splits
from audit.running.seal import Seal
from audit.settings.config import AuditConfig
from audit.store import digest
from audit.units import code_of_project, machine, software
from reports.record import Provenance

_FOLDERS = re.compile(r"(?<![\w.~}])/(?:[^/,'\"\]}]+/)+")
"""The folders of an absolute path."""


def provenance(config: AuditConfig, splits: Splits, seal: Seal, changes: Sequence[str], coins: int) -> Provenance:
    """What everything in a record depends on.

    Args:
        config: The config, its files as they are written.
        splits: The data.
        seal: The run's seal.
        changes: Settings given on the command line.
        coins: Seed of the coins.
    """
    return Provenance(
        config=digest(config.model_dump(mode="json", exclude={"gates"})),
        gates=seal.gates,
        measured_before=len(seal.measured_before),
        commit=config.model.revision,
        data=splits.digests(),
        coins=splits.commitment,
        code=code_of_project(),
        versions=dict(software()),
        machine=machine() if config.compute.device == "cpu" else f"{machine()}, {config.compute.device}",
        threads=config.compute.threads,
        seeds={**config.seeds.model_dump(), "coins": coins},
        reproducible=config.compute.reproducible,
        changes=tuple(_FOLDERS.sub("", change) for change in changes),
    )


def placeless(value: Any) -> Any:
    """A setting without the folder where it is an absolute path, which would speak of the machine."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
