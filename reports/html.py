"""The report as one HTML file: nothing fetched, no script, every word of the record treated as untrusted text."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.figures.charts import chart
from reports.figures.plates import Plate
from reports.record import AuditRecord, Judgement, RunInfo
from reports.view import view
from reports.words.format import Shown, count
from reports.words.text import capitalised, visible

_TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_FOOT = 110


def render(
    record: AuditRecord, judgement: Judgement | None = None, run: RunInfo | None = None, sha256: str = ""
) -> str:
    """The page: the same text from the same files.

    Args:
        record: What was measured.
        judgement: The verdicts on it; without them the page says NOT JUDGED.
        run: When and where it was measured.
        sha256: SHA-256 of the record's file; where silent, of the file that would be written now.
    """
    return written("page.html", view(record, judgement, run, sha256))


class Footed(Protocol):
    """What a template shows; printed, its pages have a running foot."""

    @property
    def foot(self) -> str:
        """The running foot."""


def written(template: str, page: Footed) -> str:
    """A page by the name of its template, with the one sheet of styles, which its policy knows by hash."""
    sheet = _sheet() + _foot(page.foot)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    found = _environment().get_template(template)
    return found.render(page=page, sheet=sheet, sheet_hash=f"sha256-{digest}").strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.tests["shown"] = lambda part: isinstance(part, Shown)
    environment.filters |= {"capitalised": capitalised, "count": count, "drawn": _drawn, "side": _side}
    return environment


def _finalize(value: Any) -> Any:
    """Whatever a template prints and is not markup already loses its unseen characters before it is escaped."""
    return value if isinstance(value, Markup) else visible(str(value))


def _drawn(plate: Plate) -> Markup:
    return Markup(chart(plate.sides, prefix=plate.prefix, title=plate.heading, description=plate.description))


def _side(place: str) -> str:
    """How words at a place on a mark are anchored so that they stay on it."""
    share = float(place.removesuffix("%"))
    return "start" if share < 15 else "end" if share > 85 else "middle"


@cache
def _sheet() -> str:
    return (_TEMPLATES / "style.css").read_text("utf-8")


def _foot(text: str) -> str:
    """The running foot of printed pages; the text is quoted so that it cannot end the string, the rule or the sheet."""
    seen = visible(text)
    short = seen if len(seen) <= _LONGEST_FOOT else f"{seen[: _LONGEST_FOOT - 1]}…"
    quoted = "".join(c if c.isalnum() or c in " .,-·…" else f"\\{ord(c):x} " for c in short)
    box = "font: 8pt Arial, sans-serif; color: #4f4b45;"
    return (
        f'@page {{ @bottom-left {{ content: "{quoted}"; {box} }} '
        f'@bottom-right {{ content: counter(page) " / " counter(pages); {box} }} }}\n'
    )
