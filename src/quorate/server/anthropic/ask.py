"""What is asked in a message, and what of it is meant for a model or an agent here?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, ToolCall, ToolResult
from quorate.server.anthropic.wire import Block, CountRequest, MessagesRequest, ThinkingConfig, Tool
from quorate.server.parts import build_aside, check_unset, read_base64, read_body, refuse, unseal
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

VERSIONS = ("2023-06-01", "2026-10-21")
"""The versions of the protocol that are spoken here, alike: the later one took fields away that models may know."""
UNSERVED: dict[str, tuple[object, ...]] = {
    "speed": ("standard",),
    "user_profile_id": (),
    "workspace_id": (),
}
"""What may be asked for and is not served here, with the values that ask for nothing."""
UNSERVED_MESSAGE: dict[str, tuple[object, ...]] = {
    **UNSERVED,
    "container": (),
    "diagnostics": (),
    "inference_geo": (),
    "mcp_servers": ([],),
    "context_management": (),
}
MODELS_OWN = ("tools", "tool_choice", "thinking", "stop_sequences", "temperature", "top_p", "top_k", "cache_control")
"""What a model is told, and an agent tells its model by itself; `max_tokens` is there because it must be."""
Effort = Literal["none", "minimal", "low", "medium", "high"]
EFFORTS: tuple[tuple[int, Effort], ...] = ((1_024, "minimal"), (2_048, "low"), (8_192, "medium"))
"""Up to how many tokens of thinking which effort is meant; `high` above."""
WHY = "this is not done here; leave it out."
_message = msgspec.json.Decoder(MessagesRequest)
_count = msgspec.json.Decoder(CountRequest)


def check_version(version: str) -> None:
    """Return if a program speaks a version of the protocol that is spoken here, or does not say.

    Raises:
        InvalidInput: It speaks another one.
    """
    if version and version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise InvalidInput(f"`anthropic-version` is {version[:40]!r}; known: {known}.", param="anthropic-version")


class PageAsked(Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    after_id: str | None = None
    before_id: str | None = None

    def cut(self, names: Sequence[str]) -> tuple[list[str], bool]:
        """Take that part of some names in order, and say whether more are behind it, in the way that it goes."""
        if self.before_id is not None:
            left = [name for name in names if name < self.before_id]
            return left[-self.limit :], len(left) > self.limit
        left = [name for name in names if self.after_id is None or name > self.after_id]
        return left[: self.limit], len(left) > self.limit


def read_page(query: str) -> PageAsked:
    """Read which part of a list is wanted.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return msgspec.convert(dict(parse_qsl(query)), PageAsked, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The page that is asked for is none: {error}") from error


def read_message(body: bytes) -> MessagesRequest:
    """Read what is asked.

    Raises:
        InvalidInput: It is no such request, or asks for what is not done here.
    """
    asked = read_body(_message, body, what="message")
    check_unset(asked, UNSERVED_MESSAGE, why=WHY)
    return asked


def read_count(body: bytes) -> CountRequest:
    """Read what the tokens of are to be counted.

    Raises:
        InvalidInput: It is no such request.
    """
    asked = read_body(_count, body, what="request to count tokens")
    check_unset(asked, UNSERVED, why=WHY)
    return asked


def build_request(asked: MessagesRequest, caller: Caller) -> Request:
    """Build what a model is asked.

    Raises:
        InvalidInput: A message does not hold together.
    """
    choice = asked.tool_choice
    kind = choice.type if choice is not None else "auto"
    settings = ModelSettings(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        max_tokens=asked.max_tokens,
        stop=asked.stop_sequences or (),
        reasoning=_find_effort(asked),
        tool_choice="none" if kind == "none" else "required" if kind == "any" else "auto",
        tool=choice.name if choice is not None and kind == "tool" else "",
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        prompt_cache=_find_cache(asked),
    )
    return msgspec.structs.replace(build_counted(asked), settings=settings, caller=caller)


def build_counted(asked: CountRequest) -> Request:
    """Build what of a request has tokens.

    Raises:
        InvalidInput: A message does not hold together.
    """
    instructions, messages = read_messages(asked)
    config = asked.output_config
    form = config.format if config is not None else None
    output = OutputSpec(name="answer", json_schema=form.schema) if form is not None else None
    tools = tuple([_build_tool(tool, f"tools[{place}]") for place, tool in enumerate(asked.tools or ())])
    return Request(messages=messages, instructions=instructions, tools=tools, output=output)


def read_messages(asked: CountRequest) -> tuple[str, tuple[Message, ...]]:
    """Read a conversation: its instructions, and its messages.

    Raises:
        InvalidInput: A message does not hold together.
    """
    names: dict[str, str] = {}
    messages: list[Message] = []
    for place, turn in enumerate(asked.messages):
        where = f"messages[{place}].content"
        blocks = (Block(type="text", text=turn.content),) if isinstance(turn.content, str) else turn.content
        if turn.role == "system":
            messages.append(build_aside(_read_words(blocks, where)))
        elif turn.role == "assistant":
            parts = tuple(_read_own(blocks, where, names))
            if parts:
                messages.append(Message(role="assistant", parts=parts))
        else:
            messages += _read_turn(blocks, where, names)
    if not messages:
        raise refuse("messages", "say nothing: give at least one of them words.")
    system = asked.system or ""
    return system if isinstance(system, str) else _read_words(system, "system"), tuple(messages)


def _read_words(blocks: Sequence[Block], where: str) -> str:
    for place, block in enumerate(blocks):
        if block.type != "text":
            raise refuse(f"{where}[{place}].type", f"is {block.type[:40]!r}; there may be text only.")
    return "\n\n".join([block.text for block in blocks if block.text])


def _read_own(blocks: Sequence[Block], where: str, names: dict[str, str]) -> Iterator[AnyPart]:
    """Read what a model said: reasoning that was not given out here is left out, as no provider would take it."""
    for place, block in enumerate(blocks):
        if block.type == "text":
            if block.text:
                yield Text(block.text)
        elif block.type == "tool_use":
            if not block.id or not block.name:
                raise refuse(f"{where}[{place}].{'name' if block.id else 'id'}", "is missing, which a call needs.")
            names[block.id] = block.name
            yield ToolCall(id=block.id, name=block.name, arguments=bytes(block.input).decode())
        elif block.type in ("thinking", "redacted_thinking"):
            thought = unseal(block.signature or block.data, text=block.thinking)
            if thought is not None:
                yield thought
        else:
            raise refuse(f"{where}[{place}].type", f"is {block.type[:40]!r}, which is not known here.")


def _read_turn(blocks: Sequence[Block], where: str, names: dict[str, str]) -> Iterator[Message]:
    """Read what a person or the tools said: results first, as they must follow their calls at once."""
    results: list[AnyPart] = []
    parts: list[AnyPart] = []
    for place, block in enumerate(blocks):
        at = f"{where}[{place}]"
        if block.type == "tool_result":
            results.append(_read_result(block, at, names))
        elif block.type != "text" or block.text:
            parts.append(_read_content(block, at))
    if results:
        yield Message(role="tool", parts=tuple(results))
    if parts:
        yield Message(role="user", parts=tuple(parts))


def _read_result(block: Block, where: str, names: dict[str, str]) -> ToolResult:
    if not block.tool_use_id:
        raise refuse(f"{where}.tool_use_id", "is missing: say which call the result is of.")
    name, content, is_error = names.get(block.tool_use_id, ""), block.content, block.is_error is True
    if content is None or isinstance(content, str):
        return ToolResult(call_id=block.tool_use_id, name=name, content=content or "", is_error=is_error)
    shown = tuple([_read_content(one, f"{where}.content[{at}]") for at, one in enumerate(content)])
    return ToolResult(call_id=block.tool_use_id, name=name, content=shown, is_error=is_error)


def _read_content(block: Block, where: str) -> Text | Image | File:
    if block.type == "text":
        return Text(block.text)
    source = block.source
    if block.type not in ("image", "document") or source is None:
        raise refuse(f"{where}.type", f"is {block.type[:40]!r}, which is not known here, or holds nothing.")
    if isinstance(block.citations, msgspec.Struct) and block.citations.enabled:
        raise refuse(f"{where}.citations", f"are asked for: {WHY}")
    if block.context:
        raise refuse(f"{where}.context", f"is given: {WHY}")
    name = block.title or ""
    if source.type == "base64" and source.data is not None:
        data = read_base64(source.data, f"{where}.source.data")
        if block.type == "image":
            return Image(media_type=source.media_type, data=data)
        return File(media_type=source.media_type, name=name, data=data)
    if source.type == "text" and block.type == "document" and source.data is not None:
        return File(media_type="text/plain", name=name, data=source.data.encode("utf-8", "replace"))
    if source.type == "url" and source.url is not None and source.url.startswith("https://"):
        if block.type == "image":
            return Image(url=source.url)
        return File(media_type="application/pdf", name=name, url=source.url)
    raise refuse(f"{where}.source", f"is of the type {source.type[:40]!r}: send bytes, text or an `https://` address.")


def _build_tool(tool: Tool, where: str) -> ToolSpec:
    if tool.type not in (None, "custom") or tool.input_schema is None:
        raise refuse(f"{where}.type", f"is {tool.type!r}: tools of the provider's own are not served here.")
    return ToolSpec(
        name=tool.name,
        description=tool.description,
        parameters=tool.input_schema,
        examples=tool.input_examples or (),
    )


def _find_effort(asked: MessagesRequest) -> Effort | None:
    thinking: ThinkingConfig | None = asked.thinking
    effort = asked.output_config.effort if asked.output_config is not None else None
    if thinking is None:
        return effort
    if thinking.type == "disabled":
        return "none"
    if thinking.type == "adaptive":
        return effort or "high"
    if thinking.budget_tokens is None:
        raise refuse("thinking.budget_tokens", "is missing, which the type `enabled` needs.")
    for most, word in EFFORTS:
        if thinking.budget_tokens <= most:
            return word
    return "high"


def _find_cache(asked: MessagesRequest) -> Literal["short", "long"] | None:
    """Find how long the provider keeps what is said, by the marks in it; they are set anew where they serve best."""
    marks = [asked.cache_control, *[tool.cache_control for tool in asked.tools or ()]]
    for content in (asked.system, *[turn.content for turn in asked.messages]):
        if content is not None and not isinstance(content, str):
            marks += [block.cache_control for block in content]
    given = [mark for mark in marks if mark is not None]
    if not given:
        return None
    return "long" if any(mark.ttl == "1h" for mark in given) else "short"
