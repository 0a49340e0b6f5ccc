"""What may stand on the outside of a message, and how is it kept from being read as something else?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from quorate.errors import InvalidInput, TooLarge

TENANT = "Quorate-Tenant"
"""Whose message it is; put there by the bus, never by who publishes."""
QUEUE = "Quorate-Queue"
SUBJECT = "Quorate-Subject"
ATTEMPTS = "Quorate-Attempts"
REASON = "Quorate-Reason"
"""Of a dead letter: the queue and subject it comes from, how often it was tried, and what was said the last time."""
ID = "Quorate-Id"
"""The id under which it was enqueued."""
TRACE = "traceparent"
"""A W3C trace context."""

MAX_COUNT = 64
MAX_BYTES = 16 << 10
MAX_REASON = 1000
MAX_BLOCK = 64 << 10
"""How long the headers of a message may be, all together, to be read at all."""
_RESERVE = 256
"""What an id takes beside the headers of a dead letter."""
_TENANT = TENANT.lower()
_RESERVED = ("nats-", _TENANT)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}", re.ASCII)


def check_headers(given: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they may be sent; those that only a broker or a bus may set are left out.

    Raises:
        InvalidInput: A name is not one, or a value has line breaks or other control characters.
        TooLarge: There are too many, or they are too long.
    """
    size, kept = 0, dict[str, str]()
    for name, value in given.items():
        if _NAME.fullmatch(name) is None:
            raise InvalidInput(f"header {name[:80]!r} has no valid name: use letters, digits and `-`.")
        if not value.isprintable():
            raise InvalidInput(f"header {name!r} has the value {value[:80]!r}: use printable characters only.")
        if is_reserved(name):
            continue
        size += len(name) + len(value)
        kept[name] = value.strip()
    if len(kept) > MAX_COUNT or size > MAX_BYTES:
        raise TooLarge(f"{len(kept)} headers of {size} characters; at most {MAX_COUNT} of {MAX_BYTES} are sent.")
    return kept


def is_reserved(name: str) -> bool:
    """Whether only a broker or a bus may set that header."""
    return name[:14].lower().startswith(_RESERVED)


def pick_headers(pairs: Iterable[tuple[str, str]], tenant: str) -> dict[str, str] | None:
    """Return what of the headers that came may be seen by whoever is given the message; `None` if it is not his.

    A message is a tenant's if it says so, and nowhere says something else. What is no header, what only a broker or a
    bus may set, and what would not have been sent by one of us is left out.
    """
    kept: dict[str, str] = {}
    is_ours = False
    for name, value in pairs:
        plain = name.strip().lower()
        if plain == _TENANT:
            if value != tenant:
                return None
            is_ours = is_ours or name == TENANT
        elif plain.startswith(_RESERVED):
            continue
        elif name not in kept and _NAME.fullmatch(name) is not None and value.isprintable():
            kept[name] = value
    return kept if is_ours else None


def clean_reason(reason: str) -> str:
    """Make one printable line of what went wrong, at most 1,000 characters of it."""
    line = " ".join(reason.split())
    return "".join(character if character.isprintable() else "?" for character in line)[:MAX_REASON].rstrip()


def build_dead_headers(
    headers: Mapping[str, str], *, queue: str, subject: str, attempts: int, reason: str
) -> dict[str, str]:
    """Build the headers of a dead letter: its own as far as they may be sent, and why it is one."""
    why = {QUEUE: queue, SUBJECT: subject, ATTEMPTS: str(attempts), REASON: clean_reason(reason)}
    room, kept = MAX_BYTES - count_bytes(why) - _RESERVE, dict[str, str]()
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room >= 0 and len(kept) + len(why) + 1 < MAX_COUNT and name not in why:
            kept[name] = value
    return kept | why


def count_bytes(headers: Mapping[str, str]) -> int:
    """Count what headers take, as they are counted against `MAX_BYTES`."""
    return sum(len(name) + len(value) for name, value in headers.items())
