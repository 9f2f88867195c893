"""Windows, batches by length, and padding."""

import numpy as np
import pytest

from probes.scoring.batching import by_length, in_windows, padded


def test_answers_come_in_the_order_of_the_questions_and_each_question_is_asked_once_a_window():
    asked = []

    def answer(questions):
        asked.append(questions)
        return [q.upper() for q in questions]

    assert list(in_windows(list("abacab"), answer, window=4)) == [["A", "B", "A", "C"], ["A", "B"]]
    assert asked == [["a", "b", "c"], ["a", "b"]]


def test_a_window_is_computed_only_when_it_is_asked_for():
    calls = []
    windows = in_windows(range(10), lambda questions: calls.append(1) or questions, window=3)
    assert calls == []
    next(windows)
    assert calls == [1]


def test_no_questions_give_no_windows():
    assert list(in_windows([], lambda questions: questions)) == []


@pytest.mark.parametrize("budget", [1, 7, 20, 1000])
def test_batches_hold_every_sequence_once_and_keep_to_the_budget_unless_one_alone_exceeds_it(budget):
    lengths = np.array([3, 9, 1, 0, 9, 4, 2])
    batches = list(by_length(lengths, budget))
    assert sorted(np.concatenate(batches)) == list(range(7))
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= budget for b in batches)
    assert [lengths[b].max() for b in batches] == sorted((lengths[b].max() for b in batches), reverse=True)


def test_batches_keep_to_a_number_of_sequences():
    assert [batch.tolist() for batch in by_length([1, 1, 1, 5, 1], 100, batch_rows=2)] == [[3, 0], [1, 2], [4]]


def test_padding_stands_on_the_right_and_is_masked():
    ids, mask = padded([np.array([5, 6, 7]), np.array([8])], fill=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
