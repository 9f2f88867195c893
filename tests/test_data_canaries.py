"""Canaries: unique, of the form asked for, and planted by coins of their own."""

import hashlib
import re

import numpy as np
import pytest

from audit.data.canaries import DEFAULT, make_canaries
from audit.data.clusters import words
from audit.data.files import DataError
from audit.data.forms import Form, draw_secrets, luhn_digit
from audit.settings.sections.data import Canaries
from probes.protocol import Items

VOCABULARY = [f"{a}{b}" for a in "bdfgh" for b in ("all", "ill", "ot", "un", "en")]


def core_texts(n: int = 120, pairs: bool = False, labelled: bool = True) -> Items:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(VOCABULARY, int(rng.integers(5, 15)))) for _ in range(n)]
    columns = {"item_id": [str(i) for i in range(n)], "cluster": [f"c{i}" for i in range(n)], "text": texts}
    columns |= {"text_pair": texts[::-1]} if pairs else {}
    return Items(columns | ({"label": rng.integers(3, size=n)} if labelled else {}))


def made(*specs: Canaries, core: Items | None = None, classes: int = 3, seed: int = 0) -> tuple[Items, Items | None]:
    canaries, references = make_canaries(specs, core or core_texts(), classes=classes, seed=seed, salt="salt")
    assert canaries is not None
    return canaries, references


def test_random_canaries_are_words_of_the_texts_and_one_that_stands_nowhere_else():
    canaries, references = made(DEFAULT)
    assert canaries.n == 200
    assert references is None
    assert len(set(canaries["secret"])) == len(set(canaries["item_id"])) == 200
    assert canaries["cluster"].tolist() == canaries["item_id"].tolist()
    for text, secret in zip(canaries["text"], canaries["secret"], strict=True):
        *known, last = words(text)
        assert set(known) <= set(VOCABULARY)
        assert last == secret
        assert secret not in VOCABULARY


def test_labels_are_drawn_from_all_classes_and_independently_of_the_coins():
    canaries, _ = made(Canaries(kind="random", count=3000))
    counts = np.bincount(canaries["label"], minlength=3)
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(3000 * 2 / 9))
    planted = np.bincount(canaries["label"][canaries["is_member"]], minlength=3)
    assert np.all(np.abs(planted - counts / 2) < 5 * np.sqrt(1000 / 4))


def test_language_models_get_canaries_without_labels_and_pairs_get_pairs():
    secret = Canaries(kind="secret", count=5, template="it is {secret}")
    plain, references = made(DEFAULT, secret, core=core_texts(labelled=False), classes=0)
    paired, _ = made(DEFAULT, core=core_texts(pairs=True))
    assert "label" not in plain
    assert "label" not in references
    assert all(set(words(pair)) <= set(VOCABULARY) for pair in paired["text_pair"])


def test_secrets_have_never_planted_references_of_the_same_form():
    template = "code {secret} of {0.__class__}"
    canaries, references = made(Canaries(kind="secret", count=40, template=template, digits=4, references=500))
    assert references is not None
    for items in (canaries, references):
        assert all(re.fullmatch(r"code \d{4} of \{0\.__class__\}", text) for text in items["text"])
    assert len({*canaries["text"], *references["text"]}) == 540
    assert set(references["cluster"]) == set(canaries["form"]) == {"digits-1"}
    assert set(canaries["kind"]) == set(references["kind"]) == {"secret"}
    assert set(references["label"]) == set(canaries["label"]) == {0, 1, 2}


def test_entries_of_one_form_share_references_and_other_forms_have_their_own():
    one = Canaries(kind="secret", count=20, template="a {secret}", references=100)
    four = one.model_copy(update={"repetitions": 4, "references": 50})
    card = Canaries(kind="secret", count=20, template="a {secret}", secret="card", references=30)
    canaries, references = made(one, four, card, DEFAULT)
    assert references is not None
    assert dict(zip(*np.unique(references["cluster"], return_counts=True), strict=True)) == {
        "card-2": 30,
        "digits-1": 100,
    }
    assert canaries["repetitions"][canaries["form"] == "digits-1"].tolist() == [1] * 20 + [4] * 20
    assert len(set(canaries["text"])) == canaries.n


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("card", r"4000 00\d\d \d{4} \d{4}"),
        ("phone", r"\+1 [2-9]\d\d 555 01\d\d"),
        ("key", r"[a-z0-9]{24}"),
    ],
)
def test_each_kind_of_secret_has_its_form(kind, pattern):
    secrets = draw_secrets(Form.of(kind, 8, "x {secret}"), 500, np.random.default_rng(0))
    assert len(set(secrets)) == 500
    assert all(re.fullmatch(pattern, secret) for secret in secrets)


def test_cards_pass_the_luhn_check():
    assert luhn_digit("7992739871") == "3"  # the example of ISO/IEC 7812 that most texts repeat
    assert luhn_digit("411111111111111") == "1"
    for secret in draw_secrets(Form.of("card", 8, "{secret}"), 100, np.random.default_rng(0)):
        digits = secret.replace(" ", "")
        assert luhn_digit(digits[:-1]) == digits[-1]


def test_all_secrets_of_a_small_form_can_be_drawn_and_no_more():
    form = Form.of("digits", 2, "{secret}")
    drawn = draw_secrets(form, 100, np.random.default_rng(0))
    assert sorted(drawn) == [f"{i:02d}" for i in range(100)]
    with pytest.raises(DataError, match="there are 100; raise digits"):
        draw_secrets(form, 101, np.random.default_rng(0))


def test_secrets_are_drawn_evenly_from_their_space():
    drawn = [int(s) for s in draw_secrets(Form.of("digits", 32, "{secret}"), 2000, np.random.default_rng(0))]
    assert np.mean(drawn) / 10**32 == pytest.approx(0.5, abs=5 / np.sqrt(12 * 2000))


def test_mislabelled_canaries_are_copies_with_a_wrong_label_and_words_of_their_own():
    core = core_texts()
    canaries, _ = made(Canaries(kind="mislabelled", count=30), core=core)
    labels = dict(zip(core["text"], core["label"], strict=True))
    for text, label, secret in zip(canaries["text"], canaries["label"], canaries["secret"], strict=True):
        original = " ".join(text.split()[:-3])
        assert label != labels[original]
        assert text.endswith(f" {secret}")
        assert text not in labels
    assert len(set(canaries["text"])) == 30


