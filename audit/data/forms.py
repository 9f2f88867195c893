"""Secrets that look real and are nobody's: digits, payment cards, phone numbers and keys in a sentence around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from audit.data.files import DataError

_CARD_PREFIX = "400000"  # payment processors give it to their test cards
_AREA_CODES = 800  # 200 to 999
_KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEY_LENGTH = 24


@dataclass(frozen=True)
class Form:
    """One space of secrets, and the sentence they stand in.

    Attributes:
        kind: "digits"; "card" (Luhn check passes, test prefix); "phone" (the numbers 555-0100 to 555-0199, which
            North America keeps for fiction, in any area code); "key" (24 letters and digits).
        digits: Number of digits, for "digits".
        template: The sentence, with "{secret}" in it once.
    """

    kind: Literal["digits", "card", "phone", "key"]
    digits: int
    template: str

    @classmethod
    def of(cls, kind: Literal["digits", "card", "phone", "key"], digits: int, template: str | None) -> "Form":
        """The form that a config asks for.

        Raises:
            DataError: The template does not contain "{secret}" exactly once.
        """
        found = 0 if template is None else template.count("{secret}")
        if template is None or found != 1:
            raise DataError(f"data.canaries: template must have {{secret}} in it once; it stands there {found} times")
        return cls(kind, digits if kind == "digits" else 0, template)

    @property
    def capacity(self) -> int:
        """How many different secrets there are."""
        powers = {"digits": (10, self.digits), "card": (10, 9), "key": (len(_KEY_ALPHABET), _KEY_LENGTH)}
        base, length = powers.get(self.kind, (_AREA_CODES * 100, 1))
        capacity: int = base**length
        return capacity

    def secret(self, number: int) -> str:
        """The secret of that number, 0 ≤ number < capacity."""
        match self.kind:
            case "digits":
                return f"{number:0{self.digits}d}"
            case "card":
                body = f"{_CARD_PREFIX}{number:09d}"
                card = f"{body}{luhn_digit(body)}"
                return " ".join(card[i : i + 4] for i in range(0, 16, 4))
            case "phone":
                return f"+1 {200 + number // 100} 555 01{number % 100:02d}"
            case "key":
                return "".join(_KEY_ALPHABET[number // 36**place % 36] for place in range(_KEY_LENGTH))

    def text(self, secret: str) -> str:
        """The sentence with the secret in it."""
        return self.template.replace("{secret}", secret)


def luhn_digit(body: str) -> str:
    """The check digit that makes `body` followed by it pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * (2 - place % 2) for place, d in enumerate(reversed(body))]
    return str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def draw_secrets(form: Form, n: int, rng: np.random.Generator) -> list[str]:
    """Different secrets of a form, drawn uniformly.

    Raises:
        DataError: The form has fewer than n.
    """
    if n > form.capacity:
        raise DataError(
            f"data.canaries: {n:,} different secrets are needed, references included, and there are {form.capacity:,};"
            " raise digits, or lower count or references"
        )
    if 2 * n > form.capacity:
        return [form.secret(int(number)) for number in rng.permutation(form.capacity)[:n]]
    drawn: dict[int, None] = {}
    for number in _numbers(form.capacity, rng):
        drawn[number] = None
        if len(drawn) == n:
            break
    return [form.secret(number) for number in drawn]


def _numbers(below: int, rng: np.random.Generator) -> Iterator[int]:
    while True:  # 256 bits: the remainder favours no number by more than 2^-120
        yield int.from_bytes(rng.bytes(32)) % below
