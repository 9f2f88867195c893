import numpy as np
import pyarrow as pa
import pytest

from probes.bias.name_swap import NameSwap
from probes.bias.names import NAMES, SAME, SENTENCES, built_in_swaps, swaps
from probes.protocol import Facts, Items, Rows, Subject
from probes.results import ALL, NotApplicable
from probes.summary import findings

FACTS = Facts(arm="a", role="candidate", seed=0, head="classifier", task="text-classification", classes=("no", "yes"))
PROBE = NameSwap()


def rows(changed, attributes) -> Rows:
    ids = [f"s{i}" for i in range(len(changed))]
    return Rows({"item_id": ids, "cluster": ids, "attribute": attributes, "is_changed": np.asarray(changed)})


class ByWords:
    """A classifier that says "yes" to texts with one of its words."""

    def __init__(self, words) -> None:
        self.words = set(words)

    def logits(self, texts, pairs=None):
        for text in texts:
            yield np.array([[0.0, 1.0 if self.words & set(text.replace(",", "").split()) else -1.0]])


def asked(words, data: dict[str, Items] | None = None) -> dict:
    subject = Subject(name="words", head="classifier", class_scorer=ByWords(words))
    tables = {}
    for name, ask in PROBE.needs(FACTS, data or {}).items():
        table = pa.Table.from_batches(list(ask.table.measure(subject, ask.on)))
        tables[name] = Rows({**ask.on.described, **Rows.from_arrow(table)})
    some = PROBE.answers(tables, FACTS)
    return PROBE.statistics(some, np.ones(some.n))


def test_five_swaps_by_hand():
    found = PROBE.statistics(
        rows([True, True, False, True, False], ["gender", "gender", "gender", SAME, SAME]), np.ones(5)
    )
    assert found["flip_rate", "attribute=gender"] == pytest.approx(2 / 3)
    assert found["flip_rate_same_group", ALL] == 0.5
    assert found["excess_flip_rate", "attribute=gender"] == pytest.approx(1 / 6)


def test_a_model_that_looks_at_gender_alone_flips_for_gender_alone():
    women = [name for (gender, _), names in NAMES.items() if gender == "female" for name in names]
    found = asked(women)
    assert found["flip_rate", "attribute=gender"] == 1
    assert found["flip_rate", "attribute=ethnicity"] == 0
    assert found["flip_rate_same_group", ALL] == 0
    assert found["excess_flip_rate", "attribute=gender"] == 1


def test_a_model_that_looks_at_one_name_shows_no_excess_to_speak_of():
    found = asked(["Emily"])
    assert found["flip_rate_same_group", ALL] == 2 / 16  # Emily is the first of one swap and the second of another
    assert found["excess_flip_rate", "attribute=gender"] == 0


def test_what_swaps_within_a_group_change_stands_beside_as_the_null():
    some = rows([True] * 10 + [False] * 10 + [True] * 5 + [False] * 15, ["gender"] * 20 + [SAME] * 20)
    found = {f.metric: f.estimate for f in findings(PROBE, some, FACTS, np.random.default_rng(0), draws=200)}
    assert found["flip_rate"].null.value == 0.25
    assert found["flip_rate"].null.p is None
    assert found["excess_flip_rate"].null.p is not None


def test_swaps_without_controls_have_no_excess():
    found = PROBE.statistics(rows([True, False], ["name", "name"]), np.ones(2))
    assert found == {("flip_rate", "attribute=name"): 0.5}


def test_swaps_that_come_with_the_data_go_before_the_built_in_ones():
    swaps = Items({"item_id": ["a"], "cluster": ["a"], "text": ["ada writes"], "text_pair": ["abel writes"]})
    assert asked(["ada"], {"name_swaps": swaps}) == {("flip_rate", "attribute=name"): 1.0}


def test_each_side_is_asked_as_one_text_and_not_as_a_pair():
    for ask in PROBE.needs(FACTS, {}).values():
        assert "text_pair" not in ask.on


def test_a_task_without_classes_has_no_decision():
    facts = Facts(arm="a", role="candidate", seed=0, head="causal", task="causal-lm")
    with pytest.raises(NotApplicable, match="no decision that could change"):
        PROBE.needs(facts, {})


def test_a_swap_changes_the_one_attribute_it_names():
    group = {name: key for key, names in NAMES.items() for name in names}
    for swap in swaps():
        (gender, ethnicity), (other_gender, other_ethnicity) = group[swap.original], group[swap.swapped]
        differs = {"gender": gender != other_gender, "ethnicity": ethnicity != other_ethnicity}
        assert differs == {attribute: attribute == swap.attribute for attribute in differs}
        assert swap.original != swap.swapped


def test_sentences_name_nobody_twice_and_no_gender():
    for sentence in SENTENCES:
        assert sentence.count("{name}") == 1
        assert not {"he", "she", "his", "her", "him"} & set(sentence.lower().replace(",", "").split())
    assert len(set(built_in_swaps()["cluster"])) == len(SENTENCES) >= 20


def test_a_task_about_pairs_of_texts_is_not_asked_with_single_ones():
    pairs = Items({"item_id": ["1"], "cluster": ["1"], "text": ["a"], "text_pair": ["b"], "label": [0]})
    with pytest.raises(NotApplicable, match="the task is about pairs of texts"):
        PROBE.needs(FACTS, {"test": pairs})
