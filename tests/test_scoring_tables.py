"""The shared tables: columns, order, sensitivity, and what they ask."""

import difflib
import zlib

import numpy as np
import pyarrow as pa
import pytest

from probes.protocol import Items, Rows, Subject, Table, TokenRows
from probes.results import NotApplicable
from probes.scoring import tables
from probes.scoring.tables import ClassLogits, PairLogprob, SentenceLogprob, TokenTable


class Words:
    """Scores a word by its length, −1 nat a letter; its first three letters make its token."""

    def token_ids(self, texts):
        return [np.array([token_of(word) for word in text.split()], dtype=np.int64) for text in texts]

    def token_rows(self, texts):
        for start in range(0, len(texts), 2):
            part = texts[start : start + 2]
            yield self.rows(part, self.token_ids(part), [None] * len(part))

    def pseudo_token_rows(self, texts, positions=None):
        yield self.rows(texts, self.token_ids(texts), positions or [None] * len(texts))

    def rows(self, texts, ids, positions):
        at = [np.arange(len(i)) if p is None else p for i, p in zip(ids, positions, strict=True)]
        letters = [np.array([-float(len(w)) for w in t.split()])[p] for t, p in zip(texts, at, strict=True)]
        return TokenRows(
            token_ids=[i[p] for i, p in zip(ids, at, strict=True)],
            logprobs=letters,
            means=[row - 1 for row in letters],
            deviations=[np.abs(row) for row in letters],
            is_top=[row > -3 for row in letters],
            truncated=np.array(["too long" in text for text in texts]),
        )


def token_of(word):
    return sum(ord(letter) * 31**i for i, letter in enumerate(word[:3]))


class TwoClasses:
    """Gives the number of letters and of words."""

    def logits(self, texts, pairs=None):
        for start in range(0, len(texts), 2):
            part = texts[start : start + 2]
            yield np.array([[len(t), len(t.split()) + (0 if pairs is None else 10)] for t in part], dtype=float)


class TellingTwoClasses(TwoClasses):
    def truncated(self, texts, pairs=None):
        return np.array([len(text) > 5 for text in texts])


def items(**columns):
    n = len(columns["text"])
    return Items({"item_id": [f"i{k}" for k in range(n)], "cluster": [f"c{k}" for k in range(n)], **columns})


def rows_of(table, subject, asked):
    return Rows.from_arrow(pa.Table.from_batches(list(table.measure(subject, asked))))


CAUSAL = Subject(name="words", head="causal", token_scorer=Words())
MASKED = Subject(name="words", head="masked", masked_scorer=Words())
TEXTS = items(text=["a dog", "", "the cat too long", "one", "two three"])


@pytest.mark.parametrize("table", [ClassLogits(), TokenTable(), SentenceLogprob(), PairLogprob()])
def test_every_table_keeps_the_contract(table):
    assert isinstance(table, Table)
    assert table.name
    assert table.version >= 1


def test_class_logits_come_in_the_order_of_the_items_over_several_windows():
    rows = rows_of(ClassLogits(), Subject(name="m", head="classifier", class_scorer=TellingTwoClasses()), TEXTS)
    assert rows["item_id"].tolist() == TEXTS["item_id"].tolist()
    assert [row.tolist() for row in rows["logits"]] == [[5, 2], [0, 0], [16, 4], [3, 1], [9, 2]]
    assert rows["truncated"].tolist() == [False, False, True, False, True]


def test_class_logits_say_nothing_of_truncation_where_the_scorer_cannot_tell():
    rows = rows_of(ClassLogits(), Subject(name="m", head="classifier", class_scorer=TwoClasses()), TEXTS)
    assert rows["truncated"].tolist() == [None] * 5


def test_class_logits_ask_for_pairs_where_the_items_have_them():
    asked = items(text=["a dog", "b"], text_pair=["x", "y"])
    rows = rows_of(ClassLogits(), Subject(name="m", head="classifier", class_scorer=TwoClasses()), asked)
    assert [row.tolist() for row in rows["logits"]] == [[5, 12], [1, 11]]


def test_a_token_table_holds_what_the_attacks_need():
    rows = rows_of(TokenTable(), CAUSAL, TEXTS)
    assert [row.tolist() for row in rows["logprobs"]] == [[-1, -3], [], [-3, -3, -3, -4], [-3], [-3, -5]]
    assert [row.dtype for row in (rows["logprobs"][0], rows["means"][0], rows["token_ids"][1])] == ["f8", "f4", "i4"]
    assert rows["is_top"][0].tolist() == [True, False]
    assert rows["truncated"].tolist() == [False, False, True, False, False]
    assert rows["zlib_bytes"].tolist() == [len(zlib.compress(text.encode())) for text in TEXTS["text"]]


def test_a_token_table_is_measured_window_by_window():
    class Counting(Words):
        asked = 0

        def token_rows(self, texts):
            for rows in super().token_rows(texts):
                self.asked += len(rows.truncated)
                yield rows

    scorer = Counting()
    batches = TokenTable().measure(Subject(name="words", head="causal", token_scorer=scorer), TEXTS)
    assert scorer.asked == 0
    assert next(iter(batches)).num_rows == scorer.asked == 2  # the rest is asked when the first has been written


