"""What do agents send each other, remember, and say what they are told with?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from quorate.messages import AnyPart, Message
from quorate.specs import Limits

MemoryKind = Literal["working", "episodic", "semantic", "procedural", "collective"]


class AgentMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that one agent says to another one, or to all."""

    id: str
    sender: str
    """Which agent says it."""
    recipient: str = ""
    """Which agent it is for; everybody who listens when empty."""
    parts: tuple[AnyPart, ...] = ()
    conversation: str = ""
    """What belongs together; messages of one conversation keep their order."""
    correlation: str = ""
    """The id of the message this one answers."""
    kind: Literal["message", "request", "reply", "error"] = "message"
    deadline: float | None = None
    """Wall time after which nobody waits for an answer."""
    labels: dict[str, str] = field(default_factory=dict[str, str])


class AgentTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that an agent is to do."""

    id: str
    message: Message
    """The task, as a person would say it."""
    agent: str = ""
    """Who is to do it; found by what it says when empty."""
    history: tuple[Message, ...] = ()
    """What was said before."""
    session: str | None = None
    principal: str = "local"
    limits: Limits = Limits()
    deadline: float | None = None
    """Wall time by which it must have ended."""
    idempotency_key: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])


class MemoryItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something worth remembering."""

    id: str
    text: str
    kind: MemoryKind = "semantic"
    agent: str = ""
    """Who contributed it."""
    session: str | None = None
    created: float = 0.0
    """Wall time in seconds since 1970 (UTC)."""
    expires: float | None = None
    importance: float = 0.5
    """From 0, which is forgotten first, to 1."""
    source: str = ""
    """Where it is from, such as a run's id."""
    tags: tuple[str, ...] = ()
    vector: tuple[float, ...] = ()


class PromptTemplate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words with places in them."""

    name: str
    version: str = "1"
    text: str = ""
    """Each `{name}` in it is a place; nothing else has a meaning."""
    variables: tuple[str, ...] = ()
    """The places there are."""
    description: str = ""
    tags: tuple[str, ...] = ()
