"""Personal data in texts, found by their form: addresses, numbers of phones, cards, accounts, people; a known name.

Only what has a form of its own is found: no street, and of names only that of the person a text is known to belong to.
A number that has a check digit must pass it, so that few of those found are anything else. Where a check lets through
one number in ten or so, as of BSN, CPF and German tax ids, digits alone are taken only where a word before them says
what they are: they would be order numbers otherwise. With the points, spaces or strokes that such a number is written
with they are taken without a word. Letters are capitals, but of an account and a codice fiscale small ones too.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from probes.privacy.check_digits import bsn, codice_fiscale, cpf, dni, iban, luhn, nir, personnummer, steuer_id


class Found(NamedTuple):
    """Personal data in a text.

    Attributes:
        kind: Its kind, a key of `KINDS`.
        span: The words themselves.
    """

    kind: str
    span: str


class Kind(NamedTuple):
    """How one kind is recognised.

    Attributes:
        pattern: Its form.
        passes: A test of what has the form.
        word: What must stand shortly before digits without a separator; None where they speak for themselves.
    """

    pattern: re.Pattern[str]
    passes: Callable[[str], bool] = lambda span: True
    word: re.Pattern[str] | None = None

    def holds(self, match: re.Match[str]) -> bool:
        """Whether what the pattern matched is of this kind."""
        before = match.string[max(0, match.start() - _NEAR) : match.start()]
        is_named = self.word is None or not match.group().isdigit() or self.word.search(before) is not None
        return is_named and self.passes(match.group())


_NEAR = 40
"""Characters before a number within which a word says what it is."""


def _is_phone(number: str) -> bool:
    """A number of 8 to 15 digits (ITU-T E.164) that begins as one does, or is cut as one is, and is no date."""
    digits = sum(c.isdigit() for c in number)
    begins = number[0] in "+(0" or _CUT.fullmatch(number) is not None
    return 8 <= digits <= 15 and begins and not _DATE.search(number)


_CUT = re.compile(r"(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}")
_DATE = re.compile(r"^(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4})\b")

_TAKEN = "\0"
"""Stands where one kind took words, so that no later one takes them again."""

_DAY = r"(?:0[1-9]|[12]\d|3[01]|6[1-9]|[78]\d|9[01])"
"""A day of a Swedish number; 60 more where the person is not registered as living there."""

KINDS: Mapping[str, Kind] = {
    "e-mail": Kind(re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}\b")),
    "account": Kind(
        re.compile(
            r"\b(?:[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)"
            # Words are in lower case too: of such groups only the first, a bank's, may do without a digit.
            r"|[a-z]{2}\d{2}(?:[a-z0-9]{11,30}"
            r"| [a-z0-9]{4}(?: (?=[a-z]*\d)[a-z0-9]{4}){1,6}(?: (?=[a-z]*\d)[a-z0-9]{1,3})?))\b"
        ),
        iban,
    ),
    "Italian codice fiscale": Kind(
        re.compile(
            r"\b[A-Za-z]{6}[0-9LMNP-Vlmnp-v]{2}[A-EHLMPRSTa-ehlmprst][0-9LMNP-Vlmnp-v]{2}"
            r"[A-Za-z][0-9LMNP-Vlmnp-v]{3}[A-Za-z]\b"
        ),
        codice_fiscale,
    ),
    "French NIR": Kind(  # of 15 random digits one in 4,000 is one
        re.compile(
            r"(?<![\w.,-])[12] ?\d{2} ?(?:0[1-9]|1[0-2]|20) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}(?![\w-]|[.,]\d)"
        ),
        nir,
    ),
    "card": Kind(
        re.compile(r"(?<![\w+])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{5})\b"), luhn
    ),
    "social security number": Kind(re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b")),
    # HM Revenue and Customs, National Insurance Manual, NIM39110: letters and prefixes that are not used
    "UK national insurance number": Kind(
        re.compile(r"\b(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:\d{6}| \d{2} \d{2} \d{2} )[A-D]\b")
    ),
    "Spanish DNI or NIE": Kind(
        re.compile(r"(?<![\w.,-])(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z]\b"), dni
    ),
    "Swedish personnummer": Kind(
        re.compile(rf"(?<![\w.,+-])(?:1[89]|20)?\d{{2}}(?:0[1-9]|1[0-2]){_DAY}[-+]\d{{4}}(?![\w-]|[.,]\d)"),
        personnummer,
    ),
    "Brazilian CPF": Kind(
        re.compile(r"(?<![\w.,-])(?:\d{11}|\d{3}\.\d{3}\.\d{3}-\d{2})(?![\w-]|[.,]\d)"),
        cpf,
        re.compile(r"\bcpf\b|cadastro de pessoas? f[ií]sica", re.IGNORECASE),
    ),
    "German tax id": Kind(
        re.compile(r"(?<![\w.,-])(?:\d{11}|\d{2} \d{3} \d{3} \d{3})(?![\w-]|[.,]\d)"),
        steuer_id,
        re.compile(r"\bsteuer-?id|identifikationsnummer|\bid-?nr\b|\btax id", re.IGNORECASE),
    ),
    "Dutch BSN": Kind(
        re.compile(r"(?<![\w.,-])(?:\d{9}|\d{4}\.\d{2}\.\d{3})(?![\w-]|[.,]\d)"),
        bsn,
        re.compile(r"\bbsn\b|burgerservicenummer|\bsofi-?nummer|persoonsnummer", re.IGNORECASE),
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
            if kind.holds(match):
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
