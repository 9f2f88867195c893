"""How often the embedded world's defects are found, and how often its control world raises a false alarm.

Each seed is a world of its own: its people, tickets and secrets, the coins, the trainings and the draws. What is done
is kept in a folder, so a benchmark that was stopped goes on; a change of the code starts it anew.

    python tests/benchmarks/world.py --json                          20 seeds at 2 threads, 3 at 1 and at 4
    python tests/benchmarks/world.py --seeds 5 --threads 1           fewer
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
    """How often each statement held, world by world."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    plan = [(seed, 2 if arguments.threads is None else arguments.threads) for seed in range(arguments.seeds)]
    if arguments.threads is None:
        plan += [(seed, threads) for threads in (1, 4) for seed in range(3)]
    shown = {world: [measured(world, *each, arguments.folder) for each in plan] for world in WORLDS}
    n = len(plan)
    for name in FOUND:
        times = sum(seen[name] for seen in shown["planted"])
        yield figure(f"planted: {name}", times, f"of {n}", n - max(1, round(n / 20)), better="higher")
    for name in ALARMS:
        times = sum(seen[name] for seen in shown["control"])
        yield figure(f"control: {name}", times, f"of {n}", round(3 * n / 20))


if __name__ == "__main__":
    sys.exit(
        report(
            "world",
            __doc__,
            figures,
            {"name": "--seeds", "type": int, "default": 20, "help": "seeds of each world"},
            {"name": "--threads", "type": int, "default": None, "help": "threads; where silent as above"},
            {"name": "--folder", "type": Path, "default": ROOT / "build" / "world", "help": "where results are kept"},
        )
    )
