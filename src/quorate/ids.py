"""What is this thing called, so that no two things share a name and names sort by age?"""

from __future__ import annotations

import os
import re
import time

from quorate.errors import InvalidInput

PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def new_id(kind: str) -> str:
    """Make an identifier such as `run-0199a7c31f2e9b1c…`: 48 bits of milliseconds, then 80 random bits.

    The layout is that of a UUIDv7 (RFC 9562, section 5.7) without its version bits, in hexadecimal,
    so that ids sort by the millisecond they were made in and 2^40 of one millisecond would be needed for a
    likely collision.
    """
    return f"{kind}-{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def check_id(value: str, what: str = "id") -> str:
    """Return `value` if it is a safe identifier, else raise `InvalidInput`.

    One grammar everywhere (`[a-z0-9][a-z0-9-]{0,62}`) means that no identifier can carry a path, a subject token,
    a wildcard or a header.
    """
    if PATTERN.fullmatch(value) is None:
        raise InvalidInput(
            f"{what} {value[:80]!r} is not an identifier: use 1 to 63 of `a-z`, `0-9` and `-`, "
            "beginning with a letter or digit.",
            what=what,
        )
    return value
