"""Is a document from outside small enough to be read at once?

Bytes are bounded where they come in. What is made of them is not: sixteen megabytes of empty objects become more than a
gigabyte of memory, and seconds in which nothing else goes on.
"""

from __future__ import annotations

from quorate.errors import TooLarge

MAX_NODES = 250_000
"""More objects and lists than any answer has; those inside its words are counted too."""
SMALL_BYTES = 128 << 10
"""What is shorter is not counted."""


def check_document(data: bytes) -> None:
    """Check how much would be made of a JSON document, before it is read.

    Raises:
        TooLarge: It holds too many objects and lists.
    """
    if len(data) > SMALL_BYTES and data.count(b"{") + data.count(b"[") > MAX_NODES:
        raise TooLarge(f"The model's provider sent more than {MAX_NODES} objects and lists.", limit=MAX_NODES)
