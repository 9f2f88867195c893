"""Bounds on epsilon beside those of other projects, on the same arrays: value, time, and false alarms.

False alarms are counted on mechanisms whose epsilon is known: pure noise; a Gaussian one of epsilon 1; and randomized
response of epsilon 1, which is as bad as a mechanism of that epsilon can be and not Gaussian.

Each peer is installed into an environment of its own under the cache folder (XDG_CACHE_HOME), by pip; where that fails
the figure says so. tensorflow/privacy's file is not in its published wheel: --tensorflow-privacy names a copy of it.
SACRO-ML imports PyTorch: TORCH_INDEX names the index of CPU builds, as for the Makefile.

python tests/benchmarks/epsilon_bounds.py --json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _printing import Figure, figure, report
from scipy.special import expit
from scipy.stats import binom

from probes.privacy.guessing import Game, play
from probes.protocol import Array
from probes.results import Estimate, Value
from probes.stats.tradeoff import gdp_mu
from probes.stats.two_sample import Accusations, clopper_pearson_epsilon, joint_beta_epsilon

HERE = Path(__file__).resolve().parent
DELTA, GUESSED = 1e-5, 0.25
ON_EACH_SIDE, NULLS = 500, 1000
TRUTHS = {"pure noise": 0.0, "a Gaussian mechanism": 1.0, "randomized response": 1.0}
NOT_CLAIMED = {
    ("Gaussian (MMC)", "randomized response"),  # it is no bound for mechanisms outside the family
    ("order statistics, low", "randomized response"),
    ("joint Beta, low", "pure noise"),  # it is no test: rates are never exactly equal
}
"""What our own methods say they do not keep: printed, and no aim."""
JOINT_BETA_SECONDS = 1.5
"""Aim for the joint Beta interval."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another project.

    Attributes:
        name: Its name in `_epsilon_peers`.
        packages: What is installed with all it needs.
        alone: What is installed without: the rest of it is not wanted.
        torch: Whether it imports PyTorch.
        file: Whether it needs a file that no package holds.
    """

    name: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    torch: bool = False
    file: bool = False


PEERS = (
    Peer(name="jax_privacy", packages=("numpy", "scipy", "dp-accounting>=0.6"), alone=("jax-privacy==2.0.0",)),
    Peer(name="PrivacyGuard", packages=("numpy", "scipy", "pandas<3"), alone=("privacyguard-platform==0.0.2",)),
    Peer(
        name="tensorflow/privacy",
        packages=("numpy", "scipy", "scikit-learn", "statsmodels", "immutabledict"),
        file=True,
    ),
    Peer(name="responsible-ai-toolbox-privacy", packages=("privacy-estimates==0.1.0.post1", "pandas")),
    Peer(
        name="SACRO-ML",
        packages=(
            "numpy",
            "scipy",
            "scikit-learn",
            "pandas",
            "fpdf",
            "pypdf",
            "multiprocess",
            "dictdiffer",
            "matplotlib",
            "pyyaml",
            "prompt-toolkit",
        ),
        alone=("sacroml==2.0.1",),
        torch=True,
    ),
)


def arrays() -> dict[str, Array]:
    """One leak, one set of counts for each kind of bound, and audits of mechanisms of known epsilon."""
    rng = np.random.default_rng(0)
    return {
        "planted": rng.normal(1.0, 1.0, ON_EACH_SIDE),
        "left_out": rng.normal(0.0, 1.0, ON_EACH_SIDE),
        "counts": np.array([1000, 100, 90]),  # canaries, guesses, right ones
        "accused": np.array([500, 500, 5, 995]),  # true positives, false negatives, false positives, true negatives
        "lira_in": np.array([2.1, 2.5, 1.8, 2.9]),
        "lira_out": np.array([0.2, 0.9, -0.3, 0.5]),
        "planted, pure noise": rng.normal(size=(NULLS, ON_EACH_SIDE)),
        "left out, pure noise": rng.normal(size=(NULLS, ON_EACH_SIDE)),
        "planted, a Gaussian mechanism": rng.normal(gdp_mu(1.0, DELTA), 1.0, size=(NULLS, ON_EACH_SIDE)),
        "left out, a Gaussian mechanism": rng.normal(size=(NULLS, ON_EACH_SIDE)),
        "planted, randomized response": told(rng, expit(1.0)),
        "left out, randomized response": told(rng, expit(-1.0)),
        **{f"truth of {name}": np.array(epsilon) for name, epsilon in TRUTHS.items()},
    }


def told(rng: np.random.Generator, rate: float) -> Array:
    """Scores that say "planted" at a rate, in random order otherwise; at a rate of e / (1 + e) epsilon is 1."""
    shape = (NULLS, ON_EACH_SIDE)
    return np.asarray(2.0 * (rng.random(shape) < rate) + rng.random(shape))


# Ours


def game(planted: Array, left_out: Array) -> Game:
    """The game of the canary probe on scores of both sides."""
    scores = np.concatenate([planted, left_out])
    coins = np.repeat([True, False], [len(planted), len(left_out)])
    return play(scores, coins, 2 * round(GUESSED * len(scores) / 2), delta=DELTA, level=0.95)


def low(value: Value) -> float:
    """The lower end."""
    assert isinstance(value, Estimate)
    assert value.low is not None
    return value.low


OURS: dict[str, Callable[[Game], float]] = {
    "any mechanism (SNJ)": lambda g: low(g.bound),
    "Gaussian (MMC)": lambda g: low(g.gaussian_bound),
    "Clopper–Pearson": lambda g: low(clopper_pearson_epsilon(g.accused, delta=DELTA)),
    "joint Beta, low": lambda g: low(joint_beta_epsilon(g.accused, delta=DELTA)),
    "order statistics, low": lambda g: low(g.estimate),
}


def ours(given: dict[str, Array], seconds: float) -> dict[str, Any]:
    """Values, times and false alarms of our own bounds, as a peer answers."""
    m, r, v = (int(n) for n in given["counts"])
    tp, fn, fp, tn = (int(n) for n in given["accused"])
    accused = Accusations(true_positives=tp, planted=tp + fn, false_positives=fp, left_out=fp + tn)
    counted = Game(canaries=m, guesses=r, right=v, delta=DELTA, level=0.95, accused=accused)

    def high() -> float:
        found = joint_beta_epsilon(accused, delta=DELTA, level=0.9)
        assert isinstance(found, Estimate)
        assert found.high is not None
        return found.high

    def on_scores(bound: Callable[[Game], float]) -> float:
        return bound(game(given["planted"], given["left_out"]))

    questions: dict[str, Callable[[], float]] = {
        "SNJ, counts": lambda: low(counted.bound),
        "MMC, counts": lambda: low(counted.gaussian_bound),
        "OS, counts": lambda: low(counted.estimate),
        "Clopper–Pearson, low": lambda: low(clopper_pearson_epsilon(accused, delta=DELTA)),
        "joint Beta, low": lambda: low(joint_beta_epsilon(accused, delta=DELTA, level=0.9)),
        "joint Beta, high": high,
        **{f"{name}, scores": partial(on_scores, bound) for name, bound in OURS.items()},
    }
    return {
        "values": [{"name": name, **_timed(question)} for name, question in questions.items()],
        "alarms": {of: {name: _alarms(bound, given, of, seconds) for name, bound in OURS.items()} for of in TRUTHS},
    }


def _timed(question: Callable[[], float]) -> dict[str, float]:
    began = time.perf_counter()
    return {"value": question(), "seconds": time.perf_counter() - began}


def _alarms(bound: Callable[[Game], float], given: dict[str, Array], of: str, seconds: float) -> dict[str, float]:
    began, found, n = time.perf_counter(), 0, 0
    for planted, left_out in zip(given[f"planted, {of}"], given[f"left out, {of}"], strict=True):
        found, n = found + (bound(game(planted, left_out)) > TRUTHS[of]), n + 1
        if time.perf_counter() - began > seconds:
            break
    return {"alarms": found, "audits": n, "seconds": (time.perf_counter() - began) / n}


# Theirs


def python_of(peer: Peer) -> Path:
    """The interpreter of the peer's environment, made if it is not there.

    Raises:
        RuntimeError: It cannot be installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-audit" / "peers"
    index = os.environ.get("TORCH_INDEX")
    installs = [
        ((*(["--index-url", index] if index else []), "torch<2.14") if peer.torch else ()),
        peer.packages,
        (*(["--no-deps"] if peer.alone else []), *peer.alone),
    ]
    wanted = json.dumps(installs)
    folder = cache / peer.name.replace("/", "-")
    python, stamp = folder / "bin" / "python", folder / "installed.json"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    for what in installs:
        if what:
            command = [str(python), "-m", "pip", "install", "--quiet", *what]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode:
                raise RuntimeError(_last_line(ended.stderr))
    stamp.write_text(wanted, "utf-8")
    return python


