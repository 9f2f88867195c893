"""What planted secrets give away: their exposure, set against that of secrets which the coins left out.

With about ten secrets on either side the arithmetic has to be chosen with care. An exposure is skewed where nothing was
learnt (most ranks give little, a few give much) and stands at its ceiling where everything was. So a mean gets a
bootstrap that knows its bounds: where all secrets show the same, it bounds the share of others that so few would have
missed, instead of an interval without width. The gain joins the two means' intervals, and is tested by shuffling the
coins, which is exact whatever the distribution. In simulations with 7 to 20 secrets a side the gain's 95 % interval
covers 94 to 99 % of the time, 89 to 94 % where one planted secret in five is known by heart and the others not at all
(Welch's: 86 to 94 %); where nine in ten are, 98 % and more (Welch's: 70 to 90 %).

Sources: Zou and Donner (2008), "Construction of confidence limits about effect measures", equation 5 (joining);
Phipson and Smyth (2010), "Permutation p-values should never be zero", section 3.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import hypot

import numpy as np

from probes.privacy import scores
from probes.protocol import Array, Rows
from probes.results import Estimate, NotMeasured, Null, Series, Value
from probes.stats.bootstrap import DRAWS
from probes.stats.exposure import expected_exposure, exposure_bits, exposure_ceiling
from probes.stats.power import detectable_from_standard_error
from probes.stats.replicates import Replicates

FEWEST = 5
"""Secrets that must be planted, or left out, for a mean of theirs to have an interval."""

SHUFFLES = 4999


def exposures(canaries: Rows, references: Rows | None) -> tuple[Array, Array]:
    """Exposure of each canary among the references of its form, and the largest it could have, in bits.

    Perplexities are those of the whole text: sums over its tokens, as texts of one form may differ in their number. A
    reference that could not be scored is left out.

    Args:
        canaries: A language model's answers, with `form`.
        references: Its answers on secrets that were never planted; `cluster` is the form they are there for.

    Returns:
        Two arrays of shape (N,), NaN for canaries that are no secrets; exposures also where one could not be scored.

    Source: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, definitions 1, 2 and 5.
    """
    bits, ceilings = np.full(canaries.n, np.nan), np.full(canaries.n, np.nan)
    if references is None:
        return bits, ceilings
    ours, theirs = whole_logprob(canaries), whole_logprob(references)
    for form in set(references["cluster"].tolist()):
        pool = theirs[(references["cluster"] == form) & ~np.isnan(theirs)]
        of_form = canaries["form"] == form
        if not len(pool) or not of_form.any():
            continue
        ceilings[of_form] = exposure_ceiling(len(pool))
        told = of_form & ~np.isnan(ours)
        bits[told] = exposure_bits(-ours[told], -pool)
    return bits, ceilings


def whole_logprob(table: Rows) -> Array:
    """Log-probability of each whole text, nats; NaN where no token could be scored."""
    if "logprobs" in table:
        return scores.sum_logprob(table["logprobs"])
    return np.where(table["n_tokens"] > 0, table["logprob_nats"].astype(np.float64), np.nan)


def mean_exposure(bits: Array, ceilings: Array, rng: np.random.Generator, *, level: float) -> Value:
    """The mean exposure of planted secrets.

    Args:
        bits: Shape (K,).
        ceilings: The largest each could have, shape (K,).
        rng: The randomness.
        level: Confidence level.

    Returns:
        NotMeasured below five secrets. `null` is the mean of secrets that the model has never seen.
    """
    if len(bits) < FEWEST:
        return NotMeasured(reason=f"planted secrets: {len(bits)}, where an interval needs {FEWEST}")
    value = _replicates(bits, ceilings, rng).estimate(level)
    assert isinstance(value, Estimate), "bounds are known"
    return replace(value, unit_of_n="planted secret", null=never_seen(ceilings))


def never_seen(ceilings: Array) -> Null:
    """The mean exposure of secrets that the model has never seen, given the largest each could have, shape (K,)."""
    unseen = float(np.mean([expected_exposure(round(2**ceiling)) for ceiling in ceilings]))
    return Null(value=unseen, meaning="secrets that the model has never seen")


def bounds_of(ceilings: Array) -> tuple[float, float]:
    """The least and the greatest that the exposure of some secrets can be; the least lies log2((R + 1) / R) below 0."""
    return -_below_zero(ceilings), float(ceilings.max())


def gain(bits: Array, ceilings: Array, is_planted: Array, rng: np.random.Generator, *, level: float) -> Value:
    """Mean exposure of planted secrets minus that of secrets left out, in bits.

    Args:
        bits: Shape (K,).
        ceilings: The largest each could have, shape (K,).
        is_planted: Their coins, shape (K,).
        rng: The randomness.
        level: Confidence level.

    Returns:
        The difference; NotMeasured below five secrets on either side. `null` has the two-sided permutation p-value,
        `detectable` is worked out from the spread of the secrets left out.
    """
    sizes = int(is_planted.sum()), int((~is_planted).sum())
    if min(sizes) < FEWEST:
        reason = f"secrets planted and left out: {sizes[0]} and {sizes[1]}, where an interval needs {FEWEST} of each"
        return NotMeasured(reason=reason)
    planted, left_out = (_replicates(bits[side], ceilings[side], rng) for side in (is_planted, ~is_planted))
    (low, high), (other_low, other_high) = _interval(planted, level), _interval(left_out, level)
    value, most = planted.value - left_out.value, _range(ceilings)
    spread = float(bits[~is_planted].std(ddof=1)) * float(np.sqrt(1 / sizes[0] + 1 / sizes[1]))
    return Estimate(
        value=value,
        low=max(-most, value - hypot(planted.value - low, other_high - left_out.value)),
        high=min(most, value + hypot(high - planted.value, left_out.value - other_low)),
        level=level,
        n=sum(sizes),
        unit_of_n="secret",
        method=f"two bounded bootstraps of {DRAWS:,} draws, joined; p by {SHUFFLES:,} shuffles of the coins",
        null=Null(value=0.0, p=_shuffled_p(bits, is_planted, rng), meaning="coins that the model knows nothing of"),
        detectable=detectable_from_standard_error(spread, level=level),
    )


def chart(copies: Sequence[int], rows: Rows, means: Sequence[Value], level: float) -> Series:
    """Exposure by number of copies: means of planted secrets with their intervals, over those of secrets left out.

    Args:
        copies: The numbers of copies.
        rows: Secrets with `repetitions`, `is_member`, `exposure_bits` and `exposure_ceiling`.
        means: Mean exposure of the planted ones, for each number of copies.
        level: Confidence level of the means' intervals.
    """
    columns: dict[str, list[float | None]] = {"repetitions": [float(number) for number in copies]}
    for number, value in zip(copies, means, strict=True):
        ours = rows["repetitions"] == number
        planted, left_out = (rows["exposure_bits"][ours & side] for side in (rows["is_member"], ~rows["is_member"]))
        interval = (value.low, value.high) if isinstance(value, Estimate) else (None, None)
        band = np.quantile(left_out, [0.025, 0.975]).tolist() if len(left_out) else (None, None)
        for side, bits, ends in (("planted", planted, interval), ("unplanted", left_out, band)):
            mean = float(bits.mean()) if len(bits) else None
            for end, shown in zip(("mean", "low", "high"), (mean, *ends), strict=True):
                columns.setdefault(f"{side}_{end}", []).append(shown)
    return Series(
        name="exposure",
        kind="exposure",
        columns={name: tuple(values) for name, values in columns.items()},
        notes={
            "ceiling": float(rows["exposure_ceiling"].max()),
            "bars": f"{level:.0%} interval of the mean",
            "bands": "the middle 95 % of the secrets left out",
        },
    )


def _replicates(bits: Array, ceilings: Array, rng: np.random.Generator) -> Replicates:
    draws = bits[rng.integers(len(bits), size=(DRAWS, len(bits)))].mean(axis=1)
    bounds = bounds_of(ceilings)
    value = float(np.clip(bits.mean(), *bounds))  # a mean of equal numbers may be rounded past them
    return Replicates(value=value, draws=draws, n=len(bits), bounds=bounds)


def _interval(replicates: Replicates, level: float) -> tuple[float, float]:
    interval = replicates.interval(level)
    assert interval is not None, "bounds are known"
    return interval


def _below_zero(ceilings: Array) -> float:
    """How far below zero an exposure may lie: log2((R + 1) / R) of the smallest R."""
    return float(np.log2(1 + 2.0 ** -ceilings.min()))


def _range(ceilings: Array) -> float:
    return float(ceilings.max()) + _below_zero(ceilings)


def _shuffled_p(bits: Array, is_planted: Array, rng: np.random.Generator) -> float:
    """Two-sided p-value of the difference of means among shuffles of the coins, the one seen counted among them."""
    centred = bits - bits.mean()
    sums = np.array([centred[rng.permutation(is_planted)].sum() for _ in range(SHUFFLES)])
    seen = abs(float(centred[is_planted].sum()))
    return (1 + int((np.abs(sums) >= seen - 1e-9).sum())) / (1 + SHUFFLES)
