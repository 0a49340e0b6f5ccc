"""How is text that others wrote shown, so that it cannot move the cursor, hide or deceive?"""

from __future__ import annotations

import datetime
import re
import unicodedata

# Controls but tab and newline; marks that turn the direction; what cannot be encoded; breaks that only look like text.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_BREAK = re.compile(r"\r\n?")


def clean(text: str) -> str:
    r"""Return a text whose control and invisible characters are spelled out, such as `\x1b`."""
    return _UNFIT.sub(_spell, _BREAK.sub("\n", text))


def clean_line(text: str, *, most: int = 0) -> str:
    """Return a text on one line, cut to a number of columns when `most` is given."""
    line = " ".join(clean(text).split())
    if not most or measure(line) <= most:
        return line
    width = 0
    for place, character in enumerate(line):
        width += measure(character)
        if width > most - 1:
            return line[:place] + "…"
    return line


def measure(text: str) -> int:
    """Count the columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)


def align(rows: list[tuple[str, ...]], *, indent: str = "") -> list[str]:
    """Set rows in columns; the last one is as long as it is."""
    if not rows:
        return []
    widths = [max(measure(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines: list[str] = []
    for row in rows:
        cells = [cell + " " * (width - measure(cell)) for cell, width in zip(row, widths, strict=False)]
        lines.append((indent + "  ".join([*cells, row[-1]])).rstrip())
    return lines


def show_time(seconds: float) -> str:
    """Write a moment as people of all places read it: UTC, to the second."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_duration(seconds: float) -> str:
    """Write a duration with the unit that fits."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def show_cost(cost_usd: float | None) -> str:
    """Write what something cost."""
    if cost_usd is None:
        return "unknown cost"
    return "no cost" if cost_usd == 0 else f"${cost_usd:.4f}"


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
