"""How is a request written for chat completions?"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.openai.schema import narrow_schema
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

Json = dict[str, object]
AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
MAX_SCHEMA_NAME = 64
_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_encode = msgspec.json.Encoder().encode


def build_url(base_url: str) -> str:
    """Build the address that requests go to."""
    return f"{base_url.rstrip('/')}/chat/completions"


def build_headers(key: str | None) -> dict[str, str]:
    """Build the headers of a request."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def encode(
    request: Request, model_name: str, *, stream: bool = False, max_tokens_field: str = "max_completion_tokens"
) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry; nothing is left out in silence.
    """
    body: Json = {"model": model_name, "messages": build_messages(request)}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    _add_settings(body, request.settings, max_tokens_field)
    _add_tools(body, request.tools, request.settings)
    if request.output is not None:
        body["response_format"] = _build_format(request.output)
    return _encode(body)


def build_messages(request: Request) -> list[Json]:
    """Build the conversation, instructions first."""
    messages: list[Json] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    for message in request.messages:
        if message.role == "assistant":
            messages.append(_build_assistant(message))
        else:
            messages += _build_turn(message)
    return messages


def _build_assistant(message: Message) -> Json:
    words: list[str] = []
    calls: list[Json] = []
    for part in message.parts:
        if isinstance(part, Text):
            words.append(part.text)
        elif isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif not isinstance(part, Thinking):  # this format has no place for a model's earlier reasoning
            raise _cannot_carry(part, "in a model's own message")
    built: Json = {"role": "assistant", "content": "".join(words) if words or not calls else None}
    if calls:
        built["tool_calls"] = calls
    return built


def _build_turn(message: Message) -> Iterator[Json]:
    """Build what a person or the tools said: results first, as they must follow their calls at once."""
    content: list[Json] = []
    plain = True
    for part in message.parts:
        if isinstance(part, ToolResult):
            text, shown = _split_result(part)
            yield {"role": "tool", "tool_call_id": part.call_id, "content": text}
            content += shown
            plain = plain and not shown
        else:
            content.append(_build_content(part))
            plain = plain and isinstance(part, Text)
    if plain and content:
        yield {"role": "user", "content": "".join(str(one["text"]) for one in content)}
    elif content:
        yield {"role": "user", "content": content}


def _split_result(result: ToolResult) -> tuple[str, list[Json]]:
    """Split a result into the words for the tool's message, and what only a user's message can show."""
    if isinstance(result.content, str):
        return result.content, []
    words = [part.text for part in result.content if isinstance(part, Text)]
    shown = [_build_content(part) for part in result.content if not isinstance(part, Text)]
    if shown:
        words.append(f"({len(shown)} attached below)")
        shown.insert(0, {"type": "text", "text": f"Attached by the tool {result.name}, call {result.call_id}:"})
    return "\n".join(words), shown


def _build_content(part: AnyPart) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        url = part.url if part.data is None else _build_data_url(part.media_type, part.data)
        if url is None:
            raise InvalidInput("An image has neither data nor a URL.")
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(part, Audio):
        return _build_audio(part)
    if isinstance(part, File):
        return _build_file(part)
    raise _cannot_carry(part, "in a user's message")


def _build_audio(part: Audio) -> Json:
    format_ = AUDIO_FORMATS.get(part.media_type)
    if format_ is None:
        raise InvalidInput(f"Sound of type {part.media_type!r} cannot be sent; known: {', '.join(AUDIO_FORMATS)}.")
    if part.data is None:
        raise InvalidInput("Sound is sent as bytes, not as a URL: read it first and pass `data`.")
    return {"type": "input_audio", "input_audio": {"data": b64encode(part.data).decode(), "format": format_}}


def _build_file(part: File) -> Json:
    if part.data is None:
        raise InvalidInput(f"File {part.name!r} is sent as bytes, not as a URL: read it first and pass `data`.")
    if part.media_type.startswith("text/") or part.media_type == "application/json":
        try:
            text = part.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"File {part.name!r} is of type {part.media_type!r} but not UTF-8: {error}") from error
        return {"type": "text", "text": f"File {part.name or 'without a name'}:\n{text}"}
    data = _build_data_url(part.media_type, part.data)
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}


def _build_data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def _cannot_carry(part: AnyPart, place: str) -> InvalidInput:
    return InvalidInput(f"Chat completions cannot carry {type(part).__name__} {place}.")


def _add_settings(body: Json, settings: ModelSettings, max_tokens_field: str) -> None:
    given: Json = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        max_tokens_field: settings.max_tokens,
        "seed": settings.seed,
        "stop": settings.stop or None,
        "reasoning_effort": settings.reasoning,
    }
    body.update({name: value for name, value in given.items() if value is not None})


def _add_tools(body: Json, tools: Sequence[ToolSpec], settings: ModelSettings) -> None:
    if not tools:
        if settings.tool_choice == "required":
            raise InvalidInput("`tool_choice` is `required`, but the request has no tools.")
        return
    body["tools"] = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]
    if settings.tool_choice != "auto":
        body["tool_choice"] = settings.tool_choice
    if settings.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = settings.parallel_tool_calls


def _build_format(output: OutputSpec) -> Json:
    name = _NOT_NAME.sub("_", output.name)[:MAX_SCHEMA_NAME] or "answer"
    narrowed = narrow_schema(output.json_schema)
    schema = output.json_schema if narrowed is None else narrowed
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": narrowed is not None},
    }
