"""Other projects' bounds on epsilon, each asked in an environment of its own.

python _epsilon_peers.py NAME ARRAYS SECONDS [FILE] prints one JSON object: values with their times, and how many of the
audits of mechanisms of known epsilon reported more, as many as fit into the seconds. It imports nothing of ours.
"""

import contextlib
import importlib.util
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

DELTA = 1e-5

Question = Callable[[], float]
NullQuestion = Callable[[Any, Any], float]


def load(path: Path) -> Any:
    """A module from a file, without the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def place(package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def counts_at(planted: Any, left_out: Any, share: float) -> tuple[int, int, int, int]:
    """True and false positives, false and true negatives of accusing that share of all, the highest."""
    threshold = np.quantile(np.concatenate([planted, left_out]), 1 - share)
    tp, fp = int((planted > threshold).sum()), int((left_out > threshold).sum())
    return tp, fp, len(planted) - tp, len(left_out) - fp


def jax_privacy(arrays: Mapping[str, Any], file: Path | None) -> tuple[dict[str, Question], dict[str, NullQuestion]]:
    """google-deepmind/jax_privacy, `auditing.py`, which needs no JAX."""
    auditing = load(place("jax_privacy") / "auditing.py")
    methods: dict[str, Callable[[Any], float]] = {
        "one run": lambda a: a.epsilon_one_run(0.05, DELTA),
        "one run, f-DP": lambda a: a.epsilon_one_run_fdp(0.05, DELTA),
        "Clopper-Pearson": lambda a: a.epsilon_clopper_pearson(0.05, DELTA),
        "GDP fit": lambda a: a.epsilon_from_gdp(0.05, DELTA),
        "raw counts": lambda a: a.epsilon_raw_counts(50, DELTA),
    }

    def asked(method: Callable[[Any], float]) -> NullQuestion:
        return lambda planted, left_out: float(method(auditing.CanaryScoreAuditor(planted, left_out)))

    nulls = {name: asked(method) for name, method in methods.items()}
    m, r, v = (int(n) for n in arrays["counts"])
    values: dict[str, Question] = {
        f"{name}, scores": lambda q=question: q(arrays["planted"], arrays["left_out"])
        for name, question in nulls.items()
    }
    values["one run, counts"] = lambda: float(auditing._epsilon_one_run(0.0, m, r, v, 0.05, DELTA))
    values["one run, f-DP, counts"] = lambda: float(auditing._epsilon_one_run_fdp(0.0, m, r, v, 0.05, DELTA))
    return values, nulls


def privacyguard(arrays: Mapping[str, Any], file: Path | None) -> tuple[dict[str, Question], dict[str, NullQuestion]]:
    """facebookresearch/PrivacyGuard, its f-DP analysis node."""
    from privacy_guard.analysis.mia.fdp_analysis_node import FDPAnalysisNode

    def f_dp(m: int, r: int, v: int) -> float:
        return float(FDPAnalysisNode(m=m, c=v, c_cap=r, delta=DELTA).run_analysis().eps)

    def on_scores(planted: Any, left_out: Any) -> float:
        scores = np.concatenate([planted, left_out])
        coins = np.repeat([True, False], [len(planted), len(left_out)])[np.argsort(scores, kind="stable")]
        half = len(scores) // 8
        return f_dp(len(scores), 2 * half, int(coins[-half:].sum() + (~coins[:half]).sum()))

    m, r, v = (int(n) for n in arrays["counts"])
    values: dict[str, Question] = {
        "f-DP, counts": lambda: f_dp(m, r, v),
        "f-DP, none better than chance": lambda: f_dp(m, r, r // 2),
        "f-DP, scores": lambda: on_scores(arrays["planted"], arrays["left_out"]),
    }
    return values, {"f-DP": on_scores}


def tensorflow_privacy(
    arrays: Mapping[str, Any], file: Path | None
) -> tuple[dict[str, Question], dict[str, NullQuestion]]:
    """tensorflow/privacy, `epsilon_lower_bound.py`."""
    assert file is not None
    module = load(file)

    def asked(method: Any) -> NullQuestion:
        def best(planted: Any, left_out: Any) -> float:
            bounds = module.EpsilonLowerBound(planted, left_out, 0.05).compute_epsilon_lower_bound(method, k=1)
            return float(bounds[0]) if len(bounds) else 0.0

        return best

    tp, fn, fp, tn = (int(n) for n in arrays["accused"])
    nulls = {f"{method.value}, best of all": asked(method) for method in module.BoundMethod}
    values: dict[str, Question] = {
        f"{name}, scores": lambda q=question: q(arrays["planted"], arrays["left_out"])
        for name, question in nulls.items()
    }
    fixed = module.RatioBound(tp, fp, tp + fn, fp + tn, 0.05)
    for method in module.BoundMethod:
        values[f"{method.value}, one threshold"] = lambda method=method: float(np.log(fixed.compute_bound(method)))
    return values, nulls


def privacy_estimates(
    arrays: Mapping[str, Any], file: Path | None
) -> tuple[dict[str, Question], dict[str, NullQuestion]]:
    """microsoft/responsible-ai-toolbox-privacy."""
    from privacy_estimates import AttackResults, compute_eps_lo, compute_eps_lo_hi

    tp, fn, fp, tn = (int(n) for n in arrays["accused"])
    of = AttackResults(FN=fn, FP=fp, TN=tn, TP=tp)

    def asked(method: str) -> NullQuestion:
        def at_a_fixed_threshold(planted: Any, left_out: Any) -> float:
            tp, fp, fn, tn = counts_at(planted, left_out, 0.125)
            counted = AttackResults(FN=fn, FP=fp, TN=tn, TP=tp)
            return float(compute_eps_lo(count=counted, delta=DELTA, alpha=0.05, method=method))

        return at_a_fixed_threshold

    methods = {"Clopper-Pearson": "beta", "Jeffreys": "jeffreys", "joint Beta": "joint-beta"}
    values: dict[str, Question] = {}
    for name, method in methods.items():
        ends: dict[str, tuple[float, float]] = {}

        def low(method: str = method, ends: dict[str, tuple[float, float]] = ends) -> float:
            ends["both"] = compute_eps_lo_hi(count=of, delta=DELTA, alpha=0.1, method=method)
            return float(ends["both"][0])

        values[f"{name}, low"] = low
        values[f"{name}, high"] = lambda ends=ends: float(ends["both"][1])
    return values, {name: asked(method) for name, method in methods.items()}


def sacroml(arrays: Mapping[str, Any], file: Path | None) -> tuple[dict[str, Question], dict[str, NullQuestion]]:
    """AI-SDC/SACRO-ML, its LiRA, and the test that its metrics make of scores."""
    from sacroml import metrics
    from sacroml.attacks.likelihood_attack import LIRAAttack

    attack = LIRAAttack.__new__(LIRAAttack)  # no target model is wanted, only its arithmetic
    attack.fix_variance = False
    planted, left_out = arrays["lira_in"].tolist(), arrays["lira_out"].tolist()

    def score(mode: str, x: float) -> float:
        (out_mean, out_std), (in_mean, in_std) = (attack._get_mean_std(side, 0.0) for side in (left_out, planted))
        _, is_member = attack._get_probabilities(x, out_mean, out_std, in_mean, in_std, mode)
        return float(is_member)

    def significant(planted: Any, left_out: Any) -> float:
        scores = np.concatenate([planted, left_out])
        share = 1 / (1 + np.exp(-scores))
        coins = np.repeat([1, 0], [len(planted), len(left_out)])
        found = metrics.get_metrics(np.stack([1 - share, share], axis=1), coins)
        return 1.0 if np.exp(-found["PDIF01"]) <= 0.05 else 0.0

    values: dict[str, Question] = {
        f"LiRA {mode}, x = {x:g}": lambda mode=mode, x=x: score(mode, x)
        for mode in ("online-carlini", "offline", "offline-carlini")
        for x in (2.0, -3.0, 12.0)
    }
    return values, {"difference of tails (PDIF), significant": significant}


PEERS = {
    "jax_privacy": jax_privacy,
    "PrivacyGuard": privacyguard,
    "tensorflow/privacy": tensorflow_privacy,
    "responsible-ai-toolbox-privacy": privacy_estimates,
    "SACRO-ML": sacroml,
}


def timed(questions: Mapping[str, Question], seconds: float) -> Iterator[dict[str, Any]]:
    """Each value with its time; what would begin after twice the seconds is left out."""
    started = time.perf_counter()
    for name, question in questions.items():
        if time.perf_counter() - started < 2 * seconds:
            began = time.perf_counter()
            value = question()
            yield {"name": name, "value": value, "seconds": time.perf_counter() - began}


def alarms(question: NullQuestion, arrays: Mapping[str, Any], of: str, seconds: float) -> dict[str, Any]:
    """How many audits of a mechanism of known epsilon report more, of those that fit into the seconds."""
    began, found, n, truth = time.perf_counter(), 0, 0, float(arrays[f"truth of {of}"])
    for planted, left_out in zip(arrays[f"planted, {of}"], arrays[f"left out, {of}"], strict=True):
        found, n = found + (question(planted, left_out) > truth), n + 1
        if time.perf_counter() - began > seconds:
            break
    return {"alarms": found, "audits": n, "seconds": (time.perf_counter() - began) / n}


def main(name: str, arrays_path: str, seconds: str, file: str | None = None) -> None:
    """Ask one peer."""
    with np.load(arrays_path) as stored:
        arrays = dict(stored)
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        values, nulls = PEERS[name](arrays, Path(file) if file else None)
        answer = {
            "values": list(timed(values, float(seconds))),
            "alarms": {
                of: {method: alarms(question, arrays, of, float(seconds)) for method, question in nulls.items()}
                for of in (name.removeprefix("truth of ") for name in arrays if name.startswith("truth of "))
            },
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
