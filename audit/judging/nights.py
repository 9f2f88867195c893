"""The nights of an audit: its earlier runs, each with coins of its own, read as one series of evidence.

Only records are read. The runs are those with one title under one root; whatever else changed between them, the
evidence adds up, as long as each run's coins were tossed afresh and none was taken away for what it found.
"""

from collections.abc import Iterator
from pathlib import Path

from audit.store import RunFolder
from probes.privacy.ladder import NAME
from probes.privacy.nights import Night, together
from probes.results import Series
from reports.record import ArmCheck, ArmSeries, AuditRecord, load_record, load_run


def over_nights(root: Path, title: str, *, level: float = 0.95) -> Iterator[ArmCheck | ArmSeries]:
    """What all finished runs of an audit together say of each arm's claim: its verdict, its course, its bounds.

    Args:
        root: The folder that the run folders stand in.
        title: The title of the audit, as its records have it.
        level: Confidence level, over all nights together and whenever one looks.

    Raises:
        ValueError: A record or a `run.json` that cannot be read.
    """
    nights: dict[tuple[str, str], list[Night]] = {}
    for folder, record in _finished(root, title):
        for found in record.series:
            if found.series.name == NAME and found.series.kind == NAME:
                night = Night.from_notes(folder.run_id, record.provenance.coins, found.series.notes)
                nights.setdefault((found.arm, found.probe), []).extend([night] if night else [])
    for (arm, probe), some in sorted(nights.items()):
        for said in together(some, level=level):
            if isinstance(said, Series):
                yield ArmSeries(arm=arm, probe=probe, seed=None, series=said)
            else:
                yield ArmCheck(arm=arm, probe=probe, seed=None, check=said)


def _finished(root: Path, title: str) -> list[tuple[RunFolder, AuditRecord]]:
    """The runs of that title that have a record, in the order in which they were started."""
    found = []
    for path in root.glob("*/record.json"):
        folder = RunFolder(path.parent)
        record = load_record(folder.record)
        if record.title == title and folder.run.is_file():
            found.append((load_run(folder.run).started, folder.run_id, folder, record))
    return [(folder, record) for *_, folder, record in sorted(found, key=lambda one: one[:2])]
