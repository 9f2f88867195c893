"""How often the embedded world's defects are found, and how often its control world raises a false alarm.

Each seed is a world of its own: its people, tickets and secrets, the coins, the trainings and the draws. What is done
is kept in a folder, so a benchmark that was stopped goes on; a change of the code starts it anew.

    python tests/benchmarks/world.py --json                          20 seeds at 2 threads, 3 at 1 and at 4
    python tests/benchmarks/world.py --seeds 5 --threads 1           others
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from world_findings import ALARMS, FOUND  # noqa: E402 - its folder is no package

WORLDS = {"planted": ("demo.yaml", FOUND), "control": ("demo_control.yaml", ALARMS)}
SEEDS = {2: 20, 1: 3, 4: 3}
"""Seeds of each world, by the number of threads."""
PURPOSES = ("data.world.seed", "seeds.coins", "seeds.training", "seeds.probe")


def measured(world: str, seed: int, threads: int, folder: Path) -> dict[str, bool]:
    """What one seed of a world shows, from the folder or measured now."""
    from audit.units import code_of_project

    config, statements = WORLDS[world]
    place = folder / f"{code_of_project()[:12]}-{world}-{seed}-{threads}.json"
    if not place.is_file():
        record = audited(ROOT / "configs" / config, seed, threads)
        shown = {name: says(record) for name, says in statements.items()}
        place.write_text(json.dumps(shown, indent=1))
        wrong = [name for name, is_so in shown.items() if is_so != (world == "planted")]
        print(f"{world} {seed} at {threads}: {'; '.join(wrong) or 'as it should be'}", file=sys.stderr, flush=True)
    return dict(json.loads(place.read_text()))


def audited(config: Path, seed: int, threads: int) -> dict[str, Any]:
    """The record of an audit of one seed; its folder is deleted."""
    runs = Path(tempfile.mkdtemp(prefix="world-"))
    changes = [f"{purpose}={seed}" for purpose in PURPOSES] + [f"compute.threads={threads}"]
    options = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "audit", "run", str(config), "--quiet", "--runs", str(runs), *options]
    try:
        subprocess.run(command, cwd=ROOT, env={**os.environ, "AUDIT_SHARED": ""}, check=True)
        (path,) = runs.glob("*/record.json")
        return dict(json.loads(path.read_text("utf-8")))
    finally:
        shutil.rmtree(runs, ignore_errors=True)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """How often each statement held: world by world, for each number of threads."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    seeds = SEEDS if arguments.threads is None else {arguments.threads: arguments.seeds}
    for threads, n in seeds.items():
        for world, (_, statements) in WORLDS.items():
            shown = [measured(world, seed, threads, arguments.folder) for seed in range(n)]
            for name in statements:
                times = sum(seen[name] for seen in shown)
                yield bounded(world, f"{world}, {threads} threads: {name}", times, n)


def bounded(world: str, name: str, times: int, n: int) -> Figure:
    """A planted defect may be missed once in twenty seeds, an alarm raised three times; at least once in a few."""
    if world == "planted":
        return figure(name, times, f"of {n}", n - max(1, n // 20), better="higher")
    return figure(name, times, f"of {n}", max(1, 3 * n // 20))


if __name__ == "__main__":
    sys.exit(
        report(
            "world",
            __doc__,
            figures,
            {"name": "--seeds", "type": int, "default": 20, "help": "seeds of each world, with --threads"},
            {"name": "--threads", "type": int, "default": None, "help": "threads; where silent, all as above"},
            {"name": "--folder", "type": Path, "default": ROOT / "build" / "world", "help": "where results are kept"},
        )
    )
