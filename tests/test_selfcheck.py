"""The self-check of our own private training: honest noise is not refuted, missing noise is."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from audit import selfcheck
from audit.cli import main
from audit.exits import BLOCKED, INCONCLUSIVE, OK, USAGE
from audit.training import selfcheck as attack
from audit.training.dirac import DiracCanaries
from audit.training.exactness import InexactClipping
from audit.training.privacy import privatize
from audit.training.spec import PrivacySpec

CLAIM = PrivacySpec(epsilon=1.0, delta=1e-5, unit="person", max_grad_norm=attack.MAX_GRAD_NORM)
REFUTES = 43
"""Right guesses of 50 that refute epsilon 1 with 200 canaries at delta 1e-5; methods: Steinke et al. (2023)."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def with_noise(monkeypatch, share):
    """Plant the defect: a share of the noise that is accounted is added."""

    def broken(*args):
        setup = privatize(*args)
        setup.optimizer.noise_multiplier *= share
        return setup

    monkeypatch.setattr(attack, "privatize", broken)


def refuted(seeds):
    """How many trainings that claim epsilon 1 are refuted."""
    games = []
    for seed in seeds:
        training = attack.attacked(CLAIM, seed)
        assert training.result.privacy.epsilon == pytest.approx(1.0, abs=1e-2)
        games.append(selfcheck.game_of(training).right)
    return sum(right >= REFUTES for right in games)


def test_two_honest_trainings_are_not_refuted():
    assert refuted(range(2)) == 0


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_two_trainings_with_no_noise_or_a_tenth_of_it_are_refuted(share, monkeypatch):
    with_noise(monkeypatch, share)
    assert refuted(range(2)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_no_noise_and_a_tenth_of_it_are_refuted_in_twenty_seeds_of_twenty(share, monkeypatch):
    with_noise(monkeypatch, share)
    assert refuted(range(20)) == 20


@pytest.mark.slow
def test_the_honest_mechanism_is_refuted_in_at_most_one_seed_of_twenty():
    assert refuted(range(20)) <= 1


@pytest.mark.slow
def test_noise_and_draws_of_the_operating_system_are_not_refuted_either():
    assert refuted([None] * 20) <= 1


# ---- the canaries --------------------------------------------------------------------------------------------------


def test_a_canarys_gradient_is_one_coordinate():
    dirac = DiracCanaries(8)
    for canary in range(8):
        dirac.zero_grad()
        own = torch.zeros(3, 8)
        own[1, canary] = 1
        (5.0 * dirac(own)[1]).backward()
        parts = (dirac.table.weight, dirac.matrix.weight, dirac.biases.bias, dirac.normalization.bias)
        gradient = torch.cat([part.grad.flatten() for part in parts])
        assert gradient.nonzero().flatten().tolist() == [canary]
        assert gradient[canary] == 5.0
        assert not dirac.biases.weight.grad.any()
        assert not dirac.normalization.weight.grad.any()


def test_without_noise_a_canarys_coordinate_tells_how_often_it_was_drawn():
    training = attack.attacked(replace(CLAIM, epsilon=None, noise_multiplier=0.0), 0)
    draws = training.score * (attack.UNITS // 2) / (attack.MAX_GRAD_NORM * 1e-3)
    np.testing.assert_allclose(draws, np.round(draws), atol=1e-2)
    assert not draws[~training.is_member].any()
    assert 15 < draws[training.is_member].mean() < 25  # 40 steps, each with probability one half


# ---- the verdict ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trainings():
    torch.set_num_threads(1)
    return attack.attacked(CLAIM, 0), attack.attacked(replace(CLAIM, epsilon=None, noise_multiplier=0.0), 0)


def test_an_honest_training_is_not_refuted_and_every_line_of_its_claim_passes(trainings):
    found = selfcheck.judged(*trainings)
    assert (found.verdict, found.needed, found.control) == ("not refuted", REFUTES, 50)
    assert {line.name: line.outcome for line in found.lines} == dict.fromkeys(selfcheck._LINES, "pass")
    assert not found.failed


def test_a_training_whose_coins_are_guessed_is_refuted(trainings):
    honest, bare = trainings
    found = selfcheck.judged(replace(honest, score=bare.score), bare)
    assert (found.verdict, found.failed) == ("refuted", True)
    assert found.bound > 1


def test_a_check_that_finds_nothing_without_noise_either_says_that_it_could_not(trainings):
    honest, _ = trainings
    found = selfcheck.judged(honest, honest)
    assert (found.verdict, found.failed) == ("could not have been refuted", False)
    assert "that defect is NOT found" in found.words()


# ---- the verb ------------------------------------------------------------------------------------------------------


def verb(monkeypatch, found, *arguments):
    def test(epsilon, seed, observer):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(selfcheck, "selfcheck", test)
    return CliRunner().invoke(main, ["selfcheck", "--privacy", *arguments])


def test_the_verb_ends_with_a_code_for_each_verdict(monkeypatch, trainings):
    honest, bare = trainings
    good, bad = selfcheck.judged(honest, bare), selfcheck.judged(replace(honest, score=bare.score), bare)
    weak = selfcheck.judged(honest, honest)
    assert [verb(monkeypatch, each).exit_code for each in (good, bad, weak)] == [OK, BLOCKED, INCONCLUSIVE]
    assert verb(monkeypatch, InexactClipping("gradients are not clipped")).exit_code == BLOCKED


def test_the_verb_prints_one_document(monkeypatch, trainings):
    result = verb(monkeypatch, selfcheck.judged(*trainings), "--json")
    document = json.loads(result.stdout)
    assert (document["verdict"], document["needed"], document["failed"]) == ("not refuted", REFUTES, False)
    assert "verdict          not refuted" in result.stderr


def test_the_verb_wants_to_be_told_what_to_test():
    result = CliRunner().invoke(main, ["selfcheck"])
    assert result.exit_code == USAGE
    assert "--privacy" in result.stderr


def test_an_epsilon_that_no_noise_keeps_is_a_users_mistake():
    result = CliRunner().invoke(main, ["selfcheck", "--privacy", "--epsilon", "0.001"])
    assert result.exit_code == USAGE
    assert result.stderr.startswith("no noise keeps epsilon 0.001")
