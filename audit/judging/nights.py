"""The nights of an audit: its earlier runs, each with coins of its own, read as one series of evidence.

Only records are read. The runs are all those with one title under one root: whoever could name the nights that count
could leave out those that speak against a claim. Whatever else changed between them, the evidence adds up, as long as
the claim stayed the same and each run's coins were tossed afresh.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audit.judging.pages import read
from audit.refusal import Damaged, Incomparable, Refused
from audit.store import RunFolder, read_json
from probes.privacy.ladder import ANY_MECHANISM, GAUSSIAN, NAME
from probes.privacy.nights import CLOPPER_PEARSON, JOINT_BETA, Guessed, Night, bounds_of, together
from probes.results import Check, Series
from reports.parts.nights import ArmBounds, ArmNights, Nights
from reports.record import AuditRecord, load_record, load_run
from reports.words.text import listed, visible

SAME_CLAIM = 0.01
"""Claims that differ by a smaller share are one claim: the noise that keeps an epsilon is found up to a tolerance."""

SAME_DELTA = 2.0
"""Deltas up to this factor apart are one claim: the customary delta follows the size of the data."""

_SHARE = 0.8  # of the error that is left, what the claims of a night that brings new ones get


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A finished run."""

    folder: RunFolder
    record: AuditRecord
    started: str

    @property
    def name(self) -> str:
        return self.folder.run_id

    @property
    def coins(self) -> str:
        """The seed of its coins: with other data the same seed tosses the same coins, under another commitment."""
        kept = self.record.provenance
        return str(kept.seeds.get("coins", kept.coins))


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a run says of one arm's claim: its first training seed does, since all of them share the coins."""

    run: _Run
    night: Night
    weights: str

    def retells(self, other: "_Seen") -> bool:
        """Whether it is the other's night, told again: the same coins and the same weights."""
        ours, theirs = (one.run.record.provenance.coins for one in (self, other))
        return ours == theirs and self.weights == other.weights


def over_nights(root: Path, title: str | None = None, *, level: float = 0.95) -> Nights:
    """What all finished runs of an audit together say of each arm's claim: its verdict, its course, its bounds.

    Args:
        root: The folder that the run folders stand in.
        title: The title of the audit, as its records have it; None where there is but one.
        level: Confidence level, over all nights and claims together and whenever one looks: what it leaves is shared
            among the claims, see `_levels`. The bounds, which are for a number of nights fixed beforehand, share it
            evenly.

    Raises:
        Refused: No runs, or several titles and none named; a record or a `run.json` that cannot be read.
        Damaged: A run whose files are not those that it wrote.
        Incomparable: Nights with several claims, or a second training on coins that had been used.
    """
    runs = _titled(_finished(root), title, root)
    by_arm: dict[tuple[str, str], list[_Seen]] = {}
    for run in runs:
        for key, seen in _seen(run).items():
            by_arm.setdefault(key, []).append(seen)
    guessed = {key: nights for key, nights in _guessed(runs).items() if key not in by_arm}
    counted = {key: _comparable(some) for key, some in sorted(by_arm.items())}
    each = 1 - (1 - level) / max(1, len(counted))
    levels = _levels({key: runs.index(some[0].run) for key, some in by_arm.items()}, level)
    return Nights(
        title=runs[0].record.title,
        started={run.name: run.started for run in runs},
        copies=tuple(run.name for at, run in enumerate(runs) if run.coins in {other.coins for other in runs[:at]}),
        unfinished=tuple(_unfinished(root, runs[0].record.title)),
        arms=tuple(_arm(*key, some, levels[key], each) for key, some in counted.items()),
        unclaimed=tuple(
            ArmBounds(arm=arm, probe=probe, bounds=bounds_of(some, level=each))
            for (arm, probe), some in sorted(guessed.items())
        ),
    )


def _levels(first: Mapping[tuple[str, str], int], level: float) -> dict[tuple[str, str], float]:
    """The confidence level of each claim, such that a claim that is added later changes none that stands.

    The claims that the first night had share four fifths of the error evenly, those that the next night with new ones
    brought share four fifths of what is left, and so on: all of them together never have more than the whole.

    Args:
        first: By arm and probe, the place of the first run that put the claim to the test.
        level: Confidence level over all claims.
    """
    left = 1 - level
    levels: dict[tuple[str, str], float] = {}
    for place in sorted(set(first.values())):
        added = [key for key, at in first.items() if at == place]
        levels |= dict.fromkeys(added, 1 - _SHARE * left / len(added))
        left *= 1 - _SHARE
    return levels