def theirs(peer: Peer, stored: Path, seconds: float, file: Path | None) -> dict[str, Any]:
    """A peer's answers.

    Raises:
        RuntimeError: It cannot be installed, or does not answer.
    """
    if peer.file and file is None:
        raise RuntimeError("the file is not in the published wheel; name a copy of it")
    command = [str(python_of(peer)), str(HERE / "_epsilon_peers.py"), peer.name, str(stored), str(seconds)]
    ended = subprocess.run([*command, *([str(file)] if peer.file else [])], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(_last_line(ended.stderr))
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")


# Together


def shown(project: str, answer: dict[str, Any]) -> None:
    """The answers in words."""
    for found in answer["values"]:
        print(f"        {project}: {found['name']} = {found['value']:.6g} ({found['seconds']:.3g} s)", file=sys.stderr)
    for of, methods in answer["alarms"].items():
        for method, found in methods.items():
            counts = f"{found['alarms']} of {found['audits']} above the {TRUTHS[of]:g} of {of}"
            print(f"        {project}: {method}: {counts} ({found['seconds']:.2g} s each)", file=sys.stderr)


def of_alarms(project: str, answer: dict[str, Any]) -> Iterator[Figure]:
    """The share of audits that report more than the true epsilon, against the 99 % point at 5 %."""
    for of, methods in answer["alarms"].items():
        for method, found in methods.items():
            if project == "ours" and (method, of) in NOT_CLAIMED:
                continue
            n = int(found["audits"])
            most = binom.ppf(0.99, n, 0.05) / n
            name = f"{project}, {method}: above the {TRUTHS[of]:g} of {of} ({n} audits, {found['seconds']:.2g} s each)"
            yield figure(name, round(found["alarms"] / n, 4), "share", round(float(most), 4))


def value(answer: dict[str, Any], name: str) -> dict[str, float] | None:
    """One of the answers; None where it was left out for time."""
    return next((found for found in answer["values"] if found["name"] == name), None)


AGREE = (
    # ours, project, theirs, how far their own tolerance lets them lie apart
    ("SNJ, counts", "jax_privacy", "one run, counts", 2e-6),
    ("MMC, counts", "jax_privacy", "one run, f-DP, counts", 2e-6),
    ("MMC, counts", "PrivacyGuard", "f-DP, counts", 0.02),
    ("Clopper–Pearson, low", "responsible-ai-toolbox-privacy", "Clopper-Pearson, low", 1e-6),
    ("joint Beta, low", "responsible-ai-toolbox-privacy", "joint Beta, low", 0.01),
    ("joint Beta, high", "responsible-ai-toolbox-privacy", "joint Beta, high", 0.01),
)


def measured(arguments: argparse.Namespace) -> Iterator[Figure]:
    """All figures."""
    given, seconds = arrays(), arguments.seconds
    mine = ours(given, seconds)
    shown("ours", mine)
    interval = value(mine, "joint Beta, low")
    assert interval is not None
    yield figure("ours: joint Beta interval, time", round(interval["seconds"], 3), "s", JOINT_BETA_SECONDS)
    yield from of_alarms("ours", mine)
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "arrays.npz"
        np.savez(stored, **given)  # type: ignore[arg-type]  # its stub takes the keyword allow_pickle into account
        for peer in PEERS:
            try:
                answer = theirs(peer, stored, seconds, arguments.tensorflow_privacy)
            except RuntimeError as reason:
                yield figure(f"{peer.name}: could not be asked ({reason})", 0, "peers asked", 1, better="higher")
                continue
            shown(peer.name, answer)
            yield from of_alarms(peer.name, answer)
            for our_name, project, their_name, tolerance in AGREE:
                other = value(answer, their_name) if project == peer.name else None
                known = value(mine, our_name)
                if other is not None and known is not None:
                    apart = round(abs(other["value"] - known["value"]), 9)
                    yield figure(f"{project}, {their_name}: apart from ours", apart, "epsilon", tolerance)


OPTIONS: tuple[dict[str, Any], ...] = (
    {"name": "--seconds", "type": float, "default": 20.0, "help": "time for the audits of each method and mechanism"},
    {"name": "--tensorflow-privacy", "type": Path, "metavar": "FILE", "help": "its epsilon_lower_bound.py"},
)

if __name__ == "__main__":
    sys.exit(report("epsilon_bounds", __doc__, lambda arguments: list(measured(arguments)), *OPTIONS))
