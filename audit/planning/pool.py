"""Which rates of membership the audit pool allows, and how large it would have to be for those that it does not.

A true positive rate is measured where its false positive rate accuses enough non-members for an interval. Half of the
pool are non-members, by fair coins, so a pool of twice as many units has too few every other time: a few more are
needed. The strongest attack is chosen on one half of the records and reported on the other: it needs twice as many. The
coins are committed, so what this pool has is told, and no chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import bdtrc

from audit.data.division import largest_pool, linked_units
from audit.data.splits import Splits
from audit.planning.expectations import asks_of
from audit.running.arms import StoredModel
from audit.running.order import Order
from audit.settings.sections.data import Data
from probes.privacy.choosing import half_that_chooses
from probes.privacy.membership import Membership, are_enough, fewest_nonmembers
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
        is_allowed_chosen: Whether the half of it has them that the chosen attack is reported on.
        pool: Units of a pool that has them 19 times in 20; about as many, where units have several records.
        pool_chosen: The same for the chosen attack.
        records: Records that the data would need for such a pool, about: None where these data have enough, or where
            the embedded world makes as many as are asked for.
    """

    fpr: float
    nonmembers: int
    is_allowed: bool
    is_allowed_chosen: bool
    pool: int
    pool_chosen: int
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
        allowed = [_percent(rate.fpr) for rate in self.rates if rate.is_allowed_chosen]
        told = [f"members recognised can be measured at {listed(allowed)} false alarms"] if allowed else []
        told += [self._of_missing(rate) for rate in self.rates if not rate.is_allowed_chosen]
        return f"{self.members:,} members and {self.nonmembers:,} non-members; {'; '.join(told)}"

    def _of_missing(self, rate: Rate) -> str:
        at = _percent(rate.fpr)
        if rate.is_allowed:
            return (
                f"at {at} each attack is measured, but not the one that is chosen, which is reported on half of the "
                f"pool: {self.setting}: {rate.pool_chosen} is enough for it 19 times in 20"
            )
        size = (
            f"not measured at {at}, which needs {rate.nonmembers:,} non-members: {self.setting}: {rate.pool} has them "
            f"19 times in 20, {rate.pool_chosen} also in the half on which the chosen attack is reported"
        )
        return size if rate.records is None else f"{size}; the former needs data of about {rate.records:,} records"


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


def sufficient_pool(nonmembers: int, share: float = 0.5) -> int:
    """The smallest number of units of which at least so many are non-members that count, 19 times in 20.

    Args:
        nonmembers: How many.
        share: The chance that a unit is one: one half by its coin, a quarter if it must also lie in one of the halves.
    """
    low, high = nonmembers - 1, ceil(4 * nonmembers / share) + 8  # too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtrc(nonmembers - 1, middle, share) >= _OFTEN else (middle, high)
    return high


def _allowed(data: Data, splits: Splits, arms: tuple[str, ...], probe: str, fprs: tuple[float, ...]) -> Allowed:
    pool = splits.pool
    is_member, units = pool["is_member"].astype(bool), len(np.unique(pool["cluster"].astype(str)))
    nonmembers = int((~is_member).sum())
    reported = int((~is_member & ~half_that_chooses(pool["cluster"])).sum())
    rates = []
    for fpr in fprs:
        needed = ceil(fewest_nonmembers(fpr) * units / pool.n)
        size, is_allowed = sufficient_pool(needed), are_enough(nonmembers, fpr)
        rates.append(
            Rate(
                fpr=fpr,
                nonmembers=fewest_nonmembers(fpr),
                is_allowed=is_allowed,
                is_allowed_chosen=are_enough(reported, fpr),
                pool=size,
                pool_chosen=sufficient_pool(needed, 0.25),
                records=None if is_allowed or data.world is not None else _records(data, splits, size),
            )
        )
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
    return ceil((size + 1) / (most + 1) * (splits.train.n + sum(part.n for part in held)))


def _percent(fpr: float) -> str:
    return f"{100 * fpr:g} %"
