"""Check digits and letters of numbers that name a person or an account.

Each function is given what has the form of such a number, its usual separators included, and says whether its check
agrees. Of random digits a check of one digit passes one in ten or eleven, one of two digits one in a hundred.
"""

import re
import string

_SPANISH = "TRWAGMYFPDXBNJZSQVHLCKE"

_ITALIAN = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
"""What the letters A to Z count for at the first, third … place of a codice fiscale; a digit counts as its letter."""

_ITALIAN_DIGITS = str.maketrans("LMNPQRSTUV", string.digits)
"""Letters that stand for digits where two people would share a codice fiscale."""

_AS_LETTERS = str.maketrans(string.digits, "ABCDEFGHIJ")


def luhn(number: str) -> bool:
    """Whether the digits pass the check of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = _digits(number)
    return 13 <= len(digits) <= 19 and _luhn_sum(digits) % 10 == 0


def iban(number: str) -> bool:
    """Whether an account number passes the check of ISO 13616: its letters as numbers leave 1 when divided by 97."""
    plain = re.sub(r"\s", "", number).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def bsn(number: str) -> bool:
    """Whether nine digits pass the Dutch test of eleven: 9a + 8b + … + 2h − i is divisible by 11.

    Source: RvIG, "Logisch ontwerp BSN", on the form of the burgerservicenummer.
    """
    digits = _digits(number)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return any(digits) and sum(w * d for w, d in zip(weights, digits, strict=True)) % 11 == 0


def cpf(number: str) -> bool:
    """Whether eleven digits end in the two check digits of a Brazilian CPF; eleven equal ones were never given out.

    Each check digit is 11 less the weighted sum of all before it modulo 11, weights 2, 3 … from the right; 0 for more
    than 9.

    Source: Receita Federal do Brasil, Cadastro de Pessoas Físicas, digits by modulo 11.
    """
    digits = _digits(number)
    checks = (11 - sum((place - i) * d for i, d in enumerate(digits[: place - 1])) % 11 for place in (10, 11))
    return len(set(digits)) > 1 and [c if c < 10 else 0 for c in checks] == digits[9:]


def dni(number: str) -> bool:
    """Whether a Spanish DNI or NIE ends in its letter: the number modulo 23, X, Y and Z of a NIE being 0, 1 and 2.

    Source: Ministerio del Interior, "Cálculo del dígito de control del NIF/NIE".
    """
    plain = re.sub(r"[.-]", "", number)
    return _SPANISH[int(plain[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == plain[-1]


def nir(number: str) -> bool:
    """Whether a French NIR ends in its key: 97 less the first 13 digits modulo 97, Corsica's 2A and 2B being 19 and 18.

    Source: Insee, "Numéro d'inscription au répertoire", https://www.insee.fr/fr/metadonnees/definition/c1409.
    """
    plain = number.replace(" ", "").upper()
    place = {"2A": "19", "2B": "18"}.get(plain[5:7], plain[5:7])
    return 97 - int(plain[:5] + place + plain[7:13]) % 97 == int(plain[13:])


def steuer_id(number: str) -> bool:
    """Whether eleven digits are a German tax id: of the first ten one stands there twice or thrice, no other twice.

    The last is the check digit of ISO/IEC 7064, MOD 11,10; the first is not 0.

    Source: § 139b of the Abgabenordnung and § 1 of the Steueridentifikationsnummerverordnung; Bundeszentralamt für
    Steuern on the third equal digit, given out since 2016.
    """
    digits = _digits(number)
    often = sorted(digits[:10].count(d) for d in set(digits[:10]))
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return digits[0] != 0 and often[-1] in (2, 3) and often[-2] == 1 and (11 - product) % 10 == digits[10]


def codice_fiscale(code: str) -> bool:
    """Whether an Italian codice fiscale has a day of birth and ends in its letter.

    A woman's day is 40 more. Of the first 15 signs every other one, from the first on, counts by a table, the others as
    themselves or as their place in the alphabet; the sum modulo 26 is the letter.

    Source: Decreto del Ministro delle finanze of 23 December 1976, n. 13813, articles 3 to 8.
    """
    code = code.upper()
    places = [ord(c) - ord("A") for c in code.translate(_AS_LETTERS)]
    total = sum(_ITALIAN[p] for p in places[:15:2]) + sum(places[1:15:2])
    return int(code[9:11].translate(_ITALIAN_DIGITS)) % 40 in range(1, 32) and total % 26 == places[15]


def personnummer(number: str) -> bool:
    """Whether the last ten digits of a Swedish personnummer or samordningsnummer pass the check of payment cards.

    Source: Skatteverket, "Personnummer", SKV 704; Folkbokföringslag (1991:481), § 18.
    """
    return _luhn_sum(_digits(number)[-10:]) % 10 == 0


def _luhn_sum(digits: list[int]) -> int:
    doubled = [d * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(d // 10 + d % 10 for d in doubled)


def _digits(number: str) -> list[int]:
    return [int(c) for c in number if c.isdigit()]
