import numpy as np
import pyarrow as pa
import pytest

from probes.protocol import Facts, Items, Rows, Subject
from probes.results import ALL, NotApplicable, Series
from probes.robustness.edits import EDITS, NEIGHBOURS, generator, share_changed
from probes.robustness.perturbation import Perturbation, chosen, edited_items
from probes.summary import findings

FACTS = Facts(arm="a", role="candidate", seed=0, head="classifier", task="text-classification", classes=("no", "yes"))
TEXT = "Don't worry: the 3.5 kg parcel, sent on Monday, arrives tomorrow!"


class ByFunction:
    """A classifier that says "yes" where a function of the text is true."""

    def __init__(self, function) -> None:
        self.function = function

    def logits(self, texts, pairs=None):
        yield np.array([[0.0, 1.0 if self.function(text) else -1.0] for text in texts])


def items(texts, labels) -> Items:
    ids = [f"i{i}" for i in range(len(texts))]
    return Items({"item_id": ids, "cluster": ids, "text": texts, "label": labels})


def answered(probe: Perturbation, on: Items, function) -> Rows:
    subject = Subject(name="function", head="classifier", class_scorer=ByFunction(function))
    tables = {}
    for name, ask in probe.needs(FACTS, {"test": on}).items():
        table = pa.Table.from_batches(list(ask.table.measure(subject, ask.on)))
        tables[name] = Rows({**ask.on.described, **Rows.from_arrow(table)})
    return probe.answers(tables, FACTS)


def values(probe: Perturbation, some: Rows) -> dict:
    return probe.statistics(some, np.ones(some.n))


def test_five_texts_by_hand():
    """Upper case changes four texts of five; "yes" is said to texts without a capital A, and to HI."""
    on = items(["banana", "HI", "melon", "apple", "grape"], [1, 1, 1, 0, 1])
    probe = Perturbation(kinds=("upper_case",))
    some = answered(probe, on, lambda text: "A" not in text)
    found = values(probe, some)
    # Before, all say yes: right on 4 of 5. In capitals melon alone of the four changed texts still says yes.
    assert found["answers_changed", "kind=upper_case"] == 3 / 4
    assert found["accuracy_drop", "kind=upper_case"] == pytest.approx(3 / 4 - 2 / 4)  # melon and apple are right then
    assert found["robust_accuracy", ALL] == 2 / 5  # HI, which no edit changed, and melon


def test_texts_that_an_edit_leaves_as_they_are_are_counted_and_not_asked():
    probe = Perturbation(kinds=("upper_case",))
    on = items(["HI", "low"], [1, 1])
    assert probe.needs(FACTS, {"test": on})["upper_case"].on.n == 1
    coverage = probe.coverage(answered(probe, on, bool), FACTS)["kind=upper_case"]
    assert (coverage.asked, coverage.answered) == (2, 1)
    assert dict(coverage.missing) == {"unchanged by the edit": 1}


def test_an_edit_that_changes_no_text_is_not_asked_at_all():
    probe = Perturbation(kinds=("upper_case", "lower_case"))
    asks = probe.needs(FACTS, {"test": items(["HI", "THERE"], [1, 1])})
    assert set(asks) == {"test", "lower_case"}


def test_a_model_that_does_not_look_at_the_text_changes_no_answer():
    probe = Perturbation()
    some = answered(probe, items([TEXT] * 12, [1] * 12), lambda text: True)
    given = findings(probe, some, FACTS, np.random.default_rng(0), draws=50)
    rates = [one.estimate for one in given if not isinstance(one, Series) and one.metric == "answers_changed"]
    assert len(rates) == len(EDITS)
    assert all(rate.value == 0 and rate.low == 0 and rate.high > 0.2 for rate in rates)


def test_the_chart_tells_how_much_each_edit_changed():
    probe = Perturbation(kinds=("upper_case", "lower_case"))
    some = answered(probe, items(["abcd", "ABcd"] * 10, [1] * 20), str.islower)
    series = findings(probe, some, FACTS, np.random.default_rng(0), draws=50)[-1]
    assert series.columns["kind"] == ("upper_case", "lower_case")
    assert series.columns["characters_changed"] == (0.75, 0.5)
    assert series.columns["n"] == (20, 10)


