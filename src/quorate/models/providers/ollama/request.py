"""How is a request written for Ollama?"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.calls import read_arguments, write_parameters
from quorate.models.providers.checks import Json, add_extra, refuse_part
from quorate.models.providers.openai.request import read_text_file
from quorate.models.providers.wishes import check_request
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request

LACKS = ("tool", "parallel_tool_calls")
RESERVED = frozenset({"model", "messages", "stream", "tools", "format"})
KEPT = {"short": "5m", "long": "1h"}
"""How long the model stays loaded, and what it has read with it."""
_encode = msgspec.json.Encoder().encode


def build_url(base_url: str, what: str) -> str:
    """Build an address; a base URL that was meant for its imitation of OpenAI will do."""
    base = base_url.rstrip("/").removesuffix("/v1").removesuffix("/api").rstrip("/")
    return f"{base}/api/{what}"


def encode(request: Request, target: Target, *, stream: bool = False) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry, or that the server would ignore.
    """
    check_request(request, target, lacks=LACKS, reserved=RESERVED)
    settings = request.settings
    if settings.tool_choice == "required":
        raise InvalidInput("Ollama cannot be made to call a tool: leave `tool_choice` as it is.")
    body: Json = {
        "model": target.model_name,
        "messages": build_messages(request, provider=target.provider.otel),
        "stream": stream,
    }
    if "truncate" not in settings.extra:
        body["truncate"] = False  # it would leave out the beginning of a long conversation in silence
    options = _build_options(settings)
    if options:
        body["options"] = options
    if settings.reasoning is not None:
        body["think"] = _choose_thinking(settings)
    if settings.prompt_cache is not None:
        body["keep_alive"] = KEPT[settings.prompt_cache]
    if request.tools and settings.tool_choice != "none":
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": write_parameters(tool)},
            }
            for tool in request.tools
        ]
    if request.output is not None:
        body["format"] = request.output.json_schema
    add_extra(body, settings.extra)
    return _encode(body)


def build_messages(request: Request, *, provider: str) -> list[Json]:
    """Build the conversation, instructions first."""
    messages: list[Json] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    for message in request.messages:
        if message.role == "assistant":
            messages.append(_build_own(message, provider))
        else:
            messages += _build_turn(message)
    return messages


def _build_own(message: Message, provider: str) -> Json:
    built: Json = {"role": "assistant", "content": message.text}
    calls: list[Json] = []
    thoughts: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            arguments = read_arguments(part.arguments)
            kept = {"arguments": part.arguments} if arguments is None else arguments  # what is no object, as words
            calls.append({"id": part.id, "function": {"name": part.name, "arguments": kept}})
        elif isinstance(part, Thinking):
            if part.provider == provider:
                thoughts.append(part.text)
        elif not isinstance(part, Text):
            raise refuse_part(part, what="Ollama", place="in a model's own message")
    if thoughts:
        built["thinking"] = "".join(thoughts)
    if calls:
        built["tool_calls"] = calls
    return built


def _build_turn(message: Message) -> Iterator[Json]:
    """Build what a person or the tools said: results first, as they must follow their calls at once."""
    words: list[str] = []
    images: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            text, shown = _split_result(part)
            yield {"role": "tool", "content": text, "tool_name": part.name, "tool_call_id": part.call_id}
            if shown:
                words.append(f"Attached by the tool {part.name}, call {part.call_id}.\n")
                images += shown
        else:
            _add_content(part, words, images)
    if words or images:
        said: Json = {"role": "user", "content": "".join(words)}
        yield {**said, "images": images} if images else said


def _split_result(result: ToolResult) -> tuple[str, list[str]]:
    if isinstance(result.content, str):
        return result.content, []
    words: list[str] = []
    images: list[str] = []
    for part in result.content:
        _add_content(part, words, images)
    if images:
        words.append(f"({len(images)} attached below)")
    return "\n".join(words), images


def _add_content(part: AnyPart, words: list[str], images: list[str]) -> None:
    if isinstance(part, Text):
        words.append(part.text)
    elif isinstance(part, Image):
        if part.data is None:
            raise InvalidInput("Ollama takes pictures as bytes, not as a URL: read it first and pass `data`.")
        images.append(b64encode(part.data).decode())
    elif isinstance(part, File):
        text = read_text_file(part)
        if text is None:
            raise InvalidInput(f"Ollama reads files of text alone, and {part.name!r} is {part.media_type!r}.")
        words.append(text)
    else:
        raise refuse_part(part, what="Ollama", place="in a user's message")


def _build_options(settings: ModelSettings) -> Json:
    given: Sequence[tuple[str, object]] = (
        ("temperature", settings.temperature),
        ("top_p", settings.top_p),
        ("top_k", settings.top_k),
        ("num_predict", settings.max_tokens),
        ("seed", settings.seed),
        ("stop", settings.stop or None),
        ("frequency_penalty", settings.frequency_penalty),
        ("presence_penalty", settings.presence_penalty),
    )
    return {name: value for name, value in given if value is not None}


def _choose_thinking(settings: ModelSettings) -> bool | str:
    if settings.reasoning == "minimal":
        raise InvalidInput("Ollama does not know `minimal` as `reasoning`: write `none`, `low`, `medium` or `high`.")
    return False if settings.reasoning == "none" else str(settings.reasoning)
