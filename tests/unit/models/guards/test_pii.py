"""Is data about persons found, and nothing else taken for it?"""

import pytest

from quorate.models.guards.pii import find_pii
from quorate.models.guards.rules import PiiEntity
from quorate.models.guards.spans import Found, find_all

ALL: tuple[PiiEntity, ...] = ("email", "phone", "card", "iban", "ssn", "ip")


def find(text: str, entities: tuple[PiiEntity, ...] = ALL) -> list[tuple[str, str]]:
    return [(one.label, one.text) for one in find_all((find_pii(entities),), text) if isinstance(one, Found)]


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ("Write to alice@example.com.", "EMAIL", "alice@example.com"),
        ("<bob.b+tag@mail.example.co.uk>", "EMAIL", "bob.b+tag@mail.example.co.uk"),
        ("jürgen@müller.de", "EMAIL", "jürgen@müller.de"),
        ("mailto:x_y%z@a-b.io-based", "EMAIL", "x_y%z@a-b.io"),
        ('{"a":"\\nalice@example.com\\n"}', "EMAIL", "alice@example.com"),
        ("call +49 (170) 123-4567 now", "PHONE", "+49 (170) 123-4567"),
        ("tel:+14155552671", "PHONE", "+14155552671"),
        ("0049 170 1234567", "PHONE", "0049 170 1234567"),
        ("(555) 123-4567", "PHONE", "(555) 123-4567"),
        ("555.123.4567", "PHONE", "555.123.4567"),
        ("020 7946 0958", "PHONE", "020 7946 0958"),
        ("030/1234 5678", "PHONE", "030/1234 5678"),
        ("4111 1111 1111 1111", "CARD", "4111 1111 1111 1111"),
        ("card:4111111111111111,", "CARD", "4111111111111111"),
        ("3782-822463-10005", "CARD", "3782-822463-10005"),
        ("12 5555 5555 5555 4444", "CARD", "5555 5555 5555 4444"),
        ("DE89 3704 0044 0532 0130 00 IS MINE", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "IBAN", "gb82west12345698765432"),
        ("NO93 8601 1117 947", "IBAN", "NO93 8601 1117 947"),
        ("SSN 123-45-6789.", "SSN", "123-45-6789"),
        ("123 45 6789", "SSN", "123 45 6789"),
        ("from 192.168.1.17:80", "IP", "192.168.1.17"),
        ("2001:db8::17", "IP", "2001:db8::17"),
        ("[2001:db8:0:0:0:0:0:1]", "IP", "2001:db8:0:0:0:0:0:1"),
    ],
)
def test_what_it_is_is_found(text: str, label: str, found: str) -> None:
    """Each kind, in the ways people write it."""
    assert find(text) == [(label, found)]


@pytest.mark.parametrize(
    "text",
    [
        "a@b", "@example.com", "user@", "x@y.z", "4111 1111 1111 1112", "1234567890123", "1111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 01", "XX89 3704 0044 0532 0130 00", "DE893704004405320130000", "000-45-6789",
        "666-45-6789", "900-45-6789", "123-00-6789", "123-45-0000", "2026-11-21 15:37:27", "3.14159265358979",
        "0.4111111111111111", "version 1.2.3.4.5", "999.1.1.1", "127.0.0.1", "std::vector", "12:34:56", "::", "::1",
        "a::b", "1,234,567,890", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "123456789012345678901234567890", "0199a7c31f2e9b1c", "run-0199a7c31f2e", "4 8 15 16 23 42", "$1,000.00",
    ],
)  # fmt: skip
def test_what_it_is_not_is_left_alone(text: str) -> None:
    """Numbers, dates, versions, hashes and what fails its checksum are nobody's data."""
    assert find(text) == []


def test_two_accounts_beside_each_other_are_two() -> None:
    """The first does not swallow the second, though both could be read as one."""
    one, two = "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32"
    assert find(f"{one} {two}", ("iban",)) == [("IBAN", one), ("IBAN", two)]


def test_only_what_is_asked_for_is_found() -> None:
    """A rule may be about cards alone."""
    assert find("alice@example.com 4111111111111111", ("card",)) == [("CARD", "4111111111111111")]
