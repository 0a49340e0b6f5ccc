"""How do lines of the log wait to be sent without making anybody wait?"""

from __future__ import annotations

import logging
import threading

from msgspec import Struct

from quorate.telemetry.logs import JsonFormatter

MAX_LINES = 10_000
"""How many lines may wait; those above are dropped and counted."""
OURS = ("opentelemetry", "urllib3", "requests", "grpc", "quorate.telemetry")
"""Whose lines are not sent: that sending failed would be sent, and fail."""


class LogLine(Struct, frozen=True, gc=False):
    """A line of the log."""

    time: float
    level: int
    word: str
    """The level, in a word."""
    facts: dict[str, object]
    """All that a line of JSON would hold."""


class LogShip(logging.Handler):
    """Keeps what is logged until somebody takes it.

    Args:
        formatter: Says what a record holds, without secrets.
    """

    def __init__(self, formatter: JsonFormatter) -> None:
        super().__init__()
        self._formatter = formatter
        self._lines: list[LogLine] = []
        self._lost = 0
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        if any(record.name == name or record.name.startswith(f"{name}.") for name in OURS):
            return
        try:
            line = LogLine(record.created, record.levelno, record.levelname, self._formatter.describe(record))
        except Exception:  # a record that cannot be read must not end the work of whoever logged it
            self.handleError(record)
            return
        with self._guard:
            if len(self._lines) < MAX_LINES:
                self._lines.append(line)
            else:
                self._lost += 1

    def take(self) -> tuple[list[LogLine], int]:
        """Take what waits, and how many lines were dropped since the last time."""
        with self._guard:
            lines, self._lines = self._lines, []
            lost, self._lost = self._lost, 0
        return lines, lost
