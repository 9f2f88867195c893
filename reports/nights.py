"""The nights of an audit as one HTML file: what its runs together say of each arm's claim; nothing is computed here."""

from dataclasses import dataclass

from reports.figures import captions, readings
from reports.figures.looks import Side
from reports.figures.plates import Plate
from reports.html import written
from reports.parts.claims import Line, line_of
from reports.parts.nights import ArmNights, Nights
from reports.words.text import minute

_SLUGS = {"refuted": "blocked", "not refuted": "passed", "could not have been refuted": "no-decision"}
_FOR_FIXED_NUMBERS = (
    "bounds of all guesses together, for a number of nights that was fixed beforehand: unlike the evidence, they must "
    "not be looked at again and again until one of them speaks"
)


@dataclass(frozen=True, kw_only=True)
class _Chapter:
    """One arm on the page."""

    arm: str
    line: Line
    plate: Plate
    nights: tuple[tuple[str, str, str, str], ...]
    bounds: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Page:
    """Everything the page shows."""

    title: str
    foot: str
    slug: str
    tone: str
    word: str
    summary: str
    caveat: str
    chapters: tuple[_Chapter, ...]


def render_nights(nights: Nights) -> str:
    """The page: the same text from the same runs; there is at least one arm.

    Args:
        nights: What the runs together say.
    """
    lines = [line_of(arm.verdict, arm.arm) for arm in nights.arms]
    leading = next(line for line, arm in zip(lines, nights.arms, strict=True) if arm.verdict.outcome == nights.outcome)
    page = _Page(
        title=f"{leading.outcome}: {nights.title}, all nights together",
        foot=f"{nights.title} · all nights together · {leading.outcome}",
        slug=_SLUGS[nights.outcome],
        tone=leading.tone,
        word=leading.outcome,
        summary=nights.summary,
        caveat=_FOR_FIXED_NUMBERS,
        chapters=tuple(
            _chapter(number, arm, line, nights)
            for number, (arm, line) in enumerate(zip(nights.arms, lines, strict=True), start=1)
        ),
    )
    return written("nights.html", page)


def _chapter(number: int, arm: ArmNights, line: Line, nights: Nights) -> _Chapter:
    side, bounds = (Side(name=arm.arm, look="private", series=series) for series in (arm.course, arm.bounds))
    told = readings.numbers(side)
    plate = Plate(
        number=number,
        heading=captions.heading("nights", [side], [None]),
        axes=captions.AXES["nights"],
        sides=(side,),
        note="",
        description="; ".join(f"{night}: {words}" for night, words in list(told.items())[-readings.MOST_ROWS :]),
        columns=(),
        rows=(),
        hidden=0,
    )
    rows = zip(side.words("night"), side.numbers("log_e_value"), side.numbers("log_evidence"), strict=True)
    return _Chapter(
        arm=arm.arm,
        line=line,
        plate=plate,
        nights=tuple(
            (night, minute(nights.started.get(night, "")), readings.nats(alone), readings.nats(so_far))
            for night, alone, so_far in rows
        ),
        bounds=tuple(readings.numbers(bounds).items()),
    )
