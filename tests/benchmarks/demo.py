"""What the embedded audit costs: wall time and memory, a second run, and one that is killed and goes on.

python tests/benchmarks/demo.py --json
"""

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "demo.yaml"
KILLED_AFTER = 0.4
"""Share of the undisturbed wall time after which a run is killed."""


def command(runs: Path) -> list[str]:
    """The demo, in a folder of its own."""
    return [sys.executable, "-m", "audit", "ci", str(CONFIG), "--quiet", "--runs", str(runs)]


def timed(runs: Path) -> float:
    """Seconds that a run takes."""
    started = time.perf_counter()
    subprocess.run(command(runs), cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - started


def killed(runs: Path, after: float) -> None:
    """A run that is killed after some seconds."""
    process = subprocess.Popen(command(runs), cwd=ROOT, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()


def done_twice(runs: Path) -> int:
    """Units that the log says were done more than once."""
    (path,) = runs.glob("*/events.jsonl")
    done = [event["unit"] for event in map(json.loads, path.read_text().splitlines()) if event["event"] == "done"]
    return len(done) - len(set(done))


def imports_torch(runs: Path) -> bool:
    """Whether a run that is finished already loads torch."""
    code = "import sys; from audit.cli import main; main(sys.argv[1:], standalone_mode=False)"
    ended = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    arguments = command(runs)[3:]
    ran = subprocess.run(
        [sys.executable, "-c", ended, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return ran.stdout.strip().endswith("True")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """All figures of this benchmark."""
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    try:
        first = timed(folder / "first")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield figure("demo, wall time", round(first, 1), "s", 180)
        yield figure("demo, peak memory", round(peak), "MB", 2000)
        yield figure("demo again, wall time", round(timed(folder / "first"), 2), "s", 5)
        yield figure("demo again, loads torch", int(imports_torch(folder / "first")), "times", 0)
        killed(folder / "second", KILLED_AFTER * first)
        rest = timed(folder / "second")
        yield figure("killed and resumed / undisturbed", round((KILLED_AFTER * first + rest) / first, 2), "ratio", 1.4)
        yield figure("killed and resumed, units done twice", done_twice(folder / "second"), "units", 0)
        records = [path.read_bytes() for path in sorted(folder.glob("*/*/record.json"))]
        yield figure("killed and resumed, records that differ", len(set(records)) - 1, "records", 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(report("demo", __doc__, figures))
