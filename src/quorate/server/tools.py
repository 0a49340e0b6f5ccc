"""Which tools are there, and with which arguments are they called?"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.router import Router
from msgspec import Meta, Struct

from quorate.errors import NotFound
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.tags import IfNoneMatch, tag
from quorate.server.views import Page, build_page
from quorate.tools.define import AnyTool

Effect = Literal["idempotent", "keyed", "unsafe"]
Form = Literal["quorate", "openai"]
Name = Annotated[str | None, QueryParameter(max_length=200)]


class ToolView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="tool"):
    """A tool, as a list shows it."""

    name: Annotated[str, Meta(examples=["tcp_connect"])]
    version: str
    description: str
    effect: Effect
    """What a second call does: nothing more; nothing more if given the same key; or harm, so that a person decides."""
    tags: tuple[str, ...] = ()
    deprecated: str = ""
    """Why, and what to use instead."""


class ToolCard(ToolView, frozen=True, kw_only=True, omit_defaults=True, tag="tool"):
    """All that callers may know of a tool."""

    parameters: dict[str, object]
    """JSON Schema (2020-12) of its arguments."""
    returns: dict[str, object] | None = None
    """JSON Schema of its result, where that is declared."""
    examples: tuple[dict[str, object], ...] = ()
    """Arguments that are valid."""
    timeout_s: float


class FunctionView(Struct, frozen=True, kw_only=True):
    """What OpenAI's protocol calls a function."""

    name: str
    description: str
    parameters: dict[str, object]


class FunctionTool(Struct, frozen=True, kw_only=True):
    """A tool in the form of OpenAI's protocol, to be sent to a model as it is."""

    type: Literal["function"] = "function"
    function: FunctionView


@get("/tools", opt=need("tools", "read"), summary="List tools")
async def list_tools(
    request: Asked,
    effect: FromQuery[Effect | None] = None,
    tag: Name = None,
    order: FromQuery[Literal["name", "-name"]] = "name",
    cursor: Name = None,
    limit: Limit = 50,
) -> Page[ToolView]:
    """List the built-in tools that agents may call, by name, a page at a time."""
    found = [
        tool
        for tool in find_runtime(request).tools.values()
        if effect in (None, tool.spec.effect) and (tag is None or tag in tool.spec.tags)
    ]
    found.sort(key=lambda tool: tool.name, reverse=order == "-name")
    if cursor is not None:
        found = [tool for tool in found if (tool.name < cursor if order == "-name" else tool.name > cursor)]
    page = [view_tool(tool) for tool in found[:limit]]
    return build_page(page, limit=limit, cursor=page[-1].name if len(found) > limit else None)


@get("/tools/{tool_name:str}", opt=need("tools", "read"), summary="Show a tool")
async def show_tool(
    request: Asked, tool_name: FromPath[str], form: FromQuery[Form] = "quorate", if_none_match: IfNoneMatch = None
) -> Response[ToolCard | FunctionTool]:
    """Show what a tool does and which arguments it takes; with `form=openai`, as OpenAI's protocol wants it."""
    tool = find_runtime(request).tools.get(tool_name)
    if tool is None:
        raise NotFound(f"There is no tool {tool_name[:80]!r}: `GET /v1/tools` lists them.")
    view: ToolCard | FunctionTool = describe_function(tool) if form == "openai" else describe_tool(tool)
    return tag(request, view)


def view_tool(tool: AnyTool) -> ToolView:
    """Build what a list shows of a tool."""
    spec = tool.spec
    return ToolView(
        name=spec.name,
        version=spec.version,
        description=spec.description,
        effect=spec.effect,
        tags=spec.tags,
        deprecated=spec.deprecated,
    )


def describe_tool(tool: AnyTool) -> ToolCard:
    """Build all that callers may know of a tool."""
    spec = tool.spec
    return ToolCard(
        name=spec.name,
        version=spec.version,
        description=spec.description,
        effect=spec.effect,
        tags=spec.tags,
        deprecated=spec.deprecated,
        parameters=spec.parameters,
        returns=tool.returns,
        examples=spec.examples,
        timeout_s=spec.timeout_s,
    )


def describe_function(tool: AnyTool) -> FunctionTool:
    """Build what OpenAI's protocol knows of a tool."""
    spec = tool.spec
    return FunctionTool(function=FunctionView(name=spec.name, description=spec.description, parameters=spec.parameters))


def build_router() -> Router:
    """Build the routes about tools."""
    return Router("/v1", route_handlers=[list_tools, show_tool], tags=["tools"])
