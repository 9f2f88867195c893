"""Canaries as rows, in the order of their scores or drawn, for tests of the probe and of what is read off them."""

import numpy as np

from probes.privacy.canaries import Canaries
from probes.privacy.guessing import play
from probes.protocol import Facts, PrivacyClaim, Rows
from probes.results import ALL, Check, Finding, Series
from probes.summary import findings
from reports.figures.looks import Side

FACTS = Facts(arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm")
PROBE = Canaries()
RANKS = 1000
FIT = ("reference_location", "reference_scale", "reference_shape", "reference_misfit")
GAME = play(np.arange(1000.0), np.arange(1000) % 2 == 0, 100, delta=1e-5, level=0.95)


def facts(**more) -> Facts:
    return Facts(**{**vars(FACTS), **more})


def claiming(epsilon: float, delta: float = 1e-5, accounted: bool = True) -> Facts:
    return facts(claim=PrivacyClaim(epsilon=epsilon, delta=delta, accounted=accounted))


def ragged(rows) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = [np.asarray(row, dtype=float) for row in rows]
    return found


def rows(score, is_member, copies=1, bits=None) -> Rows:
    n = len(score)
    ids = [f"c{i:05d}" for i in range(n)]
    return Rows(
        {
            "item_id": ids,
            "cluster": ids,
            "is_member": np.asarray(is_member, dtype=bool),
            "repetitions": np.broadcast_to(copies, n).copy(),
            "score": np.asarray(score, dtype=float),
            "exposure_bits": np.full(n, np.nan) if bits is None else np.asarray(bits, dtype=float),
            "exposure_ceiling": np.full(n, np.nan if bits is None else np.log2(RANKS)),
            **dict.fromkeys(("log_perplexity", *FIT), np.full(n, np.nan)),
        }
    )


def guessed(m: int, r: int, v: int) -> Rows:
    """Canaries in the order of their scores, of whose r guesses v are right."""
    is_member = np.arange(m) % 2 == 0
    is_member[: r // 2], is_member[m - r // 2 :] = False, True
    is_member[: r - v] = True  # the wrong ones
    return rows(np.arange(m), is_member)


def drawn(seed: int, shift: float, n: int = 400) -> Rows:
    rng = np.random.default_rng(seed)
    is_member = rng.random(n) < 0.5
    return rows(rng.normal(size=n) + shift * is_member, is_member)


def secrets(seed: int, learnt: float, n: int = 20, copies: int = 4) -> Rows:
    """Secrets with random ranks, of which a share of the planted ones ranks first."""
    rng = np.random.default_rng(seed)
    is_member = np.arange(n) < n // 2
    rank = np.where(is_member & (rng.random(n) < learnt), 1, rng.integers(1, RANKS + 2, n))
    return rows(rng.normal(size=n) + is_member, is_member, copies, np.log2(RANKS) - np.log2(rank))


def found(some: Rows, probe=PROBE, known=FACTS, **more) -> list:
    return findings(probe, some, known, np.random.default_rng(0), **more)


def estimate(given, metric: str, part: str = ALL):
    return next(one.estimate for one in given if isinstance(one, Finding) and (one.metric, one.slice) == (metric, part))


def check(given, name: str = "claimed epsilon") -> Check | None:
    return next((one for one in given if isinstance(one, Check) and one.name == name), None)


def series(given, kind: str) -> Side | None:
    drawn = [Side(name="a", look="private", series=s) for s in given if isinstance(s, Series) and s.kind == kind]
    return drawn[0] if drawn else None


def table(logprobs, **more) -> Rows:
    ids = [f"i{i}" for i in range(len(logprobs))]
    moments = {name: ragged([np.ones(len(row)) for row in logprobs]) for name in ("means", "deviations")}
    columns = {"item_id": ids, "cluster": ids, "logprobs": ragged(logprobs), "zlib_bytes": np.full(len(ids), 20)}
    return Rows({**columns, **moments, **more})


def right(score, is_member, guesses: int) -> int:
    return play(score, is_member, guesses, delta=1e-5, level=0.95).right


def canaries(logprobs, form="card-1", copies=1) -> Rows:
    n = len(logprobs)
    return table(
        logprobs,
        is_member=np.arange(n) % 2 == 0,
        repetitions=np.full(n, copies),
        form=[form] * n if isinstance(form, str) else form,
    )
