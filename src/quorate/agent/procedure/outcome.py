"""What came of a step?"""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, mend_text
from quorate.messages import Text, ToolResult

MAX_OUTPUT = 1 << 20
"""How many characters of a step's output are handed on."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a step."""

    step: str
    status: Literal["completed", "failed", "incomplete"]
    text: str
    """What it gave, or why it gave nothing."""
    code: str = ""
    """The code of the error, where it failed."""

    @property
    def is_good(self) -> bool:
        """Whether it did what it was to do."""
        return self.status == "completed"

    @property
    def value(self) -> object:
        """What it gave: decoded where it is a JSON object or list, else the text."""
        if self.text[:1] in ("{", "["):
            try:
                check_depth(self.text)
                return cast("object", msgspec.json.decode(self.text))
            except (msgspec.DecodeError, InvalidInput):
                return self.text
        return self.text


def read_result(step: str, result: ToolResult) -> Outcome:
    """Read what came of a step from the result of its call."""
    text = read_text(result)
    text = text if text.isascii() else mend_text(text)
    if result.is_error:
        status = "incomplete" if result.code in ("incomplete", "budget_exceeded") else "failed"
        return Outcome(step=step, status=status, text=text, code=result.code)
    if len(text) > MAX_OUTPUT:
        told = f"it gave {len(text)} characters; at most {MAX_OUTPUT} are handed on: save more as an artifact"
        return Outcome(step=step, status="failed", text=told, code="too_large")
    return Outcome(step=step, status="completed", text=text)


def read_text(result: ToolResult) -> str:
    """Read the words of a result."""
    if isinstance(result.content, str):
        return result.content
    return "".join(part.text for part in result.content if isinstance(part, Text))
