"""Is there a secret in a line of code, and how is the line shown without it?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from msgspec import Struct

from quorate.tools.builtin.code.finding import MAX_EVIDENCE_CHARS, Severity

MAX_LINE_CHARS = 2000
ENTROPY_BITS = 3.0
"""Bits for each character from which on a value looks random."""

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,64}")),
    ("a model provider's key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,200}")),
    ("a Stripe key", re.compile(r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}\b")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,200}")),
    ("a Google key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("a registry token", re.compile(r"\b(?:npm_[A-Za-z0-9]{36}\b|pypi-[A-Za-z0-9_-]{50,250})")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,900}\.[A-Za-z0-9_-]{10,500}")),
)
_LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"]{0,100}:(?P<value>[^\s/@'\"{}$<>%]{3,200})@")
_ASSIGNED = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,80})"
    r"(?:\[?[\"'])?\]?\s{0,20}(?::\s{0,20}[\w.\[\] |]{1,40})?(?:=>|:=|==?|:)\s{0,20}"
    r"[rbuf]{0,2}(?P<quote>[\"'`])(?P<value>[^\"'`\s]{4,500})(?P=quote)"
)
_BARE = re.compile(
    r"^\s{0,20}(?:export\s+)?(?P<name>[A-Za-z_][\w.-]{0,80})\s{0,5}[=:]\s{0,5}(?P<value>[^\s\"'#]{6,500})\s*$"
)
_PASSWORD = re.compile(r"(?i)passw(?:or)?d|passphrase|pwd$|(?<![a-z])secret|credential")
_TOKEN = re.compile(
    r"(?i)token|api[_.-]?key|access[_.-]?key|auth[_.-]?key|private[_.-]?key|secret|signing[_.-]?key|[_.-]key$"
)
_PLACEHOLDER = re.compile(
    r"(?i)^(?:.*(?:\{|<\w|%\(|process\.env|os\.environ|getenv|example|change[_-]?me|placeholder|your[_-]|dummy|"
    r"redacted|x{4,}|\*{3,}|\.{3,}|todo).*|none|null|true|false|test|undefined|pass(?:word|wd)?|secret|token|bearer|"
    r"[a-z]+://[^@]*|[./~].*|[a-z_]+[_-](?:password|secret|token|key)|(?:password|secret|token|api|key)[_-][a-z_-]+)$"
)


class Secret(Struct, frozen=True, kw_only=True):
    """A secret that was found, without the secret."""

    kind: str
    severity: Severity
    start: int
    end: int


def find_secrets(line: str, *, is_plain: bool = False) -> list[Secret]:
    """Find secrets in a line; in a plain file (settings, environment) a value needs no quotes."""
    text = line[:MAX_LINE_CHARS]
    found = [
        Secret(kind=kind, severity="critical", start=match.start(), end=match.end())
        for kind, pattern in _KINDS
        for match in pattern.finditer(text)
    ]
    found.extend(_named(text, "a password in an address", _LOGIN.finditer(text), check=False))
    found.extend(_named(text, "", _ASSIGNED.finditer(text), check=True))
    if is_plain and (bare := _BARE.match(text)) is not None:
        found.extend(_named(text, "", iter([bare]), check=True))
    found.sort(key=lambda secret: (secret.start, -secret.end))
    kept: list[Secret] = []
    for secret in found:
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def redact(line: str, *, is_plain: bool = False) -> str:
    """Show a line as evidence: cut, and with only the first characters of a long secret."""
    shown, at = "", 0
    for secret in find_secrets(line, is_plain=is_plain):
        value = line[secret.start : secret.end]
        head = value[:4] if len(value) >= 16 else ""
        shown += f"{line[at : secret.start]}{head}***[{len(value)} characters]"
        at = secret.end
    # Beyond the characters that were looked at there may be another.
    rest = line[at:MAX_LINE_CHARS]
    return (shown + rest).strip()[:MAX_EVIDENCE_CHARS]


def entropy_bits(value: str) -> float:
    """Return Shannon's entropy in bits for each character."""
    counts = [value.count(char) for char in set(value)]
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def _named(text: str, kind: str, matches: Iterator[re.Match[str]], *, check: bool) -> Iterator[Secret]:
    for match in matches:
        value = match["value"]
        if _PLACEHOLDER.match(value):
            continue
        name = kind or _judge(match["name"], value)
        if name and (not check or not value.isspace()):
            yield Secret(kind=name, severity="high", start=match.start("value"), end=match.end("value"))


def _judge(name: str, value: str) -> str:
    if _PASSWORD.search(name) and len(value) >= (6 if "secret" in name.lower() else 4):
        return f"a password or secret assigned to `{name}`"
    is_random = len(value) >= 12 and entropy_bits(value) >= ENTROPY_BITS and any(char.isdigit() for char in value)
    return f"a key or token assigned to `{name}`" if is_random and _TOKEN.search(name) else ""
