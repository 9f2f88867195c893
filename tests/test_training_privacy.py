"""The private setup: mechanism, Poisson draws, noise, and the count of steps."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from audit.training.accounting import epsilons
from audit.training.collate import Collator, encode_examples
from audit.training.draws import PoissonDraws
from audit.training.exactness import clipping_error
from audit.training.mechanism import mechanism
from audit.training.privacy import privatize
from audit.training.private_optimizer import BookkeepingOptimizer
from audit.training.randomness import ReproducibleRandomness, SecretRandomness
from audit.training.setup import standard_setup
from audit.training.spec import Examples, PrivacySpec, TrainingSpec
from audit.training.witness import WitnessedOptimizer

SPEC = TrainingSpec(task="causal-lm", head="causal", max_length=8, batch_size=50, epochs=4)


def test_rate_steps_and_divisor_follow_from_the_declared_size():
    fixed = mechanism(PrivacySpec(noise_multiplier=1.0, delta=1e-5), SPEC, 1000)
    assert (fixed.sample_rate, fixed.steps, fixed.expected_batch_size, fixed.dataset_size) == (0.05, 80, 50, 1000)
    public = mechanism(PrivacySpec(noise_multiplier=1.0, delta=1e-5, dataset_size=2000), SPEC, 1000)
    assert (public.sample_rate, public.steps, public.expected_batch_size, public.dataset_size) == (0.025, 160, 50, 2000)


def test_its_own_expected_batch_size_comes_before_the_recipes():
    fixed = mechanism(PrivacySpec(noise_multiplier=1.0, delta=1e-5, expected_batch_size=100), SPEC, 1000)
    assert (fixed.sample_rate, fixed.steps, fixed.expected_batch_size) == (0.1, 40, 100)


def test_a_limit_on_steps_comes_before_the_noise_is_chosen():
    spec = TrainingSpec(task="causal-lm", head="causal", max_length=8, batch_size=50, epochs=4, max_steps=10)
    fixed = mechanism(PrivacySpec(epsilon=2.0, delta=1e-5), spec, 1000)
    assert fixed.steps == 10
    assert epsilons(fixed.noise_multiplier, 0.05, 10, 1e-5)["prv"] == pytest.approx(2.0, abs=0.02)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="expected_batch_size must not exceed the 40 examples; got 50"):
        mechanism(PrivacySpec(noise_multiplier=1.0, delta=1e-5), SPEC, 40)


def test_a_delta_of_more_than_a_tenth_of_one_over_n_is_refused():
    mechanism(PrivacySpec(noise_multiplier=1.0, delta=1e-4), SPEC, 1000)
    with pytest.raises(ValueError, match=r"delta must be at most 1 / \(10 N\) = 0.0001 for N = 1000; got 0.00011"):
        mechanism(PrivacySpec(noise_multiplier=1.0, delta=1.1e-4), SPEC, 1000)


def test_a_target_that_no_noise_reaches_is_refused():
    with pytest.raises(ValueError, match="no noise keeps epsilon"):
        mechanism(PrivacySpec(epsilon=0.001, delta=1e-5), SPEC, 1000)


@pytest.mark.parametrize("source", [SecretRandomness(), ReproducibleRandomness(3)], ids=lambda s: type(s).__name__)
def test_examples_are_drawn_independently_with_the_stated_rate(source):
    n, steps, q = 200, 400, 0.1
    draw = PoissonDraws(n, q, source)
    drawn = np.zeros((steps, n))
    for step in range(steps):
        drawn[step, draw(step)] = 1
    variance = q * (1 - q)
    by_example = np.square(drawn.sum(axis=0) - steps * q).sum() / (steps * variance)  # chi-square, n degrees
    by_step = np.square(drawn.sum(axis=1) - n * q).sum() / (n * variance)  # chi-square, one degree a step
    # Each of these fails for a correct sampler less than once in a hundred thousand runs.
    assert stats.binomtest(int(drawn.sum()), n * steps, q).pvalue > 1e-5
    assert 5e-6 < stats.chi2.cdf(by_example, n) < 1 - 5e-6  # too even or too uneven: not drawn afresh in each step
    assert 5e-6 < stats.chi2.cdf(by_step, steps) < 1 - 5e-6  # a fixed batch size, or examples that go together


def test_a_rate_of_one_draws_everything_and_a_tiny_one_may_draw_nothing():
    assert PoissonDraws(5, 1.0, SecretRandomness())(0) == [0, 1, 2, 3, 4]
    assert [] in [PoissonDraws(5, 0.01, ReproducibleRandomness(0))(step) for step in range(5)]


@pytest.mark.parametrize(("rate", "precision"), [(0.1, torch.float32), (2.5 * 2.0**-24, torch.float64)])
def test_a_small_rate_is_not_rounded_up_to_what_a_coarse_coin_can_tell(rate, precision):
    source, units = ReproducibleRandomness(0), 2_000_000
    coins = torch.rand(units, dtype=precision, generator=source.for_draws(7))
    assert PoissonDraws(units, rate, source)(7) == torch.nonzero(coins < rate).flatten().tolist()
    finest = 2.0**-53 if precision == torch.float64 else 2.0**-24
    assert finest / rate < 1e-3


def private(parameters, *, sigma=0.0, norm=1.0, batch=4, seed=0):
    return BookkeepingOptimizer(
        torch.optim.SGD(parameters, lr=1.0),
        noise_multiplier=sigma,
        max_grad_norm=norm,
        expected_batch_size=batch,
        randomness=ReproducibleRandomness(seed),
    )


def test_without_noise_a_step_is_the_sum_over_the_expected_batch_size():
    weight = nn.Parameter(torch.zeros(3))
    optimizer = private([weight])
    weight.summed_grad = torch.tensor([4.0, 8.0, -2.0])
    optimizer.step()
    assert weight.tolist() == [-1.0, -2.0, 0.5]


def test_the_noise_is_sigma_times_the_clipping_norm_on_the_sum():
    weight = nn.Parameter(torch.zeros(100_000))
    optimizer = private([weight], sigma=1.5, norm=0.2, batch=10)
    weight.summed_grad = torch.zeros(100_000)
    optimizer.step()
    assert stats.kstest(weight.detach().numpy(), "norm", (0, 1.5 * 0.2 / 10)).pvalue > 1e-5


def test_each_step_and_parameter_has_noise_of_its_own():
    one, two = nn.Parameter(torch.zeros(50)), nn.Parameter(torch.zeros(50))
    optimizer = private([one, two], sigma=1.0)
    seen = []
    for _ in range(2):
        one.summed_grad, two.summed_grad = torch.zeros(50), torch.zeros(50)
        optimizer.step()
        seen += [one.grad.clone(), two.grad.clone()]
    assert len({tuple(noise.tolist()) for noise in seen}) == 4


def test_a_sum_is_never_noised_twice():
    weight = nn.Parameter(torch.zeros(3))
    optimizer = private([weight], sigma=1.0)
    weight.summed_grad = torch.zeros(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="needs a clipped sum for every parameter"):
        optimizer.step()


def test_every_noised_step_is_counted_once():
    weight, steps = nn.Parameter(torch.zeros(3)), []
    optimizer = private([weight], sigma=1.0)
    optimizer.attach_step_hook(lambda _: steps.append(1))
    for _ in range(3):
        weight.summed_grad = torch.zeros(3)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert len(steps) == 3


def test_epsilon_or_noise_must_be_given_and_not_both():
    for given in ({}, {"epsilon": 1.0, "noise_multiplier": 1.0}):
        with pytest.raises(ValueError, match="give either epsilon or noise_multiplier"):
            PrivacySpec(delta=1e-5, **given)


def test_the_central_limit_accountant_is_never_offered():
    assert set(epsilons(1.0, 0.1, 10, 1e-5)) == {"prv", "pld", "rdp"}


# ---- the noise that was really added -------------------------------------------------------------------------------


def watched(parameters, *, sigma=1.0, norm=1.0, seed=0):
    return WitnessedOptimizer(
        torch.optim.SGD(parameters, lr=1.0),
        noise_multiplier=sigma,
        max_grad_norm=norm,
        expected_batch_size=4,
        randomness=ReproducibleRandomness(seed),
    )


def steps(optimizer, number):
    for _ in range(number):
        for parameter in optimizer.params:
            parameter.summed_grad = torch.full_like(parameter, 3.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def test_honest_noise_is_seldom_accused():
    found = []
    for seed in range(300):
        optimizer = watched([nn.Parameter(torch.zeros(n)) for n in (40, 3, 100)], sigma=0.7, norm=2.0, seed=seed)
        steps(optimizer, 5)
        found.append(optimizer.seen(1.4))
    assert all(
        seen.variates == 5 * (40 + 3 + 50) for seen in found
    )  # of a hundred values every second one is looked at
    assert np.mean([seen.ratio for seen in found]) == pytest.approx(1, abs=0.01)
    # Bonferroni's correction makes it rather fewer than one in twenty: 15 are expected at most, 26 once in 300 times.
    assert sum(seen.p < 0.05 for seen in found) < 26
    assert min(seen.p for seen in found) > 1e-5


def test_noise_is_counted_on_from_a_checkpoint():
    whole, parts = (watched([nn.Parameter(torch.zeros(20))]) for _ in range(2))
    steps(whole, 6)
    steps(parts, 2)
    state = json.loads(json.dumps(parts.noise_state()))
    later = watched([nn.Parameter(torch.zeros(20))])
    later.restore_noise(state)
    later.continue_at(2, noised=2)
    steps(later, 4)
    assert later.seen(1.0) == whole.seen(1.0)


def test_where_no_noise_is_meant_none_is_judged():
    optimizer = watched([nn.Parameter(torch.zeros(20))], sigma=0.0)
    assert optimizer.seen(1.0) is None
    steps(optimizer, 2)
    assert optimizer.seen(0.0) is None
    assert optimizer.seen(1.0).p < 1e-6


# ---- a training that is continued ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("noised", "told"), [(7, "tells of 7 noised steps"), (None, "does not tell how many steps")])
def test_noise_from_a_seed_that_would_repeat_is_refused(noised, told):
    optimizer = private([nn.Parameter(torch.zeros(3))], sigma=1.0)
    with pytest.raises(ValueError, match=f"stands at step 5 and {told}.*could repeat; delete it to train from the"):
        optimizer.continue_at(5, noised)


def test_noise_that_is_secret_never_repeats():
    weight = nn.Parameter(torch.zeros(3))
    optimizer = private([weight], sigma=1.0)
    optimizer.randomness = SecretRandomness()
    optimizer.continue_at(5, noised=None)
    assert optimizer.noised_steps == 5


@pytest.fixture
def setup(tiny_bert_classifier):
    model, tokenizer = tiny_bert_classifier
    spec = TrainingSpec(task="text-classification", head="classifier", max_length=12, batch_size=4, epochs=1)
    texts = ["the good movie was great", "a bad film", "he liked it and she hated it very really today"] * 4
    encoded = encode_examples(tokenizer, Examples(texts=texts, labels=[1, 0, 1] * 4), spec)
    return standard_setup(model, Collator(encoded, model, tokenizer, spec, 0), spec, 0)


def test_dropout_follows_from_the_seed_only_where_the_noise_does(setup):
    secret = privatize(setup, PrivacySpec(noise_multiplier=1.0, delta=1e-3))
    assert secret.dropout_seed(0) != secret.dropout_seed(0)
    known = privatize(setup, PrivacySpec(noise_multiplier=1.0, delta=1e-3, reproducible_seed=1))
    assert known.dropout_seed is None


def test_masked_tokens_follow_from_the_seed_only_where_the_noise_does(tiny_bert_masked):
    model, tokenizer = tiny_bert_masked
    spec = TrainingSpec(task="masked-lm", head="masked", max_length=40, batch_size=4, epochs=1)
    encoded = encode_examples(tokenizer, Examples(texts=["the good movie was great " * 6] * 8), spec)
    standard = standard_setup(model, Collator(encoded, model, tokenizer, spec, 0), spec, 0)
    asked = PrivacySpec(noise_multiplier=1.0, delta=1e-3)
    secret, again, known = (privatize(standard, replace(asked, reproducible_seed=seed)) for seed in (None, None, 1))
    expected, *shown = (each.collate(range(8), 0).labels for each in (standard, known, secret, again))
    # Masks that anyone can compute tie texts to one another by their places, which change with who is there.
    assert [torch.equal(labels, expected) for labels in shown] == [True, False, False]
    assert not torch.equal(shown[1], shown[2])


# ---- clipping, checked before training -----------------------------------------------------------------------------


@pytest.mark.parametrize("clipping", ["flat", "automatic", "per_layer"])
def test_the_clipped_sum_is_checked_in_every_way_of_clipping(setup, clipping):
    error = clipping_error(setup, [[0, 1], [2], [3, 4, 5]], clipping)
    assert 0 < error < 1e-5
    assert not setup.model.training
    assert all(p.grad is None and p.summed_grad is None for p in setup.model.parameters())


def test_gradients_of_zero_cannot_be_checked(setup):
    for parameter in setup.model.parameters():
        parameter.data.zero_()
    setup.model.classifier.bias.data[:] = torch.tensor([-200.0, 200.0])
    assert clipping_error(setup, [[0]], "flat") is None


def test_units_without_a_gradient_are_passed_over(setup, monkeypatch):
    losses = type(setup).losses
    monkeypatch.setattr(  # the first of every three texts has seven tokens
        type(setup), "losses", lambda self, batch: losses(self, batch) * (batch.inputs["attention_mask"].sum(1) != 7)
    )
    assert clipping_error(setup, [[0], [3]], "flat") is None
    assert 0 < clipping_error(setup, [[0], [3], [6], [1], [2]], "flat") < 1e-5
