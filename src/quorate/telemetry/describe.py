"""What is said of a span, in the words of the conventions?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from quorate.events import (
    AnyEvent,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    StepFinished,
    StepStarted,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
    get_kind,
)
from quorate.messages import Reply, Usage
from quorate.telemetry.names import Names

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]
Ending = RunCompleted | RunFailed | RunCancelled | RunIncomplete

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}", re.ASCII)
OTHER = "other"
"""What stands for a name that may be anybody's words: a tool or a model that is none, an error of anybody's code."""
_USAGE = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


class Describer:
    """Knows what to say of events.

    Args:
        names: What attributes are called.
        find_provider: The provider of a model, as OpenTelemetry spells it; empty for none.
        content: Whether what people, models and tools said is shown. It may be private.
    """

    def __init__(
        self, names: Names, *, find_provider: Callable[[str], str] = lambda model: "", content: bool = False
    ) -> None:
        self.names = names
        self._find_provider = find_provider
        self._content = content

    def name(self, kind: str, name: str) -> str:
        """Give a span its name: what it does and of whom or what, never anybody's words."""
        fit = name if not name or _NAME.fullmatch(name) else OTHER
        return self.names.span[kind].replace("{name}", fit)

    def describe_model(self, event: ModelRequested | ModelReplied | ModelFailed) -> Attributes:
        """Say which model is asked."""
        if not isinstance(event, ModelRequested):
            return self._translate({}, operation="model")
        provider = self._find_provider(event.model)
        return self._translate({"request_model": event.model, "provider": provider}, operation="model")

    def describe_tool(self, event: ToolStarted | ToolUnknown | ToolFinished | ToolFailed) -> Attributes:
        """Say which tool is called."""
        if isinstance(event, (ToolFinished, ToolFailed)):
            return self._translate({"tool": event.result.name, "tool_call": event.result.call_id}, operation="tool")
        call = event.call
        arguments = call.arguments if self._content else ""
        facts: Attributes = {"tool": call.name, "tool_call": call.id, "tool_arguments": arguments}
        return self._translate(facts, operation="tool")

    def describe_step(self, event: StepStarted | StepFinished) -> Attributes:
        """Say who works on a part of a task."""
        return self._translate({"agent": event.name}, operation="delegate") if event.key.endswith("/") else {}

    def describe_end(self, event: AnyEvent) -> Attributes:
        """Say how a step ended."""
        if isinstance(event, ModelReplied):
            return self._describe_reply(event.reply)
        if isinstance(event, (ToolFinished, ToolFailed)) and self._content:
            return self._translate({"tool_result": show(event.result.content)})
        return {}

    def describe_place(self, event: AnyEvent) -> Attributes:
        """Say where in the record a step is."""
        return self._translate({"run": event.run, "key": event.key, "attempt": event.attempt})

    def describe_run(self, head: RunCreated, end: Ending) -> Attributes:
        """Say what a run was and how it ended."""
        facts = {
            "agent": head.agent,
            "run": head.run,
            "tenant": head.tenant,
            "conversation": head.session or "",
            "outcome": get_kind(end).removeprefix("run."),
            "cost": end.cost_usd or 0.0,
            **_count(end.usage),
        }
        if self._content:
            facts["input_messages"] = show(head.messages)
            facts["output_messages"] = end.output if isinstance(end, RunCompleted) else ""
        return self._translate(facts, operation="run")

    def describe_call(self, *, asked: str, answered: str, provider: str, usage: Usage, cost_usd: float) -> Attributes:
        """Say what a model call was that no run made."""
        facts: Attributes = {
            "request_model": asked, "response_model": answered, "provider": provider, "cost": cost_usd, **_count(usage)
        }  # fmt: skip
        return self._translate(facts, operation="model")

    def describe_error(self, code: str) -> Attributes:
        """Say what went wrong: a code, not its words, as those may quote anything."""
        return self._translate({"error": code})

    def _describe_reply(self, reply: Reply) -> Attributes:
        facts: Attributes = {
            "finish_reasons": (reply.stop,),
            "response_model": reply.model or (reply.route.model if reply.route is not None else ""),
            "provider": self._find_provider(reply.route.model) if reply.route is not None else "",
            "response_id": reply.id,
            "cost": reply.cost_usd or 0.0,
            "cached": reply.cached,
            "estimated": reply.estimated,
            "attempts": 0 if reply.attempts == 1 else reply.attempts,
            "output_messages": show(reply.message) if self._content else "",
            **_count(reply.usage),
        }
        return self._translate(facts)

    def _translate(self, facts: Mapping[str, Value], *, operation: str = "") -> Attributes:
        """Say by published names what is known; what is nothing is left out."""
        attribute = self.names.attribute
        found: Attributes = {attribute["operation"]: self.names.operation[operation]} if operation else {}
        for name, value in facts.items():
            if value:
                found[attribute[name]] = value
        return found


def find_error(event: AnyEvent) -> str:
    """Find the code of the error that something ended with; empty where it went well."""
    match event:
        case RunFailed() | ModelFailed():
            return event.code
        case RunIncomplete():
            return f"incomplete.{event.limit}"
        case RunCancelled():
            return "cancelled"
        case ToolFailed():
            return event.result.code or "tool_error"
        case ToolUnknown():
            return "unknown_outcome"
        case StepFinished():
            return "" if event.status == "completed" else event.status
        case _:
            return ""


def show(value: object) -> str:
    """Write what was said as JSON text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _count(usage: Usage) -> Attributes:
    return {name: getattr(usage, name) for name in _USAGE}
