"""How is a request written for chat completions?"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.facts import Provider
from quorate.models.providers.calls import CallIds, fit_name, write_parameters
from quorate.models.providers.checks import Json, add_extra, refuse_part
from quorate.models.providers.openai.schema import narrow_schema
from quorate.models.providers.openai.wire import Detail
from quorate.models.providers.wishes import check_request
from quorate.models.target import Target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
MAX_SCHEMA_NAME = 64
MAX_ID = 40
HEARD = "(noted)"
"""Said for the model where it must have said something."""
RESERVED = frozenset({"model", "messages", "stream", "stream_options", "tools", "response_format"})
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


def encode(request: Request, target: Target, *, stream: bool = False) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry, or that the provider would ignore.
    """
    check_request(request, target, reserved=RESERVED)
    provider = target.provider
    body: Json = {"model": target.model_name, "messages": build_messages(request, provider)}
    if stream:
        body["stream"] = True
        if provider.stream_options:
            body["stream_options"] = {"include_usage": True}
    _add_settings(body, request, provider)
    _add_tools(body, request.tools, request.settings)
    if request.output is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": build_schema(request.output)}
    add_extra(body, request.settings.extra)
    return _encode(body)


def build_cache_key(request: Request) -> str:
    """Build the word that brings calls with the same beginning to the same cache; it says nothing about anybody."""
    names = "\0".join([tool.name for tool in request.tools])
    beginning = f"{request.caller.tenant}\0{request.instructions}\0{names}"
    return blake2b(beginning.encode("utf-8", "replace"), digest_size=16).hexdigest()


def build_messages(request: Request, provider: Provider) -> list[Json]:
    """Build the conversation, instructions first."""
    messages: list[Json] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    ids = CallIds(lambda call_id: write_id(call_id, provider))
    tools = {tool.name for tool in request.tools}
    for message in request.messages:
        if message.role == "assistant":
            said = _build_assistant(message, provider, ids=ids, tools=tools)
            if len(said) > 2 or said["content"]:  # a message that says nothing is refused
                messages.append(said)
            continue
        for turn in _build_turn(message, ids):
            if provider.answers_results and turn["role"] == "user" and messages and messages[-1]["role"] == "tool":
                messages.append({"role": "assistant", "content": HEARD})
            messages.append(turn)
    return messages


def write_id(call_id: str, provider: Provider) -> str:
    """Write a call's id as the provider takes it: one that another provider gave may not fit."""
    length = provider.call_id_length
    if length:
        fits = len(call_id) == length and call_id.isascii() and call_id.isalnum()
    else:
        fits, length = 0 < len(call_id) <= MAX_ID, MAX_ID
    return call_id if fits else blake2b(call_id.encode("utf-8", "replace"), digest_size=32).hexdigest()[:length]


def _build_assistant(message: Message, provider: Provider, *, ids: CallIds, tools: Collection[str]) -> Json:
    words: list[str] = []
    calls: list[Json] = []
    thoughts: list[Thinking] = []
    for part in message.parts:
        if isinstance(part, Text):
            words.append(part.text)
        elif isinstance(part, ToolCall):
            function = {"name": fit_name(part.name, tools), "arguments": part.arguments}
            calls.append({"id": ids.write_call(part.id), "type": "function", "function": function})
        elif isinstance(part, Thinking):
            thoughts.append(part)
        else:
            raise refuse_part(part, what="Chat completions", place="in a model's own message")
    built: Json = {"role": "assistant", "content": "".join(words) if words or not calls else None}
    if calls:
        built["tool_calls"] = calls
    if provider.thinking_field and thoughts:
        _add_thoughts(built, [one for one in thoughts if one.provider == provider.otel], provider.thinking_field)
    return built


def _add_thoughts(built: Json, thoughts: Sequence[Thinking], field: str) -> None:
    """Add a model's earlier reasoning, where its provider has a place for it."""
    if field == "reasoning_details":
        details = [_read_detail(one.signature) for one in thoughts if one.signature]
        if details:
            built[field] = details
    elif thoughts:
        built[field] = "".join([one.text for one in thoughts])


