"""How is what programs log written so that a machine finds it again, beside the trace it belongs to?"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from quorate.telemetry.place import get_place

MAX_TEXT = 16_384
"""How many characters of a message or of a stack are kept."""
HIDDEN = "********"
LEAST_SECRET = 4
"""How long a secret must be to be looked for; shorter ones would blot out ordinary words."""
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
"""What some readers take for the end of a line, though JSON does not."""
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """Writes each record as one line of JSON, with the trace, the span, the run and the step that it belongs to.

    Whatever a message holds stays inside of its line, and what is known to be secret is not in it.

    Args:
        secrets: What may not be shown.
    """

    def __init__(self, *, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        # The longest first: one secret may be a part of another one.
        self._secrets = sorted({one for one in secrets if len(one) >= LEAST_SECRET}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        facts: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
        }
        place = get_place()
        if place is not None:
            facts |= {
                "trace_id": place.context.trace_id,
                "span_id": place.context.span_id,
                "run": place.run,
                "key": place.key,
            }
        if record.exc_info:
            facts["error"] = self._clean(self.formatException(record.exc_info))
        if record.stack_info:
            facts["stack"] = self._clean(self.formatStack(record.stack_info))
        for name, value in vars(record).items():
            if name not in _PLAIN and isinstance(value, str | int | float | bool):
                facts.setdefault(name, self._clean(value) if isinstance(value, str) else value)
        return _encode(facts).decode().translate(_BREAKS)

    def _clean(self, text: str) -> str:
        text = text.encode("utf-8", "backslashreplace").decode()  # half a character is none in JSON
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"
