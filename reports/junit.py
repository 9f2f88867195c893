"""The verdicts in JUnit's XML, which CI systems show as tests: a suite per pillar, a test case per gate."""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from probes.results import Estimate, Pillar
from reports.index import PILLARS, Index
from reports.parts.cards import TITLES
from reports.record import AuditRecord, GateResult, Judgement
from reports.words.format import significant
from reports.words.text import visible
from reports.words.wording import UNNAMED, gate_name, observed

_OUTCOMES = {"fail": "failure", "error": "error", "inconclusive": "skipped", "not measured": "skipped"}


def junit(record: AuditRecord, judgement: Judgement | None = None) -> str:
    """The gates as test cases: failures fail, errors are errors, what is undecided or not measured is skipped.

    Args:
        record: What was judged.
        judgement: The verdicts; without them there is one skipped case that says so.
    """
    index = Index(record)
    root = Element("testsuites", name=visible(record.title))
    if judgement is None:
        suite = SubElement(root, "testsuite", name="audit")
        case = SubElement(suite, "testcase", classname="audit", name="judged")
        SubElement(case, "skipped", message="not judged: no policy was applied")
        _count(suite)
    for pillar in PILLARS:
        gates = [gate for gate in judgement.gates if gate.pillar == pillar] if judgement is not None else []
        if gates:
            suite = SubElement(root, "testsuite", name=TITLES[pillar])
            for gate in gates:
                _case(suite, pillar, gate, index)
            _count(suite)
    _count(root)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _case(suite: Element, pillar: Pillar, gate: GateResult, index: Index) -> None:
    case = SubElement(suite, "testcase", classname=f"audit.{pillar}", name=visible(gate.id))
    properties = SubElement(case, "properties")
    for name, value in _properties(gate):
        SubElement(properties, "property", name=name, value=visible(value))
    outcome = _OUTCOMES.get(gate.verdict)
    if outcome is not None:
        shown = observed(gate)
        seen = "" if shown is None else f" Observed: {shown}."
        level = "warning only: " if gate.level == "warn" else ""
        message = visible(f"{level}{gate.verdict}: {gate.reason}")
        found = SubElement(case, outcome, message=message)
        if outcome != "skipped":
            found.set("type", gate.level)
            found.text = visible(
                f"{gate_name(gate, index)}. {gate.criterion}.{seen} Limit set by: {gate.owner or UNNAMED}."
            )


def _properties(gate: GateResult) -> list[tuple[str, str]]:
    found = [
        ("verdict", gate.verdict),
        ("criterion", gate.criterion),
        ("owner", gate.owner or UNNAMED),
        ("level", gate.level),
    ]
    if isinstance(gate.observed, Estimate):
        ends = {"estimate": gate.observed.value, "low": gate.observed.low, "high": gate.observed.high}
        found += [(name, significant(value, 6)) for name, value in ends.items() if value is not None]
    return found


def _count(element: Element) -> None:
    """Write the numbers of cases, failures, errors and skipped cases below an element into its attributes."""
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(len(element.findall(f".//{tag}"))))
