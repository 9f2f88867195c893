"""Near-duplicates: found whatever their order, and not invented by what all texts share."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.data import clusters as clusters_module
from audit.data.clusters import SHINGLE, near_duplicates, words

VOCABULARY = [f"word{i}" for i in range(400)]


def random_text(rng: np.random.Generator, length: int) -> str:
    return " ".join(rng.choice(VOCABULARY, length))


def partition(numbers: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)}


def slow_partition(texts: list[str], threshold: float) -> set[frozenset[int]]:
    """Every pair compared, without hashing; for texts without boilerplate."""
    said = [words(text) for text in texts]
    shingles = [{tuple(w[i : i + SHINGLE]) for i in range(len(w) - SHINGLE + 1)} for w in said]
    group = list(range(len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        union = shingles[i] | shingles[j]
        alike = union and len(shingles[i] & shingles[j]) / len(union) >= threshold
        if said[i] == said[j] or alike:
            group = [group[i] if g == group[j] else g for g in group]
    return partition(np.array(group))


def edited_texts(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(12):
        original = random_text(rng, int(rng.integers(2, 60))).split()
        for _ in range(int(rng.integers(1, 5))):
            copy = list(original)
            for place in rng.integers(len(copy), size=int(rng.integers(0, 4))):
                copy[place] = str(rng.choice(VOCABULARY))
            texts.append(" ".join(copy))
    return texts


@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.5, 0.7, 0.8, 0.9]))
@settings(max_examples=40, deadline=None)
def test_clusters_are_those_of_comparing_every_pair(seed, threshold):
    texts = edited_texts(seed)
    assert partition(near_duplicates(texts, threshold=threshold, boilerplate=0.9)) == slow_partition(texts, threshold)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_clusters_do_not_depend_on_the_order_of_the_texts(seed):
    texts = edited_texts(seed)
    order = np.random.default_rng(seed).permutation(len(texts))
    shuffled = near_duplicates([texts[i] for i in order])
    back = np.empty(len(texts), dtype=int)
    back[order] = shuffled
    assert partition(back) == partition(near_duplicates(texts))


def test_planted_duplicates_are_found_and_nothing_else():
    rng = np.random.default_rng(0)
    texts = [random_text(rng, 40) for _ in range(300)]
    copies = [text.upper().replace(" ", ",  ") for text in texts[:20]]
    longer = [f"{text} and some more" for text in texts[20:40]]
    clusters = near_duplicates(texts + copies + longer)
    assert clusters[300:].tolist() == clusters[:40].tolist()
    assert len(set(clusters)) == 300


def test_numbers_count_from_zero_in_the_order_of_first_appearance():
    assert near_duplicates(["one", "two", "one", "three", "two"]).tolist() == [0, 1, 0, 2, 1]


def test_a_common_footer_fuses_nothing():
    rng = np.random.default_rng(1)
    footer = random_text(rng, 60)
    texts = [f"{random_text(rng, 6)} {footer}" for _ in range(200)] + [random_text(rng, 30) for _ in range(100)]
    assert len(set(near_duplicates(texts))) == 300
    assert len(set(near_duplicates(texts, boilerplate=0.9))) == 101  # were it not set aside


def test_duplicates_under_a_common_footer_are_still_found():
    rng = np.random.default_rng(2)
    footer = random_text(rng, 60)
    bodies = [random_text(rng, 12) for _ in range(100)]
    clusters = near_duplicates([f"{body} {footer}" for body in [*bodies, bodies[3], bodies[5].upper()]])
    assert (clusters[100], clusters[101]) == (3, 5)
    assert len(set(clusters)) == 100


def test_a_footer_of_one_source_is_boilerplate_there_however_small_the_source():
    rng = np.random.default_rng(3)
    footer = random_text(rng, 60)
    big = [random_text(rng, 30) for _ in range(300)]
    small = [f"{random_text(rng, 6)} {footer}" for _ in range(30)]
    assert len(set(near_duplicates(big + small))) == 301
    assert len(set(near_duplicates(big + small, [0] * 300 + [1] * 30))) == 330


def test_texts_that_are_nothing_but_boilerplate_match_exactly_or_not():
    texts = ["we thank you for your kind letter"] * 30 + [f"a letter of {i} words" for i in range(30)]
    assert len(set(near_duplicates(texts))) == 31


@pytest.mark.parametrize("pair", [("yes", "Yes!"), ("ＦＵＬＬ width", "full width"), ("!?", "!?"), ("", " ")])
def test_short_texts_match_by_their_words(pair):
    assert len(set(near_duplicates([*pair]))) == 1


@pytest.mark.parametrize("pair", [("yes", "no"), ("!?", "?!"), ("42", "43"), ("café", "cafe")])
def test_other_short_texts_do_not(pair):
    assert len(set(near_duplicates([*pair]))) == 2


def test_scripts_without_spaces_are_compared_letter_by_letter():
    text = "人工智能模型在部署之前必须接受偏见隐私和稳健性方面的审计" * 2
    other = "天气预报说明天下午有小雨请大家出门的时候记得带上雨伞谢谢" * 2
    clusters = near_duplicates([text, f"{text}。吗", other])
    assert clusters.tolist() == [0, 0, 1]


def test_no_texts_have_no_clusters():
    assert near_duplicates([]).shape == (0,)


def texts_of_a_form(n: int, slots: int, seed: int = 5) -> list[str]:
    """Texts that differ in the words of a few slots: the more slots, the less similar."""
    rng = np.random.default_rng(seed)
    form = random_text(rng, 40).split()
    texts = []
    for _ in range(n):
        copy = list(form)
        for place in range(0, 3 * slots, 3):
            copy[place] = str(rng.choice(VOCABULARY[:20]))
        texts.append(" ".join(copy))
    return texts


@pytest.mark.parametrize("at_once", [1, 7, 256])
def test_texts_of_one_form_are_told_apart_however_many_are_compared_at_once(monkeypatch, at_once):
    monkeypatch.setattr(clusters_module, "_COMPARED", at_once)
    texts = [text for slots in (1, 2, 3) for text in texts_of_a_form(40, slots, seed=slots)]
    found = partition(near_duplicates(texts, threshold=0.8, boilerplate=0.9))
    assert found == slow_partition(texts, 0.8)
    assert 3 < len(found) < 120


def test_thousands_of_texts_of_one_form_that_are_not_similar_enough_take_no_minutes():
    texts = texts_of_a_form(2000, 5)
    clusters = near_duplicates(texts, boilerplate=0.999)  # pair by pair in Python this would take most of a minute
    assert len(set(clusters)) > 1000


def test_many_copies_of_one_text_are_no_slower_than_many_texts():
    rng = np.random.default_rng(4)
    template = random_text(rng, 60).split()
    texts = []
    for i in range(3000):
        copy = list(template)
        copy[i % 60] = f"number{i}"
        texts.append(" ".join(copy))
    assert len(set(near_duplicates(texts, boilerplate=0.999))) == 1  # quadratic work would not end in the test's time
