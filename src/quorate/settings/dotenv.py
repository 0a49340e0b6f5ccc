"""What does a `.env` file say?"""

from __future__ import annotations

import re

from msgspec import Struct

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class Variable(Struct, frozen=True, kw_only=True):
    """One line that sets a variable."""

    name: str
    value: str
    line: int


def parse_dotenv(text: str) -> tuple[list[Variable], list[tuple[int, str]]]:
    r"""Read the variables of a `.env` file, and list the lines that cannot be read, with what to write.

    Double quotes allow `\n`, `\t`, `\r`, `\"` and `\\`; single quotes take everything as it is; without quotes,
    ` #` begins a comment.
    """
    found: list[Variable] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        parts = _LINE.fullmatch(stripped)
        value = _read_value(parts[2]) if parts else None
        if parts is None:
            faults.append((number, "this sets nothing; write `NAME=value`, or begin the line with `#`"))
        elif value is None:
            faults.append((number, f"the quotes of `{parts[1]}` are not closed on this line, or text follows them"))
        else:
            found.append(Variable(name=parts[1], value=value, line=number))
    return found, faults


def _read_value(text: str) -> str | None:
    quote = text[:1]
    if quote not in {'"', "'"}:
        return re.split(r"\s#", text, maxsplit=1)[0].strip() if not text.startswith("#") else ""
    pattern = r'"((?:\\.|[^"\\])*)"' if quote == '"' else r"'([^']*)'"
    match = re.fullmatch(pattern + r"\s*(?:#.*)?", text)
    if match is None:
        return None
    return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), match[1]) if quote == '"' else match[1]
