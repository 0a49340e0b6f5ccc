"""How is a request written for Converse?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, cast
from urllib.parse import quote

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import ToolCall, ToolResult
from quorate.models.providers.bedrock.content import Json, Writer
from quorate.models.providers.bedrock.families import build_fields, can_cache_tools, find_family
from quorate.models.providers.bedrock.schema import narrow_schema
from quorate.models.providers.calls import write_parameters
from quorate.models.providers.checks import add_extra
from quorate.models.providers.wishes import check_request
from quorate.models.target import Target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

OWN_FIELDS = "additionalModelRequestFields"
MAX_SCHEMA_NAME = 64
RESERVED = frozenset({"messages", "modelId", "stream", "system", "toolConfig"})
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:/_-]*")
_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_encode = msgspec.json.Encoder().encode


def build_url(target: Target, operation: Literal["converse", "converse-stream", "invoke"]) -> str:
    """Build the address of an operation on a model, an inference profile, or anything else with an ARN.

    Raises:
        InvalidInput: The model's name is no id and no ARN.
    """
    name = target.model_name
    if not _MODEL.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no id of a model on Bedrock, nor an ARN: write it like `bedrock:us.amazon.nova-2-lite-v1:0`."
        )
    # The slash of an ARN must be told from those of the path; a colon is plain in a path, and signed as it is sent.
    return f"{target.base_url.rstrip('/')}/model/{quote(name, safe=':')}/{operation}"


def encode(request: Request, target: Target) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that Converse cannot carry; nothing is left out in silence.
    """
    settings = request.settings
    check_request(request, target, reserved=RESERVED)
    if settings.parallel_tool_calls is False:
        raise InvalidInput("Converse has no word for `parallel_tool_calls=False`: leave it out.")
    writer = Writer(target.provider.otel, tools={tool.name for tool in request.tools})
    body: Json = {"messages": writer.build_messages(request.messages)}
    system: list[Json] = [{"text": request.instructions}] if request.instructions.strip() else []
    limits = _build_limits(settings)
    if limits:
        body["inferenceConfig"] = limits
    tools = _build_tools(request)
    if tools is not None:
        body["toolConfig"] = tools
    fields, effort = build_fields(settings, target)
    if fields:
        body[OWN_FIELDS] = fields
    output: Json = {} if effort is None else {"effort": effort}
    if request.output is not None:
        output |= _build_format(request.output, system)
    if output:
        body["outputConfig"] = output
    if system:
        body["system"] = system
    if settings.prompt_cache is not None:
        _add_cache_points(body, settings.prompt_cache, target.model_name)
    if settings.extra:
        add_extra(body, settings.extra)
    return _encode(body)


def _build_limits(settings: ModelSettings) -> Json:
    given: Json = {
        "maxTokens": settings.max_tokens,
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "stopSequences": settings.stop or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _build_tools(request: Request) -> Json | None:
    settings, tools = request.settings, request.tools
    if settings.tool_choice == "none" and not settings.tool:
        tools = ()  # there is no word for it: a model that is shown no tool calls none
    if not tools:
        _check_no_calls(request, "`tool_choice` is `none`" if request.tools else "The request has no tools")
        return None
    config: Json = {"tools": [_build_tool(tool) for tool in tools]}
    if settings.tool:
        config["toolChoice"] = {"tool": {"name": settings.tool}}
    elif settings.tool_choice == "required":
        config["toolChoice"] = {"any": {}}
    return config


def _build_tool(tool: ToolSpec) -> Json:
    if not _TOOL.fullmatch(tool.name):
        raise InvalidInput(
            f"The tool {tool.name!r} cannot be named to Bedrock: letters, digits, `_` and `-`, 64 at most."
        )
    spec: Json = {"name": tool.name, "inputSchema": {"json": write_parameters(tool)}}
    if tool.description.strip():
        spec["description"] = tool.description
    return {"toolSpec": spec}


def _check_no_calls(request: Request, why: str) -> None:
    """Refuse what Bedrock refuses: calls in a conversation, and no tools beside it."""
    if any(isinstance(part, ToolCall | ToolResult) for message in request.messages for part in message.parts):
        raise InvalidInput(
            f"{why}, but the conversation holds calls of tools, and Bedrock takes no such conversation without tools: "
            "pass the tools, and leave `tool_choice` at `auto`."
        )


def _build_format(output: OutputSpec, system: list[Json]) -> Json:
    narrowed = narrow_schema(output.json_schema)
    if narrowed is None:  # it cannot be enforced, so it is asked for; the answer is checked against it anyway
        text = _encode(output.json_schema).decode()
        system.append({"text": f"Answer with JSON alone, without any words around it, that meets this schema: {text}"})
        return {}
    name = _NOT_NAME.sub("_", output.name)[:MAX_SCHEMA_NAME] or "answer"
    schema = {"name": name, "schema": _encode(narrowed).decode()}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _add_cache_points(body: Json, keep: Literal["short", "long"], model_name: str) -> None:
    """Mark how far the provider is to keep what it reads: after the tools, the instructions and the conversation."""
    point: Json = {"cachePoint": {"type": "default", "ttl": "1h"} if keep == "long" else {"type": "default"}}
    if "system" in body:
        cast("list[Json]", body["system"]).append(point)
    if "toolConfig" in body and can_cache_tools(find_family(model_name)):
        cast("list[Json]", cast("Json", body["toolConfig"])["tools"]).append(point)
    turns = cast("Sequence[Json]", body["messages"])
    if turns and turns[-1]["role"] == "user":
        cast("list[Json]", turns[-1]["content"]).append(point)
