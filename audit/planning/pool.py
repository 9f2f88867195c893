"""Which rates of membership the audit pool allows, and how large it would have to be for those that it does not.

A true positive rate is measured where its false positive rate accuses enough non-members for an interval. Half of the
pool are non-members, by fair coins, so a pool of twice as many units has too few every other time: a few more are
needed. The coins are committed, so what this pool has is told, and no chance.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from audit.data.division import largest_pool, linked_units
from audit.data.splits import Splits
from audit.planning.expectations import asks_of
from audit.running.arms import StoredModel
from audit.running.order import Order
from audit.settings.sections.data import Data
from probes.privacy.membership import FEWEST_FALSE_ALARMS, Membership
from probes.protocol import Items
from probes.results import NotApplicable
from reports.words.text import listed

_OFTEN = 0.95
"""How often a pool of the size that is named has the non-members that are needed."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A false positive rate at which members are to be recognised.

    Attributes:
        fpr: The rate.
        nonmembers: Non-members that it needs.
        is_allowed: Whether the pool has them.
        pool: Units of a pool that has them 19 times in 20; about as many, where units have several records.
        records: Records that the data would need for such a pool, about: None where these data have enough, or where
            the embedded world makes as many as are asked for.
    """

    fpr: float
    nonmembers: int
    is_allowed: bool
    pool: int
    records: int | None


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the audit pool allows of the membership probe.

    Attributes:
        arms: The twins that it is put to, asked at the same rates.
        probe: Its name.
        setting: Where the config says how large the pool is.
        units: Units in the pool, each with a coin of its own.
        members: Records that the coins let in.
        nonmembers: Records that they left out.
        rates: The rates.
    """

    arms: tuple[str, ...]
    probe: str
    setting: str
    units: int
    members: int
    nonmembers: int
    rates: tuple[Rate, ...]

    @property
    def words(self) -> str:
        """For a person."""
        allowed = [_percent(rate.fpr) for rate in self.rates if rate.is_allowed]
        told = [f"members recognised can be measured at {listed(allowed)} false alarms"] if allowed else []
        told += [self._of_missing(rate) for rate in self.rates if not rate.is_allowed]
        return f"{self.members:,} members and {self.nonmembers:,} non-members; {'; '.join(told)}"

    def _of_missing(self, rate: Rate) -> str:
        why = f"not measured at {_percent(rate.fpr)}, which needs {rate.nonmembers:,} non-members"
        size = f"{why}: {self.setting}: {rate.pool} has them 19 times in 20"
        return size if rate.records is None else f"{size}, for which the data need about {rate.records:,} records"


def allowed(order: Order, splits: Splits, models: Mapping[tuple[str, int], StoredModel]) -> Iterator[Allowed]:
    """What the pool allows, a line for all twins that are asked at the same rates.

    Args:
        order: What the run is asked to do.
        splits: The data.
        models: The models there are already.
    """
    arms: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for arm in order.plan.arms:
        for name, probe in arm.probes.items():
            if isinstance(probe, Membership):
                try:
                    asks_of(order, splits, arm, arm.seeds[0], name, models)
                except NotApplicable:  # said where the probe is
                    continue
                arms.setdefault((name, probe.fprs), []).append(arm.name)
    for (name, fprs), asked in arms.items():
        yield _allowed(order.config.data, splits, tuple(asked), name, fprs)


def fewest_nonmembers(fpr: float) -> int:
    """Non-members that a false positive rate needs, for an interval of the true positive rate."""
    return math.ceil(FEWEST_FALSE_ALARMS / fpr - 1e-9)


def sufficient_pool(nonmembers: int) -> int:
    """The smallest number of fair coins of which at least so many fall to one side 19 times in 20."""
    low, high = nonmembers - 1, 4 * nonmembers + 4  # too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtrc(nonmembers - 1, middle, 0.5) >= _OFTEN else (middle, high)
    return high


def _allowed(data: Data, splits: Splits, arms: tuple[str, ...], probe: str, fprs: tuple[float, ...]) -> Allowed:
    pool = splits.pool
    is_member, units = pool["is_member"].astype(bool), len(np.unique(pool["cluster"].astype(str)))
    nonmembers = int((~is_member).sum())
    rates = []
    for fpr in fprs:
        needed = fewest_nonmembers(fpr)
        size = sufficient_pool(math.ceil(needed * units / pool.n))
        is_allowed = nonmembers >= needed
        records = None if is_allowed or data.world is not None else _records(data, splits, size)
        rates.append(Rate(fpr=fpr, nonmembers=needed, is_allowed=is_allowed, pool=size, records=records))
    return Allowed(
        arms=arms,
        probe=probe,
        setting="data.pool" if data.world is None else "data.world.pool",
        units=units,
        members=int(is_member.sum()),
        nonmembers=nonmembers,
        rates=tuple(rates),
    )


def _records(data: Data, splits: Splits, size: int) -> int | None:
    """Records that leave a pool of some size and one unit outside, what is held out of them included."""
    most = largest_pool(np.bincount(linked_units([splits.train])[0]))
    if size <= most:
        return None
    held: list[Items] = [
        part
        for share, part in ((data.validation, splits.validation), (data.test, splits.test))
        if share is None or isinstance(share, float)
    ]
    return math.ceil((size + 1) / (most + 1) * (splits.train.n + sum(part.n for part in held)))


def _percent(fpr: float) -> str:
    return f"{100 * fpr:g} %"
