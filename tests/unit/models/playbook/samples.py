"""A small playbook over two made-up tools, and how a conversation with it goes on."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quorate.messages import Message, Reply, ToolCall, ToolResult, build_user_message
from quorate.models.playbook import Playbook, PlaybookModel
from quorate.models.playbook.report import Diagnosis
from quorate.specs import OutputSpec, Request, ToolSpec

PROBE: dict[str, object] = {
    "needs": "a `host:port`",
    "applies": "size(targets.endpoints) > 0",
    "healthy": "All is well.",
    "targets": {
        "endpoints": {"kind": "endpoint", "many": True},
        "slow_ms": {"kind": "duration", "default": 0.5},
    },
    "steps": [
        {
            "id": "probe",
            "tool": "connect",
            "about": "connections",
            "for_each": "targets.endpoints",
            "arguments": {"host": "=item.host", "ports": "=[item.port]", "note": "to {host}", "skipped": "=null"},
        },
        {"id": "machine", "tool": "uptime"},
        {
            "id": "trace",
            "tool": "trace",
            "when": "results.probe.exists(p, p.status != 'open')",
            "for_each": "results.probe.filter(p, p.status != 'open').map(p, p._item.host)",
            "arguments": {"host": "{item}"},
        },
    ],
    "findings": [
        {
            "title": "Connection refused: {host}:{port}",
            "severity": "high",
            "each": "results.probe",
            "when": "item.status == 'refused'",
            "values": {"host": "item._item.host", "port": "item._item.port"},
            "detail": "Nothing listens on port {port}; it took {ms} ms.",
            "evidence": [{"fact": "connect {host}:{port} {status} after {ms} ms", "value": "item.ms"}],
            "next_steps": ["Start what should listen on {host}:{port}."],
        },
        {
            "title": "Restarted {seconds} s ago",
            "severity": "info",
            "when": "results.machine.up_s < 60.0",
            "values": {"seconds": "results.machine.up_s"},
            "evidence": [{"each": "results.machine", "fact": "up for {up_s} s"}],
        },
    ],
    "checks": [
        {
            "each": "results.probe",
            "when": "item.status == 'open'",
            "values": {"p": "item._item.port"},
            "text": "{p} is open",
        }
    ],
}
TOOLS = ("connect", "uptime", "trace")
OUTPUT = OutputSpec(name="Diagnosis", json_schema={})


def build_playbook(**changes: object) -> Playbook:
    """The sample, with some of its keys changed."""
    return msgspec.convert({**PROBE, **changes}, Playbook)


def build_request(*messages: Message, tools: tuple[str, ...] = TOOLS, output: OutputSpec | None = OUTPUT) -> Request:
    """A request of an agent that has these tools."""
    return Request(messages=messages, tools=tuple(ToolSpec(name=name) for name in tools), output=output)


async def converse(
    playbook: Playbook, text: str, answer: Callable[[ToolCall], object], *, tools: tuple[str, ...] = TOOLS
) -> tuple[Diagnosis, list[list[ToolCall]]]:
    """Go on until there is a diagnosis; `answer` gives a call's value, or raises what the tool says went wrong."""
    messages = [build_user_message(text)]
    turns: list[list[ToolCall]] = []
    while True:
        reply: Reply = await PlaybookModel(playbook).complete(build_request(*messages, tools=tools))
        messages.append(reply.message)
        if not reply.message.tool_calls:
            return msgspec.json.decode(reply.message.text, type=Diagnosis), turns
        turns.append(list(reply.message.tool_calls))
        results = tuple(_answer(call, answer) for call in reply.message.tool_calls)
        messages.append(Message(role="tool", parts=results))


def _answer(call: ToolCall, answer: Callable[[ToolCall], object]) -> ToolResult:
    try:
        value = answer(call)
    except LookupError as error:
        return ToolResult(call_id=call.id, name=call.name, content=str(error.args[0]), is_error=True, code="tool_error")
    content = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return ToolResult(call_id=call.id, name=call.name, content=content)
