"""What the terminal shows of names that come from anywhere: one line each, and nothing that the terminal would obey."""

from dataclasses import replace
from types import SimpleNamespace

from audit.cli import _verdict_words
from audit.planning.forecast import Forecast
from audit.planning.prospects import Prospect
from tests import record_factory as make

HOSTILE = "two\nlines\x1b[31m and\r\nmore\u202e"


def test_a_verdict_takes_a_line_for_each_gate_whatever_its_names_are():
    record = make.record()
    gates = tuple(replace(g, id=HOSTILE, criterion=HOSTILE, reason=HOSTILE) for g in make.gates(record))
    judgement = make.judgement(record, "blocked", *gates, owner="")
    words = _verdict_words(SimpleNamespace(report="report.html"), judgement)
    assert len(words.splitlines()) == 1 + len(gates) + 1
    assert "(owner not named)" in words
    assert not set("\x1b\r\u202e") & set(words)


def test_a_forecast_takes_a_line_for_each_gate_whatever_its_names_are():
    prospect = Prospect(gate=HOSTILE, criterion=HOSTILE, units=1, can_pass=None, words=HOSTILE)
    forecast = Forecast(run="r", clusters=1, rows={HOSTILE: 1}, notes=(HOSTILE,), work=(), prospects=(prospect,))
    words = forecast.words()
    assert sum("two lines" in line for line in words.splitlines()) == 3
    assert not set("\x1b\r\u202e") & set(words)
