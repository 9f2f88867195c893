"""The record in Markdown for a pull request or a step summary: the verdict first, then what it rests on.

Every word that a record brings is escaped, so that a name cannot become a link, a mention or markup.
"""

import re
from collections.abc import Iterator, Sequence

from reports.parts.comparison import Comparison
from reports.record import AuditRecord, Judgement, RunInfo
from reports.view import GateRow, Page, view
from reports.words.format import Shown, count, short
from reports.words.text import visible
from reports.words.wording import Sentence, Strong

LONGEST = 60_000
"""Characters; a comment on GitHub may have 65,536."""

_MOST_GATES = 60
_MOST_GAPS = 30
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")


def summary(
    record: AuditRecord, judgement: Judgement | None = None, run: RunInfo | None = None, sha256: str = ""
) -> str:
    """The summary: under 60,000 characters, whatever the record holds.

    Args:
        record: What was measured.
        judgement: The verdicts on it.
        run: When and where.
        sha256: SHA-256 of the record's file; where silent, of the file that would be written now.
    """
    page = view(record, judgement, run, sha256)
    parts = [_head(page), _answers(page), _gates(page), *_more(page), _foot(page)]
    kept: list[str] = []
    for part in filter(None, parts):
        if sum(map(len, kept)) + len(part) + 200 > LONGEST:
            kept.append("*The rest was cut for its length; it stands in report.html.*\n")
            break
        kept.append(part)
    return "\n".join(kept)


def escaped(text: str) -> str:
    """The text as plain words in Markdown: no markup, no HTML, no link, no mention, no reference to an issue."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = _SPECIAL.sub(r"\\\1", plain)
    # Sites make links of these by themselves, whatever is escaped; an empty comment keeps the halves apart.
    return re.sub(r"(?<=@)(?=\w)|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=#)(?=\d)", "<!-- -->", plain)


def _words(sentence: Sentence) -> str:
    return "".join(_part(part) for part in sentence).replace("****", "").strip()  # bold beside bold is one


def _part(part: str | Shown | Strong) -> str:
    if isinstance(part, Shown):
        point = f" ({escaped(part.point)})" if part.point else ""
        return escaped(str(part)) if part.reason else f"**{escaped(part.interval)}**{point}"
    return f"**{escaped(part.text)}**" if isinstance(part, Strong) else escaped(part)


def _head(page: Page) -> str:
    front = page.front
    policy = f" under {escaped(front.policy)}" if front.policy else ""
    model = ", ".join(escaped(words) for words in (front.model, front.origin) if words)
    which = ". ".join(escaped(words) for words in (front.title, front.identity, front.policy and front.owner) if words)
    warnings = [f"> {escaped(warning)}" for warning in front.verdict.warnings]
    lines = [f"## {front.verdict.word}: {model}{policy}", "", *warnings, *([""] if warnings else []), f"{which}.", ""]
    lines += [_words(front.score), ""]
    return "\n".join([*lines, ""])


def _answers(page: Page) -> str:
    lines = [f"- **{term}:** {_words(answer)}" for term, answer in page.front.answers]
    return "\n".join([*lines, f"- **Evidence:** {escaped(page.front.evidence)}.", ""])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _gates(page: Page) -> str:
    if not page.gates:
        return ""
    rows = [_gate(gate) for gate in page.gates[:_MOST_GATES]]
    more = len(page.gates) + page.more_passed - len(rows)
    table = _table(("Verdict", "Gate", "Observed", "Reason"), rows)
    return table + (f"\n{count(more)} more gates stand in gates.json.\n" if more else "")


def _gate(gate: GateRow) -> tuple[str, str, str, str]:
    word = gate.word if gate.word == "Pass" else f"**{gate.word}**"
    warns = " (warns only)" if gate.warns else ""
    observed = "not measured" if gate.observed is None else _part(gate.observed)
    return word + warns, escaped(gate.condition), observed, escaped(gate.reason)


def _more(page: Page) -> Iterator[str]:
    findings = "\n".join(f"- **{card.title}:** {_words(card.sentence)}" for card in page.cards)
    yield _folded("What was found", findings)
    if page.comparison is not None:
        yield _folded(page.comparison.title, _compared(page.comparison))
    gaps = [f"- **{escaped(gap.name)}:** {escaped(gap.reason)}" for gap in (*page.gaps[:_MOST_GAPS], *page.scope)]
    yield _folded("What was not tested", "\n".join(gaps))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escaped(title)}</summary>\n\n{body}\n\n</details>\n"


def _compared(compared: Comparison) -> str:
    heads = ("Measure", escaped(compared.reference.name), escaped(compared.subject.name), "Difference", "In words")
    rows = [
        (
            escaped(f"{row.label} ({row.part})" if row.part else row.label),
            "not measured" if row.reference is None else escaped(str(row.reference)),
            "not measured" if row.subject is None else escaped(str(row.subject)),
            _part(row.difference),
            escaped(row.words),
        )
        for row in compared.rows
    ]
    return f"{escaped(compared.lead)}\n\n{_words(compared.cost)}\n\n{_table(heads, rows)}"


def _foot(page: Page) -> str:
    where = f"run {escaped(page.front.run)}; " if page.front.run else ""
    texts = (
        "Texts of the data may appear in the report." if page.shows_examples else "No text of the data appears here."
    )
    return f"<sub>{where}record sha256 {short(page.record)} {texts}</sub>\n"
