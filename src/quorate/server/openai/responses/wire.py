"""What does a request for a response look like on the wire?"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.server.openai.wire import MAX_MESSAGES, MAX_TOOLS, Effort, Facts, Name, ToolName


class Content(Struct, frozen=True):
    """A piece of what somebody said, or of what a tool gave."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Item(Struct, frozen=True):
    """One thing of a conversation: a message, a call, what a call gave, or a piece of reasoning."""

    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | tuple[Content, ...] | None = None
    summary: tuple[Content, ...] = ()
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | tuple[Content, ...] | None = None
    namespace: None = None


class FunctionTool(Struct, frozen=True):
    """A tool."""

    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    """Taken as said: a model's arguments come as the model wrote them."""


class NamedFunction(Struct, frozen=True):
    """The one tool that must be called."""

    type: Literal["function"]
    name: str


class Format(Struct, frozen=True):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = "answer"
    schema: dict[str, object] | None = None
    strict: bool | None = None
    description: str | None = None


class TextConfig(Struct, frozen=True):
    """How an answer is written."""

    format: Format | None = None
    verbosity: Literal["medium"] | None = None


class Reasoning(Struct, frozen=True):
    """How hard a model thinks."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    """What the provider shows of it is shown."""
    generate_summary: str | None = None


class StreamOptions(Struct, frozen=True):
    """How a stream is written."""

    include_obfuscation: bool | None = None


class ResponsesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a response: what is not known, or not served and would change the answer, is refused by name."""

    model: Name
    input: str | Annotated[tuple[Item, ...], Meta(max_length=MAX_MESSAGES)]
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=100)] | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[tuple[FunctionTool, ...], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    reasoning: Reasoning | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    metadata: Facts | None = None
    include: tuple[str, ...] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, object] | None = None
    top_logprobs: int | None = None
    max_tool_calls: int | None = None
    service_tier: str | None = None
    conversation: object = None
    prompt: object = None
    context_management: list[object] | None = None
    moderation: object = None
    access_programs: object = None
    background_options: object = None
    image: object = None
