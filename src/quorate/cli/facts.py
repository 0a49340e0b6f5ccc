"""How does an event of a run's log read as one line?"""

from __future__ import annotations

import msgspec
from msgspec import structs

from quorate.cli.progress import describe_call
from quorate.cli.words import clean_line, show_cost
from quorate.events import (
    AnyEvent,
    ModelReplied,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
    get_kind,
)
from quorate.messages import ToolResult

MOST_WORDS = 2000
_KNOWN = ("run", "seq", "time", "key", "attempt")


def render_events(events: list[AnyEvent]) -> list[str]:
    """Write events as lines in columns: place, time since the first, kind, key, what happened."""
    return [render_event(event, began=events[0].time) for event in events]


def render_event(event: AnyEvent, *, began: float) -> str:
    """Write one event as a line."""
    since = f"{max(0.0, event.time - began):.3f}"
    key = f"{clean_line(event.key)}  " if event.key else ""
    return f"{event.seq:>4}  {since:>9} s  {get_kind(event):<18}  {key}{describe_event(event)}".rstrip()


def describe_event(event: AnyEvent) -> str:
    """Say what an event tells: for calls and results the facts themselves, cut when they are long."""
    return clean_line(_describe(event), most=MOST_WORDS)


def _describe(event: AnyEvent) -> str:
    if isinstance(event, RunCreated):
        task = event.messages[-1].text if event.messages else ""
        return f"{event.agent}: {task}"
    if isinstance(event, (ToolStarted, ToolRequested, ToolUnknown)):
        return describe_call(event.call)
    if isinstance(event, (ToolFinished, ToolFailed)):
        return f"{event.result.name} → {_read(event.result)}"
    if isinstance(event, ModelReplied):
        calls = ", ".join(describe_call(call) for call in event.reply.message.tool_calls)
        return " ".join(part for part in (event.reply.message.text, f"calls {calls}" if calls else "") if part)
    if isinstance(event, RunCompleted):
        return f"{event.output} ({event.usage.total_tokens} tokens, {show_cost(event.cost_usd)})"
    if isinstance(event, (RunFailed, RunIncomplete)):
        return event.message
    if isinstance(event, RunCancelled):
        return event.reason
    shown = {
        field.name: getattr(event, field.name) for field in structs.fields(type(event)) if field.name not in _KNOWN
    }
    return ", ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in shown.items() if value)


def _read(result: ToolResult) -> str:
    if isinstance(result.content, str):
        return result.content
    return ", ".join(getattr(part, "text", "") or f"<{type(part).__name__.lower()}>" for part in result.content)
