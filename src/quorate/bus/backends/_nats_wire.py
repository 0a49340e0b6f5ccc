"""How do our messages look on the wire of NATS, and what is believed of those that come?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

from msgspec import Struct

from quorate.bus.headers import ID, MAX_BLOCK, TENANT, check_headers, pick_headers
from quorate.bus.subjects import is_inbox
from quorate.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    StorageFull,
    TooLarge,
    Unavailable,
)
from quorate.ports.bus import Message

HEAD = b"NATS/1.0"
NO_RESPONDERS = 503
RETRY_S = 1.0
MAX_BLOCKS = 256
"""How many blocks of headers are remembered."""
MAX_REMEMBERED = 512
"""How long one may be to be remembered."""
MAX_ID = 200
MAX_DIGITS = 20
"""How long a number may be that a server says; its own have 64 bits."""

_LINE = b"\r\n"
_MOST_WORDS = 16
"""Of how many words more a subject may be at which work is answered."""
_ID = "Nats-Msg-Id"
_MEANINGS: Mapping[str, type[QuorateError]] = {
    "maximum messages exceeded": RateLimited,
    "maximum bytes exceeded": RateLimited,
    "maximum messages per subject exceeded": RateLimited,
    "insufficient": StorageFull,
    "no space left": StorageFull,
    "resource limits exceeded": StorageFull,
    "message size exceeds": TooLarge,
    "jetstream not enabled": Unavailable,
    "not permitted": Forbidden,
}
"""What a JetStream server's words mean, for those of its errors that are told apart by words alone."""


class Fault(Struct, frozen=True):
    """What a JetStream server says was wrong."""

    code: int = 500
    err_code: int = 0
    description: str = ""


class Wire:
    """How one tenant's messages are written and read; it counts what it does not believe."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.foreign = 0
        """How many messages came that bear another tenant, or none."""
        self.forged = 0
        """How many messages asked for an answer at a subject that is no inbox."""
        self._ours = f"{TENANT}: {tenant}".encode()
        self._head = HEAD + _LINE + self._ours + _LINE
        self._plain = self._head + _LINE
        self._built: dict[tuple[tuple[str, str], ...], bytes] = {}
        """Blocks of headers that were built; a run sends the same ones again and again."""
        self._found: dict[bytes, Mapping[str, str]] = {self._plain: MappingProxyType({})}
        """Blocks of headers that were read."""

    def build(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = "", own: str = ""
    ) -> bytes:
        """Build the command that publishes a message; `own` are header lines that only a bus may set.

        Raises:
            InvalidInput: A header is not one.
        """
        block = self._build_block(headers, own) if headers or own else self._plain
        size = len(block)
        where = (
            f"HPUB {subject} {reply} {size} {size + len(data)}\r\n"
            if reply
            else (f"HPUB {subject} {size} {size + len(data)}\r\n")
        )
        return b"".join((where.encode(), block, data, _LINE))

    def read(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> Message | None:
        """Read a message that is this tenant's; others are counted and passed over."""
        kept = self._found.get(headers or b"")
        if kept is None:
            kept = self._read_block(headers)
            if kept is None:
                self.foreign += 1
                return None
        inbox = ""
        if reply and ID not in kept:  # of what a stream keeps, the receipt is expected there
            inbox = reply.decode("utf-8", "replace")
            if not is_inbox(inbox):
                self.forged += 1
                inbox = ""
        return Message(subject=subject.decode("utf-8", "replace"), data=data, headers=kept, reply=inbox)

    def read_kept(self, subject: bytes, data: bytes, headers: bytes | None, *, place: Place) -> Message | None:
        """Read a message that a stream kept."""
        kept = self._read_block(headers)
        if kept is None:
            self.foreign += 1
            return None
        return Message(
            subject=subject.decode("utf-8", "replace"), data=data, headers=kept, seq=place.seq, time=place.time
        )

    def _build_block(self, headers: Mapping[str, str] | None, own: str) -> bytes:
        key = tuple(headers.items()) if headers else ()
        block = self._built.get(key)
        if block is None:
            lines = [f"{name}: {value}\r\n" for name, value in check_headers(headers or {}).items()]
            block = self._head + "".join(lines).encode()
            if len(self._built) >= MAX_BLOCKS:
                self._built.clear()
            self._built[key] = block
        return block + f"{own}\r\n".encode() if own else block + _LINE

    def _read_block(self, block: bytes | None) -> Mapping[str, str] | None:
        if not block or len(block) > MAX_BLOCK or not block.startswith(HEAD + _LINE):
            return None
        pairs = split_headers(block)
        kept = pick_headers(pairs, self.tenant)
        if kept is None:
            return None
        known_as = next((value for name, value in pairs if name == _ID), "")
        if known_as:
            if len(known_as) <= MAX_ID and known_as.isprintable():
                kept.setdefault(ID, known_as)
            return kept  # there is no other one like it
        if len(self._found) >= MAX_BLOCKS:
            self._found = {self._plain: MappingProxyType({})}
        if len(block) <= MAX_REMEMBERED:
            self._found[block] = MappingProxyType(kept)
        return kept


