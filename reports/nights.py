"""The nights of an audit as one HTML file: what its runs together say of each arm's claim; nothing is computed here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from probes.results import Check
from reports.figures import readings
from reports.figures.bounds import bounds, by_night
from reports.figures.looks import Side
from reports.figures.plates import Plate, plated
from reports.html import written
from reports.parts.claims import Line, line_of
from reports.parts.nights import ArmBounds, ArmNights, Nights
from reports.words.format import number
from reports.words.text import minute

_SLUGS = {"refuted": "blocked", "not refuted": "passed", "could not have been refuted": "no-decision"}
_BY_EVIDENCE = "The verdict is by the evidence, which may be looked at after every night."
_FOR_FIXED_NUMBERS = (
    "The bounds on ε are of all guesses together, for a number of nights that was fixed beforehand: unlike the "
    "evidence, they must not be looked at again and again until one of them speaks."
)
_BEYOND_THE_CLAIM = (
    "A lower bound lies beyond the claim, which the evidence does not refute: the bound refutes it only where the "
    "number of nights was fixed before the first one."
)
_ASSUMING = "SNJ assumes nothing of the mechanism, MMC that its noise is Gaussian."
_IF_INDEPENDENT = (
    "What stands under ‘if independent’ takes canaries for leaking independently of each other, which those of one "
    "training do not; its joint Beta lies above 0 even where nothing leaks."
)
_TICKS = "Ticks: single nights, by the bound for any mechanism."


@dataclass(frozen=True, kw_only=True)
class _Chapter:
    """One arm on the page.

    Attributes:
        arm: The twin that was asked.
        line: What all nights together say of its claim; None where it claims nothing.
        plates: Its figures.
        limits: How to read its figures.
        heads: Heads of the table of its nights, after the run.
        nights: Its rows, one for each night: its run, its start, and what stands under the heads.
    """

    arm: str
    line: Line | None
    plates: tuple[Plate, ...]
    limits: tuple[str, ...]
    heads: tuple[str, ...]
    nights: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Page:
    """Everything the page shows."""

    title: str
    foot: str
    slug: str
    tone: str
    word: str
    summary: str
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
        chapters=(
            *(
                _of_claim(2 * place + 1, arm, line, nights)
                for place, (arm, line) in enumerate(zip(nights.arms, lines, strict=True))
            ),
            *(_unclaimed(2 * len(lines) + place, arm, nights) for place, arm in enumerate(nights.unclaimed, start=1)),
        ),
    )
    return written("nights.html", page)


def _of_claim(first: int, arm: ArmNights, line: Line, nights: Nights) -> _Chapter:
    course = Side(name=arm.arm, look="private", series=arm.course)
    ladder = Side(name=arm.arm, look="private", series=arm.bounds, verdicts=(arm.verdict,))
    alone = _bounds_alone(ladder)
    return _Chapter(
        arm=arm.arm,
        line=line,
        plates=(_course(first, course), _ladder(first + 1, ladder)),
        limits=tuple(_limits(ladder, arm.verdict)),
        heads=("Evidence, nats", "So far, nats", "Bound on ε"),
        nights=tuple(
            (night, _start(night, nights), *cells, alone.get(night, "")) for night, *cells in _evidence(course)
        ),
    )


def _unclaimed(place: int, arm: ArmBounds, nights: Nights) -> _Chapter:
    ladder = Side(name=arm.arm, look="standard", series=arm.bounds)
    return _Chapter(
        arm=arm.arm,
        line=None,
        plates=(_ladder(place, ladder),),
        limits=tuple(_limits(ladder, None)),
        heads=("Bound on ε",),
        nights=tuple((night, _start(night, nights), alone) for night, alone in _bounds_alone(ladder).items()),
    )


def _course(place: int, side: Side) -> Plate:
    told = list(readings.numbers(side).items())[-readings.MOST_ROWS :]
    description = "; ".join(f"{night}: {words}" for night, words in told)
    return replace(plated([side], [()], [None], place), note="", description=description, columns=(), rows=(), hidden=0)


def _ladder(place: int, side: Side) -> Plate:
    """The claim and the bounds on one axis, as in the report of a run."""
    plate = plated([side], [()], [None], place)
    return replace(plate, axes=f"{plate.axes} {_TICKS}") if len(by_night(side)) > 1 else plate


def _evidence(side: Side) -> Iterator[tuple[str, str, str]]:
    rows = zip(side.words("night"), side.rows("log_e_value", "log_evidence"), strict=True)
    yield from ((night, readings.nats(alone), readings.nats(so_far)) for night, (alone, so_far) in rows)


def _bounds_alone(side: Side) -> dict[str, str]:
    return {night: f"≥ {number(value, 'epsilon')}" for night, value in by_night(side).items()}


def _limits(side: Side, verdict: Check | None) -> Iterator[str]:
    if verdict is not None:
        yield _BY_EVIDENCE
        if _contradicts(side, verdict):
            yield _BEYOND_THE_CLAIM
    yield _FOR_FIXED_NUMBERS
    yield _ASSUMING
    if len(by_night(side)) > 1:
        yield _IF_INDEPENDENT


def _contradicts(side: Side, verdict: Check) -> bool:
    """Whether a bound lies beyond a claim that the evidence does not refute."""
    held = bounds(side)
    claim = max((bound.value for bound in held if bound.kind == "claim"), default=None)
    most = max((bound.value for bound in held if bound.kind in ("bound", "assuming")), default=0.0)
    return verdict.outcome != "refuted" and claim is not None and most > claim


def _start(night: str, nights: Nights) -> str:
    return minute(nights.started.get(night, ""))