def _read_detail(signature: str) -> Detail:
    """Read what a part of the reasoning was given as; a stored text is never put into a body unread."""
    try:
        return msgspec.json.decode(signature, type=Detail)
    except msgspec.DecodeError as error:
        raise InvalidInput("A part of the model's earlier reasoning is not what its provider gave.") from error


def _build_turn(message: Message, ids: CallIds) -> Iterator[Json]:
    """Build what a person or the tools said: results first, as they must follow their calls at once."""
    content: list[Json] = []
    plain = True
    for part in message.parts:
        if isinstance(part, ToolResult):
            text, shown = _split_result(part)
            yield {"role": "tool", "tool_call_id": ids.write_result(part.call_id), "content": text}
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
        url = part.url if part.data is None else build_data_url(part.media_type, part.data)
        if url is None:
            raise InvalidInput("An image has neither data nor a URL.")
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(part, Audio):
        return _build_audio(part)
    if isinstance(part, File):
        return _build_file(part)
    raise refuse_part(part, what="Chat completions", place="in a user's message")


def _build_audio(part: Audio) -> Json:
    format_ = AUDIO_FORMATS.get(part.media_type)
    if format_ is None:
        raise InvalidInput(f"Sound of type {part.media_type!r} cannot be sent; known: {', '.join(AUDIO_FORMATS)}.")
    if part.data is None:
        raise InvalidInput("Sound is sent as bytes, not as a URL: read it first and pass `data`.")
    return {"type": "input_audio", "input_audio": {"data": b64encode(part.data).decode(), "format": format_}}


def _build_file(part: File) -> Json:
    text = read_text_file(part)
    if text is not None:
        return {"type": "text", "text": text}
    if part.data is None:
        raise InvalidInput(f"File {part.name!r} is sent as bytes, not as a URL: read it first and pass `data`.")
    data = build_data_url(part.media_type, part.data)
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}


def read_text_file(part: File) -> str | None:
    """Read a file of text as words to be shown under its name; `None` for any other file.

    Raises:
        InvalidInput: It says that it is text and is none.
    """
    if part.data is None or not (part.media_type.startswith("text/") or part.media_type == "application/json"):
        return None
    try:
        text = part.data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"File {part.name!r} is of type {part.media_type!r} but not UTF-8: {error}") from error
    return f"File {part.name or 'without a name'}:\n{text}"


def build_data_url(media_type: str, data: bytes) -> str:
    """Build the URL that holds the bytes themselves."""
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def _add_settings(body: Json, request: Request, provider: Provider) -> None:
    settings = request.settings
    given: Json = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        provider.max_tokens_field: settings.max_tokens,
        provider.seed_field: settings.seed,
        "stop": settings.stop or None,
        provider.reasoning_field: _choose_reasoning(settings, provider),
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
    }
    body.update({name: value for name, value in given.items() if value is not None})
    if settings.prompt_cache is not None:
        body["prompt_cache_key"] = build_cache_key(request)
        if settings.prompt_cache == "long":
            body["prompt_cache_retention"] = "24h"


def _choose_reasoning(settings: ModelSettings, provider: Provider) -> object:
    if settings.reasoning is None or provider.reasoning_field == "reasoning_effort":
        return settings.reasoning
    return {"effort": settings.reasoning}


def _add_tools(body: Json, tools: Sequence[ToolSpec], settings: ModelSettings) -> None:
    if not tools:
        return
    body["tools"] = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": write_parameters(tool)},
        }
        for tool in tools
    ]
    if settings.tool:
        body["tool_choice"] = {"type": "function", "function": {"name": settings.tool}}
    elif settings.tool_choice != "auto":
        body["tool_choice"] = settings.tool_choice
    if settings.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = settings.parallel_tool_calls


def build_schema(output: OutputSpec) -> Json:
    """Build the schema of an answer: strict where it can be."""
    name = _NOT_NAME.sub("_", output.name)[:MAX_SCHEMA_NAME] or "answer"
    narrowed = narrow_schema(output.json_schema)
    schema = output.json_schema if narrowed is None else narrowed
    return {"name": name, "schema": schema, "strict": narrowed is not None}
