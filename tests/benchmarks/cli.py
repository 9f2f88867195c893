"""What a verb costs before it does anything: CPU time of `audit --help`, and the modules it imports.

python tests/benchmarks/cli.py --json
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
REPETITIONS = 9
MODELS = ("torch", "transformers", "opacus", "peft", "safetensors", "tokenizers", "datasets")
HELP = "import sys; from audit.cli import main; main(['--help'], standalone_mode=False)"
VALIDATE = "import sys; from audit.cli import main; main(['validate', {config!r}], standalone_mode=False)"
LOADED = "; print(*sys.modules, file=sys.stderr)"


def cpu_seconds(code: str) -> float:
    """CPU time of a fresh interpreter that runs a line of code: what it used itself and in the system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def modules(code: str) -> set[str]:
    """Names of all that a fresh interpreter has loaded after a line of code."""
    ended = subprocess.run([sys.executable, "-c", code + LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stderr.splitlines()[-1].split())


def figures() -> list[Figure]:
    """All figures of this benchmark."""
    validate = VALIDATE.format(config=str(ROOT / "configs" / "demo.yaml"))
    times = [cpu_seconds(HELP) for _ in range(REPETITIONS)]
    loaded = {name: modules(code) for name, code in (("--help", HELP), ("validate", validate))}
    return [
        figure("audit --help, CPU time", round(statistics.median(times), 3), "s", 0.3),
        figure("audit --help, modules imported", len(loaded["--help"]), "modules", 300),
        *(
            figure(f"audit {verb}, model libraries imported", len(names & set(MODELS)), "modules", 0)
            for verb, names in loaded.items()
        ),
    ]


if __name__ == "__main__":
    sys.exit(report("cli", __doc__, lambda arguments: figures()))
