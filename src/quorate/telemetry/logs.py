"""How is what programs log written so that a machine finds it again, beside the trace it belongs to?"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
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
_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0)) if number != 9} | _BREAKS
"""What would end a line, or tell a terminal what to do."""
_encode = msgspec.json.Encoder(enc_hook=str).encode
_LIKE = re.compile(
    r"qk_[0-9a-f]{16}_[A-Za-z0-9_-]{8,}|whsec_[A-Za-z0-9+/=_-]{8,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)
"""How API keys, secrets of webhooks and signed tokens look, whoever's they are."""
Secrets = Iterable[str] | Callable[[], Iterable[str]]
"""What may not be shown; what is called gives it as it is at that moment."""


class Hider:
    """Puts stars in place of what is secret in a text.

    Args:
        secrets: What may not be shown.
    """

    def __init__(self, secrets: Secrets = ()) -> None:
        self._secrets = secrets if callable(secrets) else tuple(secrets)

    def hide(self, text: str) -> str:
        """Return a text without secrets."""
        given = self._secrets() if callable(self._secrets) else self._secrets
        # The longest first: one secret may be a part of another one.
        for secret in sorted({one for one in given if len(one) >= LEAST_SECRET}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return _LIKE.sub(HIDDEN, text)


class TextFormatter(logging.Formatter):
    """Writes records for people, without secrets.

    Args:
        form: How a record is written, with `%` as the standard library has it.
        secrets: What may not be shown.
    """

    def __init__(self, form: str | None = None, *, secrets: Secrets = ()) -> None:
        super().__init__(form)
        self._hider = Hider(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return self._hider.hide(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # it has its name from the standard library
        """Write a record without its stack, in one line: whoever's words are in it make no other record of them."""
        # A secret may have several lines itself, so that it is looked for before.
        return self._hider.hide(super().formatMessage(record)).rstrip("\n").translate(_CONTROLS)


class JsonFormatter(logging.Formatter):
    """Writes each record as one line of JSON, with the trace, the span, the run and the step that it belongs to.

    Whatever a message holds stays inside of its line, and what is known to be secret is not in it.

    Args:
        secrets: What may not be shown.
    """

    def __init__(self, *, secrets: Secrets = ()) -> None:
        super().__init__()
        self._hider = Hider(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return _encode(self.describe(record)).decode().translate(_BREAKS)

    def describe(self, record: logging.LogRecord) -> dict[str, object]:
        """Say what a record holds, without secrets."""
        facts: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
        }
        place = get_place()
        if place is not None:
            facts |= {"trace_id": place.context.trace_id, "span_id": place.context.span_id}
            known = {"run": place.run, "key": place.key, "request_id": place.request}
            facts |= {name: value for name, value in known.items() if value}
        if record.exc_info:
            facts["error"] = self._clean(self.formatException(record.exc_info))
        if record.stack_info:
            facts["stack"] = self._clean(self.formatStack(record.stack_info))
        for name, value in vars(record).items():
            if name not in _PLAIN and isinstance(value, str | int | float | bool):
                facts.setdefault(name, self._clean(value) if isinstance(value, str) else value)
        return facts

    def _clean(self, text: str) -> str:
        text = text.encode("utf-8", "backslashreplace").decode()  # half a character is none in JSON
        text = self._hider.hide(text)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"
