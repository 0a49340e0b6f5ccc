"""What can be imported from Quorate? Each name loads its room when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.agent.agent import Agent, override
    from quorate.agent.lifecycle import open_agent
    from quorate.agent.result import RunResult
    from quorate.agent.run import RunOptions
    from quorate.assembly import open_runtime
    from quorate.council.decide import NoDecision, decide
    from quorate.council.decision import Decision
    from quorate.council.plan import Arbiter, Debate, Person, Plan
    from quorate.errors import (
        Cancelled,
        Incomplete,
        InvalidInput,
        NotFound,
        QuorateError,
        ToolError,
        UnknownName,
        UpstreamError,
        Waiting,
    )
    from quorate.events import AnyEvent, Event
    from quorate.messages import (
        Audio,
        File,
        Image,
        Message,
        Reply,
        Text,
        TextDelta,
        Thinking,
        ToolCall,
        ToolResult,
        Usage,
    )
    from quorate.models.planner import PlannerModel
    from quorate.models.scripted import ScriptedModel
    from quorate.ports import Log, Model, RunContext, Toolset
    from quorate.runtime import RunHandle, Runtime, Worker
    from quorate.settings import Settings, load_settings
    from quorate.specs import Limits, ModelSettings, Request, ToolSpec
    from quorate.state.backends.memory import MemoryLog
    from quorate.state.backends.sqlite import open_sqlite_log
    from quorate.tools.define import Tool, tool
    from quorate.tools.toolsets import Approved, Filtered, Prefixed, Renamed, TimeBoxed

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AnyEvent",
    "Approved",
    "Arbiter",
    "Audio",
    "Cancelled",
    "Debate",
    "Decision",
    "Event",
    "File",
    "Filtered",
    "Image",
    "Incomplete",
    "InvalidInput",
    "Limits",
    "Log",
    "MemoryLog",
    "Message",
    "Model",
    "ModelSettings",
    "NoDecision",
    "NotFound",
    "Person",
    "Plan",
    "PlannerModel",
    "Prefixed",
    "QuorateError",
    "Renamed",
    "Reply",
    "Request",
    "RunContext",
    "RunHandle",
    "RunOptions",
    "RunResult",
    "Runtime",
    "ScriptedModel",
    "Settings",
    "Text",
    "TextDelta",
    "Thinking",
    "TimeBoxed",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "Toolset",
    "UnknownName",
    "UpstreamError",
    "Usage",
    "Waiting",
    "Worker",
    "decide",
    "load_settings",
    "open_agent",
    "open_runtime",
    "open_sqlite_log",
    "override",
    "tool",
]

_HOMES = {
    "agent.agent": ("Agent", "override"),
    "agent.run": ("RunOptions",),
    "agent.lifecycle": ("open_agent",),
    "agent.result": ("RunResult",),
    "assembly": ("open_runtime",),
    "council.decide": ("NoDecision", "decide"),
    "council.decision": ("Decision",),
    "council.plan": ("Arbiter", "Debate", "Person", "Plan"),
    "runtime": ("RunHandle", "Runtime", "Worker"),
    "errors": (
        "Cancelled",
        "Incomplete",
        "InvalidInput",
        "NotFound",
        "QuorateError",
        "ToolError",
        "UnknownName",
        "UpstreamError",
        "Waiting",
    ),
    "events": ("AnyEvent", "Event"),
    "messages": (
        "Audio",
        "File",
        "Image",
        "Message",
        "Reply",
        "Text",
        "TextDelta",
        "Thinking",
        "ToolCall",
        "ToolResult",
        "Usage",
    ),
    "models.planner": ("PlannerModel",),
    "models.scripted": ("ScriptedModel",),
    "ports": ("Log", "Model", "RunContext", "Toolset"),
    "settings": ("Settings", "load_settings"),
    "specs": ("Limits", "ModelSettings", "Request", "ToolSpec"),
    "state.backends.memory": ("MemoryLog",),
    "state.backends.sqlite": ("open_sqlite_log",),
    "tools.define": ("Tool", "tool"),
    "tools.toolsets": ("Approved", "Filtered", "Prefixed", "Renamed", "TimeBoxed"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"quorate.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'quorate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
