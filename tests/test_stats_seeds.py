import numpy as np
import pytest

from probes.protocol import Rows
from probes.results import ALL, NotMeasured
from probes.stats.seeds import difference_over_seeds, over_seeds, paired_seed_evidence, seed_evidence

KEY = ("mean", ALL)
N = 60


def rng(seed=0):
    return np.random.default_rng(seed)


def mean(rows, weights):
    total = weights.sum()
    return {KEY: float(weights @ rows["y"] / total)} if total > 0 else {}


def arm(seeds, item, draw, between=0.0, shift=0.0):
    def of_seed():
        return item + shift + draw.normal(0, between) + draw.normal(0, 0.1, len(item))

    return {
        seed: Rows({"item_id": np.arange(len(item)), "cluster": np.arange(len(item)), "y": of_seed()}) for seed in seeds
    }


def test_the_mean_over_seeds_is_the_mean_of_the_seeds():
    rows = arm(range(4), rng().normal(size=N), rng(1), between=0.2)
    estimate = over_seeds(mean, rows, rng=rng())[KEY]

    assert estimate.value == pytest.approx(np.mean([r["y"].mean() for r in rows.values()]))
    assert estimate.n == N
    assert estimate.method == "cluster bootstrap, 1,000 draws, with the variance between 4 seeds"


@pytest.mark.parametrize(("seeds", "speaks_for"), [(1, "items"), (2, "items"), (3, "items and seeds")])
def test_three_seeds_speak_for_the_recipe(seeds, speaks_for):
    rows = arm(range(seeds), rng().normal(size=N), rng(1), between=1.0)

    assert over_seeds(mean, rows, rng=rng())[KEY].varies == speaks_for


def test_the_interval_joins_both_variances_with_satterthwaites_degrees_of_freedom():
    rows = arm(range(3), rng().normal(size=N), rng(1), between=0.5)
    evidence = seed_evidence(mean, rows, rng=rng(), draws=4000)[KEY]
    means = [r["y"].mean() for r in rows.values()]
    items = np.mean([r["y"] for r in rows.values()], axis=0)

    between, within = np.var(means, ddof=1) / 3, items.var() / N
    assert evidence.standard_error**2 == pytest.approx(between + within, rel=0.05)
    freedom = (between + within) ** 2 / (between**2 / 2 + within**2 / (N - 1))
    assert evidence.degrees_of_freedom == pytest.approx(freedom, rel=0.05)


def test_intervals_over_seeds_cover_what_another_training_would_give():
    draw, covered = rng(), []
    for _ in range(150):
        item = draw.normal(size=N)
        estimate = over_seeds(mean, arm(range(3), item, draw, between=0.2), rng=draw, draws=100)[KEY]
        covered.append(estimate.low <= 0 <= estimate.high)

    assert np.mean(covered) >= 0.9  # nominal 0.95, standard error 0.018


@pytest.mark.parametrize("other_seeds", [range(4), range(10, 14)])
def test_differences_over_seeds_cover_the_true_difference(other_seeds):
    draw, covered = rng(), []
    for _ in range(100):
        item = draw.normal(size=N)
        a, b = arm(range(4), item, draw, 0.2, shift=1.0), arm(other_seeds, item, draw, 0.2)
        estimate = difference_over_seeds(mean, a, b, rng=draw, draws=100)[KEY]
        covered.append(estimate.low <= 1 <= estimate.high)

    assert np.mean(covered) >= 0.88  # nominal 0.95, standard error 0.022
    assert estimate.null.p < 0.05
    assert estimate.varies == "items and seeds"


def test_common_seeds_are_compared_seed_by_seed():
    item, draw = rng().normal(size=N), rng(1)
    a = arm(range(4), item, draw, between=1.0)
    b = {seed: rows.assign(y=rows["y"] + draw.normal(0, 0.01, N)) for seed, rows in a.items()}
    apart = {seed + 10: rows for seed, rows in b.items()}
    paired, unpaired = (difference_over_seeds(mean, a, other, rng=rng())[KEY] for other in (b, apart))

    assert paired.high - paired.low < 0.02
    assert unpaired.high - unpaired.low > 1


def test_seeds_that_never_differ_take_the_bound_of_the_items():
    rows = {seed: arm([0], np.zeros(N), rng())[0].assign(y=np.ones(N)) for seed in range(3)}
    estimate = over_seeds(mean, rows, rng=rng())[KEY]

    assert (estimate.low, estimate.high) == (pytest.approx(0.025 ** (1 / N)), 1.0)
    assert estimate.varies == "items"
    assert estimate.method.endswith("mean of 3 seeds")


def test_a_rate_is_cut_at_its_ends():
    rows = {seed: arm([0], np.zeros(N), rng())[0].assign(y=np.arange(N) > seed * 3) for seed in range(3)}
    cut, uncut = (over_seeds(mean, rows, rng=rng(), rates=rates)[KEY] for rates in (["mean"], []))

    assert cut.high == 1.0 < uncut.high
    assert cut.low == uncut.low


def test_p_values_agree_with_the_interval():
    a, b = (arm(range(3), rng().normal(size=N), rng(s), between=0.1, shift=s) for s in (0, 1))
    evidence = paired_seed_evidence(mean, a, b, rng=rng())[KEY]
    estimate = evidence.estimate(0.9)

    assert evidence.p_above(estimate.low) == pytest.approx(0.05)
    assert evidence.p_below(estimate.high) == pytest.approx(0.05)


def test_a_key_that_one_seed_lacks_is_not_measured():
    def needs_ones(rows, weights):
        return mean(rows, weights) | ({("sum", ALL): 1.0} if rows["y"].sum() > 0 else {})

    rows = arm(range(3), np.ones(N), rng())
    rows[1] = rows[1].assign(y=-np.arange(float(N)))

    assert "undefined for some" in over_seeds(needs_ones, rows, rng=rng())["sum", ALL].reason


def test_seeds_of_few_clusters_are_not_measured():
    found = over_seeds(mean, arm(range(3), np.arange(5.0), rng()), rng=rng())[KEY]

    assert isinstance(found, NotMeasured)
