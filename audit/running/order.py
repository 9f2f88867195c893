"""What a run is asked to do."""

from dataclasses import dataclass

from audit.planning.plan import Plan
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Lines
from audit.store import RunFolder, Store


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a run is asked to do.

    Attributes:
        config: The config, its files and folders as absolute paths.
        as_written: The same with files and folders as they are written, which say nothing of this machine.
        plan: Its plan.
        store: Where objects lie.
        folder: The run's folder.
        lines: Where each setting is written.
        changes: Settings given on the command line.
        coins: Seed of the coins: the config's, or a fresh one.
    """

    config: AuditConfig
    as_written: AuditConfig
    plan: Plan
    store: Store
    folder: RunFolder
    lines: Lines
    changes: tuple[str, ...] = ()
    coins: int = 0
