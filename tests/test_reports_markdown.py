import re
from dataclasses import replace

import pytest

from reports.markdown import LONGEST, escaped, summary
from tests import record_factory as make


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_verdict_stands_in_the_first_line(kind):
    first = summary(*make.ALL_KINDS[kind]()).splitlines()[0]
    assert re.match("## (BLOCKED|PASSED|NO DECISION|NOT JUDGED): ", first)


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_a_summary_fits_a_comment_and_promises_nothing_that_no_audit_can_show(kind):
    text = summary(*make.ALL_KINDS[kind]())
    assert len(text) < LONGEST
    assert re.search("unbiased|anonymous|compliant", text, re.IGNORECASE) is None
    assert text.count("<details>") == text.count("</details>")


def test_a_summary_that_would_be_too_long_is_cut_between_its_parts():
    record, judgement, run = make.blocked()
    gates = tuple(replace(gate, reason="a long reason " * 800) for gate in judgement.gates)
    text = summary(record, replace(judgement, gates=gates), run)
    assert len(text) < LONGEST
    assert text.startswith("## BLOCKED")
    assert "was cut for its length" in text


def test_the_gates_stand_with_what_was_observed_and_why():
    text = summary(*make.blocked())
    row = next(line for line in text.splitlines() if line.startswith("| **Fail** |"))
    assert "at most 3\u00a0% | **4.6 to 8.9\u00a0%** (6.5) | The whole 97.5% interval" in row
    assert "| Pass (warns only) |" in text


def test_the_comparison_and_the_gaps_can_be_unfolded():
    text = summary(*make.blocked())
    assert "<details><summary>Would private training have been better?</summary>" in text
    assert "- **Poisoned training data:**" in text


def test_an_incomplete_run_is_told_above_everything_else():
    lines = summary(*make.incomplete()).splitlines()
    assert lines[2].startswith("> INCOMPLETE")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("**bold** `code` [link](x)", r"\*\*bold\*\* \`code\` \[link\](x)"),
        ("@someone", "@<!-- -->someone"),
        ("#12", "#<!-- -->12"),
        ("http://x.y", "http:<!-- -->//x.y"),
        ("www.x.y", "www<!-- -->.x.y"),
        ("a\nb\u202e", "a b⟨U+202E⟩"),
        ("&amp;", "&amp;amp;"),
        ("$x$", r"\$x\$"),
    ],
)
def test_words_of_a_record_are_no_markup(text, words):
    assert escaped(text) == words


def test_hostile_names_leave_every_table_with_its_columns():
    text = summary(*make.hostile())
    assert "<script" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
