"""What a run would do: its units, which of them are done, how long the rest takes, and which gates can pass at all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audit.planning.ahead import Ahead, Work
from audit.planning.pool import Allowed, allowed
from audit.planning.prospects import Prospect, prospects
from audit.planning.reach import Reach, reaches
from audit.planning.references import references_in_words
from audit.running.order import Order
from audit.running.preparation import prepared
from audit.store import private_folder
from audit.units import Observer, Units
from reports.words.text import visible


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run would do.

    Attributes:
        run: Its folder.
        clusters: Independent units in the data: near-duplicates are one, and so are all rows of a person.
        rows: Rows by split.
        notes: What the data's preparation has to say.
        work: The units, in the order in which they are done.
        prospects: Which gates can pass.
        reaches: What is declared of the canaries before looking, and which claims they could refute.
        references: What the reference models of each twin cost, and why; empty where there are none.
        memberships: At which rates the audit pool allows members to be told from others, and what others would need.
    """

    run: str
    clusters: int
    rows: Mapping[str, int]
    notes: tuple[str, ...]
    work: tuple[Work, ...]
    prospects: tuple[Prospect, ...]
    reaches: tuple[Reach, ...] = ()
    references: tuple[str, ...] = ()
    memberships: tuple[Allowed, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As one JSON document."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        rows = ", ".join(f"{name} {n:,}" for name, n in self.rows.items())
        lines = [f"run {self.run}", f"data: {self.clusters:,} independent units; rows: {rows}", *self.notes, "", "work"]
        lines += [_line(name, works) for name, works in _grouped(self.work).items()]
        left = [w for w in self.work if not w.done]
        open_ = sum(w.seconds is None for w in left)
        lines += [f"  about {_duration(sum(w.seconds or 0.0 for w in left))} to go"] if len(left) > open_ else []
        lines += [f"  {open_} units to go whose time cannot be told yet"] if open_ else []
        lines += [] if left else ["  nothing to do: the run is finished"]
        lines += [f"  by {basis}" for basis in sorted({w.basis for w in left if w.basis})]
        if self.references:
            lines += ["", "reference models", *(f"  {words}" for words in self.references)]
        if self.memberships:
            lines += ["", "membership, by the audit pool"]
            lines += [f"  {', '.join(found.arms)}: {found.words}" for found in self.memberships]
        if self.reaches:
            lines += ["", "canaries, declared before looking"]
            lines += [f"  {reach.arm}: {reach.words}" for reach in self.reaches]
        if self.prospects:
            lines += ["", "gates"]
            marks = {True: "can pass", False: "CANNOT", None: "open"}
            lines += [f"  {marks[p.can_pass]:>9}  {p.gate:34} {p.criterion}: {p.words}" for p in self.prospects]
        return "\n".join(visible(line) for line in lines)


def _grouped(work: tuple[Work, ...]) -> dict[str, list[Work]]:
    """Units of one kind and one arm together: what stands before the last colon, or two."""
    groups: dict[str, list[Work]] = {}
    for unit in work:
        kind, *rest = unit.unit.split(":")
        whose = rest[:1] if kind in {"ask", "probe"} else rest[:-1] if kind in {"seeds", "contrast"} else rest
        groups.setdefault(":".join([kind, *whose]), []).append(unit)
    return groups


def _line(name: str, works: list[Work]) -> str:
    left = [w for w in works if not w.done]
    told = [w.seconds for w in left if w.seconds is not None]
    when = "done" if not left else _duration(sum(told)) if told else "?"
    some = f" ({len(works) - len(left)} of {len(works)} done)" if 0 < len(left) < len(works) else ""
    return f"  {when:>9}  {name:34} {', '.join(dict.fromkeys(w.what for w in works))}{some}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def forecast(order: Order, observer: Observer) -> Forecast:
    """Prepare the data, if that is not done, and look ahead; nothing is trained and no model is loaded."""
    private_folder(order.folder.path)
    units = Units(store=order.store, folder=order.folder, observer=observer)
    splits = prepared(
        order.config, order.as_written, order.store, units, plan=order.plan, coins=order.coins, lines=order.lines
    )
    ahead = Ahead(order, splits, observer)
    work = (Work(unit="data", what="read, cluster, split, toss coins", done=True), *ahead.work())
    return Forecast(
        run=str(order.folder.path),
        clusters=splits.quality.clusters,
        rows=dict(splits.quality.splits),
        notes=splits.quality.notes,
        work=work,
        prospects=tuple(prospects(order, splits, ahead.models)),
        reaches=tuple(reaches(order, splits, ahead.models)),
        references=tuple(references_in_words(order.config, order.plan)),
        memberships=tuple(allowed(order, splits, ahead.models)),
    )