def words(nights: Nights) -> str:
    """For a person."""
    lines = [nights.summary]
    for arm in nights.arms:
        course = zip(*(arm.course.columns[c] for c in ("night", "log_e_value", "log_evidence")), strict=True)
        lines += [f"{arm.arm}: {arm.verdict.outcome.upper()}: {arm.verdict.evidence}"]
        lines += [f"  {night}: log e-value {one:+.3g}, evidence so far {total:+.3g}" for night, one, total in course]
    lines += [] if nights.arms else ["no run has an arm whose claim was put to the test"]
    lines += [_bounds_in_words(arm.arm, arm.bounds) for arm in nights.arms]
    lines += [_bounds_in_words(arm.arm, arm.bounds) for arm in nights.unclaimed]
    return "\n".join(visible(line) for line in lines)


def plain(nights: Nights) -> dict[str, Any]:
    """As one JSON document."""
    return {
        "title": nights.title,
        "runs": list(nights.started),
        "copies": list(nights.copies),
        "unfinished": list(nights.unfinished),
        "outcome": nights.outcome if nights.arms else None,
        "arms": [
            {
                "arm": arm.arm,
                "probe": arm.probe,
                "outcome": arm.verdict.outcome,
                "evidence": arm.verdict.evidence,
                "refutes_at": arm.course.notes["refutes_at"],
                **{name: list(column) for name, column in arm.course.columns.items()},
                "bounds": _plain_bounds(arm.bounds),
            }
            for arm in nights.arms
        ],
        "unclaimed": [
            {"arm": arm.arm, "probe": arm.probe, "bounds": _plain_bounds(arm.bounds)} for arm in nights.unclaimed
        ],
    }


_ASSUMING = {
    ANY_MECHANISM: "assuming nothing of the mechanism",
    GAUSSIAN: "if the noise is Gaussian",
    CLOPPER_PEARSON: "if canaries leak independently of each other, which those of one training do not",
    JOINT_BETA: "if so and before looking no rate is likelier than another (Jeffreys): an "
    "interval and no test, above 0 even where nothing leaks",
}
"""What a bound of all nights assumes, by its label; other rows of the series are no bounds."""

_FIXED = "of all guesses together, for a number of nights that was fixed beforehand"


def _found(bounds: Series) -> Iterator[tuple[str, str, float, float | None]]:
    """Label, assumption and both ends of every bound; without an upper end it says "at least"."""
    for label, kind, low, high in zip(*(bounds.columns[c] for c in ("label", "kind", "low", "high")), strict=True):
        if label in _ASSUMING and isinstance(label, str) and isinstance(low, int | float):
            above = float(high) if kind == "estimate" and isinstance(high, int | float) else None
            yield label, _ASSUMING[label], float(low), above


def _plain_bounds(bounds: Series) -> dict[str, Any]:
    found = [
        {"label": label, "assuming": assumed, "low": low, "high": high} for label, assumed, low, high in _found(bounds)
    ]
    numbers = {name: bounds.notes[name] for name in ("delta", "level", "canaries", "guesses", "right")}
    alone = [
        {"night": label, "low": low}
        for label, kind, low in zip(*(bounds.columns[c] for c in ("label", "kind", "low")), strict=True)
        if kind == "night"
    ]
    reach = {"largest_refutable": bounds.notes["ceiling"]}
    return {**numbers, **reach, "holds_for": _FIXED, "epsilon": found, "nights": alone}


def _bounds_in_words(arm: str, bounds: Series) -> str:
    """One line."""
    notes = bounds.notes
    told = [
        f"at least {low:.3g} {assumed}" if high is None else f"{low:.3g} to {high:.3g} {assumed}"
        for _, assumed, low, high in _found(bounds)
    ]
    level, delta = 100 * float(notes["level"] or 0.0), float(notes["delta"] or 0.0)
    most = f"the largest that they could have refuted whatever the mechanism is {float(notes['ceiling'] or 0.0):.3g}"
    return f"{arm}: epsilon at delta {delta:.3g}, {_FIXED}, {level:.4g} % each: {'; '.join([*told, most])}"


def _finished(root: Path) -> list[_Run]:
    """The runs that have a record, in the order in which they were started."""
    if (root / "record.json").is_file():
        raise Refused(f"{root}: the folder of one run; give the folder that holds all of them, such as {root.parent}")
    found = []
    for path in root.glob("*/record.json"):
        folder = RunFolder(path.parent)
        record, run = read(load_record, folder.record), read(load_run, folder.run)
        found.append(_Run(folder=folder, record=record, started=run.started))
    return sorted(found, key=lambda run: (run.started, run.name))


