"""Are keys, tokens and passwords found, and nothing else taken for them?"""

import pytest

from quorate.models.guards.rules import SecretEntity
from quorate.models.guards.secrets import find_secrets, measure_entropy
from quorate.models.guards.spans import Found, find_all

USUAL: tuple[SecretEntity, ...] = ("key", "private_key", "token", "login", "assigned")
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n/abc+DEF=\n-----END EC PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w"


def find(text: str, entities: tuple[SecretEntity, ...] = USUAL) -> list[tuple[str, str]]:
    return [(one.label, one.text) for one in find_all((find_secrets(entities),), text) if isinstance(one, Found)]


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ("use AKIAIOSFODNN7EXAMPLE.", "KEY", "AKIAIOSFODNN7EXAMPLE"),
        ("sk-proj-" + "aB3_" * 12, "KEY", "sk-proj-" + "aB3_" * 12),
        ("ghp_" + "a1B2" * 9, "KEY", "ghp_" + "a1B2" * 9),
        ("xoxb-123456789012-abcdef", "KEY", "xoxb-123456789012-abcdef"),
        ("AIza" + "Sy0-" * 8 + "abc", "KEY", "AIza" + "Sy0-" * 8 + "abc"),
        ('{"k":"\\nsk-' + "a" * 20 + '"}', "KEY", "sk-" + "a" * 20),
        (f"key:\n{PEM}\nthanks", "PRIVATE_KEY", PEM),
        (f"token {JWT} end", "TOKEN", JWT),
        ("Authorization: Bearer abcdef0123456789._~x", "TOKEN", "abcdef0123456789._~x"),
        ("postgres://bob:s3cret@db/x", "LOGIN", "bob:s3cret"),
        ("password = hunter22", "PASSWORD", "hunter22"),
        ('"db_password": "Zx81-abc"', "PASSWORD", "Zx81-abc"),
        ('{\\"api_key\\": \\"abc123def\\"}', "PASSWORD", "abc123def"),
        ("CLIENT_SECRET:=ABCdef99", "PASSWORD", "ABCdef99"),
    ],
)
def test_what_it_is_is_found(text: str, label: str, found: str) -> None:
    """Each kind, in prose, code and JSON."""
    assert find(text) == [(label, found)]


def test_a_key_that_was_cut_is_found() -> None:
    """A private key without its end is one as far as it goes, and what follows is not."""
    assert find(PEM[:50] + ". And so on") == [("PRIVATE_KEY", PEM[:50])]


@pytest.mark.parametrize(
    "text",
    [
        "a task-oriented sk- thing", "password: required", "The password is long.", "password = $PASSWORD",
        "api_key: env:OPENAI_API_KEY", "secret = ********", "token", "eyJ.eyJ.x", "https://example.com/a:b@c",
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "https://host:8080/x", "bearer of news",
        "d41d8cd98f00b204e9800998ecf8427e", "password (optional)", "AKIA123",
    ],
)  # fmt: skip
def test_what_it_is_not_is_left_alone(text: str) -> None:
    """Words, references and public keys are no secrets."""
    assert find(text) == []


def test_random_text_is_found_where_that_is_asked_for() -> None:
    """High entropy in all kinds of characters; a hash, a word and a path are none."""
    drawn = "q7Zx2LmP9vKtR4wYbN8sHdJ3fGcA6uE1"
    assert find(f"x {drawn} y", ("random",)) == [("RANDOM", drawn)]
    assert find(f"x {drawn} y") == []
    assert find("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ("random",)) == []
    assert find("aVeryLongNameOfAThing0aVeryLongNameOfAThing", ("random",)) == []
    assert measure_entropy("") == 0.0
    assert measure_entropy("abcd") == 2.0
