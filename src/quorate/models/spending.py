"""What did a call use up of which nobody gave a count?"""

from __future__ import annotations

from quorate.errors import DeadlineExceeded, Incomplete, QuorateError
from quorate.messages import StreamItem, TextDelta, ThinkingDelta, ToolCallDelta

OUTPUT_GUESS = 1024
"""Tokens of a reply whose bound nobody states."""
CHARACTERS_PER_TOKEN = 4
UNASKED = ("connect", "route")
"""The layers whose deadline passes before a provider has the request."""


def count_item(item: StreamItem) -> int:
    """Count the characters of a piece of a reply."""
    if type(item) is TextDelta or type(item) is ThinkingDelta:
        return len(item.text)
    return len(item.arguments) if type(item) is ToolCallDelta else 0


def is_unknown(error: BaseException) -> bool:
    """Whether the provider may have worked for a call that failed so: it was cut, left or too slow, not refused."""
    if isinstance(error, DeadlineExceeded):
        return error.context.get("layer") not in UNASKED
    return isinstance(error, Incomplete) or not isinstance(error, QuorateError)
