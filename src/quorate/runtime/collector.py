"""How often does a process that does many runs look for garbage in cycles?"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

YOUNG = 50_000
"""How many more containers there must be than at the last look before the next one."""


@contextmanager
def calm_collector() -> Generator[None]:
    """Look for garbage in cycles less often while a block works.

    What was loaded before the block stays for good and is not looked at again, and what runs leave behind is seldom a
    cycle, so that most looks at a thousand live runs find nothing: with the interpreter's own settings they take a
    fifth of a worker's time. It changes the settings of the whole process, so it is for programs, not for libraries;
    `quorate worker` uses it.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