def test_the_items_chosen_do_not_depend_on_what_else_is_there():
    ids = np.array([f"i{i}" for i in range(50)], dtype=object)
    some = set(ids[chosen(ids, 10)])
    assert len(some) == 10
    fewer = np.array([i for i in ids if i in some or i < "i3"], dtype=object)
    assert set(fewer[chosen(fewer, 10)]) == some
    assert chosen(ids, 100).tolist() == list(range(50))


def test_an_edit_depends_on_the_item_and_on_nothing_else():
    alone = edited_items(items([TEXT], [1]), "typos")["text"][0]
    among = edited_items(items([TEXT, "something else entirely"], [1, 1]), "typos")["text"][0]
    assert alone == among


def test_a_second_text_is_edited_as_well():
    on = items(["one"], [1]).assign(text_pair=["two"])
    edited = edited_items(on, "upper_case")
    assert (edited["text"][0], edited["text_pair"][0]) == ("ONE", "TWO")


@pytest.mark.parametrize("kind", EDITS)
def test_every_edit_changes_the_text_the_same_way_each_time(kind):
    edited = EDITS[kind](TEXT, generator(kind, "i1"))
    assert edited != TEXT
    assert edited == EDITS[kind](TEXT, generator(kind, "i1"))


@pytest.mark.parametrize("kind", EDITS)
def test_no_edit_touches_numbers(kind):
    for i in range(20):
        assert "3.5" in EDITS[kind](TEXT, generator(kind, f"i{i}"))


@pytest.mark.parametrize("kind", ["typos", "keyboard", "swap"])
def test_edits_of_letters_keep_the_words_first_letters_and_most_words(kind):
    for i in range(20):
        edited = EDITS[kind](TEXT, generator(kind, f"i{i}")).split()
        assert [word[0] for word in edited] == [word[0] for word in TEXT.split()]
        assert sum(old != new for old, new in zip(TEXT.split(), edited, strict=True)) <= 2


@pytest.mark.parametrize("kind", EDITS)
def test_every_edit_takes_any_text(kind):
    for text in ("", " ", "a", "12 34", "?!", "日本語のテキスト", "é" * 3, "\n\t"):
        assert isinstance(EDITS[kind](text, generator(kind, "i")), str)


def test_punctuation_within_words_and_numbers_stays():
    assert EDITS["punctuation"](TEXT, generator("punctuation", "i")) == (
        "Don't worry the 3.5 kg parcel sent on Monday arrives tomorrow"
    )
    assert (
        EDITS["punctuation"]("paid 5. well...then :) ok", generator("punctuation", "i")) == "paid 5. well...then :) ok"
    )


def test_swap_exchanges_two_neighbouring_letters():
    assert EDITS["swap"]("abc", generator("swap", "i")) == "acb"


def test_keyboard_neighbours_are_mutual_and_near():
    assert set(NEIGHBOURS["g"]) == set("fhtyvb")
    assert all(letter in NEIGHBOURS[other] for letter, near in NEIGHBOURS.items() for other in near)
    assert len(NEIGHBOURS) == 26


@pytest.mark.parametrize(
    ("text", "edited", "distance"),
    [("a bcd", "a bxd", 1), ("ab cd", "ab ccd", 1), ("abc", "abc", 0), ("a b", "a  b ", 2), ("ab, c", "AB c", 1)],
)
def test_characters_changed_are_counted_word_by_word(text, edited, distance):
    assert share_changed(text, edited) == pytest.approx(distance / max(len(text), len(edited)))


def test_parameters_must_make_sense():
    with pytest.raises(ValueError, match=r"kinds must be among typos, .*; got typo"):
        Perturbation(kinds=("typo",))
    with pytest.raises(ValueError, match=r"kinds must be among typos, .*; got none"):
        Perturbation(kinds=())
    with pytest.raises(ValueError, match="limit must be at least 1; got 0"):
        Perturbation(limit=0)


def test_a_task_without_classes_has_no_decision_that_could_hold():
    with pytest.raises(NotApplicable, match="no classes"):
        Perturbation().needs(Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm"), {})
