"""How do text, arrays and the lines about runs become what PostgreSQL keeps, and what is read again?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from quorate.errors import InvalidInput
from quorate.events import RunSummary
from quorate.state.backends._checks import check_text
from quorate.state.backends._rows import build_corrupt_line

SummaryRow = tuple[str, int, float, bytes | None]
"""A run, its last `seq`, the time of its last event, and the line about it."""

_ESCAPES = str.maketrans({"\0": "\x01b", "\x01": "\x01a"})
_summaries = msgspec.json.Decoder(RunSummary)


def check_run(run: str) -> str:
    """Return a run's id, or raise `InvalidInput` when PostgreSQL cannot keep it as text."""
    if "\0" in (run if run.isascii() else check_text(run, "run")):
        raise InvalidInput(f"run {run!r} holds U+0000, which no id may.")
    return run


def escape(text: str | None) -> str | None:
    """Write text as PostgreSQL can keep it: U+0000, which it cannot, as two other characters."""
    return text.translate(_ESCAPES) if text is not None and ("\0" in text or "\x01" in text) else text


def unescape(text: str) -> str:
    """Read what `escape` wrote."""
    return text.replace("\x01b", "\0").replace("\x01a", "\x01") if "\x01" in text else text


def write_array(values: Sequence[str]) -> str:
    """Write an array as PostgreSQL reads it, of values that hold no quote and no backslash."""
    return "{" + ",".join(values) + "}"


def quote(text: str) -> str:
    """Quote text as an element of an array."""
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def decode_summary(row: SummaryRow) -> RunSummary | None:
    """Build the one line about a run from its row; `None` while no `run.created` was seen.

    Raises:
        CorruptState: It does not verify.
    """
    run, last, updated, body = row
    if body is None:
        return None
    try:
        summary = _summaries.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise build_corrupt_line(run, str(error)) from error
    if summary.run != run:
        raise build_corrupt_line(run, f"it tells of run {summary.run!r}")
    return structs.replace(summary, events=last, updated=updated)


def decode_summaries(rows: Sequence[SummaryRow]) -> list[RunSummary]:
    """Build the lines about runs from their rows, without those that have not begun."""
    return [summary for row in rows if (summary := decode_summary(row)) is not None]
