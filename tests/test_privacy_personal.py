import pytest

from probes.privacy.personal import Found, iban, luhn, naming, personal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to a.b+c@mail.example.org.", [("e-mail", "a.b+c@mail.example.org")]),
        ("card 4000 0012 3456 7899, thanks", [("card", "4000 0012 3456 7899")]),
        ("4111111111111111 and 4111111111111111", [("card", "4111111111111111")]),
        ("IBAN DE89 3704 0044 0532 0130 00 please", [("account", "DE89 3704 0044 0532 0130 00")]),
        ("GB82WEST12345698765432", [("account", "GB82WEST12345698765432")]),
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
    ],
)
def test_other_numbers_and_signs_are_none(text):
    assert list(personal(text)) == []


def test_check_digits_catch_a_wrong_one():
    # Examples of ISO/IEC 7812-1 and of the registry of ISO 13616.
    assert luhn("4111 1111 1111 1111")
    assert not luhn("4111 1111 1111 1121")
    assert iban("GB29 NWBK 6016 1331 9268 19")
    assert not iban("GB28 NWBK 6016 1331 9268 19")


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
