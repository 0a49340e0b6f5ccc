"""What does `quorate tools` do?"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer
from msgspec import Raw, Struct

from quorate.assembly import build_toolbox
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.options import Json, read_arguments
from quorate.cli.watch import run_async
from quorate.cli.words import align, clean_line
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import UnknownName
from quorate.events import AnyEvent
from quorate.ids import new_id
from quorate.messages import Delta, Progress, ToolCall, ToolResult
from quorate.ports import RunContext, RunInfo
from quorate.settings import load_settings
from quorate.specs import Limits
from quorate.tools.define import AnyTool

ToolName = Annotated[str, typer.Argument(metavar="NAME", help="The tool's name.")]


class Caller(Struct, frozen=True):
    """Whoever calls a tool by hand: sees its progress, and has no run or log."""

    def emit(self, item: Delta) -> None:
        """Show what the tool says while it works."""
        if isinstance(item, Progress):
            tell(clean_line(item.message))

    def cancel(self, reason: str = "") -> None:
        """Stop, as there is no run to stop instead."""
        signal.raise_signal(signal.SIGINT)

    def find(self, key: str) -> AnyEvent | None:
        """Find nothing: there is no log."""
        return None

    def record(self, kind: Callable[..., AnyEvent], key: str, **facts: object) -> None:
        """Record nothing: there is no log."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands about tools."""
    group = typer.Typer(help="List, show and call tools.", rich_markup_mode=None, no_args_is_help=True)
    group.command("list")(list_tools)
    group.command("show")(show_tool)
    group.command("call")(call_tool)
    app.add_typer(group, name="tools")


def list_tools(*, json: Json = False) -> None:
    """List the built-in tools."""
    specs = [tool.spec for _, tool in sorted(build_toolbox(load_settings()).items())]
    if json:
        say_json(specs)
        return
    rows = [(spec.name, spec.effect, clean_line(spec.description.partition("\n")[0], most=90)) for spec in specs]
    say_all(align(rows))


def show_tool(name: ToolName, *, json: Json = False) -> None:
    """Show what a tool does and which arguments it takes."""
    tool = _find_tool(name)
    if json:
        say_json({"spec": tool.spec, "returns": tool.returns})
        return
    spec = tool.spec
    say(spec.description)
    say()
    say_all(align([("effect", spec.effect), ("time", f"{spec.timeout_s:g} s"), ("version", spec.version)]))
    say()
    say(msgspec.json.format(msgspec.json.encode(spec.parameters), indent=2).decode())


def call_tool(
    name: ToolName,
    *,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="KEY=VALUE", help="An argument; may be given several times.")
    ] = None,
    json_args: Annotated[
        str | None, typer.Option("--json-args", metavar="JSON", help="All arguments as one JSON object.")
    ] = None,
    json: Json = False,
) -> int:
    """Call a tool by hand, outside any run, and print what it returns."""
    tool = _find_tool(name)
    arguments = read_arguments(arg or (), json_args)
    result = run_async(_call(tool, ToolCall(id="call-1", name=tool.name, arguments=arguments)))
    if json:
        say_json({"tool": tool.name, "ok": not result.is_error, "code": result.code, "result": _read(result)})
    elif result.is_error:
        tell(f"quorate: {clean_line(_show(result))}")
    else:
        say(_show(result))
    if result.is_error:
        return 2 if result.code == "invalid_input" else 1
    return 0


async def _call(tool: AnyTool, call: ToolCall) -> ToolResult:
    async with asyncio.timeout(tool.spec.timeout_s + 1):
        info = RunInfo(
            run=new_id("call"),
            agent="local",
            limits=Limits(),
            deadline=SYSTEM_CLOCK.monotonic() + tool.spec.timeout_s,
        )
        context = RunContext[object](
            info=info, deps=None, key="1/tool/call-1", call=call, clock=SYSTEM_CLOCK, owner=Caller()
        )
        return await tool.call(call, context)


def _find_tool(name: str) -> AnyTool:
    toolbox = build_toolbox(load_settings())
    if name not in toolbox:
        raise UnknownName("tool", name, toolbox, "`quorate tools list` shows all.")
    return toolbox[name]


def _read(result: ToolResult) -> object:
    """Return a result as JSON where it is JSON, and as it is otherwise."""
    if not isinstance(result.content, str) or result.is_error:
        return result.content
    try:
        msgspec.json.decode(result.content)
    except (msgspec.DecodeError, RecursionError):
        return result.content
    return Raw(result.content.encode())


def _show(result: ToolResult) -> str:
    if not isinstance(result.content, str):
        return "\n".join(getattr(part, "text", "") or f"<{type(part).__name__.lower()}>" for part in result.content)
    if isinstance(_read(result), Raw):
        return msgspec.json.format(result.content, indent=2)
    return result.content
