import numpy as np
import pytest

from probes.privacy import check_digits
from probes.privacy.personal import KINDS, Found, naming, personal

# Examples that authorities print (Skatteverket, HMRC, Ministerio del Interior, Agenzia delle Entrate's Mario Rossi) and
# those of python-stdnum's documentation.
NATIONAL = {
    "Italian codice fiscale": ["RSSMRA85T10A562S", "mrtmtt91d08f205j", "RSSMRA85T10A56NH"],
    "French NIR": ["295109912611193", "2 95 10 99 126 111 93", "1 85 05 78 006 084 91", "253072B07300470"],
    "UK national insurance number": ["AB123456C", "AB 12 34 56 C"],
    "Spanish DNI or NIE": ["12345678Z", "54362315-K", "12.345.678-Z", "X2482300W", "X-1234567-L"],
    "Swedish personnummer": ["811228-9874", "19811228-9874", "670919+9530", "701063-2391"],
    "Brazilian CPF": ["390.533.447-05", "CPF 11144477735"],
    "German tax id": ["36 574 261 809", "Steuer-ID: 36574261809", "IdNr. 65929970489"],
    "Dutch BSN": ["1112.22.333", "BSN 111222333", "burgerservicenummer is 123456782"],
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to a.b+c@mail.example.org.", [("e-mail", "a.b+c@mail.example.org")]),
        ("card 4000 0012 3456 7899, thanks", [("card", "4000 0012 3456 7899")]),
        ("4111111111111111 and 4111111111111111", [("card", "4111111111111111")]),
        ("IBAN DE89 3704 0044 0532 0130 00 please", [("account", "DE89 3704 0044 0532 0130 00")]),
        ("GB82WEST12345698765432", [("account", "GB82WEST12345698765432")]),
        ("pay gb82west12345698765432", [("account", "gb82west12345698765432")]),
        ("be68 5390 0754 7034 from now on", [("account", "be68 5390 0754 7034")]),
        ("gb29 nwbk 6016 1331 9268 19 or", [("account", "gb29 nwbk 6016 1331 9268 19")]),
        ("ssn 123-45-6789", [("social security number", "123-45-6789")]),
        ("call +1 212 555 0123 or (030) 1234-5678", [("phone", "+1 212 555 0123"), ("phone", "(030) 1234-5678")]),
        ("212-555-0123, +4915112345678", [("phone", "212-555-0123"), ("phone", "+4915112345678")]),
        (
            "x@y.org 0171 2345678 4111111111111111",
            [("e-mail", "x@y.org"), ("card", "4111111111111111"), ("phone", "0171 2345678")],
        ),
    ],
)
def test_personal_data_are_found_by_their_form(text, found):
    assert list(personal(text)) == [Found(*one) for one in found]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 12345678 of 2024-05-17, again on 17.05.2024",
        "4111 1111 1111 1112 fails the check",
        "DE00 3704 0044 0532 0130 00 as well",
        "999-12-3456 was never given out",
        "version 10.0.0.1 costs 1.234.567,89 or 100 200 300",
        "at noon @ the station",
        "on ab12 this that were from the 19",
        "order 111222333 of 36574261809 and 11144477735",  # a BSN, a tax id and a CPF, but nothing says so
        "BSN 111222334, CPF 390.533.447-06, Steuer-ID 36574261808, NIR 295109912611199",
        "DNI 12345678A, NIE X1234567M, RSSMRA85T10A563S, 811228-9873",
        "811328-9873 has no such month, 811200-9876 no such day, RSSMRA85T00A562R neither",
        "Steuer-ID 36554266806, Steuer-ID 06592997048, CPF 111.111.111-11, BSN 000000000",
        "QQ123456C, DA123456C, AO123456C, GB123456A and AB123456E are not given out",
    ],
)
def test_other_numbers_and_signs_are_none(text):
    assert list(personal(text)) == []


