"""What is a message between agents on its way: where does it wait, what stands on it, and what is kept of it?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from quorate.bus.subjects import build_subject
from quorate.codec.envelope import Envelope, open_body, seal, unseal
from quorate.codec.formats import Codec, find_format
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import InvalidInput
from quorate.ids import check_id
from quorate.messages import AnyPart, Text
from quorate.ports.bus import Message, StreamRule

LIVES_S = 86_400.0
"""How long a message waits for somebody to read it, at most."""
KEPT_S = 2 * LIVES_S
"""How long it is known what became of a message: longer than any copy of it can be under way."""
MAX_TRIES = 5
"""How often a message is dealt with before it is put aside."""
MAX_DELIVER = 50
"""How often the bus gives a message out, also to readers that hold it back or are replaced before they begin."""
KIND = "agent_message"
AFTER, AFTER_UNTIL, BOX = "after", "after-until", "box"
"""What stands on the envelope: which message comes before it, until when that one may wait, and who wants a reply."""

Content = str | tuple[AnyPart, ...]
"""What a message says: text, or parts."""


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a message."""

    status: Literal["done", "dead"] = "done"
    """Whether it was dealt with, or never will be."""
    reply: AgentMessage | None = None


class Letter(Struct, frozen=True, kw_only=True):
    """A message with what stands on its envelope."""

    message: AgentMessage
    time: float
    after: str = ""
    """The message before it, of the same sender in the same conversation."""
    after_until: float = 0.0
    """Wall time after which nobody waits for that one."""
    box: str = ""
    """Where its sender waits for a reply."""
    trace: str | None = None
    """The W3C `traceparent` under which it was sent."""


def build_inbox_rules(
    agents: Iterable[str],
    *,
    tenant: str = "default",
    ack_wait_s: float = 30.0,
    backoff_s: tuple[float, ...] = (1.0, 5.0, 25.0, 120.0),
    max_messages: int = 100_000,
) -> tuple[StreamRule, ...]:
    """Build the streams in which messages wait for agents; whoever sends or reads opens the bus with them.

    Args:
        agents: For whom.
        tenant: Whose agents they are.
        ack_wait_s: After how long without a word a message is given to another reader.
        backoff_s: How long a message that failed rests before it is given out again, each time.
        max_messages: How many wait at most for each agent; who sends more is refused until some were read.

    Raises:
        InvalidInput: A name is not an identifier.
    """
    return tuple(
        StreamRule(
            name=name_inbox(agent),
            subjects=(build_subject("agent", "inbox", tenant, agent),),
            kind="work",
            max_messages=max_messages,
            ack_wait_s=ack_wait_s,
            backoff_s=backoff_s,
            max_deliver=MAX_DELIVER,
        )
        for agent in agents
    )


def name_inbox(agent: str) -> str:
    """Name the queue of an agent's inbox."""
    return name_queue("inbox", agent)


def name_queue(prefix: str, agent: str) -> str:
    """Name a queue for an agent; a name that is too long for that gives way to a digest of it."""
    name = f"{prefix}-{check_id(agent, 'agent name')}"
    return name if len(name) <= 58 else f"{prefix}-{hashlib.sha256(agent.encode()).hexdigest()[:32]}"


def build_mark(tenant: str, agent: str, id: str) -> str:
    """Build the key under which it is kept what became of a message."""
    return f"mail/{tenant}/done/{agent}/{hashlib.sha256(id.encode()).hexdigest()}"


def build_count(tenant: str, agent: str, id: str) -> str:
    """Build the key under which it is kept how often somebody tried to deal with a message."""
    return f"mail/{tenant}/tries/{agent}/{hashlib.sha256(id.encode()).hexdigest()}"


def build_parts(content: Content) -> tuple[AnyPart, ...]:
    """Build the parts of a message."""
    return (Text(text=content),) if isinstance(content, str) else content


def get_text(message: AgentMessage) -> str:
    """Return the words of a message."""
    return "".join(part.text for part in message.parts if isinstance(part, Text))


def write_letter(letter: Letter, *, tenant: str, codec: Codec | None = None) -> bytes:
    """Write a letter as it goes over a bus.

    Raises:
        InvalidInput: It cannot be written in that format.
    """
    message = letter.message
    given = {AFTER: letter.after, BOX: letter.box, AFTER_UNTIL: f"{letter.after_until:.3f}" if letter.after else ""}
    envelope = Envelope(
        id=message.id,
        kind=KIND,
        tenant=tenant,
        time=letter.time,
        correlation=message.correlation or None,
        trace=letter.trace,
        headers={name: value for name, value in given.items() if value},
    )
    return seal(envelope, message, codec=codec)


def read_letter(message: Message, *, tenant: str, agent: str) -> Letter:
    """Read what came for an agent.

    Raises:
        InvalidInput: It is malformed, for somebody else, no message between agents, or in a format that nobody knows.
        MissingExtra: What its format needs is not installed.
        Forbidden: It belongs to another tenant.
        TooLarge: It is larger than messages are.
    """
    envelope = unseal(message.data, tenant=tenant, codec=find_format(message.headers))
    if envelope.kind != KIND:
        raise InvalidInput(f"envelope {envelope.id!r} has kind {envelope.kind!r}; an inbox takes {KIND!r}.")
    said = open_body(envelope, AgentMessage)
    if said.recipient != agent or said.id != envelope.id:
        raise InvalidInput(f"message {said.id!r} is for {said.recipient!r}, and came to {agent!r}.")
    check_message_id(said.id)
    check_id(said.sender, "sender")
    headers = envelope.headers
    if headers.get(BOX):
        check_id(headers[BOX], "box")
    try:
        until = float(headers.get(AFTER_UNTIL, "0"))
    except ValueError as error:
        raise InvalidInput(f"message {said.id!r} has {AFTER_UNTIL!r} {headers[AFTER_UNTIL]!r}: not a time.") from error
    return Letter(
        message=said,
        time=envelope.time,
        after=headers.get(AFTER, ""),
        after_until=until,
        box=headers.get(BOX, ""),
        trace=envelope.trace,
    )


def check_message_id(id: str) -> str:
    """Return the id of a message if it is one.

    Raises:
        InvalidInput: It is empty, too long, or has spaces or control characters.
    """
    if not 1 <= len(id) <= 160 or not id.isascii() or not id.isprintable() or " " in id:
        raise InvalidInput(f"message id {id[:80]!r} is not one: use 1 to 160 printable ASCII characters, no spaces.")
    return id
