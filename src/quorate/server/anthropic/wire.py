"""What does a message look like on the wire, as it is asked for?"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

MAX_MESSAGES = 5_000
MAX_TOOLS = 512
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class CacheControl(Struct, frozen=True):
    """How long what is before a mark is kept in the provider's cache."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Source(Struct, frozen=True):
    """Where a picture or a document is, or the thing itself."""

    type: str
    media_type: str = ""
    data: str | None = None
    url: str | None = None


class Citations(Struct, frozen=True):
    """Whether an answer says which words of a document it is from."""

    enabled: bool | None = None


class Block(Struct, frozen=True):
    """A piece of a message."""

    type: str
    text: str = ""
    source: Source | None = None
    title: str | None = None
    context: str | None = None
    citations: Citations | tuple[object, ...] | None = None
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    tool_use_id: str = ""
    content: str | tuple[Block, ...] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class Turn(Struct, frozen=True):
    """A message of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[Block, ...]


class Tool(Struct, frozen=True):
    """A tool."""

    name: ToolName
    input_schema: dict[str, object] | None = None
    description: str = ""
    type: str | None = None
    strict: bool | None = None
    """Taken as said: a model's arguments come as the model wrote them."""
    input_examples: tuple[dict[str, object], ...] | None = None
    cache_control: CacheControl | None = None


class ToolChoice(Struct, frozen=True):
    """Whether tools are called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Struct, frozen=True):
    """Whether a model thinks before it answers."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    display: Literal["summarized"] | None = None


class Format(Struct, frozen=True):
    """The form of an answer."""

    type: Literal["json_schema"]
    schema: dict[str, object]


class OutputConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How an answer is made."""

    effort: Literal["low", "medium", "high"] | None = None
    format: Format | None = None


class Metadata(Struct, frozen=True):
    """For whom a program asks."""

    user_id: str | None = None


class CountRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What the tokens of are counted."""

    model: Name
    messages: Annotated[tuple[Turn, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
    system: str | tuple[Block, ...] | None = None
    tools: Annotated[tuple[Tool, ...], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class MessagesRequest(CountRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message: what is not known, or not served and would change the answer, is refused by its name."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    stop_sequences: tuple[str, ...] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: object = None
    diagnostics: object = None
    inference_geo: str | None = None
    mcp_servers: list[object] | None = None
    context_management: object = None