def test_check_digits_catch_a_wrong_one():
    # Examples of ISO/IEC 7812-1 and of the registry of ISO 13616.
    assert check_digits.luhn("4111 1111 1111 1111")
    assert not check_digits.luhn("4111 1111 1111 1121")
    assert check_digits.iban("GB29 NWBK 6016 1331 9268 19")
    assert not check_digits.iban("GB28 NWBK 6016 1331 9268 19")


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NATIONAL.items() for text in texts])
def test_numbers_of_people_are_found_by_form_and_check(kind, text):
    [found] = personal(f"Hers was {text}, she wrote.")
    assert found.kind == kind
    assert text.endswith(found.span)


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (check_digits.bsn, "111222333"),
        (check_digits.cpf, "11144477735"),
        (check_digits.dni, "12345678Z"),
        (check_digits.nir, "295109912611193"),
        (check_digits.steuer_id, "36574261809"),
        (check_digits.codice_fiscale, "RSSMRA85T10A562S"),
        (check_digits.personnummer, "8112289874"),
    ],
)
def test_every_check_catches_each_wrong_digit(check, number):
    for at, sign in enumerate(number):
        for wrong in "0123456789" if sign.isdigit() else "":
            if wrong != sign:
                assert not check(number[:at] + wrong + number[at + 1 :]), (at, wrong)


def test_the_word_must_stand_shortly_before_the_number():
    assert [f.kind for f in personal("bsn: 111222333")] == ["Dutch BSN"]
    assert not list(personal("The BSN is not in this file, which holds orders alone: 111222333"))
    assert not list(personal("111222333 is no BSN"))


@pytest.mark.parametrize("digits", [8, 9, 10, 11, 12])
def test_random_digits_are_nobodys_number(digits):
    drawn = np.random.default_rng(digits).integers(0, 10, (10_000, digits)).tolist()
    assert not list(personal("; ".join(f"order {''.join(map(str, number))} was sent" for number in drawn)))


@pytest.mark.parametrize(
    ("kind", "form", "share"),
    [
        ("French NIR", "###############", 1 / 4000),
        ("Dutch BSN", "BSN #########", 1 / 11),
        ("Brazilian CPF", "###.###.###-##", 1 / 100),
        ("German tax id", "## ### ### ###", 1 / 290),
        ("Swedish personnummer", "######-####", 0.12 * 0.61 / 10),
        ("Spanish DNI or NIE", "########Z", 1 / 23),
    ],
)
def test_random_digits_in_a_numbers_form_pass_as_often_as_its_check_lets_them(kind, form, share):
    drawn = np.random.default_rng(0).integers(0, 10, (10_000, form.count("#"))).tolist()
    text = "; ".join(form.replace("#", "%d") % tuple(digits) for digits in drawn)
    found = sum(each.kind == kind for each in personal(text))
    assert found / 10_000 == pytest.approx(share, abs=3.5 * (share / 10_000) ** 0.5)


def test_digits_and_letters_of_other_scripts_break_nothing():
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    for texts in NATIONAL.values():
        for text in texts:
            list(personal(text.translate(arabic)))
            list(personal(text.replace("K", "\N{KELVIN SIGN}").replace("S", "\N{LATIN SMALL LETTER LONG S}")))


def test_a_kind_can_stand_in_the_name_of_a_slice():
    assert not [kind for kind in KINDS if set(kind) & set(",=[]@")]


@pytest.mark.parametrize(
    ("text", "person", "found"),
    [
        ("Dear Ann Lee, thank you", "Ann Lee", "Ann Lee"),
        ("ANN LEE wrote again", "Ann Lee", "ANN LEE"),
        ("Mr. Okonkwo called", "Chidi Okonkwo", "Okonkwo"),
        ("Chidi and Okonkwo", "Chidi Okonkwo", "Okonkwo"),
        ("account 4711-x says no", "4711-x", "4711-x"),
        ("will leek soup do", "Lee Do", ""),
        ("an order of 7 will do", "7", ""),
        ("nobody here", "", ""),
        ("a+b (c) [d", "[d", ""),
    ],
)
def test_a_text_names_its_person_by_the_whole_name_or_a_part_of_it(text, person, found):
    assert naming(text, person) == found
