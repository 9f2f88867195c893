from dataclasses import replace
from xml.etree import ElementTree

import pytest

from reports.junit import junit
from reports.record import digest
from tests import record_factory as make


def _root(kind):
    record, judgement, _ = make.ALL_KINDS[kind]()
    return ElementTree.fromstring(junit(record, judgement).encode())


def test_there_is_a_suite_per_pillar_and_a_case_per_gate():
    root = _root("blocked")
    assert [suite.get("name") for suite in root] == ["Bias", "Privacy", "Robustness", "Utility"]
    assert [case.get("name") for case in root.iter("testcase")] == [
        *("region-gap", "stereotype", "members", "members-low", "phone", "typos", "f1")
    ]


def test_failures_fail_and_what_is_open_or_not_measured_is_skipped_with_its_reason():
    cases = {case.get("name"): case for case in _root("blocked").iter("testcase")}
    failure = cases["members"].find("failure")
    assert failure.get("message") == "fail: the whole 97.5% interval lies beyond the limit"
    assert "4.6 to 8.9\u00a0% (6.5)" in failure.text
    assert cases["region-gap"].find("skipped").get("message").startswith("inconclusive: ")
    assert cases["members-low"].find("skipped").get("message").startswith("not measured: ")
    assert [child.tag for child in cases["f1"]] == ["properties"]


def test_a_broken_unit_is_an_error():
    record = make.record()
    gate = make.gate("members", "error", None, 0.03, -1)
    root = ElementTree.fromstring(junit(record, make.judgement(record, "no decision", gate)))
    assert root.find(".//error").get("message").startswith("error: ValueError")
    assert root.get("errors") == "1"


def test_a_failure_that_only_warns_says_so():
    record = make.record()
    gate = replace(make.gates(record)[0], level="warn")
    root = ElementTree.fromstring(junit(record, make.judgement(record, "passed", gate)))
    assert root.find(".//failure").get("message").startswith("warning only: ")
    assert root.find(".//failure").get("type") == "warn"


def test_the_counts_are_those_of_the_cases():
    root = _root("blocked")
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }


def test_the_estimate_and_its_interval_are_properties():
    case = next(case for case in _root("blocked").iter("testcase") if case.get("name") == "members")
    held = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert (held["estimate"], held["low"], held["high"]) == ("0.065", "0.046", "0.089")


def test_without_verdicts_one_case_says_not_judged():
    root = _root("not judged")
    assert [case.find("skipped").get("message") for case in root.iter("testcase")] == [
        "not judged: no policy was applied"
    ]


@pytest.mark.parametrize("bad", ["\x00", "\x1b[31m", "\ufffe", "<![CDATA[", "]]>", make.HOSTILE])
def test_no_name_makes_the_file_illegal(bad):
    record = replace(make.record(), title=bad)
    gates = tuple(replace(g, id=bad, reason=bad, criterion=bad, owner=bad) for g in make.gates(record))
    judgement = replace(make.judgement(record, "blocked", *gates), record=digest(record))
    root = ElementTree.fromstring(junit(record, judgement).encode())
    assert len(list(root.iter("testcase"))) == 7
