"""Exposure beyond ranks: how far out in the distribution of never-planted secrets a planted one lies.

With 1,000 references a rank says at most 10 bits. A skew-normal distribution fitted to the references' log-perplexities
says more, where it fits and not too far out: a form whose fit is implausible (p below 5 %) is not extrapolated at all,
and nothing is read more than 10 bits beyond the ranks. What lies further counts as that limit: "at least".

Rows hold the fit, so that everything is computed again from them: samples drawn from the fit tell how plausible its
misfit is, and how far its tail may move.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from probes.privacy.exposures import FEWEST, whole_logprob
from probes.protocol import Array, Rows
from probes.results import Coverage, Estimate, NotMeasured, Null, Value
from probes.stats.exposure import UNSEEN_BITS, extrapolated_bits, extrapolation_limit
from probes.stats.replicates import Replicates
from probes.stats.skew_normal import Refits, SkewNormal, fitted, misfit, refits

FEWEST_REFERENCES = 100
"""References of a form from which a distribution is fitted to them."""

DRAWS = 200
LEAST_PLAUSIBLE = 0.05

_FIT = ("reference_location", "reference_scale", "reference_shape", "reference_misfit")


def fits(canaries: Rows, references: Rows | None) -> dict[str, Array]:
    """What is needed to extrapolate, as columns of the canaries' rows.

    Args:
        canaries: A language model's answers, with `form`.
        references: Its answers on secrets that were never planted; `cluster` is the form they are there for.

    Returns:
        `log_perplexity` (nats, of the whole text) and the fit to the references of the canary's form with its misfit,
        each of shape (N,), NaN for canaries that are no secrets or whose form has too few references for a fit.
    """
    columns = {name: np.full(canaries.n, np.nan) for name in ("log_perplexity", *_FIT)}
    if references is None:
        return columns
    ours, theirs = -whole_logprob(canaries), -whole_logprob(references)
    for form in sorted(set(references["cluster"].tolist())):
        pool = theirs[(references["cluster"] == form) & ~np.isnan(theirs)]
        of_form = canaries["form"] == form
        if len(pool) < FEWEST_REFERENCES or not np.ptp(pool) > 0:
            continue
        columns["log_perplexity"][of_form] = ours[of_form]
        fit = fitted(pool)
        for name, number in zip(_FIT, (fit.location, fit.scale, fit.shape, misfit(pool, fit)), strict=True):
            columns[name][of_form] = number
    return columns


def mean_extrapolated(secrets: Rows, rng: np.random.Generator, *, level: float) -> tuple[Value, Coverage]:
    """The mean extrapolated exposure of planted secrets, in bits, and what became of those that have none.

    Args:
        secrets: Secrets with `is_member`, `exposure_ceiling` and the columns of `fits`.
        rng: The randomness.
        level: Confidence level.

    Returns:
        The mean with an interval for the secrets and the fits together. It has no upper end where a secret lies beyond
        what is extrapolated. `null` is the mean of secrets that the model has never seen.
    """
    planted = secrets.take(np.asarray(secrets["is_member"], dtype=bool))
    seed = int(rng.integers(2**63))
    parts = [_Part.of(planted.take(where), seed) for where in _by_fit(planted)]
    good = [part for part in parts if part.why_not is None]
    missing: dict[str, int] = {}
    for part in parts:
        if part.why_not is not None:
            missing[part.why_not] = missing.get(part.why_not, 0) + part.n
    unscored = planted.n - sum(part.n for part in parts)
    if unscored:
        missing["no token could be scored, or its form has too few references for a fit"] = unscored
    told = sum(part.n for part in good)
    coverage = Coverage(asked=planted.n, answered=told, missing=missing)
    if told < FEWEST:
        why = "; ".join(missing) or f"planted secrets: {told}, where an interval needs {FEWEST}"
        return NotMeasured(reason=why), coverage
    return _mean(good, rng, level), coverage


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Planted secrets that share a form and its fit.

    Attributes:
        log_perplexities: Shape (K,).
        fit: The fit to their references.
        references: How many these are.
        refits: Fits to samples drawn from the fit.
        p: Plausibility of the fit's misfit.
    """

    log_perplexities: Array
    fit: SkewNormal
    references: int
    refits: Refits
    p: float

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "_Part":
        """Of rows that have one fit in common."""
        fit = SkewNormal(*(float(rows[name][0]) for name in _FIT[:3]))
        references = round(2 ** float(rows["exposure_ceiling"][0]))
        drawn = refits(fit, references, draws=DRAWS, seed=seed)
        return cls(
            log_perplexities=rows["log_perplexity"],
            fit=fit,
            references=references,
            refits=drawn,
            p=drawn.p_value(float(rows[_FIT[3]][0])),
        )

    @property
    def n(self) -> int:
        return len(self.log_perplexities)

    @property
    def limit(self) -> float:
        return extrapolation_limit(self.references)

    @property
    def why_not(self) -> str | None:
        """Why nothing is extrapolated; None where it is."""
        if self.p >= LEAST_PLAUSIBLE:
            return None
        return f"the log-perplexities of {self.references:,} references are not skew-normal (p = {self.p:.2g})"

    def bits(self, fit: SkewNormal) -> Array:
        """Exposures by a fit, cut at the limit."""
        return np.asarray(np.minimum(extrapolated_bits(self.log_perplexities, fit), self.limit))


def _by_fit(rows: Rows) -> Iterator[Array]:
    """Indices of the scored secrets of each fit."""
    scored = ~np.isnan(rows["log_perplexity"]) & ~np.isnan(rows[_FIT[0]])
    keys = np.stack([rows[name] for name in (*_FIT, "exposure_ceiling")], axis=1)
    for key in np.unique(keys[scored], axis=0):
        yield np.flatnonzero(scored & (keys == key).all(axis=1))


def _mean(parts: list[_Part], rng: np.random.Generator, level: float) -> Estimate:
    bits = np.concatenate([part.bits(part.fit) for part in parts])
    drawn = np.stack([np.concatenate([p.bits(p.refits.fits[b]) for p in parts]) for b in range(DRAWS)])  # (B, K)
    chosen = rng.integers(len(bits), size=drawn.shape)
    limit = max(part.limit for part in parts)
    means = np.take_along_axis(drawn, chosen, axis=1).mean(axis=1)
    value = Replicates(value=float(bits.mean()), draws=means, n=len(bits), bounds=(0.0, limit)).estimate(level)
    assert isinstance(value, Estimate), "bounds are known"
    beyond = sum(int((part.bits(part.fit) >= part.limit).sum()) for part in parts)
    plausible = min(part.p for part in parts)
    counted = f"; {beyond} lie beyond what is extrapolated and count as {limit:.3g} bits" if beyond else ""
    return replace(
        value,
        high=None if beyond else value.high,
        unit_of_n="planted secret",
        method=f"skew-normal fit to references (p = {plausible:.2g}), bootstrap of secrets and fits, {DRAWS} draws"
        f"{counted}",
        null=Null(value=UNSEEN_BITS, meaning="secrets that the model has never seen"),
    )
