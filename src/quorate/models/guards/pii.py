"""Where does a text say who somebody is, or how to reach or charge them?"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import cache

from quorate.models.guards.rules import PiiEntity
from quorate.models.guards.spans import Detector, ExpressionFinder, Growing

LONGEST = 340
"""The longest address there can be, and then some."""

# How long an account number is in each country that has them, checksum and country included.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        line.split(" ", 1)
        for line in (
            "15 NO", "16 BE", "18 DK FI FK FO GL NL SD", "19 MK SI", "20 AT BA EE KZ LT LU XK MN", "21 CH HR LI LV",
            "22 BG BH CR DE GB GE IE ME RS VA", "23 AE GI IL IQ OM SO TL", "24 AD CZ ES MD PK RO SA SE SK TN VG",
            "25 LY PT ST", "26 IS TR", "27 BI DJ FR GR IT MC MR SM", "28 AL AZ BY CY DO GT HU LB NI PL SV",
            "29 BR EG PS QA UA", "30 JO KW MU YE", "31 MT SC", "32 LC", "33 RU",
        )
    )
    for country in countries.split()
}  # fmt: skip
_CARD_LENGTHS = {
    "2": (16,), "34": (15,), "37": (15,), "30": (14, 16), "36": (14, 16), "38": (14, 16), "39": (14, 16),
    "35": (16, 17, 18, 19), "4": (13, 16, 19), "5": (13, 16, 19), "6": (13, 16, 17, 18, 19),
}  # fmt: skip
_DOUBLED = {str(digit): sum(map(int, str(2 * digit))) for digit in range(10)}
_NUMBERS = {letter: str(int(letter, 36)) for letter in string.digits + string.ascii_letters}


def check_card(match: re.Match[str]) -> int | None:
    """Whether digits are a payment card's: an issuer's beginning, its length, and Luhn's checksum."""
    digits = match[0].replace(" ", "").replace("-", "")
    lengths = _CARD_LENGTHS.get(digits[0]) or _CARD_LENGTHS.get(digits[:2], ())
    return match.end() if len(digits) in lengths and has_luhn(digits) else None


