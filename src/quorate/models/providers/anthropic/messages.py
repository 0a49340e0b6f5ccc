"""How is a conversation written as Messages?"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Collection, Iterator
from typing import cast

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.calls import CallIds, fit_name, read_arguments
from quorate.models.providers.checks import Json, refuse_part
from quorate.specs import Request

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"
MAX_ID = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_FORMAT = "Anthropic's Messages"


def build_messages(request: Request, *, provider: str) -> list[Json]:
    """Build the conversation; turns of the same side that follow each other become one.

    Raises:
        InvalidInput: It holds something that this format cannot carry, or says nothing.
    """
    ids, tools = CallIds(fit_id), {tool.name for tool in request.tools}
    built: list[Json] = []
    for message in request.messages:
        role = "assistant" if message.role == "assistant" else "user"
        if role == "assistant":
            blocks = list(_build_own(message, provider, ids=ids, tools=tools))
        else:
            blocks = list(_build_turn(message, ids))
        if not blocks:
            continue
        if built and built[-1]["role"] == role:
            cast("list[Json]", built[-1]["content"]).extend(blocks)
        else:
            built.append({"role": role, "content": blocks})
    if not built:
        raise InvalidInput("The messages say nothing: give at least one of them words.")
    return built


def _build_own(message: Message, provider: str, *, ids: CallIds, tools: Collection[str]) -> Iterator[Json]:
    """Build what the model said, reasoning in its place and as it was."""
    for part in message.parts:
        if isinstance(part, Text):
            if part.text.strip():
                yield {"type": "text", "text": part.text}
        elif isinstance(part, ToolCall):
            given = read_arguments(part.arguments)
            # What a model wrote goes back to it, and this format takes nothing but an object.
            arguments = {"INVALID_JSON": part.arguments} if given is None else given
            name = fit_name(part.name, tools)
            yield {"type": "tool_use", "id": ids.write_call(part.id), "name": name, "input": arguments}
        elif isinstance(part, Thinking):
            if part.provider == provider and part.signature:
                yield _build_thinking(part)
        else:
            raise refuse_part(part, what=_FORMAT, place="in a model's own message")


def _build_thinking(part: Thinking) -> Json:
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.signature}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _build_turn(message: Message, ids: CallIds) -> Iterator[Json]:
    """Build what a person or the tools said: results first, as they must follow their calls at once."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield _build_result(result, ids)
    for part in message.parts:
        if not isinstance(part, ToolResult) and (not isinstance(part, Text) or part.text.strip()):
            yield build_content(part)


def _build_result(result: ToolResult, ids: CallIds) -> Json:
    """Build a result; words that are nothing but space are refused, and left out."""
    built: Json = {"type": "tool_result", "tool_use_id": ids.write_result(result.call_id)}
    if isinstance(result.content, str):
        if result.content.strip():
            built["content"] = result.content
    else:
        blocks = [build_content(part) for part in result.content if not isinstance(part, Text) or part.text.strip()]
        if blocks:
            built["content"] = blocks
    if result.is_error:
        built["is_error"] = True
    return built


def build_content(part: AnyPart) -> Json:
    """Build a block of what a person or a tool shows."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "image", "source": _build_image(part)}
    if isinstance(part, File):
        document: Json = {"type": "document", "source": _build_document(part)}
        if part.name:
            document["title"] = part.name
        return document
    raise refuse_part(part, what=_FORMAT, place="in a user's message")


def _build_image(part: Image) -> Json:
    if part.data is None:
        return {"type": "url", "url": _get_url(part.url, "An image")}
    if part.media_type not in IMAGES:
        raise InvalidInput(f"An image of type {part.media_type!r} cannot be sent; known: {', '.join(sorted(IMAGES))}.")
    return {"type": "base64", "media_type": part.media_type, "data": b64encode(part.data).decode()}


def _build_document(part: File) -> Json:
    if part.media_type == PDF:
        if part.data is None:
            return {"type": "url", "url": _get_url(part.url, f"File {part.name!r}")}
        return {"type": "base64", "media_type": PDF, "data": b64encode(part.data).decode()}
    if not (part.media_type.startswith("text/") or part.media_type == "application/json"):
        raise InvalidInput(f"File {part.name!r} of type {part.media_type!r} cannot be sent: send PDF or text.")
    if part.data is None:
        raise InvalidInput(f"File {part.name!r} is sent as bytes, not as a URL: read it first and pass `data`.")
    try:
        text = part.data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"File {part.name!r} is of type {part.media_type!r} but not UTF-8: {error}") from error
    return {"type": "text", "media_type": "text/plain", "data": text}


def _get_url(url: str | None, what: str) -> str:
    if url is None:
        raise InvalidInput(f"{what} has neither data nor a URL.")
    return url


def fit_id(id_: str) -> str:
    """Write a call's id with the letters this format takes; different ones stay different."""
    if len(id_) <= MAX_ID and id_ and not _UNFIT.search(id_):
        return id_
    return f"{_UNFIT.sub('_', id_)[: MAX_ID - 9]}_{zlib.crc32(id_.encode()):08x}"
