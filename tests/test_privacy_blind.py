import numpy as np
import pyarrow as pa
import pytest

from probes.privacy import blind
from probes.privacy.blind import BlindScores, Interlock
from probes.protocol import DATA_ALONE, Items, Rows
from probes.results import NotMeasured

WORDS = [f"word{i}" for i in range(400)]
SHARES = 1 / np.arange(1, 401) / (1 / np.arange(1, 401)).sum()


def texts(rng: np.random.Generator, n: int, about: str = "") -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(5, 20), p=SHARES)) + about for _ in range(n)]


def items(said: list[str], is_member, cluster=None) -> Items:
    ids = [f"i{k:04d}" for k in range(len(said))]
    return Items({"item_id": ids, "cluster": cluster or ids, "text": said, "is_member": np.asarray(is_member)})


def interlock(asked: Items) -> Interlock:
    table = Rows.from_arrow(pa.Table.from_batches(list(BlindScores().measure(DATA_ALONE, asked))))
    assert set(table) == {"item_id", "blind_score"}
    return Interlock.of(asked.described.assign(blind_score=table["blind_score"]))


def half(n: int) -> list[bool]:
    return [True] * (n // 2) + [False] * (n - n // 2)


def test_fair_coins_leave_nothing_to_find():
    said = texts(np.random.default_rng(0), 240)
    locks = [interlock(items(said, np.random.default_rng(seed).random(240) < 0.5)) for seed in range(24)]
    assert sum(bool(lock.reason) for lock in locks) <= 1
    misses = sum(not lock.auc.low <= 0.5 <= lock.auc.high for lock in locks)
    assert misses <= 4  # more than 4 of 24 at 5 % would happen once in 150 times
    assert abs(np.mean([lock.auc.value for lock in locks]) - 0.5) < 0.03


def test_coins_that_clusters_share_raise_no_alarm_either():
    # Copies of a record would tell its place in training, were they not kept together.
    said = np.repeat(texts(np.random.default_rng(0), 80), 3).tolist()
    cluster = np.repeat([f"c{i}" for i in range(80)], 3).tolist()
    coins = [np.repeat(np.random.default_rng(seed).random(80) < 0.5, 3) for seed in range(10)]
    assert not any(interlock(items(said, is_member, cluster)).reason for is_member in coins)


@pytest.mark.parametrize("difference", [" written in 2024", " Https://example.org", "\n\n", " ÄÖÜ", "!?!"])
def test_members_of_another_time_or_format_are_found(difference):
    rng = np.random.default_rng(0)
    said = texts(rng, 120, difference) + texts(rng, 120)
    lock = interlock(items(said, half(240)))
    assert lock.auc.low > 0.9
    assert lock.reason.startswith("withheld: a classifier that never sees the model")
    assert lock.check().outcome == "fail"


def test_members_that_are_newer_are_found_by_their_words_and_years():
    rng = np.random.default_rng(0)
    old, new = (
        [f"{t} {year}" for t, year in zip(texts(rng, 150), rng.integers(*years, 150), strict=True)]
        for years in ((2001, 2016), (2012, 2025))
    )
    assert interlock(items(new + old, half(300))).reason


def test_members_of_a_middle_length_are_found():
    # Neither longer nor shorter on average: a weight on the length itself would find nothing.
    rng = np.random.default_rng(0)
    members = [" ".join(rng.choice(WORDS, 20)) for _ in range(150)]
    others = [" ".join(rng.choice(WORDS, n)) for n in [5] * 75 + [35] * 75]
    assert interlock(items(members + others, half(300))).reason


def test_members_of_another_class_are_found():
    said = texts(np.random.default_rng(0), 240)
    asked = items(said, half(240)).assign(label=np.array([1] * 100 + [0] * 140))
    assert interlock(asked).reason


def test_the_order_of_the_items_moves_no_score():
    asked = items(texts(np.random.default_rng(0), 120), half(120))
    order = np.random.default_rng(1).permutation(120)
    np.testing.assert_allclose(blind.blind_scores(asked.take(order)), blind.blind_scores(asked)[order], atol=0.02)


def test_a_small_pool_is_not_judged():
    lock = interlock(items(texts(np.random.default_rng(0), 12), half(12)))
    assert isinstance(lock.auc, NotMeasured)
    assert lock.reason == ""
    assert lock.check().outcome == "not checked"


@pytest.mark.parametrize("said", [[""] * 60, ["the same"] * 60])
def test_texts_that_say_nothing_are_no_error(said):
    assert interlock(items(said, half(60))).reason == ""


def test_a_silent_interlock_withholds_nothing():
    bare = Rows({"is_member": [True, False], "cluster": ["a", "b"]})
    assert Interlock.of(bare).reason == ""


def test_of_rows_that_somebody_brought_a_silent_interlock_withholds_all():
    bare = Rows({"is_member": [True, False], "cluster": ["a", "b"]})
    assert Interlock.of(bare, tossed_here=False).reason.startswith("withheld: the blind reader could not be measured")
    few = bare.assign(blind_score=[0.2, 0.8])
    assert Interlock.of(few).reason == ""
    assert "an AUC needs 10 of each" in Interlock.of(few, tossed_here=False).reason
