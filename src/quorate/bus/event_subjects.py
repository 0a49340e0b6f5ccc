"""At which subject is an event told, and which event is in a message that came there?"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, TypeVar

import msgspec
from msgspec import structs

from quorate.bus.globs import Glob, check_kind
from quorate.codec.json import decode
from quorate.errors import InvalidInput
from quorate.ids import check_id
from quorate.ports.bus import Message
from quorate.ports.happening import Happening

T = TypeVar("T")
Way = Literal["told", "kept"]
"""Whether an event is for those who listen now, or also for those who read later."""
NO_KEY = "-"
MAX_KEY = 512
MAX_KNOWN = 4096
"""For how many subjects it is remembered what is meant there."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
_TENANT = 4
_KIND = 5
_read = msgspec.json.Decoder(Happening).decode


def build_event_subject(way: Way, bus_tenant: str, *, tenant: str, kind: str, key: str) -> str:
    """Build the subject of an event; the key comes last, so that any number of words may stand before it.

    Raises:
        InvalidInput: One of them is not what it must be.
    """
    return f"ai.events.{way}.{bus_tenant}.{check_id(tenant, 'tenant')}.{check_kind(kind)}.{build_key_word(key)}"


def build_event_pattern(
    way: Way | None, bus_tenant: str, *, tenant: str | None, glob: Glob, key: str | None
) -> tuple[str, bool]:
    """Build the narrowest pattern of a bus in which all events are that are wanted, and say whether no others are.

    A bus knows `**` only at the end.
    """
    head = f"ai.events.{way or '*'}.{bus_tenant}.{'*' if tenant is None else check_id(tenant, 'tenant')}"
    last = ">" if glob.is_open else "*" if key is None else build_key_word(key)
    return ".".join([head, *glob.head, last]), glob.is_plain and (key is None or not glob.is_open)


def build_key_word(key: str) -> str:
    """Build the word of a subject that stands for a key: itself where it can, else a digest of it.

    Raises:
        InvalidInput: It is too long, or half of a character.
    """
    if not key:
        return NO_KEY
    if _KEY.fullmatch(key) is not None:
        return key
    try:
        written = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"event key {key[:80]!r} is not Unicode text.") from error
    if len(written) > MAX_KEY:
        raise InvalidInput(f"event key {key[:80]!r}… has {len(written)} bytes; at most {MAX_KEY} are sent.")
    return f"_{hashlib.sha256(written).hexdigest()[:32]}"


class EventReader:
    """Reads the events of one subscriber out of messages, and counts what is none."""

    def __init__(self, glob: Glob, *, key: str | None = None) -> None:
        self.unread = 0
        """How many messages were no events, or not what their subject says."""
        self._glob = glob
        self._key = key
        self._word = None if key is None else build_key_word(key)
        self._known: dict[str, tuple[str, str] | None] = {}

    @property
    def digest(self) -> str:
        """What tells apart those who want different events of one subject."""
        return hashlib.sha256(f"{self._glob.pattern} {self._word}".encode()).hexdigest()[:16]

    def wants(self, subject: str) -> bool:
        """Whether the event at a subject is one of those that are wanted."""
        return self._find(subject) is not None

    def read(self, message: Message) -> Happening | None:
        """Read an event that is wanted; anything else is passed over."""
        meant = self._find(message.subject)
        if meant is None:
            return None
        try:
            event = _read(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.unread += 1
            return None
        # Rights are granted by subject, so that an event is whose and what its subject says.
        if (event.tenant, event.kind) != meant:
            self.unread += 1
            return None
        if self._key is not None and event.key != self._key:
            return None
        return structs.replace(event, place=message.seq) if message.seq else event

    def _find(self, subject: str) -> tuple[str, str] | None:
        """Find whose event and which kind is meant at a subject, if it is wanted."""
        try:
            return self._known[subject]
        except KeyError:
            words = subject.split(".")
            kind, is_ours = ".".join(words[_KIND:-1]), self._word in (None, words[-1])
            meant = (words[_TENANT], kind) if kind and is_ours and self._glob.matches(kind) else None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[subject] = meant
            return meant


def read_data(event: Happening, type_: type[T]) -> T:
    """Read what an event tells.

    Raises:
        InvalidInput: It tells something else.
    """
    return decode(bytes(event.data), type_, what=f"event {event.kind!r}", max_bytes=len(bytes(event.data)))
