"""Personal data in texts, found by their form: addresses, numbers of phones, cards and accounts; and a known name.

Only what has a form of its own is found: no street, and of names only that of the person a text is known to belong to.
A number that has a check digit must pass it, so that few of those found are anything else.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple


class Found(NamedTuple):
    """Personal data in a text.

    Attributes:
        kind: Its kind, a key of `KINDS`.
        span: The words themselves.
    """

    kind: str
    span: str


class Kind(NamedTuple):
    """How one kind is recognised: by a pattern, and by a test of what the pattern matches."""

    pattern: re.Pattern[str]
    passes: Callable[[str], bool]


def luhn(number: str) -> bool:
    """Whether the digits pass the check of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(d) for d in number if d.isdigit()]
    doubled = [d * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def iban(number: str) -> bool:
    """Whether an account number passes the check of ISO 13616: its letters as numbers leave 1 when divided by 97."""
    plain = re.sub(r"\s", "", number).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(number: str) -> bool:
    """A number of 8 to 15 digits (ITU-T E.164) that begins as one does, or is cut as one is, and is no date."""
    digits = sum(c.isdigit() for c in number)
    begins = number[0] in "+(0" or _CUT.fullmatch(number) is not None
    return 8 <= digits <= 15 and begins and not _DATE.search(number)


_CUT = re.compile(r"(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}")
_DATE = re.compile(r"^(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4})\b")

_TAKEN = "\0"
"""Stands where one kind took words, so that no later one takes them again."""

KINDS: Mapping[str, Kind] = {
    "e-mail": Kind(re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}\b"), lambda span: True),
    "account": Kind(re.compile(r"\b[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b"), iban),
    "card": Kind(
        re.compile(r"(?<![\w+])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{5})\b"), luhn
    ),
    "social security number": Kind(
        re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b"), lambda span: True
    ),
    "phone": Kind(
        re.compile(r"(?<![\w+])(?:\+|\(|\d)[\d()]*(?:[ ./-]{1,2}\(?\d[\d()]*)+(?!\w)|(?<!\w)\+\d{8,15}\b"), _is_phone
    ),
}
"""The kinds, those with a stricter form first."""


def personal(text: str) -> Iterator[Found]:
    """What personal data stand in a text, kind after kind; the same words are told once."""
    told: set[str] = set()
    for name, kind in KINDS.items():
        for match in kind.pattern.finditer(text):
            span = match.group()
            if kind.passes(span):
                text = text.replace(span, _TAKEN * len(span))
                if span not in told:
                    told.add(span)
                    yield Found(name, span)


_PART = re.compile(r"[^\W\d_]{3,}")
_FEWEST = 5
"""Characters that a name or number of a person must have, where it has no three letters in a row."""


def naming(text: str, person: str) -> str:
    """The words of a text that name the person it belongs to; "" where none do.

    The whole name counts in any case, else its longest part of three letters or more that stands there as written.

    Args:
        text: The text.
        person: What the data call the person.
    """
    parts = sorted(set(_PART.findall(person)), key=lambda part: (-len(part), part))
    whole = [person] if parts or len(person) >= _FEWEST else []
    for name, flags in [*((name, re.IGNORECASE) for name in whole), *((part, re.NOFLAG) for part in parts)]:
        found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, flags)
        if found:
            return found.group()
    return ""