def halves(core: Items) -> tuple[set[str], set[str]]:
    """The first and the second halves of all texts, cut at a word."""
    cut = [(text.split(), len(text.split()) // 2) for text in core["text"]]
    return {" ".join(found[:at]) for found, at in cut}, {" ".join(found[at:]) for found, at in cut}


@pytest.mark.parametrize("classes", [0, 3])
def test_texts_like_the_data_begin_as_one_text_and_go_on_as_another_of_its_class(classes):
    core = core_texts(labelled=classes > 0)
    spec = Canaries(kind="in_distribution", count=20, references=300)
    canaries, references = make_canaries([spec], core, classes=classes, seed=0, salt="salt")
    assert (canaries.n, references.n) == (20, 300)
    assert set(references["cluster"]) == set(canaries["form"]) == {"in_distribution"}
    labels = core["label"] if classes else np.zeros(core.n, dtype=int)
    of_class = {label: halves(core.take(labels == label)) for label in set(labels.tolist())}
    for items in (canaries, references):
        for text, label in zip(items["text"], items["label"] if classes else [0] * items.n, strict=True):
            firsts, seconds = of_class[label]
            found = text.split()
            joints = [at for at in range(len(found)) if " ".join(found[:at]) in firsts]
            assert any(" ".join(found[at:]) in seconds for at in joints)
    assert len({*canaries["text"], *references["text"], *core["text"]}) == 20 + 300 + len(set(core["text"]))


def test_two_texts_like_the_data_share_no_half_and_none_is_a_text_of_the_audit():
    core = core_texts()
    spec = Canaries(kind="in_distribution", count=30, references=1)
    free, _ = made(spec, core=core)
    sources = core["text"].tolist()
    for part in (lambda text, at: text[:at], lambda text, at: text[-at:]):
        assert len({part(text, 8) for text in free["text"]}) >= 28  # two of 120 random texts may begin alike
    assert not set(free["text"]) & set(sources)
    known, _ = make_canaries([spec], core, classes=3, seed=0, salt="salt", known=free["text"].tolist())
    assert not set(known["text"]) & set(free["text"])


def test_white_space_within_the_halves_is_kept():
    texts = [f"a{i}\n\nb{i}  c{i}\td{i}" for i in range(30)]
    core = Items({"item_id": texts, "cluster": texts, "text": texts})
    canaries, _ = made(Canaries(kind="in_distribution", count=30, references=1), core=core, classes=0)
    assert all(re.fullmatch(r"a(\d+)\n\nb\1  c(\d+)\td\2", text) for text in canaries["text"])


def test_a_random_suffix_stands_after_the_beginning_of_a_text_and_nowhere_else():
    core = core_texts(pairs=True)
    canaries, references = made(Canaries(kind="random_suffix", count=40, references=200), core=core)
    firsts, _ = halves(core)
    pairs = dict(zip(core["text"], core["text_pair"], strict=True))
    for items in (canaries, references):
        for text, tail, pair in zip(items["text"], items["secret"], items["text_pair"], strict=True):
            beginning = text.removesuffix(tail).rstrip()
            assert beginning in firsts
            assert pair in {second for first, second in pairs.items() if first.startswith(beginning)}
            assert set(tail.split()) <= set(VOCABULARY)
            assert len(tail.split()) >= 4
    assert len({*canaries["secret"], *references["secret"]}) == 240
    assert len({text.removesuffix(tail) for text, tail in zip(canaries["text"], canaries["secret"], strict=True)}) > 35


def test_several_templates_take_even_parts_and_have_references_each():
    spec = Canaries(kind="secret", count=7, templates=["a {secret}", "b {secret} c", "{secret}"], references=10)
    canaries, references = made(spec)
    assert canaries["form"].tolist() == ["digits-1"] * 3 + ["digits-2"] * 2 + ["digits-3"] * 2
    patterns = {"digits-1": r"a \d{8}", "digits-2": r"b \d{8} c", "digits-3": r"\d{8}"}
    for items, form in ((canaries, "form"), (references, "cluster")):
        assert all(re.fullmatch(patterns[of], text) for of, text in zip(items[form], items["text"], strict=True))
    assert references.n == 30
    assert len({*canaries["text"], *references["text"]}) == 37


def test_one_template_in_a_list_is_that_template():
    one = Canaries(kind="secret", count=9, template="a {secret}")
    several = Canaries(kind="secret", count=9, templates=["a {secret}"])
    assert [items.digest for items in made(one)] == [items.digest for items in made(several)]


def test_what_was_made_before_there_were_other_kinds_is_still_made():
    specs = [DEFAULT, Canaries(kind="secret", count=41, template="it is {secret}", references=100)]
    specs += [Canaries(kind="mislabelled", count=30)]
    canaries, references = made(*specs)
    texts = "\n".join([*canaries["text"], *references["text"]])
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "734d6a8ad5943778"


def test_references_of_all_kinds_stand_side_by_side_and_those_of_secrets_stay_the_same():
    secret = Canaries(kind="secret", count=9, template="a {secret}", references=20)
    _, alone = made(secret)
    _, together = made(secret, Canaries(kind="random_suffix", count=9, references=30))
    both = together.take(np.flatnonzero(together["kind"] == "secret"))
    assert all(np.array_equal(both[column], alone[column]) for column in alone)
    assert set(both["secret"]) == {text.removeprefix("a ") for text in both["text"]}
    assert "secret" not in alone


def test_coins_are_fair_and_not_exactly_half():
    planted = [int(made(DEFAULT, seed=seed)[0]["is_member"].sum()) for seed in range(60)]
    assert np.mean(planted) == pytest.approx(100, abs=5 * np.sqrt(50 / 60))
    assert np.std(planted) == pytest.approx(np.sqrt(50), rel=0.4)


def test_one_more_entry_changes_no_other():
    first, _ = made(DEFAULT)
    more, _ = made(DEFAULT, Canaries(kind="mislabelled", count=5))
    assert first.digest == more.take(np.arange(200)).digest


def test_the_order_of_the_texts_changes_nothing():
    core = core_texts()
    kinds = ("mislabelled", "in_distribution", "random_suffix")
    specs = (DEFAULT, *(Canaries(kind=kind, count=20, references=30) for kind in kinds))
    shuffled = core.take(np.random.default_rng(1).permutation(core.n))
    for one, other in zip(made(*specs, core=core), made(*specs, core=shuffled), strict=True):
        assert one.digest == other.digest


def test_nothing_asked_for_is_nothing_made():
    assert make_canaries((), core_texts(), classes=3, seed=0, salt="salt") == (None, None)


@pytest.mark.parametrize(
    ("spec", "classes", "message"),
    [
        (Canaries(kind="secret", count=1, template="no place"), 3, "it stands there 0 times"),
        (Canaries(kind="secret", count=1, template="{secret} {secret}"), 3, "it stands there 2 times"),
        (Canaries(kind="secret", count=1), 3, "it stands there 0 times"),
        (Canaries(kind="secret", count=1, template="{secret}", digits=2), 3, "1,001 different secrets are needed"),
        (Canaries(kind="mislabelled", count=1), 0, "need a task with classes"),
        (Canaries(kind="mislabelled", count=500), 3, "lower count"),
        (Canaries(kind="in_distribution", count=500), 3, "whose halves make new texts; got 6"),
        (Canaries(kind="in_distribution", count=2, references=9000), 3, "9,000 in_distribution references need"),
        (Canaries(kind="random_suffix", count=500), 3, "500 random_suffix ones need as many different training texts"),
        (Canaries(kind="random_suffix", count=2, references=200_000), 3, "too many for the 25 different words"),
    ],
)
def test_what_cannot_be_made_is_refused(spec, classes, message):
    with pytest.raises(DataError, match=message):
        made(spec, classes=classes)


def test_texts_that_cannot_be_cut_at_a_word_begin_and_end_nothing():
    core = Items(
        {"item_id": list("abc"), "cluster": list("abc"), "text": ["no way out", "東京は今日も晴れです", "yes"]}
    )
    for kind in ("in_distribution", "random_suffix"):
        with pytest.raises(DataError, match="of at most median length and 4 words or more"):
            made(Canaries(kind=kind, count=1), core=core, classes=0)


def test_texts_with_too_few_words_are_refused():
    core = Items({"item_id": ["1"], "cluster": ["1"], "text": ["one two three 4 5"]})
    with pytest.raises(DataError, match="20 different words to make canaries of; got 3"):
        made(DEFAULT, core=core, classes=0)
