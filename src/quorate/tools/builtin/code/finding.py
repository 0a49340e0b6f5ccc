"""What is a finding about code, and how is its evidence shown?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["critical", "high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
MAX_EVIDENCE_CHARS = 160


class Finding(Struct, frozen=True, kw_only=True):
    """Something in a file that a person should look at."""

    rule: str
    severity: Severity
    file: str
    line: int
    message: str
    evidence: str = ""
    """The line itself, cut, and with secrets blotted out."""


class Source(Struct, frozen=True, kw_only=True):
    """A file under review."""

    file: str
    text: str
    lines: tuple[str, ...]
    is_test: bool


class Limits(Struct, frozen=True, kw_only=True):
    """From which size on a function is too much."""

    complexity: int = 10
    function_lines: int = 80
