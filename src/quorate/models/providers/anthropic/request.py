"""How is a request written for Anthropic?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from quorate.errors import InvalidInput
from quorate.models.providers.anthropic.messages import build_messages
from quorate.models.providers.anthropic.schema import close_schema
from quorate.models.providers.anthropic.thinking import add_thinking, bind_thinking
from quorate.models.providers.calls import write_parameters
from quorate.models.providers.checks import RESERVED, Json, add_extra
from quorate.models.providers.wishes import check_request
from quorate.models.target import Sending, Target
from quorate.specs import ModelSettings, Request

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 8192
"""Must be said; for a model whose own bound is not known."""
CACHEABLE = frozenset({"text", "image", "document", "tool_use", "tool_result"})
_encode = msgspec.json.Encoder().encode


def build_url(base_url: str, what: str = "messages") -> str:
    """Build an address; a base URL may leave out the version, as Anthropic's own programs do."""
    base = base_url.rstrip("/")
    return f"{base}/{what}" if base.endswith("/v1") else f"{base}/v1/{what}"


def build_headers(key: str | None, token: str | None) -> dict[str, str]:
    """Build the headers of a request, with a key or the token that stands for it."""
    headers = {"Content-Type": "application/json", "anthropic-version": VERSION}
    if key is not None:
        headers["x-api-key"] = key
    elif token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def encode(request: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry; nothing is left out in silence.
    """
    check_request(request, target, reserved=RESERVED)
    settings, facts = request.settings, target.facts
    if settings.temperature is not None and settings.temperature > 1:
        raise InvalidInput(f"`{target.name}` takes a `temperature` of 0 to 1, not {settings.temperature!r}.")
    most = settings.max_tokens or (facts.max_output_tokens if facts else None) or DEFAULT_MAX_TOKENS
    body: Json = {"model": target.model_name, "max_tokens": most}
    if stream:
        body["stream"] = True
    if request.instructions.strip():
        body["system"] = request.instructions
    body["messages"] = build_messages(request, provider=target.provider.otel)
    _add_settings(body, settings)
    add_thinking(body, settings, target)
    headers = bind_thinking(body, request, target)
    _add_tools(body, request)
    if request.output is not None:
        config = cast("Json", body.setdefault("output_config", {}))
        config["format"] = {"type": "json_schema", "schema": close_schema(request.output.json_schema)}
    if settings.prompt_cache is not None:
        mark_cache(body, {"type": "ephemeral"} | ({"ttl": "1h"} if settings.prompt_cache == "long" else {}))
    add_extra(body, settings.extra)
    return Sending(url=build_url(target.base_url), body=_encode(body), headers=headers)


def _add_settings(body: Json, settings: ModelSettings) -> None:
    given: Json = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "stop_sequences": settings.stop or None,
    }
    body.update({name: value for name, value in given.items() if value is not None})


def _add_tools(body: Json, request: Request) -> None:
    if not request.tools:
        return
    settings = request.settings
    body["tools"] = [
        {"name": tool.name, "description": tool.description, "input_schema": write_parameters(tool)}
        for tool in request.tools
    ]
    choice: Json = {"type": "auto"}
    if settings.tool:
        choice = {"type": "tool", "name": settings.tool}
    elif settings.tool_choice != "auto":
        choice = {"type": "any" if settings.tool_choice == "required" else "none"}
    if settings.parallel_tool_calls is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice


def mark_cache(body: Json, mark: Mapping[str, str]) -> None:
    """Mark what is kept: the tools, the instructions, and the conversation up to its last turns of a person or tool.

    Two turns, as the next call finds the one that was the last in this call.
    """
    tools = cast("list[Json]", body.get("tools") or [])
    if tools:
        tools[-1]["cache_control"] = mark
    if "system" in body:
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": mark}]
    turns = [message for message in cast("list[Json]", body["messages"]) if message["role"] == "user"]
    for turn in turns[-2:]:
        blocks = [block for block in cast("list[Json]", turn["content"]) if block["type"] in CACHEABLE]
        if blocks:
            blocks[-1]["cache_control"] = mark
