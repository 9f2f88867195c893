"""What a black-box audit of one training shows: of the honest mechanism, of a tenth of its noise, and of none.

The demo's tiny model is trained on its world with 400 canaries, each put in by a fair coin, by one recipe with three
noises, all of which claim epsilon 1. The 100 most telling scores are guessed. Without noise the claim must be refuted,
and the honest one must not; what a tenth of the noise shows is measured and not promised. Seeds that were done are
kept in a folder, so a benchmark that was stopped goes on; a change of the code starts it anew.

    python tests/benchmarks/black_box.py --json
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

CLAIM, DELTA = 1.0, 1e-5
RECIPE = "{optimizer: adamw, momentum: 0, learning_rate: 5e-3, epochs: 50, batch_size: 64, label_loss_weight: 1}"
CHANGES = (
    "gates=null",
    "deploy=null",
    "title=black box",
    "probes={canaries: {}}",
    f"training={RECIPE}",
    'data.canaries=[{kind: secret, count: 400, template: "the card of the customer is {secret}", digits: 8}]',
)
HONEST = f"arms={{honest: {{privacy: {{epsilon: {CLAIM:g}, delta: {DELTA:g}}}}}}}"
NO_NOISE = f"controls={{no_noise: {{training: {RECIPE}}}}}"


def bounds(seed: int, folder: Path, runs: Path) -> dict[str, float]:
    """The lower bound on epsilon of each mechanism, for one seed of canaries, coins and training."""
    from audit.units import code_of_project

    place = folder / f"{code_of_project()[:12]}-{seed}.json"
    if not place.is_file():
        record = audited(runs, seed, HONEST, NO_NOISE)
        noise = next(run.privacy.noise_multiplier for arm in record.arms if arm.twin_of for run in arm.runs)
        less = audited(runs, seed, f"arms={{tenth: {{privacy: {{noise_multiplier: {noise / 10}, delta: {DELTA:g}}}}}}}")
        found = {m.arm: m.estimate.value for each in (record, less) for m in each.metrics if m.name == METRIC}
        place.write_text(json.dumps(found))
        print(f"seed {seed}: {', '.join(f'{a} {v:.2f}' for a, v in found.items())}", file=sys.stderr, flush=True)
    return dict(json.loads(place.read_text()))


METRIC = "epsilon_lower_bound"


def audited(runs: Path, seed: int, *changes: str) -> Any:
    """The record of an audit of what is attacked alone: what would be deployed is not trained."""
    from audit.opening import opened, ordered
    from audit.progress import Lines
    from audit.running import execute

    seeds = f"seeds={{coins: {seed}, training: {seed}, probe: {seed}}}"
    order = ordered(opened(ROOT / "configs" / "demo.yaml", (*CHANGES, *changes, seeds)), runs)
    attacked = tuple(arm for arm in order.plan.arms if arm.role in ("twin", "control"))
    return execute.run(replace(order, plan=replace(order.plan, arms=attacked, contrasts=())), Lines(quiet=True))


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """In how many seeds each claim is refuted."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(prefix="black-box-"))
    try:
        found = [bounds(seed, arguments.folder, runs) for seed in range(arguments.seeds)]
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    n = len(found)
    yield refuted("no noise", [each["no_noise"] for each in found], n - max(1, n // 20), "higher")
    yield refuted("honest noise", [each["honest-twin"] for each in found], max(1, n // 20), "lower")
    yield refuted(
        "a tenth of the noise, of which nothing is promised", [each["tenth-twin"] for each in found], 0, "higher"
    )


def refuted(name: str, values: Sequence[float], aim: int, better: str) -> Figure:
    """How many bounds are above the claim."""
    return figure(f"{name}: claim refuted", sum(v > CLAIM for v in values), f"of {len(values)}", aim, better)


if __name__ == "__main__":
    sys.exit(
        report(
            "black_box",
            __doc__,
            figures,
            {"name": "--seeds", "type": int, "default": 20, "help": "seeds"},
            {"name": "--folder", "type": Path, "default": ROOT / "build" / "black_box", "help": "where results lie"},
        )
    )
