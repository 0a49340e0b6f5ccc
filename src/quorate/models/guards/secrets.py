"""Where does a text hold a key, a token or a password?

It keeps honest mistakes from leaving; whoever wants to hide a secret from it can.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from msgspec import Struct

from quorate.models.guards.rules import SecretEntity
from quorate.models.guards.spans import Detector, ExpressionFinder, Growing

LONGEST_BLOCK = 8192
LEAST_ENTROPY = 4.25
"""Bits for a character; words of any language stay below, random letters and digits of this length do not."""

_BEGINS = r"(?:(?<![A-Za-z0-9_\\-])|(?<=\\[nrtbf]))"
# A maker's beginning, and what follows it.
_KEYS = (
    ("AKIA", "[0-9A-Z]{16}"), ("ASIA", "[0-9A-Z]{16}"),
    *((f"gh{kind}_", "[A-Za-z0-9]{30,255}") for kind in "pousr"), ("github_pat_", "[A-Za-z0-9_]{22,255}"),
    ("glpat-", "[A-Za-z0-9_-]{20,255}"), ("sk-", "[A-Za-z0-9_-]{16,400}"), ("gsk_", "[A-Za-z0-9]{30,255}"),
    *((f"{kind}_{use}_", "[A-Za-z0-9]{16,255}") for kind in ("sk", "rk", "pk") for use in ("live", "test")),
    ("hf_", "[A-Za-z0-9]{30,255}"), ("npm_", "[A-Za-z0-9]{30,255}"), ("xai-", "[A-Za-z0-9]{30,255}"),
    ("pplx-", "[A-Za-z0-9]{30,255}"), ("r8_", "[A-Za-z0-9]{30,255}"), ("nvapi-", "[A-Za-z0-9_-]{30,255}"),
    *((f"xox{kind}-", "[A-Za-z0-9-]{10,255}") for kind in "abeoprs"), ("AIza", "[0-9A-Za-z_-]{35}"),
    ("ya29.", "[0-9A-Za-z_-]{20,400}"), ("GOCSPX-", "[0-9A-Za-z_-]{20,80}"), ("pypi-", "[A-Za-z0-9_-]{40,400}"),
    ("SG.", "[A-Za-z0-9_-]{16,64}[.][A-Za-z0-9_-]{16,64}"), ("dop_v1_", "[a-f0-9]{64}"),
    ("shpat_", "[a-fA-F0-9]{32}"), ("lin_api_", "[A-Za-z0-9]{30,80}"), ("AGE-SECRET-KEY-1", "[0-9A-Z]{50,70}"),
    ("hooks.slack.com/services/", "[A-Za-z0-9/]{20,120}"), ("quorate_", "[A-Za-z0-9_-]{30,255}"),
)  # fmt: skip
_NAMES = (
    r"passwords?|passwd|passphrase|pwd|secrets?|api[_-]?keys?|access[_-]?keys?|account[_-]?key|auth[_-]?token"
    r"|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|signing[_-]?key|bearer[_-]?token"
)
_PEM = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_END = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_VALUE = r"[^\s\"'`<>{}\[\](),;\\]"
_STANDS_FOR = re.compile(r"\*{3,}|\$.*|env:.*|file:.*|vault:.*|x{4,}|\.{3,}", re.IGNORECASE)


def check_assigned(match: re.Match[str]) -> int | None:
    """Whether what stands behind `password =` is a value, and no word of a sentence and no reference."""
    value = match[1]
    if _STANDS_FOR.fullmatch(value):
        return None
    kinds = (
        re.search(r"[a-z]", value),
        re.search(r"[A-Z]", value),
        re.search(r"\d", value),
        re.search(r"[^\w.-]", value),
    )
    is_mixed = sum(kind is not None for kind in kinds) >= 2
    return match.end(1) if is_mixed else None


def check_random(match: re.Match[str]) -> int | None:
    """Whether a long text is like one that was drawn: all kinds of characters, and about as many of each."""
    text = match[0]
    if not (re.search(r"[a-z]", text) and re.search(r"[A-Z]", text) and re.search(r"\d", text)):
        return None
    return match.end() if measure_entropy(text) >= LEAST_ENTROPY else None


def measure_entropy(text: str) -> float:
    """Measure Shannon's entropy of a text's characters, in bits for each."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values()) if size else 0.0


class _Kind(Struct, frozen=True):
    """How one kind of secret is found."""

    label: str
    pattern: str
    marks: tuple[str, ...]
    check: Callable[[re.Match[str]], int | None] | None = None
    group: int = 0
    quick: str = ""


