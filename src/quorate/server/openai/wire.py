"""What does a chat completion look like on the wire, as it is asked for?"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_MESSAGES = 5_000
MAX_TOOLS = 512
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Facts = Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
Effort = Literal["none", "minimal", "low", "medium", "high"]


class ImageUrl(Struct, frozen=True):
    """Where a picture is, or the picture itself."""

    url: str
    detail: Literal["auto"] | None = None


class FileData(Struct, frozen=True):
    """A document, in the request itself."""

    file_data: str = ""
    filename: str = ""
    file_id: str | None = None


class InputAudio(Struct, frozen=True):
    """Sound, in the request itself."""

    data: str
    format: str


class Content(Struct, frozen=True):
    """A part of a message."""

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: FileData | None = None


class Function(Struct, frozen=True):
    """What a model called."""

    name: str
    arguments: str = ""


class CallExtra(Struct, frozen=True):
    """What goes back with a call to the provider that made it."""

    signature: str | None = None


class Extra(Struct, frozen=True):
    """What a call bears beside what the protocol knows."""

    quorate: CallExtra = CallExtra()


class Call(Struct, frozen=True):
    """A call that a model made."""

    id: str
    function: Function
    type: Literal["function"] = "function"
    extra_content: Extra = Extra()


class ChatMessage(Struct, frozen=True):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[Content, ...] | None = None
    tool_calls: tuple[Call, ...] | None = None
    tool_call_id: str = ""
    name: str = ""
    refusal: str | None = None
    audio: None = None
    function_call: None = None


class FunctionSpec(Struct, frozen=True):
    """What may be called."""

    name: ToolName
    description: str = ""
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    """Taken as said: a model's arguments come as the model wrote them."""


class ChatTool(Struct, frozen=True):
    """A tool."""

    function: FunctionSpec
    type: Literal["function"] = "function"


class NamedFunction(Struct, frozen=True):
    """The name of a function."""

    name: str


class ToolChoice(Struct, frozen=True):
    """The one tool that must be called."""

    function: NamedFunction
    type: Literal["function"] = "function"


class SchemaSpec(Struct, frozen=True):
    """What an answer must look like."""

    schema: dict[str, object]
    name: str = "answer"
    strict: bool | None = None
    description: str = ""


class ResponseFormat(Struct, frozen=True):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaSpec | None = None


class StreamOptions(Struct, frozen=True):
    """How a stream ends."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A chat completion: what is not known, or not served and would change the answer, is refused by its name."""

    model: Name
    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[tuple[ChatTool, ...], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    reasoning_effort: Effort | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    metadata: Facts | None = None
    """Facts to find an agent's run by; a model has no use for them."""
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, object] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    functions: list[object] | None = None
    function_call: object = None
    audio: object = None
    modalities: tuple[str, ...] | None = None
    prediction: object = None
    web_search_options: object = None
    moderation: object = None
    store: bool | None = None
    verbosity: str | None = None
    service_tier: str | None = None
