"""Secret and reproducible randomness."""

import pytest
import torch
from scipy import stats

from audit.training.randomness import ReproducibleRandomness, SecretRandomness, derived_seed

SOURCES = [SecretRandomness(), ReproducibleRandomness(0)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_noise_is_normal_with_the_deviation_asked_for(source, dtype):
    values = torch.full((300, 1001), 5.0, dtype=dtype)
    source.for_noise(0).add_to(values, 2.0)
    standardized = ((values - 5.0) / 2.0).double().flatten().numpy()
    # A correct generator fails this once in a hundred thousand runs.
    assert stats.kstest(standardized, "norm").pvalue > 1e-5
    assert abs(standardized.var() - 1) < 5 * (2 / values.numel()) ** 0.5


def test_the_tail_of_the_noise_is_as_heavy_as_it_should_be():
    values = torch.zeros(4_000_000)
    SecretRandomness().for_noise(0).add_to(values, 1.0)
    beyond = int((values.abs() > 4).sum())  # 253 expected
    assert stats.poisson.cdf(beyond, 4e6 * 2 * stats.norm.sf(4)) > 1e-6
    assert stats.poisson.sf(beyond - 1, 4e6 * 2 * stats.norm.sf(4)) > 1e-6
    assert torch.isfinite(values).all()


def test_two_halves_of_a_pair_are_not_correlated():
    values = torch.zeros(200_000)
    SecretRandomness().for_noise(0).add_to(values, 1.0)
    first, second = values[:100_000], values[100_000:]
    assert abs(float((first * second).mean())) < 5 / 100_000**0.5
    assert abs(float((first.square() * second.square()).mean()) - 1) < 5 * (8 / 100_000) ** 0.5


def test_secret_noise_and_draws_are_new_each_time():
    one, two = torch.zeros(8), torch.zeros(8)
    source = SecretRandomness()
    source.for_noise(0).add_to(one, 1.0)
    source.for_noise(0).add_to(two, 1.0)
    assert not torch.equal(one, two)
    assert not torch.equal(*(torch.rand(8, generator=source.for_draws(0)) for _ in range(2)))


def test_secret_draws_are_uniform():
    draws = torch.rand(100_000, generator=SecretRandomness().for_draws(0), dtype=torch.float64).numpy()
    assert stats.kstest(draws, "uniform").pvalue > 1e-5


def test_the_whole_state_of_the_generator_is_filled():
    words = SecretRandomness().for_draws(0).get_state()[24 : 24 + 8 * 624].view(torch.int64)
    assert len(words.unique()) > 620  # a state of 624 random words of 32 bits
    assert int(words.max()) < 2**32
    seeded = torch.Generator().manual_seed(12345).get_state()[24 : 24 + 8 * 624].view(torch.int64)
    assert int(seeded[0]) == 12345  # where a Mersenne twister keeps its seed: the layout is as assumed


def test_the_same_seed_and_step_give_the_same_noise_and_draws():
    one, two, other = torch.zeros(8), torch.zeros(8), torch.zeros(8)
    for values, step in ((one, 3), (two, 3), (other, 4)):
        ReproducibleRandomness(1).for_noise(step).add_to(values, 1.0)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_only_the_operating_systems_randomness_is_secret():
    assert [source.is_secret for source in SOURCES] == [True, False]


def test_seeds_for_different_purposes_differ():
    seeds = {derived_seed(seed, purpose, step) for seed in (0, 1) for purpose in ("draws", "noise") for step in (0, 1)}
    assert len(seeds) == 8
    assert derived_seed(1, "a", 2) == derived_seed(1, "a", 2)
