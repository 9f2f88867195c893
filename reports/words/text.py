"""Words as a reader sees them: names from a record made visible and put in a row, slices and dates in words."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from reports.words.format import count, counted, exact

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


ISOLATE, END = "\u2068", "\u2069"
"""What words written from right to left stand between, so that they draw no number beside them to their side."""


def visible(text: str) -> str:
    """The text with every control, bidi, zero-width and other unseen character written out, as "⟨U+202E⟩".

    A name in a record may come from anywhere; none may hide or reorder what stands beside it. Line breaks and
    tabulators become spaces, emoji stay joined, and each run of words written from right to left is isolated. What is
    visible already stays as it is.

    Source: Unicode Standard Annex 9, https://www.unicode.org/reports/tr9/, section 2.4 (explicit isolates).
    """
    if text.isascii() and text.isprintable():
        return text
    line = _on_a_line(text)
    joined = {match.start() for match in _JOINED.finditer(line)}
    seen = "".join(c if _is_seen(c) or at in joined else f"⟨U+{ord(c):04X}⟩" for at, c in enumerate(line))
    return _isolated(seen)


_EMOJI = "\U0001f000-\U0001faff\u2190-\u2bff"
_JOINED = re.compile(f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])")
"""What makes one picture of two, as of a woman and a computer."""


def _on_a_line(text: str) -> str:
    return text.replace("\r\n", " ").translate({0x09: " ", 0x0A: " ", 0x0D: " ", 0x2068: None, 0x2069: None})


@cache
def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN


def _isolated(text: str) -> str:
    """From the first letter written from right to left to the last before a letter written from left to right."""
    sides = [_SIDES.get(unicodedata.bidirectional(c), " ") for c in text]
    if "R" not in sides:
        return text
    parts, at = [], 0
    for run in re.finditer(r"R(?:[R ]*R)?", "".join(sides)):
        parts += [text[at : run.start()], ISOLATE, text[run.start() : run.end()], END]
        at = run.end()
    return "".join([*parts, text[at:]])


_SIDES = {"L": "L", "R": "R", "AL": "R", "AN": "R"}


def capitalised(text: str) -> str:
    """The text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def as_sentence(text: str) -> str:
    """The text as a sentence: a capital at its beginning, a full stop at its end; "" stays ""."""
    bare = text.strip()
    return f"{capitalised(bare)}{'' if bare[-1:] in '.!?' else '.'}" if bare else ""


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a row: "a, b and c"; of too many, the first and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {count(len(names) - most)} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def part_words(part: str) -> str:
    """A slice's address in words: "attack=loss,fpr=0.01" is "attack loss, 1 % false alarms"."""
    pairs: list[tuple[str, str]] = []
    for piece in part.split(","):
        key, is_pair, value = piece.partition("=")
        if is_pair or not pairs:
            pairs.append((key, value) if is_pair else ("", key))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{piece}")  # a comma within a name
    if [key for key, _ in pairs[:2]] == ["attribute", "group"]:
        (_, attribute), (_, group), *pairs = pairs
        pairs.insert(0, ("", f"{attribute}: {group}"))
    return ", ".join(_piece(key, value) for key, value in pairs)


_ATTACKS = {"min_k": "Min-K", "min_k_plus_plus": "Min-K++"}


def attack_words(name: str) -> str:
    """An attack's name as it is written."""
    return _ATTACKS.get(name, name.replace("_", " "))


def _piece(key: str, value: str) -> str:
    if key in {"kind", "form"}:
        return value.replace("_", " ")
    if key in {"", "attribute", "category", "group", "class"} or value == "in-domain":
        return value
    if key == "attack":
        return f"attack {attack_words(value)}"
    if key == "repetitions" and value.isdigit():
        return counted(int(value), "copy")
    if key == "fpr":
        try:
            return f"{exact(float(value), 'rate')} false alarms"
        except ValueError:
            pass
    return f"{key} {value}"


def split_words(name: str) -> str:
    """A split's name in words: "domain:phone" is "in phone"."""
    return f"in {name.removeprefix('domain:')}" if name.startswith("domain:") else name.replace("_", " ")


def day(stamp: str) -> str:
    """The date of an ISO 8601 time stamp: "23 November 2026"; what is no time stamp stays as it is."""
    moment = _moment(stamp)
    return stamp if moment is None else _date(moment)


def minute(stamp: str) -> str:
    """Date and time of an ISO 8601 time stamp, in UTC where it has a zone."""
    moment = _moment(stamp)
    if moment is None:
        return stamp
    zone = " UTC" if moment.tzinfo else ""
    return f"{_date(moment)}, {moment:%H:%M}{zone}"


def elapsed(start: str, end: str) -> str:
    """The time from one ISO 8601 time stamp to another: "41 minutes"; "" where it cannot be told or is negative."""
    first, last = _moment(start), _moment(end)
    if first is None or last is None or (first.tzinfo is None) != (last.tzinfo is None) or last < first:
        return ""
    seconds = (last - first).total_seconds()
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return counted(int(seconds // size), noun)
    return counted(int(seconds), "second")


def duration(seconds: float) -> str:
    """A measured time in the unit that suits it: "3.8 seconds", "14 minutes", "2.5 hours"."""
    for size, noun in ((3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= 1.5 * size or size == 1:
            number = seconds / size
            return f"{number:.1f} {noun}s" if number < 9.95 else f"{number:,.0f} {noun}s"
    raise AssertionError("seconds are the last unit")


def model_name(name: str) -> str:
    """A model as its readers call it: a folder by its own name, a model on the hub by its whole one."""
    is_path = name.startswith((".", "/", "~", "$")) or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name if is_path else name


def _date(moment: datetime) -> str:
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"  # strftime's names depend on the locale


def _moment(stamp: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment
