"""How much memory does this process have, how much may it have, and is there room for more work?"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from quorate.clock import Clock

MB = 1_000_000
STATM = "/proc/self/statm"
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit is, in either version of control groups."""
RELENT_S = 60.0
"""After how many seconds a worker that has nothing to do, and too much memory for more, takes one run all the same."""
REOPEN = 0.9
"""Below which part of the limit there is room again: a little below it, or it would come and go all the time."""
_logger = logging.getLogger("quorate.worker")


class MemoryGate:
    """Whether the memory of this process leaves room for more work: closed from its limit on, until well below it."""

    def __init__(self, limit_mb: float | None = None, *, read: Callable[[], float] | None = None) -> None:
        """Build a gate.

        Args:
            limit_mb: From how many megabytes on it is closed; it never is without a limit.
            read: Reads how many there are, instead of asking the system.
        """
        self.limit_mb = limit_mb
        self.used_mb = 0.0
        """How many there were when it was looked last."""
        self._read = read or read_memory_mb
        self._is_closed = False

    def measure(self) -> float:
        """Read how many megabytes there are, without opening or closing."""
        self.used_mb = self._read()
        return self.used_mb

    def look(self) -> bool:
        """Look at the memory, and return whether the gate is closed."""
        self.measure()
        if self.limit_mb is not None:
            bound = REOPEN * self.limit_mb if self._is_closed else self.limit_mb
            self._is_closed = self.used_mb >= bound
        return self._is_closed

    def describe(self) -> str:
        """Say how much of the limit is used."""
        return f"{self.used_mb:.0f} MB of memory, and {self.limit_mb or 0:.0f} MB are the limit"


class MemoryRoom:
    """For how many more runs the memory of a worker leaves room, and why it leaves none."""

    def __init__(self, gate: MemoryGate, *, clock: Clock, tell: Callable[[], None]) -> None:
        """Watch over a worker's memory.

        Args:
            gate: Whether there is room at all.
            clock: Where time comes from.
            tell: Told that there is no more room, or room again; the log says so, too.
        """
        self.gate = gate
        self.why_full = ""
        """Why there is no room; empty while there is."""
        self._clock = clock
        self._tell = tell
        self._has_collected = False
        self._idle_since = 0.0

    def count_room(self, wanted: int, *, busy: int) -> int:
        """Count how many of the runs that are wanted there is memory for, beside those that are under way.

        A worker that has nothing to do and stays above its limit takes one after a while: a limit that can never be
        kept must not stop everything.
        """
        if self.gate.limit_mb is None:
            return wanted
        now, is_full = self._clock.monotonic(), self.gate.look()
        if busy:
            self._idle_since, self._has_collected = now, False
        elif is_full and not self._has_collected:
            self._has_collected = True
            gc.collect()  # a worker that is busy leaves what is in cycles lying for long
            is_full = self.gate.look()
        if not is_full:
            if self.why_full:
                self.why_full = ""
                self._say("There is memory again (%s): runs are taken.")
            return wanted
        if not self.why_full:
            self.why_full, self._idle_since = self.gate.describe(), now
            self._say("No more runs are taken for now: this process has %s.")
        return 1 if now - self._idle_since >= RELENT_S else 0

    def _say(self, words: str) -> None:
        _logger.warning(words, self.gate.describe())
        self._tell()


def read_memory_mb() -> float:
    """Read how much memory this process has, in megabytes of 1,000,000 bytes.

    Where the system does not say, it is the most that it ever had.
    """
    try:
        with open(STATM, "rb") as opened:
            return int(opened.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / MB if sys.platform == "darwin" else most * 1024 / MB


def find_memory_limit_mb(max_mb: float | None, share: float | None) -> float | None:
    """Find how much memory this process may have: the lower of a number and a share of what there is.

    Args:
        max_mb: A number of megabytes.
        share: A share of what the container or the machine has.
    """
    limits = [float(max_mb)] if max_mb is not None else []
    if share is not None:
        limits.append(share * read_total_mb())
    return min(limits, default=None)


def read_total_mb(places: tuple[str, ...] = CGROUPS) -> float:
    """Read how much memory there is for this process: its container's limit, or what the machine has."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB
    for place in places:
        try:
            total = min(total, int(Path(place).read_text("ascii")) / MB)
        except (OSError, ValueError):
            continue  # there is none, or it says `max`
    return total
