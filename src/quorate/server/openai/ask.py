"""What is asked in a chat completion, and what of it is meant for a model or an agent here?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, ToolCall, ToolResult
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

MAX_MESSAGES = 5_000
MAX_TOOLS = 512
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ImageUrl(Struct, frozen=True):
    """Where a picture is, or the picture itself."""

    url: str


class FileData(Struct, frozen=True):
    """A document, in the request itself."""

    file_data: str
    filename: str = ""


class Content(Struct, frozen=True):
    """A part of a message."""

    type: Literal["text", "image_url", "file", "refusal"]
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    file: FileData | None = None


class Function(Struct, frozen=True):
    """What a model called."""

    name: str
    arguments: str = ""


class Call(Struct, frozen=True):
    """A call that a model made."""

    id: str
    function: Function
    type: Literal["function"] = "function"


class ChatMessage(Struct, frozen=True):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[Content, ...] | None = None
    tool_calls: tuple[Call, ...] | None = None
    tool_call_id: str = ""
    name: str = ""


class FunctionSpec(Struct, frozen=True):
    """What may be called."""

    name: ToolName
    description: str = ""
    parameters: dict[str, object] | None = None
    strict: bool | None = None


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


class ChatRequest(Struct, frozen=True):
    """A chat completion, as far as it is understood here; what would change the answer and is not known is refused."""

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
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    n: Literal[1] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    logprobs: Literal[False] | None = None
    functions: None = None
    audio: None = None


_read = msgspec.json.Decoder(ChatRequest).decode


def read_chat(body: bytes) -> ChatRequest:
    """Read a chat completion.

    Raises:
        InvalidInput: It is none, or asks for something that is not done here, such as several answers.
    """
    try:
        return _read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The request is no chat completion that is known here: {error}") from error


def build_request(asked: ChatRequest, caller: Caller) -> Request:
    """Build what a model is asked.

    Raises:
        InvalidInput: A message does not hold together.
    """
    instructions, messages = read_messages(asked.messages)
    form = asked.response_format
    output = None
    extra: dict[str, object] = {}
    if form is not None and form.type == "json_schema":
        if form.json_schema is None:
            raise InvalidInput("`response_format` of the type `json_schema` needs a `json_schema`.")
        output = OutputSpec(name=form.json_schema.name, json_schema=form.json_schema.schema)
    elif form is not None and form.type == "json_object":
        extra["response_format"] = {"type": "json_object"}
    choice = asked.tool_choice
    stop = (asked.stop,) if isinstance(asked.stop, str) else asked.stop or ()
    settings = ModelSettings(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=asked.seed,
        stop=stop,
        reasoning=asked.reasoning_effort,
        tool_choice="auto" if choice is None or isinstance(choice, ToolChoice) else choice,
        tool=choice.function.name if isinstance(choice, ToolChoice) else "",
        parallel_tool_calls=asked.parallel_tool_calls,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        extra=extra,
    )
    tools = tuple(_build_tool(tool.function) for tool in asked.tools or ())
    return Request(
        messages=messages, instructions=instructions, tools=tools, output=output, settings=settings, caller=caller
    )


def read_messages(given: Sequence[ChatMessage]) -> tuple[str, tuple[Message, ...]]:
    """Read a conversation: what stands before it as instructions, and its messages.

    Raises:
        InvalidInput: A message does not hold together.
    """
    instructions: list[str] = []
    messages: list[Message] = []
    results: list[AnyPart] = []
    names: dict[str, str] = {}
    for place, message in enumerate(given):
        if message.role == "tool":
            if not message.tool_call_id:
                raise InvalidInput(f"messages[{place}] is the result of a tool and names no `tool_call_id`.")
            name = names.get(message.tool_call_id, message.name)
            results.append(ToolResult(call_id=message.tool_call_id, name=name, content=_read_text(message, place)))
            continue
        if results:
            messages.append(Message(role="tool", parts=tuple(results)))
            results = []
        if message.role in ("system", "developer"):
            text = _read_text(message, place)
            if messages:
                # In the middle of a conversation it is one more thing that was said: nobody's text becomes a role.
                messages.append(Message(role="user", parts=(Text(text),)))
            else:
                instructions.append(text)
        elif message.role == "user":
            messages.append(Message(role="user", parts=_read_parts(message, place)))
        else:
            calls = [ToolCall(id=one.id, name=one.function.name, arguments=one.function.arguments)
                     for one in message.tool_calls or ()]  # fmt: skip
            names |= {one.id: one.name for one in calls}
            parts = (*_read_parts(message, place), *calls)
            if parts:
                messages.append(Message(role="assistant", parts=parts))
    if results:
        messages.append(Message(role="tool", parts=tuple(results)))
    if not messages:
        raise InvalidInput("`messages` holds instructions only: add what the user says.")
    return "\n\n".join(instructions), tuple(messages)


def _read_text(message: ChatMessage, place: int) -> str:
    """Read the words of a message that can hold nothing else."""
    parts = _read_parts(message, place)
    if not all(isinstance(part, Text) for part in parts):
        raise InvalidInput(f"messages[{place}] of the role {message.role!r} may hold text only.")
    return "".join(part.text for part in parts if isinstance(part, Text))


def _read_parts(message: ChatMessage, place: int) -> tuple[AnyPart, ...]:
    if message.content is None:
        return ()
    if isinstance(message.content, str):
        return (Text(message.content),) if message.content else ()
    return tuple(_read_part(part, f"messages[{place}].content[{at}]") for at, part in enumerate(message.content))


def _read_part(part: Content, where: str) -> AnyPart:
    if part.type == "image_url" and part.image_url is not None:
        if part.image_url.url.startswith("https://"):
            return Image(url=part.image_url.url)  # the provider fetches it, or refuses to
        media_type, data = _read_data(part.image_url.url, where)
        return Image(data=data, media_type=media_type)
    if part.type == "file" and part.file is not None:
        media_type, data = _read_data(part.file.file_data, where)
        return File(data=data, media_type=media_type, name=part.file.filename)
    if part.type in ("text", "refusal"):
        return Text(part.text or part.refusal)
    raise InvalidInput(f"{where} is of the type {part.type!r} and holds none.")


def _read_data(url: str, where: str) -> tuple[str, bytes]:
    """Read a `data:` address (RFC 2397)."""
    head, comma, body = url.partition(",")
    media_type, semicolon, coding = head.removeprefix("data:").partition(";")
    if not url.startswith("data:") or not comma or (semicolon, coding) != (";", "base64"):
        raise InvalidInput(f"{where} must hold its bytes, as `data:image/png;base64,…`.")
    try:
        return media_type, base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where} is not base64: {error}") from error


def _build_tool(function: FunctionSpec) -> ToolSpec:
    spec = ToolSpec(name=function.name, description=function.description)
    return spec if function.parameters is None else structs.replace(spec, parameters=function.parameters)