def _titled(runs: Sequence[_Run], title: str | None, root: Path) -> list[_Run]:
    """The runs of one title, whose files are as they were written."""
    titles = sorted({run.record.title for run in runs})
    if not titles:
        raise Refused(f"{root}: no finished run; give the folder that 'audit run' writes its runs into")
    if title is None and len(titles) > 1:
        raise Refused(f"{root}: runs of {len(titles)} audits; name one by --title: {listed(titles)}")
    if title is not None and title not in titles:
        raise Refused(f"{root}: no finished run with the title {title!r}; there are {listed(titles)}")
    chosen = [run for run in runs if title in (None, run.record.title)]
    for run in chosen:
        tampered = run.folder.tampered()
        if tampered:
            raise Damaged(f"{run.folder.path / tampered[0]}: missing, or changed since the run wrote it")
    return chosen


def _unfinished(root: Path, title: str) -> Iterator[str]:
    for path in sorted(root.glob("*/config.json")):
        if not RunFolder(path.parent).record.is_file() and dict(read_json(path)).get("title") == title:
            yield path.parent.name


def _seen(run: _Run) -> Mapping[tuple[str, str], _Seen]:
    """What a run says of each arm's claim, by arm and probe; claims that are false on purpose are no part of it."""
    leaks = {arm.name for arm in run.record.arms if arm.control is not None}
    found: dict[tuple[str, str], _Seen] = {}
    for held in run.record.series:
        if held.arm not in leaks and held.series.name == NAME and held.series.kind == NAME:
            night = Night.from_notes(run.name, run.coins, held.series.notes)
            if night is not None:
                night = replace(night, basis=_basis(held.series))
                weights = _weights(run.record, held.arm, held.seed)
                found.setdefault((held.arm, held.probe), _Seen(run=run, night=night, weights=weights))
    return found


def _basis(series: Series) -> str:
    """What a run's series calls the claim: accounted, or claimed elsewhere."""
    rows = zip(*(series.columns.get(column, ()) for column in ("label", "kind")), strict=True)
    return next((str(label) for label, kind in rows if kind == "claim"), Night.basis)


def _guessed(runs: Sequence[_Run]) -> dict[tuple[str, str], list[Guessed]]:
    """The guesses of every arm that does not leak on purpose; of the same coins the first counts."""
    found: dict[tuple[str, str], dict[str, Guessed]] = {}
    for run in runs:
        leaks = {arm.name for arm in run.record.arms if arm.control is not None}
        for held in run.record.series:
            if held.arm not in leaks and held.series.name == NAME and held.series.kind == NAME:
                night = Guessed.from_notes(run.name, run.coins, held.series.notes)
                if night is not None:
                    found.setdefault((held.arm, held.probe), {}).setdefault(run.coins, night)
    return {key: list(nights.values()) for key, nights in found.items()}


def _weights(record: AuditRecord, arm: str, seed: int | None) -> str:
    runs = [run for one in record.arms if one.name == arm for run in one.runs]
    return next((run.identity.weights for run in runs if run.seed == seed), "")


def _comparable(seen: Sequence[_Seen]) -> list[Night]:
    """The nights that count, each once.

    Raises:
        Incomparable: A night whose claim is another than the first one's, or whose coins another training had had.
    """
    counted: dict[str, _Seen] = {}
    for one in seen:
        first = counted.setdefault(one.run.coins, one)
        if not one.retells(first):
            raise Incomparable(
                f"{one.run.name} and {first.run.name}: two trainings with the same coins are no two nights; move the "
                "later run away, whatever it found, and run each night with --fresh-coins"
            )
        _same_claim(seen[0].night, one.night)
    return [one.night for one in counted.values()]


def _same_claim(first: Night, other: Night) -> None:
    low, high = sorted((first.delta, other.delta))
    if abs(other.claim - first.claim) > SAME_CLAIM * first.claim or high > SAME_DELTA * low:
        raise Incomparable(
            f"{other.name} claims epsilon {other.claim:.4g} at delta {other.delta:.3g} and {first.name} epsilon "
            f"{first.claim:.4g} at delta {first.delta:.3g}: nights of one series must test one claim; give the audit "
            "of another claim a title of its own"
        )


def _arm(arm: str, probe: str, nights: Sequence[Night], level: float, level_of_bounds: float) -> ArmNights:
    verdict, course, bounds = together(nights, level=level, level_of_bounds=level_of_bounds)
    assert isinstance(verdict, Check), "the verdict comes first"
    assert isinstance(course, Series), "then the course"
    assert isinstance(bounds, Series), "then the bounds"
    return ArmNights(arm=arm, probe=probe, verdict=verdict, course=course, bounds=bounds)