def has_luhn(digits: str) -> bool:
    """Whether digits end with their checksum after Luhn, and are not one digit repeated."""
    total = sum(map(int, digits[-1::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))
    return total % 10 == 0 and digits != digits[0] * len(digits)


def check_iban(match: re.Match[str]) -> int | None:
    """Whether text begins with an account number: its country's length, and the checksum of ISO 7064."""
    text = match[0]
    wanted = _IBAN_LENGTHS.get(text[:2].upper())
    plain = text.replace(" ", "")[:wanted]
    if (
        wanted is None
        or len(plain) != wanted
        or int("".join(map(_NUMBERS.__getitem__, plain[4:] + plain[:4]))) % 97 != 1
    ):
        return None
    end = 0
    for _ in range(wanted):
        end += 1 + (text[end] == " ")
    return match.start() + end if text[end : end + 1] in ("", " ") else None


def check_phone(match: re.Match[str]) -> int | None:
    """Whether digits are as many as a telephone number has."""
    digits = sum(map(str.isdigit, match[0]))
    return match.end() if 7 <= digits <= 15 else None


def check_ssn(match: re.Match[str]) -> int | None:
    """Whether digits can be a number of the United States' social security."""
    area, group, serial = match[1], match[3], match[4]
    can_be = area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"
    return match.end() if can_be else None


def check_address(match: re.Match[str]) -> int | None:
    """Whether text is an IP address, and one that tells somebody apart."""
    text = match[0]
    if "." in text:
        octets = [int(octet) for octet in text.split(".")]
        return match.end() if max(octets) < 256 and octets[0] not in (0, 127) else None
    groups = text.split(":")
    filled = sum(map(bool, groups))
    if "::" in text:
        is_whole = 2 <= filled <= 7 and text.count("::") == 1 and ":::" not in text
        is_whole = is_whole and (groups[0] != "" or text[:2] == "::") and (groups[-1] != "" or text[-2:] == "::")
    else:
        is_whole = filled == len(groups) == 8
    return match.end() if is_whole and any(map(str.isdigit, text)) else None


# Expressions begin with a set of characters and look back from behind it, so that places that cannot match cost little.
_WORD_BEGINS = r"(?:(?<![\w.%+\\-].)|(?<=\\[nrtbf].))"
_CODE_BEGINS = r"(?:(?<![A-Za-z0-9\\].)|(?<=\\[nrtbf].))"
_IN_FOURS = r"(?:[0-9]{4}\1){2}[0-9]{1,4}(?:\1[0-9]{1,3})?"
_TRUNK = r"[(0](?<![\w.:,+-].)(?<![0-9][ -].)(?:(?<=\()0)?[0-9]{2,4}"
_Detected = tuple[str, str, tuple[str, ...], Callable[[re.Match[str]], int | None] | None]
_ENTITIES: dict[PiiEntity, Sequence[_Detected]] = {
    "email": [
        (
            "EMAIL",
            rf"[\w.%+-]{_WORD_BEGINS}[\w.%+-]{{0,63}}@(?:[\w-]{{1,63}}\.){{1,8}}[^\W\d_]{{2,24}}(?![^\W_])",
            ("@",),
            None,
        )
    ],
    "iban": [("IBAN", rf"[A-Za-z]{_CODE_BEGINS}[A-Za-z][0-9]{{2}}(?: ?[A-Za-z0-9]){{11,30}}", (), check_iban)],
    "card": [
        ("CARD", r"[2-6](?<![0-9].)(?<![0-9]\..)[0-9]{12,18}(?![0-9])", (), check_card),
        (
            "CARD",
            rf"[2-6](?<![0-9].)(?<![0-9]\..)[0-9]{{3}}([ -])(?:{_IN_FOURS}|[0-9]{{6}}\1[0-9]{{4,5}})(?![0-9])",
            (),
            check_card,
        ),
    ],
    "ssn": [
        ("SSN", r"([0-9](?<![0-9].)(?<![0-9]-.)[0-9]{2})([- ])([0-9]{2})\2([0-9]{4})(?![0-9])(?!-[0-9])", (), check_ssn)
    ],
    "phone": [
        (
            "PHONE",
            r"[+0](?<![\w+].)(?:(?<=\+)|0(?<![0-9][ -]..)(?=[1-9]))(?:[ .()/-]{0,2}[0-9]){7,15}(?![0-9])",
            (),
            check_phone,
        ),
        ("PHONE", r"[(0-9](?<![\w.+-].)(?:(?<=\()[0-9]{3}\) ?|[0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9])", (), None),
        (
            "PHONE",
            rf"{_TRUNK}\)?[ /-][0-9]{{3,4}}(?:[ -]?[0-9]{{2,4}}){{1,2}}(?![0-9])",
            (),
            check_phone,
        ),
    ],
    "ip": [
        ("IP", r"[0-9](?<![\w.].)[0-9]{0,2}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?!\w)(?!\.[0-9])", (), check_address),
        ("IP", r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f:]{4,39}(?![\w:])", (":",), check_address),
    ],
}

# What may grow, whichever of the entities are asked for: the word under way and an address begun, digits with what may
# stand between them, an account number in groups.
_GROWING = (
    rf"[\w.%+-]{_WORD_BEGINS}[\w.%+-]{{0,63}}(?:@[\w.-]{{0,255}})?\Z"
    r"|[+(0-9](?<![0-9].)[+(]?[0-9 ./()-]{0,50}\Z"
    rf"|[A-Za-z]{_CODE_BEGINS}(?:[A-Za-z](?:[0-9](?:[0-9](?: ?[A-Za-z0-9]){{0,31}} ?)?)?)?\Z"
    r"|[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f:]{0,44}\Z"
)


@cache
def find_pii(entities: tuple[PiiEntity, ...]) -> ExpressionFinder:
    """Build what finds data about persons."""
    detectors = [
        Detector(label, re.compile(pattern), marks, check)
        for entity in entities
        for label, pattern, marks, check in _ENTITIES[entity]
    ]
    return ExpressionFinder(detectors, [Growing(re.compile(_GROWING), LONGEST)])
