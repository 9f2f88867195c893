"""Canaries: unique, of the form asked for, and planted by coins of their own."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

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


def made(
    *specs: Canaries, core: Items | None = None, classes: int = 3, seed: int = 0, words: Sequence[str] = ()
) -> tuple[Items, Items | None]:
    known = {"classes": classes, "seed": seed, "salt": "salt", "unused": lambda texts: sorted(words)}
    canaries, references = make_canaries(specs, core or core_texts(), **known)
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


NEW = [f"qu{a}{b}{c}" for a in "aeio" for b in "bdfghlmnprst" for c in "aeiou"]


def test_a_new_token_stands_after_the_beginning_of_a_text_and_each_canary_has_its_own():
    core = core_texts(pairs=True)
    specs = [Canaries(kind="new_token", count=20, references=60), Canaries(kind="new_token", count=15, references=80)]
    canaries, references = made(*specs, core=core, words=NEW)
    firsts, _ = halves(core)
    for items in (canaries, references):
        for text, word in zip(items["text"], items["secret"], strict=True):
            beginning, _, last = text.rpartition(" ")
            assert last == word
            assert beginning in firsts
    assert len({*canaries["secret"], *references["secret"]}) == 20 + 15 + 80
    assert set(canaries["form"]) == set(references["cluster"]) == {"new_token"}
    assert set(canaries["label"]) == {0, 1, 2}


def test_never_planted_new_tokens_stand_after_texts_that_begin_no_canary_as_long_as_there_are_some():
    def beginnings(items):
        return [text.rpartition(" ")[0] for text in items["text"]]

    core = core_texts()
    for count, asked in ((30, 25), (30, 150)):
        spec = Canaries(kind="new_token", count=count, references=asked)
        canaries, references = made(spec, core=core, words=NEW)
        free = len(set(beginnings(references)[:25]) & set(beginnings(canaries)))
        assert free <= 2  # two of 120 random texts may begin alike
    assert max(Counter(beginnings(references)).values()) <= 6


def test_never_planted_new_tokens_have_words_of_their_own_too():
    canaries, references = made(Canaries(kind="new_token", count=20, references=10), words=NEW[:30])
    assert sorted([*canaries["secret"], *references["secret"]]) == sorted(NEW[:30])


def test_a_new_token_is_no_part_of_its_own_beginning_and_one_space_stands_before_it():
    texts = [f"quabas{i} bo\n\ncu {i}" if i % 2 else f"qudes{i} bo\t cu {i}" for i in range(60)]
    core = Items({"item_id": texts, "cluster": texts, "text": texts})
    spec = Canaries(kind="new_token", count=10, references=40)
    for items in made(spec, core=core, classes=0, words=["quaba", "qude", *NEW[:50]]):
        for text, word in zip(items["text"], items["secret"], strict=True):
            assert text.find(word) == len(text) - len(word)
            assert re.fullmatch(r"qu(aba|de)s\d+ bo \w+", text)


def test_a_new_token_is_no_part_of_the_second_text():
    texts = [f"bo bi cu {i} and more {i}" for i in range(40)]
    core = Items({"item_id": texts, "cluster": texts, "text": texts, "text_pair": ["squabas"] * 40})
    for items in made(
        Canaries(kind="new_token", count=3, references=9), core=core, classes=0, words=["quaba", *NEW[:14]]
    ):
        assert "quaba" not in set(items["secret"])


def test_words_for_new_tokens_are_asked_for_once_after_all_other_canaries_and_only_where_they_are_used():
    told: list[set[str]] = []

    def unused(texts):
        told.append(set(texts))
        return NEW

    new, other = Canaries(kind="new_token", count=5, references=9), Canaries(kind="random", count=7)
    known = {"classes": 3, "seed": 0, "salt": "salt", "unused": unused}
    canaries, _ = make_canaries([new, other, new], core_texts(), **known)
    assert told == [set(canaries["text"][canaries["kind"] == "random"])]
    alone, _ = make_canaries([new], core_texts(), **known)
    assert alone.digest == canaries.take(np.arange(5)).digest
    make_canaries([other], core_texts(), **known)
    assert told[1:] == [set()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (NEW[:4], "5 new_token ones need as many different words that stand in no .*; got 4; lower count, or"),
        (NEW[:13], "9 new_token references need as many different words .*; got 8; lower references, or use"),
    ],
)
def test_a_vocabulary_with_too_few_unused_words_is_refused(words, message):
    with pytest.raises(DataError, match=message):
        made(Canaries(kind="new_token", count=5, references=9), words=words)


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
    kinds = ("mislabelled", "in_distribution", "random_suffix", "new_token")
    specs = (DEFAULT, *(Canaries(kind=kind, count=20, references=30) for kind in kinds))
    shuffled = core.take(np.random.default_rng(1).permutation(core.n))
    for one, other in zip(made(*specs, core=core, words=NEW), made(*specs, core=shuffled, words=NEW), strict=True):
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
        (Canaries(kind="new_token", count=500), 3, "500 new_token ones need as many different training texts"),
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
    for kind in ("in_distribution", "random_suffix", "new_token"):
        with pytest.raises(DataError, match="of at most median length and 4 words or more"):
            made(Canaries(kind=kind, count=1), core=core, classes=0)


def test_texts_with_too_few_words_are_refused():
    core = Items({"item_id": ["1"], "cluster": ["1"], "text": ["one two three 4 5"]})
    with pytest.raises(DataError, match="20 different words to make canaries of; got 3"):
        made(DEFAULT, core=core, classes=0)


def with_groups(core: Items) -> Items:
    """The texts with a region and a gender each."""
    rng = np.random.default_rng(1)
    regions, genders = (np.array(names, dtype=object) for names in (["north", "south", "unknown"], ["f", "m"]))
    return core.assign(**{"group:region": rng.choice(regions, core.n), "group:gender": rng.choice(genders, core.n)})


MADE_OF_TEXTS = [Canaries(kind=kind, count=20, references=40) for kind in ("random_suffix", "in_distribution")]
MADE_OF_TEXTS += [Canaries(kind="mislabelled", count=20)]


def test_a_canary_that_begins_as_a_text_has_the_groups_of_its_person():
    core = with_groups(core_texts())
    items, _ = made(*MADE_OF_TEXTS, core=core)
    assert items.sensitivity["group:region"] == "personal"
    for text, secret, kind, region, gender in zip(
        *(items[c] for c in ("text", "secret", "kind", "group:region", "group:gender")), strict=True
    ):
        if kind == "in_distribution":
            continue
        begins = text.removesuffix(secret) if kind == "random_suffix" else text.rsplit(" ", 3)[0]
        whose = [i for i in range(core.n) if core["text"][i].startswith(begins)]
        assert (region, gender) in {(core["group:region"][i], core["group:gender"][i]) for i in whose}


def test_one_that_begins_as_one_groups_text_and_ends_as_anothers_belongs_to_none_that_is_known():
    core = with_groups(core_texts())
    canaries, _ = made(Canaries(kind="in_distribution", count=30, references=1), core=core)
    known = canaries.take(canaries["group:gender"] != "unknown")
    assert 5 < known.n < 25
    for text, gender in zip(known["text"], known["group:gender"], strict=True):
        ours = [core["text"][i].split() for i in range(core.n) if core["group:gender"][i] == gender]
        said = text.split()
        begins = [each[: len(each) // 2] for each in ours]
        ends = [each[len(each) // 2 :] for each in ours]
        assert any(said[: len(a)] == a and said[len(a) :] in ends for a in begins)


def test_groups_change_no_text_and_no_coin():
    core = core_texts()
    (plain, others), (grouped, theirs) = made(*MADE_OF_TEXTS, core=core), made(*MADE_OF_TEXTS, core=with_groups(core))
    assert set(grouped) == {*plain, "group:region", "group:gender"}
    assert all(np.array_equal(grouped[column], plain[column]) for column in plain)
    assert others.digest == theirs.digest, "canaries are ranked among all that were never planted"


def test_invented_canaries_have_no_groups_and_are_unknown_beside_others():
    core, secret = with_groups(core_texts()), Canaries(kind="secret", count=9, template="a {secret}", references=20)
    items, _ = made(DEFAULT, secret, core=core)
    assert not [column for column in items if column.startswith("group:")]
    items, _ = made(DEFAULT, secret, MADE_OF_TEXTS[0], core=core)
    invented = items.take(np.isin(items["kind"].astype(str), ["random", "secret"]))
    assert set(invented["group:region"]) == {"unknown"}
    assert {"north", "south"} <= set(items["group:region"])


def test_one_that_ends_in_a_new_token_has_the_groups_of_the_text_that_begins_it():
    core, spec = with_groups(core_texts()), Canaries(kind="new_token", count=30, references=10)
    unused = [f"{a}zz{b}" for a in VOCABULARY for b in "aeiou"]
    canaries, _ = make_canaries([spec], core, classes=3, seed=0, salt="salt", unused=lambda texts: unused)
    for text, word, region in zip(*(canaries[c] for c in ("text", "secret", "group:region")), strict=True):
        begins = text.removesuffix(f" {word}")
        whose = [i for i in range(core.n) if core["text"][i].startswith(begins)]
        assert region in {core["group:region"][i] for i in whose}


def test_without_groups_in_the_data_canaries_have_none():
    canaries, references = made(*MADE_OF_TEXTS)
    assert not [column for column in (*canaries, *references) if column.startswith("group:")]
