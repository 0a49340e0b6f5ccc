"""What do the two ends of a WebSocket say to each other?

```text
> {"type": "authenticate", "token": "qk_…"}          only where no header does
< {"type": "ready", "tenant": "acme", "principal": "ada"}
> {"type": "subscribe", "id": "a", "run": "run-…", "after": 3}
< {"type": "subscribed", "id": "a", "run": "run-…", "after": 3}
< {"type": "event", "id": "a", "seq": 4, "event": {…}}
< {"type": "ended", "id": "a", "seq": 9}
```
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.events import AnyEvent
from quorate.server.problems import Problem
from quorate.server.streams import MAX_PLACE

MAX_TOKEN = 8_192
"""How long a credential may be."""
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Authenticate(Struct, frozen=True, kw_only=True, tag="authenticate", forbid_unknown_fields=True):
    """Says who asks: for pages, which cannot send a header, and in place of a token that ends soon."""

    token: Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN)]

    def __repr__(self) -> str:
        return "Authenticate(…)"


class Subscribe(Struct, frozen=True, kw_only=True, tag="subscribe", forbid_unknown_fields=True):
    """Wants the events of a run."""

    id: Name
    """What it is called in all that is said of it."""
    run: Annotated[str, Meta(min_length=1, max_length=200)]
    after: Annotated[int, Meta(ge=0, le=MAX_PLACE)] = 0
    """Only those behind this place."""


class Unsubscribe(Struct, frozen=True, kw_only=True, tag="unsubscribe", forbid_unknown_fields=True):
    """Wants no more of something."""

    id: Name


class Ping(Struct, frozen=True, kw_only=True, tag="ping", forbid_unknown_fields=True):
    """Wants to know whether we are there."""

    id: Annotated[str, Meta(max_length=64)] = ""


Asked = Authenticate | Subscribe | Unsubscribe | Ping


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """Says who we take somebody for."""

    tenant: str
    principal: str


class Subscribed(Struct, frozen=True, kw_only=True, tag="subscribed"):
    """Says that events follow."""

    id: str
    run: str
    after: int


class Happened(Struct, frozen=True, kw_only=True, tag="event"):
    """Tells an event."""

    id: str
    seq: int
    """Its place in the log: whoever comes back subscribes `after` it."""
    event: AnyEvent


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """Says that no more events come: the run ended or rests, or they are wanted no more."""

    id: str
    seq: int
    """The place of the last one."""
    reason: Literal["over", "unsubscribed"] = "over"


class Pong(Struct, frozen=True, kw_only=True, tag="pong"):
    """Says that we are there."""

    id: str = ""


class Failure(Struct, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """Says what went wrong: with one subscription where it is named, else with what was asked last or with all."""

    problem: Problem
    id: str = ""


Said = Ready | Subscribed | Happened | Ended | Pong | Failure

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Asked).decode


def write_said(message: Said) -> str:
    """Write what is said."""
    return _encode(message).decode()


def read_asked(data: bytes) -> Asked:
    """Read what is asked; it is JSON within its bounds already.

    Raises:
        InvalidInput: It is nothing that can be asked.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"This is nothing that can be asked here: {error}.") from error
