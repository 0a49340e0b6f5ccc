"""How is a conversation written as Gemini's contents?"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.calls import read_arguments
from quorate.models.providers.checks import Json, refuse_part
from quorate.models.target import Target

UNSIGNED = b64encode(b"skip_thought_signature_validator").decode()
"""Google's own word for a call whose signature nobody has, as it was another provider's."""
_OURS = re.compile(r"call-\d{1,9}")
_FORMAT = "Gemini"


def write_signature(signature: str | None, target: Target) -> str | None:
    """Write down whose a signature is, so that no other provider is shown it."""
    return f"{target.provider.otel}:{signature}" if signature else None


def read_signature(signature: str | None, target: Target) -> str | None:
    """Read a signature that was written down here; `None` for anybody else's."""
    mark = f"{target.provider.otel}:"
    return signature[len(mark) :] if signature and signature.startswith(mark) else None


def build_contents(messages: Sequence[Message], target: Target) -> list[Json]:
    """Build the conversation.

    Raises:
        InvalidInput: It holds something that this format cannot carry, or says nothing.
    """
    built: list[Json] = []
    for message in messages:
        if message.role == "assistant":
            parts = list(_build_own(message, target))
            if parts:
                built.append({"role": "model", "parts": parts})
            continue
        results, shown = _build_results(message, target)
        shown += [build_part(part) for part in message.parts if not isinstance(part, ToolResult)]
        # Beside results, other parts would be taken for the model's own.
        for said in (results, shown):
            if said:
                built.append({"role": "user", "parts": said})
    if not built:
        raise InvalidInput("The messages say nothing: give at least one of them words.")
    return built


def _build_own(message: Message, target: Target) -> Iterator[Json]:
    """Build what the model said, with the signatures that it wants back."""
    signs = is_signing(target)
    for part in message.parts:
        if isinstance(part, Text):
            signature = read_signature(part.signature, target)
            if part.text or signature:
                yield _sign({"text": part.text}, signature)
        elif isinstance(part, ToolCall):
            signature = read_signature(part.signature, target) or (UNSIGNED if signs else None)
            signs = False  # the first call of a turn alone bears one
            yield _sign({"functionCall": _build_call(part)}, signature)
        elif isinstance(part, Thinking):
            if part.signature and part.provider == target.provider.otel:
                yield _sign({"text": part.text, "thought": True}, part.signature)
        elif isinstance(part, ToolResult):
            raise refuse_part(part, what=_FORMAT, place="in a model's own message")
        else:
            yield build_part(part)


def is_signing(target: Target) -> bool:
    """Whether a model refuses calls without their signatures."""
    return target.facts is None or target.facts.thinking != "budget"


def _sign(part: Json, signature: str | None) -> Json:
    if signature:
        part["thoughtSignature"] = signature
    return part


def _build_call(call: ToolCall) -> Json:
    given = read_arguments(call.arguments)
    # What a model wrote goes back to it, and this format takes nothing but an object.
    built: Json = {"name": call.name, "args": {"malformed": call.arguments} if given is None else given}
    return _add_id(built, call.id)


def _add_id(built: Json, id_: str) -> Json:
    """Add a call's id, unless it is our own: where Gemini gave none, it goes by name and order."""
    if not _OURS.fullmatch(id_):
        built["id"] = id_
    return built


def _build_results(message: Message, target: Target) -> tuple[list[Json], list[Json]]:
    """Build the results of calls, and what of them can only stand beside them."""
    results: list[Json] = []
    beside: list[Json] = []
    for part in message.parts:
        if not isinstance(part, ToolResult):
            continue
        built = _add_id({"name": part.name, "response": _build_response(part)}, part.call_id)
        media = [] if isinstance(part.content, str) else [one for one in part.content if not isinstance(one, Text)]
        if media and is_signing(target):
            built["parts"] = [build_part(one) for one in media]
        elif media:
            beside.append({"text": f"Shown by the tool {part.name}, call {part.call_id}:"})
            beside += [build_part(one) for one in media]
        results.append({"functionResponse": built})
    return results, beside


def _build_response(result: ToolResult) -> object:
    content = result.content
    if not isinstance(content, str):
        content = "\n".join([part.text for part in content if isinstance(part, Text)])
    if result.is_error:
        return {"error": content}
    given = read_arguments(content) if content.startswith("{") else None
    return {"output": content} if given is None else msgspec.Raw(content.encode())


def build_part(part: AnyPart) -> Json:
    """Build a piece of what a person or a tool shows."""
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Image | Audio | File):
        if part.data is not None:
            return {"inlineData": {"mimeType": part.media_type, "data": b64encode(part.data).decode()}}
        if part.url is None:
            raise InvalidInput(f"{type(part).__name__} of type {part.media_type!r} has neither data nor a URL.")
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    raise refuse_part(part, what=_FORMAT, place="in a user's message")
