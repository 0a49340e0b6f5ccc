"""What is a request or an answer called, so that it is found again?"""

from __future__ import annotations

import random
import time


def new_mark(kind: str) -> str:
    """Make an identifier of the layout of `ids.new_id` that keeps nobody out, as who knows many can work out the next.

    It takes no system call, at which another thread could make a request wait.
    """
    return f"{kind}-{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"