_JWT = r"eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{0,400}"
_ENTITIES: dict[SecretEntity, Sequence[_Kind]] = {
    "private_key": [
        _Kind(
            "PRIVATE_KEY",
            rf"{_PEM}(?:(?:[^-]|-(?!----)){{0,{LONGEST_BLOCK}}}{_PEM_END}|[A-Za-z0-9+/=\s\\]{{0,{LONGEST_BLOCK}}})",
            ("PRIVATE KEY",),
        )
    ],
    "key": [
        _Kind(
            "KEY",
            _BEGINS + "(?:" + "|".join(re.escape(begin) + rest for begin, rest in _KEYS) + ")",
            tuple(begin for begin, _ in _KEYS),
            quick="|".join(re.escape(begin.lower()) for begin, _ in _KEYS),
        )
    ],
    "token": [
        _Kind("TOKEN", _BEGINS + _JWT, ("eyJ",), quick="eyj"),
        _Kind("TOKEN", r"earer (?<=[Bb]earer )([A-Za-z0-9._~+/-]{16,4000}={0,2})", ("earer ",), group=1),
    ],
    "login": [_Kind("LOGIN", r"://([^\s/:@\"'\\]{1,64}:[^\s/@\"'\\]{1,128})@", ("://",), group=1)],
    "assigned": [
        _Kind(
            "PASSWORD",
            rf"(?i:{_NAMES})(?:\\?[\"'])?\s{{0,3}}(?::=|=>|[:=])\s{{0,3}}(?:\\?[\"'])?({_VALUE}{{6,256}})",
            ("=", ":"),
            check_assigned,
            1,
            quick=_NAMES,
        )
    ],
    "random": [
        _Kind(
            "RANDOM",
            r"[A-Za-z0-9+/_-](?<![A-Za-z0-9+/_=\\-].)[A-Za-z0-9+/_-]{31,127}={0,2}(?![A-Za-z0-9+/_=-])",
            ("",),
            check_random,
        )
    ],
}
_BEGUN = r"(?:(?<![A-Za-z0-9_\\-].)|(?<=\\[nrtbf].))"
# What may grow, by kind: the expression, the most it matches, what is in every such end, the least it matches.
_GROWING: dict[SecretEntity, Sequence[tuple[str, int, str, int]]] = {
    "private_key": [
        (r"-{1,5}(?:(?<=-----)B(?:E(?:G(?:I(?:N(?: [A-Z0-9 ]{0,60}-{0,5})?)?)?)?)?)?\Z", 90, "-", 1),
        (rf"{_PEM}(?:(?!{_PEM_END})[\s\S]){{0,{LONGEST_BLOCK + 120}}}\Z", LONGEST_BLOCK + 300, "-----BEGIN", 26),
    ],
    "key": [
        (rf"[A-Za-z0-9_]{_BEGUN}[A-Za-z0-9_./-]{{0,25}}\Z", 26, "", 1),
        (
            _BEGINS + "(?:" + "|".join(re.escape(begin) for begin, _ in _KEYS) + r")[A-Za-z0-9_./-]{0,400}\Z",
            430,
            "",
            27,
        ),
    ],
    "token": [
        (rf"e{_BEGUN}y?\Z", 2, "e", 1),
        (
            _BEGINS
            + r"eyJ[A-Za-z0-9_-]{0,4000}(?:\.(?:e(?:y(?:J[A-Za-z0-9_-]{0,8000}(?:\.[A-Za-z0-9_-]{0,400})?)?)?)?)?\Z",
            12_410,
            "eyJ",
            3,
        ),
        (r"e(?:a(?:r(?:e(?:r(?: (?:[A-Za-z0-9._~+/-]{0,4000}={0,2})?)?)?)?)?)?\Z", 4010, "e", 1),
    ],
    "login": [(r":(?:/(?:/(?:[^\s/:@\"'\\]{1,64}(?::[^\s/@\"'\\]{0,128})?)?)?)?\Z", 200, ":", 1)],
    "assigned": [
        (r"[A-Za-z]{1,14}[_-]?[A-Za-z]{0,6}\Z", 22, "", 1),
        (
            rf"(?i:{_NAMES})(?:\\?[\"'])?\s{{0,3}}(?:(?::=?|=>?)\s{{0,3}}(?:\\?[\"']?)?{_VALUE}{{0,256}})?\\?\Z",
            300,
            "",
            3,
        ),
    ],
    "random": [(r"[A-Za-z0-9+/_-](?<![A-Za-z0-9+/_=\\-].)[A-Za-z0-9+/_-]{0,127}={0,2}\Z", 140, "", 1)],
}


@cache
def find_secrets(entities: tuple[SecretEntity, ...]) -> ExpressionFinder:
    """Build what finds keys, tokens and passwords."""
    detectors = [
        Detector(
            kind.label,
            re.compile(kind.pattern),
            kind.marks,
            kind.check,
            kind.group,
            re.compile(kind.quick) if kind.quick else None,
        )
        for entity in entities
        for kind in _ENTITIES[entity]
    ]
    growing = [
        Growing(re.compile(pattern), longest, mark, least)
        for entity in entities
        for pattern, longest, mark, least in _GROWING[entity]
    ]
    return ExpressionFinder(detectors, growing)
