"""What a plan says of reference models: what they cost, and why so many or so few are the rule."""

import pytest

from audit.planning.plan import make_plan
from audit.planning.references import references_in_words
from audit.settings.config import AuditConfig


def said(strategy, references):
    config = AuditConfig.model_validate(
        {
            "model": "m",
            "data": {"file": "d.csv", "label": "l"},
            "training": {"strategy": strategy},
            "arms": {"standard": {}},
            "probes": {"membership": {"references": references}},
        }
    )
    return list(references_in_words(config, make_plan(config)))


def test_heads_alone_share_one_pass_however_many_they_are():
    (words,) = said("head", 64)
    assert words.startswith("64 of standard-twin: their heads alone are trained, on one pass")


@pytest.mark.parametrize("strategy", ["full", "lora", "bitfit"])
def test_what_reaches_into_the_body_costs_a_training_each(strategy):
    (few,), (many,) = said(strategy, 4), said(strategy, 64)
    assert "1 to 4 are the rule" in few
    assert "these cost" not in few
    assert "these cost 64 trainings, and with strategy: head they would cost a few" in many


def test_without_references_nothing_is_said():
    assert said("full", 0) == []