def test_token_ids_spell_the_text_and_are_as_sensitive():
    assert rows_of(TokenTable(), CAUSAL, TEXTS).sensitivity["token_ids"] == "personal"
    canaries = TEXTS.assign(secret=["1", "2", "3", "4", "5"])
    rows = rows_of(TokenTable(), CAUSAL, canaries)
    assert rows.sensitivity["token_ids"] == "secret"
    assert rows.sensitivity["item_id"] == "public"
    assert rows.sensitivity["logprobs"] == "derived"


@pytest.mark.parametrize("subject", [CAUSAL, MASKED])
def test_a_sentences_logprob_is_the_sum_and_empty_where_nothing_was_scored(subject):
    rows = rows_of(SentenceLogprob(), subject, TEXTS)
    assert rows["logprob_nats"].tolist() == [-4, None, -13, -3, -8]
    assert rows["n_tokens"].tolist() == [2, 0, 4, 1, 2]


PAIRS = items(
    text=["he likes old cars", "dogs bark", "one", "a man too long"],
    text_pair=["she likes new cars a lot", "cats purr", "one", "a woman"],
)


def test_under_a_masked_model_only_shared_tokens_count():
    rows = rows_of(PairLogprob(), MASKED, PAIRS)
    assert rows["n_shared"].tolist() == [2, 0, 1, 1]
    assert rows["more_nats"].tolist() == [-9, None, -3, -1]
    assert rows["less_nats"].tolist() == [-9, None, -3, -1]
    assert rows["truncated"].tolist() == [False, False, False, True]


def test_under_a_causal_model_whole_sentences_count():
    rows = rows_of(PairLogprob(), CAUSAL, PAIRS)
    assert rows["n_shared"].tolist() == [2, 0, 1, 1]
    assert rows["more_nats"].tolist() == [-14, -8, -3, -11]
    assert rows["less_nats"].tolist() == [-19, -8, -3, -6]


def test_pairs_are_asked_in_windows_and_keep_their_order(monkeypatch):
    expected = rows_of(PairLogprob(), MASKED, PAIRS)
    monkeypatch.setattr(tables, "PAIRS", 3)
    batches = list(PairLogprob().measure(MASKED, PAIRS))
    assert [len(batch) for batch in batches] == [3, 1]
    found = Rows.from_arrow(pa.Table.from_batches(batches))
    assert {name: found[name].tolist() for name in found} == {name: expected[name].tolist() for name in expected}


def test_shared_tokens_are_those_of_the_sources_alignment_with_its_start_and_end_tokens():
    rng = np.random.default_rng(0)
    for _ in range(200):
        first, second = (rng.integers(0, 6, rng.integers(0, 12)) for _ in range(2))
        framed = [["s", *map(str, ids), "e"] for ids in (first, second)]
        codes = difflib.SequenceMatcher(None, *framed).get_opcodes()
        expected = [(a + k - 1, b + k - 1) for tag, a, end, b, _ in codes if tag == "equal" for k in range(end - a)]
        assert list(zip(*tables._shared(first, second), strict=True)) == expected[1:-1]


def test_a_masked_scorer_that_cannot_choose_tokens_is_not_asked_for_pairs():
    class Whole:
        def pseudo_token_rows(self, texts):
            raise AssertionError("not asked")

    with pytest.raises(NotApplicable, match="shared tokens"):
        next(PairLogprob().measure(Subject(name="m", head="masked", masked_scorer=Whole()), PAIRS))


@pytest.mark.parametrize("table", [ClassLogits(), TokenTable(), SentenceLogprob(), PairLogprob()])
def test_a_model_that_cannot_be_asked_is_not_measured(table):
    with pytest.raises(NotApplicable):
        next(table.measure(Subject(name="m", head="classifier"), PAIRS))


def test_tables_know_real_scorers(tiny_bert_masked, tiny_bert_classifier, tiny_gpt2):
    from probes.scoring.causal import CausalScorer
    from probes.scoring.classifier import ClassifierScorer
    from probes.scoring.label_words import LabelWordScorer
    from probes.scoring.masked import MaskedScorer

    causal = CausalScorer(*tiny_gpt2, max_length=64)
    asked = items(text=["the man was old", "they paid ."], text_pair=["the woman was old", "they came ."])
    masked = Subject(name="m", head="masked", masked_scorer=MaskedScorer(*tiny_bert_masked, max_length=64))
    assert rows_of(PairLogprob(), masked, asked)["n_shared"].tolist() == [3, 2]
    assert rows_of(TokenTable(), Subject(name="g", head="causal", token_scorer=causal), asked).n == 2
    one = items(text=["the man", "a dog"])
    for scorer in (
        ClassifierScorer(*tiny_bert_classifier, max_length=64),
        LabelWordScorer(causal, "{text} is it good ?", ["yes", "no"]),
    ):
        rows = rows_of(ClassLogits(), Subject(name="c", head="classifier", class_scorer=scorer), one)
        assert rows["truncated"].tolist() == [False, False]


def test_importing_the_tables_loads_no_torch():
    import subprocess
    import sys

    code = "import sys, probes.scoring.tables; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
