"""Is the same found, and the same given out, however a text is cut into pieces?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.models.guards.patterns import PatternFinder
from quorate.models.guards.pii import find_pii
from quorate.models.guards.secrets import find_secrets
from quorate.models.guards.spans import Finder, Found, Scan, find_all
from quorate.models.guards.words import WordFinder

PII = find_pii(("email", "phone", "card", "iban", "ssn", "ip"))
SECRETS = find_secrets(("key", "private_key", "token", "login", "assigned", "random"))
WORDS = WordFinder(["virus", "bad word", "vi", "rust", "usb", "日本", "straße"], whole_words=True)
PARTS = WordFinder(["virus", "bad word", "vi", "rust", "aba", "ababa"], whole_words=False)
PATTERNS = PatternFinder([r"\bfoo.{0,8}bar\b", r"x{2,5}y", r"(?m)^end$"])
FINDERS: dict[str, tuple[Finder, ...]] = {
    "pii": (PII,),
    "secrets": (SECRETS,),
    "words": (WORDS,),
    "parts": (PARTS,),
    "patterns": (PATTERNS,),
    "all": (WORDS, PII, SECRETS, PATTERNS, PARTS),
}
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "IBAAKCAQEA" * 6 + "\n-----END RSA PRIVATE KEY-----"
THINGS = (
    "alice@example.com", "bob.b+tag@mail.co.uk", "+49 170 1234567", "(555) 123-4567", "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "123-45-6789", "192.168.1.17", "2001:db8::17",
    "sk-proj-abcdefghijklmnop1234", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, PEM, PEM[:50],
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc_DEF", "Bearer abcdefghij0123456789", "password = hunter2!",
    '"api_key": "Zx81-abc"', "https://bob:s3cret@host/x", "virus", "bad  word", "b\u200bad word", "VIRUS", "rust",
    "foo 123 bar", "xxxy", "end", "日本語", "[EMAIL_1]", "eyJ", "-----BEGIN", "secret", "passw", "vi", "ababa", "\\n",
    "\\u0041", "\\", '\\"', "\\\\", "DE89", "00491701234567", "030 1234 5678", "1.2.3", "::1", "STRASSE",
)  # fmt: skip
GLUE = (" ", "", ", ", "\n", ": ", "=", '"', "x", "1", "-", ".", "@", "  ", "\t", "é", "(", "+", "a b ", "/")


@st.composite
def texts(draw: st.DrawFn) -> str:
    chosen = draw(st.lists(st.one_of(st.sampled_from(THINGS), st.sampled_from(GLUE), st.text(max_size=4)), max_size=9))
    return "".join(chosen)


def show(pieces: list[str | Found]) -> list[tuple[str, str, int]]:
    """Join plain pieces that follow each other."""
    shown: list[tuple[str, str, int]] = []
    for piece in pieces:
        if isinstance(piece, Found):
            shown.append((piece.text, piece.label, piece.owner))
        elif shown and not shown[-1][1]:
            shown[-1] = (shown[-1][0] + piece, "", -1)
        else:
            shown.append((piece, "", -1))
    return shown


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("name", FINDERS)
@settings(max_examples=60, deadline=None)
@given(text=texts(), data=st.data())
def test_any_cut_finds_the_same(name: str, json: bool, text: str, data: st.DataObject) -> None:
    """One cut, several cuts or character by character: what is found does not change."""
    finders = FINDERS[name]
    whole = show(find_all(finders, text, json=json))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    for places in (cuts, list(range(len(text) + 1))):
        scan = Scan(finders, json=json)
        pieces: list[str | Found] = []
        for begin, end in zip([0, *places], [*places, len(text)], strict=True):
            pieces += scan.feed(text[begin:end])
        pieces += scan.finish()
        assert show(pieces) == whole
