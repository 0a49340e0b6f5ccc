"""How is a request written for Responses?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.calls import CallIds, fit_name, write_parameters
from quorate.models.providers.checks import Json, add_extra, refuse_part
from quorate.models.providers.openai.request import build_cache_key, build_data_url, build_schema, read_text_file
from quorate.models.providers.wishes import check_request
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request, ToolSpec

MAX_ID = 64
LACKS = ("seed", "stop", "frequency_penalty", "presence_penalty")
RESERVED = frozenset({"model", "input", "messages", "instructions", "stream", "tools"})
PHASE = "openai-phase:"
"""What stands before a message's phase, which newer models want back with the words."""
_encode = msgspec.json.Encoder().encode


def encode(request: Request, target: Target, *, stream: bool = False) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry, or that the provider would ignore.
    """
    check_request(request, target, lacks=LACKS, reserved=RESERVED)
    body: Json = {
        "model": target.model_name,
        "input": build_items(request, provider=target.provider.otel),
        "store": False,
    }
    if request.instructions:
        body["instructions"] = request.instructions
    if target.facts is not None and target.facts.reasoning:
        body["include"] = ["reasoning.encrypted_content"]
    if stream:
        body["stream"] = True
    _add_settings(body, request)
    _add_tools(body, request.tools, request.settings)
    if request.output is not None:
        body["text"] = {"format": {"type": "json_schema", **build_schema(request.output)}}
    add_extra(body, request.settings.extra)
    return _encode(body)


def build_items(request: Request, *, provider: str) -> list[Json]:
    """Build the conversation; reasoning is given back to whom it is from."""
    ids, tools = CallIds(fit_id), {tool.name for tool in request.tools}
    items: list[Json] = []
    for message in request.messages:
        if message.role == "assistant":
            items += _build_own(message, provider, ids=ids, tools=tools)
        else:
            items += _build_turn(message, ids)
    return items


def fit_id(id_: str) -> str:
    """Write a call's id so that Responses take it; one of another provider may be too long."""
    return id_ if 0 < len(id_) <= MAX_ID else blake2b(id_.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _build_own(message: Message, provider: str, *, ids: CallIds, tools: Collection[str]) -> Iterator[Json]:
    """Build what the model itself said, in its order: a call must follow the reasoning that led to it."""
    for part in message.parts:
        if isinstance(part, Text):
            said: Json = {"role": "assistant", "content": part.text}
            if part.signature is not None and part.signature.startswith(PHASE):
                said["phase"] = part.signature.removeprefix(PHASE)
            yield said
        elif isinstance(part, ToolCall):
            name, id_ = fit_name(part.name, tools), ids.write_call(part.id)
            yield {"type": "function_call", "call_id": id_, "name": name, "arguments": part.arguments}
        elif isinstance(part, Thinking):
            if part.signature and part.provider == provider:
                yield _build_reasoning(part)
        else:
            raise refuse_part(part, what="Responses", place="in a model's own message")


def _build_reasoning(part: Thinking) -> Json:
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    built: Json = {"type": "reasoning", "summary": summary, "encrypted_content": part.signature}
    if part.id:
        built["id"] = part.id
    return built


def _build_turn(message: Message, ids: CallIds) -> Iterator[Json]:
    """Build what a person or the tools said: results first, as they must follow their calls."""
    content: list[Json] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {
                "type": "function_call_output",
                "call_id": ids.write_result(part.call_id),
                "output": _build_output(part),
            }
        else:
            content.append(_build_content(part))
    if all(one["type"] == "input_text" for one in content):
        if content:
            yield {"role": "user", "content": "".join(str(one["text"]) for one in content)}
    else:
        yield {"role": "user", "content": content}


def _build_output(result: ToolResult) -> str | list[Json]:
    if isinstance(result.content, str):
        return result.content
    return [_build_content(part) for part in result.content]


def _build_content(part: AnyPart) -> Json:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        url = part.url if part.data is None else build_data_url(part.media_type, part.data)
        if url is None:
            raise InvalidInput("An image has neither data nor a URL.")
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if isinstance(part, File):
        return _build_file(part)
    raise refuse_part(part, what="Responses", place="in a user's message")


def _build_file(part: File) -> Json:
    text = read_text_file(part)
    if text is not None:
        return {"type": "input_text", "text": text}
    if part.data is not None:
        data = build_data_url(part.media_type, part.data)
        return {"type": "input_file", "filename": part.name or "file", "file_data": data}
    if part.url is None:
        raise InvalidInput(f"File {part.name!r} has neither data nor a URL.")
    return {"type": "input_file", "file_url": part.url}


def _add_settings(body: Json, request: Request) -> None:
    settings = request.settings
    given: Json = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "max_output_tokens": settings.max_tokens,
        "reasoning": {"effort": settings.reasoning} if settings.reasoning else None,
    }
    body.update({name: value for name, value in given.items() if value is not None})
    if settings.prompt_cache is not None:
        body["prompt_cache_key"] = build_cache_key(request)
        if settings.prompt_cache == "long":
            body["prompt_cache_retention"] = "24h"


def _add_tools(body: Json, tools: Sequence[ToolSpec], settings: ModelSettings) -> None:
    if not tools:
        return
    body["tools"] = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": write_parameters(tool),
            "strict": False,  # they are strict unless told otherwise, and a tool's schema need not fit
        }
        for tool in tools
    ]
    if settings.tool:
        body["tool_choice"] = {"type": "function", "name": settings.tool}
    elif settings.tool_choice != "auto":
        body["tool_choice"] = settings.tool_choice
    if settings.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = settings.parallel_tool_calls
