import numpy as np
import pytest

from probes.privacy import variants
from probes.protocol import Items

TEXTS = ["The cat sat on the mat, and 2 dogs ran over it twice.", "WHY not?", "", "...", "Three small words"]
ITEMS = Items({"item_id": list("abcde"), "cluster": list("abcde"), "text": TEXTS, "label": np.arange(5)})


@pytest.mark.parametrize("name", list(variants.PASSES))
def test_copies_keep_what_is_known_of_their_record_and_stand_beside_each_other(name):
    copies = variants.PASSES[name](ITEMS, 4)
    each = copies.n // ITEMS.n
    assert copies["cluster"].tolist() == [c for c in "abcde" for _ in range(each)]
    assert len(set(copies["item_id"])) == copies.n
    assert variants.by_record(copies["label"], 5)[:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", list(variants.PASSES))
def test_a_copy_depends_on_its_record_and_its_number_alone(name):
    alone, among = variants.PASSES[name](ITEMS.take(np.array([4])), 2), variants.PASSES[name](ITEMS, 2)
    if name != "neighbours":  # whose words come from all records
        assert alone["text"].tolist() == among["text"][-alone.n :].tolist()
    assert variants.PASSES[name](ITEMS, 2)["text"].tolist() == among["text"].tolist()


def test_small_letters_are_one_copy():
    assert variants.lowercase(ITEMS, 9)["text"].tolist() == [text.lower() for text in TEXTS]


def test_a_neighbour_exchanges_a_tenth_of_the_words_for_words_of_the_records():
    copies = variants.by_record(variants.neighbours(ITEMS, 5)["text"], 5)
    words = {word for text in TEXTS for word in variants._WORD.findall(text)}
    for text, near in zip(TEXTS, copies, strict=True):
        for other in near:
            before, after = variants._WORD.findall(text), variants._WORD.findall(other)
            assert len(before) == len(after)
            assert set(after) <= words
            assert sum(a != b for a, b in zip(before, after, strict=True)) <= -(-len(before) // 10)
    assert copies[2].tolist() == [""] * 5
    assert len(set(copies[0].tolist())) > 1


def test_slips_take_turns():
    copies = variants.by_record(variants.slips(ITEMS, len(variants.SLIPS))["text"], 5)[0]
    assert copies[variants.SLIPS.index("lower_case")] == TEXTS[0].lower()
    assert len(set(copies.tolist())) >= 4
