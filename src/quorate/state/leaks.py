"""Is this a secret that somebody is about to write down?

Nothing here is a guard against whoever wants to hide one; it keeps honest mistakes out of the store.
"""

from __future__ import annotations

import re
from typing import Final, Literal

NameKind = Literal["secret", "token", ""]
"""What a name says of the text below it."""
HIDDEN: Final = "********"
"""What stands where a secret was."""
SHORTEST = 16
"""A key that is shorter than this is found by the name it stands under, or not at all."""

# Each begins where no word is under way, so that a long text of one kind is read once and not once for each place.
_KEYS = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"
    r"|(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30}|github_pat_[A-Za-z0-9_]{22}|glpat-[A-Za-z0-9_-]{20}"
    r"|sk-[A-Za-z0-9_-]{16}|[srp]k_(?:live|test)_[A-Za-z0-9]{16}|(?:gsk|hf|npm)_[A-Za-z0-9]{30}|xai-[A-Za-z0-9]{30}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10}|AIza[0-9A-Za-z_-]{35}|pypi-[A-Za-z0-9_-]{40}"
    r"|eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,8000}\."
    r"|[Bb]earer [A-Za-z0-9._~+/=-]{16}"
    r")"
    r"|(?<=://)[^\s/:@]{1,64}:[^\s/@]{1,128}@"
)
_MARKS = (
    "PRIVATE KEY", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "k_live_",
    "k_test_", "gsk_", "hf_", "npm_", "xai-", "xox", "AIza", "pypi-", "eyJ", "earer ", "://",
)  # fmt: skip
"""One of these is in every text that can match: looking for them is far quicker than matching."""
_NAMES = (
    "password", "passwd", "passphrase", "secret", "apikey", "accesskey", "secretkey", "privatekey", "signingkey",
    "encryptionkey", "accesstoken", "refreshtoken", "authtoken", "apitoken", "bearertoken", "sessiontoken",
    "clientsecret", "credential", "authorization",
)  # fmt: skip
_STANDS_FOR = re.compile(r"\*{3,}|\$\{[^}]*\}|\$[A-Z_]+|\{\{[^}]*\}\}|(?:env|file|vault):\S+|<[^>]*>")
"""What stands for a secret and is none: stars, a variable, a reference."""
_WORDS = re.compile(r"[^a-z0-9]+")


def is_typed_secret(value: object) -> bool:
    """Whether an object says of itself that it hides something: ours, or what other libraries call so.

    Only its class is looked at, so that no code of the object runs.
    """
    kind = type(value)
    if any(callable(getattr(kind, name, None)) for name in ("reveal", "get_secret_value")):
        return True
    return any(base.__name__.lstrip("_").startswith("Secret") for base in kind.__mro__)


def is_like_key(text: str) -> bool:
    """Whether a text holds what looks like a well-known kind of key, token or login."""
    if len(text) < SHORTEST or not any(mark in text for mark in _MARKS):
        return False
    return _KEYS.search(text) is not None


def classify_name(name: str) -> NameKind:
    """Say whether a name makes a secret of any text, only of one that can be a token, or of none."""
    plain = _WORDS.sub("", name.lower()).removesuffix("s")
    if plain.endswith(_NAMES) or plain == "pwd":
        return "secret"
    return "token" if plain == "token" else ""


def is_secret_under(name: str, text: str, *, kind: NameKind | None = None) -> bool:
    """Whether a text is a secret because of the name it stands under, such as `password`.

    Args:
        name: What it stands under.
        text: What somebody is about to write down.
        kind: What `classify_name` said of the name, when that is known already.
    """
    found = classify_name(name) if kind is None else kind
    if not found or not text or _STANDS_FOR.fullmatch(text) is not None:
        return False
    return found == "secret" or (len(text) >= SHORTEST and not any(character.isspace() for character in text))
