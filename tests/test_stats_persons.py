import numpy as np
import pytest

from probes.stats.persons import find, joint_score


def drawn(seed, *, leaky=0, n=400, shift=3.0):
    """Two records a person, three attacks that share half their variance; so many members stand out in all of them."""
    rng = np.random.default_rng(seed)
    unit, is_member = np.repeat(np.arange(n), 2), rng.random(n) < 0.5
    stands_out = np.zeros(n, dtype=bool)
    stands_out[np.flatnonzero(is_member)[:leaky]] = True
    ease = rng.normal(size=n)
    attacks = {
        f"a{k}": ((ease + rng.normal(size=n)) / np.sqrt(2) + shift * stands_out)[unit] + 0.3 * rng.normal(size=2 * n)
        for k in range(3)
    }
    return attacks, unit, is_member, stands_out


def found(seed, fdr=0.1, **more):
    attacks, unit, is_member, stands_out = drawn(seed, **more)
    return find(joint_score(attacks, unit)[1], is_member, fdr=fdr), stands_out


@pytest.mark.parametrize("leaky", [0, 30, 100])
def test_the_share_found_by_chance_is_at_most_what_is_stated(leaky):
    runs = [found(seed, leaky=leaky) for seed in range(200)]
    false = [(f.is_found & ~truth).sum() / max(1, f.is_found.sum()) for f, truth in runs]
    assert np.mean(false) <= 0.1 + 2 * np.std(false) / np.sqrt(len(false))


def test_those_who_stand_out_are_found():
    runs = [found(seed, leaky=30) for seed in range(20)]
    assert np.mean([(f.is_found & truth).sum() / 30 for f, truth in runs]) > 0.8


def test_the_p_value_is_the_place_among_those_left_out():
    score = np.array([5.0, 3.0, 1.0, 4.0, 3.0, 2.0, np.nan, np.nan])
    is_member = np.array([True, True, True, False, False, False, True, False])
    p = find(score, is_member, fdr=0.5).p_value
    np.testing.assert_allclose(p[:3], [1 / 4, 3 / 4, 4 / 4])  # a tie counts against the member
    assert np.isnan(p[3:]).all()


def test_of_no_leak_p_values_are_not_too_small():
    p = np.concatenate([f.p_value[~np.isnan(f.p_value)] for f, _ in (found(seed) for seed in range(50))])
    assert abs(np.mean(p <= 0.1) - 0.1) < 0.02
    assert abs(np.mean(p <= 0.5) - 0.5) < 0.03


def test_a_p_value_is_one_only_where_nobody_can_be_found():
    nobody = find(np.full(20, np.nan), np.arange(20) < 10, fdr=0.1)
    assert not nobody.is_found.any()
    assert np.isnan(nobody.p_value).all()


def test_a_score_is_blind_to_the_coins_and_to_the_scale_of_an_attack():
    attacks, unit, *_ = drawn(1, leaky=20)
    names, score = joint_score(attacks, unit)
    _, scaled = joint_score(attacks | {"a0": np.exp(3 * attacks["a0"].reshape(-1, 2).mean(axis=1))[unit]}, unit)
    assert names.tolist() == list(range(400))
    np.testing.assert_allclose(scaled, score)


def test_a_row_without_a_score_does_not_silence_its_person():
    attack = np.array([1.0, np.nan, 2.0, np.nan, 3.0])
    names, score = joint_score({"loss": attack}, np.array(["a", "a", "b", "c", "d"], dtype=object))
    assert names.tolist() == ["a", "b", "c", "d"]
    assert np.isnan(score).tolist() == [False, False, True, False]
    assert score[0] < score[1] < score[3]
