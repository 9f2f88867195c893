"""The seal of a run: config, gates and coins, fixed by hash before anything is measured, or what says otherwise.

What was sealed once stays sealed: a run that was killed goes on under its own seal. A new seal looks first whether the
run's answers, or some of them, were measured already. They may be: an earlier run of another title measured them, or
this one did and its seal was removed. Whoever chose the gates then could have known the numbers, and the seal says so.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from audit.data.splits import Splits
from audit.planning.ahead import Ahead
from audit.running.order import Order
from audit.settings.sections.policy import Policy
from audit.store import RunFolder, digest, read_json, write_json
from audit.units import Observer


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What a run's `seal.json` says.

    Attributes:
        gates: SHA-256 of the policy; None where there was none.
        sealed_at: When it was sealed, ISO 8601.
        measured_before: Units of the plan that had been measured before that, and "record.json" where the folder had
            one already; empty where the seal came first.
    """

    gates: str | None
    sealed_at: str
    measured_before: tuple[str, ...]


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def sealed(order: Order, splits: Splits, observer: Observer) -> Seal:
    """The run's seal: the one that stands, else a new one.

    Gates that are changed afterwards do not break it: the verdict is given on the new ones, and says so.
    """
    folder, config = order.folder, order.as_written
    fixed = {"config": digest(config.model_dump(mode="json", exclude={"gates"})), "coins": splits.commitment}
    standing = _standing(folder)
    if standing is not None and all(standing.get(key) == value for key, value in fixed.items()):
        return _seal(standing)
    gates = digest(config.gates.model_dump(mode="json")) if isinstance(config.gates, Policy) else None
    before = [*(["record.json"] if folder.record.is_file() else []), *_measured(order, splits, observer)]
    seal = {**fixed, "coins_seed": order.coins, "gates": gates, "sealed_at": now(), "measured_before": before}
    write_json(folder.seal, seal)
    return _seal(seal)


def read_seal(folder: RunFolder) -> Seal:
    """What the seal of a run says."""
    return _seal(read_json(folder.seal))


def _seal(plain: dict[str, Any]) -> Seal:
    return Seal(
        gates=plain["gates"],
        sealed_at=plain["sealed_at"],
        measured_before=tuple(plain.get("measured_before", ())),  # seals of before had no such line
    )


def _standing(folder: RunFolder) -> dict[str, Any] | None:
    """The seal in the folder; None where there is none, or one that is not the one that the manifest knows."""
    if not folder.seal.is_file() or folder.contradicts(folder.seal):
        return None
    plain: dict[str, Any] = read_json(folder.seal)
    return plain


def _measured(order: Order, splits: Splits, observer: Observer) -> list[str]:
    """Units of the plan whose answers are in the store."""
    done = [work.unit for work in Ahead(order, splits, observer).work() if work.done]
    return sorted(unit for unit in done if unit.startswith(("ask:", "probe:")))