class Place(Struct, frozen=True):
    """Where a message that a consumer gave out stands."""

    attempt: int
    seq: int
    time: float


def build_request(subject: str, data: bytes, *, reply: str) -> bytes:
    """Build a question to the server itself."""
    return b"".join((f"PUB {subject} {reply} {len(data)}\r\n".encode(), data, _LINE))


def build_bare(subject: str, data: bytes) -> bytes:
    """Build an answer to the server itself."""
    return b"".join((f"PUB {subject} {len(data)}\r\n".encode(), data, _LINE))


def split_headers(block: bytes) -> list[tuple[str, str]]:
    """Split a block of headers into names and values; what is no header is passed over."""
    found: list[tuple[str, str]] = []
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found.append((name, value.strip()))
    return found


def read_count(block: bytes, name: str) -> int | None:
    """Read a number that the server itself says in a header; `None` where it says none."""
    found = next((value for said, value in split_headers(block[:MAX_BLOCK]) if said == name), "")
    return _read_number(found.encode("ascii", "replace"))


def read_status(block: bytes | None) -> tuple[int, str]:
    """Read the status of what the server itself says, such as 503; 0 for a message of somebody's."""
    if not block or block[8:9] != b" ":
        return 0, ""
    code, _, words = block[9 : max(block.find(_LINE), 9)].partition(b" ")
    return _read_number(code) or 0, words.decode("utf-8", "replace")


def read_place(reply: bytes) -> Place | None:
    """Read where a message stands from the subject at which it is answered."""
    words = reply.split(b".", _MOST_WORDS)
    if words[:2] != [b"$JS", b"ACK"] or len(words) < 9:
        return None
    shift = 0 if len(words) == 9 else 2
    said = words[4 + shift], words[5 + shift], words[7 + shift]
    if not all(word.isdigit() and len(word) <= MAX_DIGITS for word in said):
        return None
    attempt, seq, time_ns = map(int, said)
    return Place(attempt, seq, time_ns / 1e9)


def _read_number(digits: bytes) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) <= MAX_DIGITS else None


def raise_fault(fault: Fault, what: str) -> NoReturn:
    """Raise what a JetStream server's complaint means.

    Raises:
        QuorateError: Always.
    """
    words = fault.description
    kind = next((kind for said, kind in _MEANINGS.items() if said in words.lower()), None)
    message = f"{what}: NATS says {words!r} ({fault.err_code})."
    if kind is RateLimited:
        raise RateLimited(f"{message} Send it again when some are done.", retry_after_s=RETRY_S)
    if kind is not None:
        raise kind(message)
    if fault.code == 404:
        raise NotFound(message, err_code=fault.err_code)
    raise (Unavailable if fault.code >= 500 else InvalidInput)(message, err_code=fault.err_code)
