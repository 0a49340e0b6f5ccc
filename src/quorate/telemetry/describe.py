"""What is said of a span, in the words of the conventions?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

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
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, ToolResult, Usage
from quorate.telemetry.names import Names

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]
Ending = RunCompleted | RunFailed | RunCancelled | RunIncomplete

STOPS = {"end": "stop", "tool_calls": "tool_call", "filtered": "content_filter"}
"""How the conventions call why a model stopped, where that is another word."""
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
        return self.names.span[kind].replace("{name}", fit(name))

    def describe_model(self, event: ModelRequested | ModelReplied | ModelFailed) -> Attributes:
        """Say which model is asked."""
        if not isinstance(event, ModelRequested):
            return self._translate({}, operation="model")
        provider = self._find_provider(event.model)
        return self._translate({"request_model": event.model, "provider": provider}, operation="model")

    def describe_tool(self, event: ToolStarted | ToolUnknown | ToolFinished | ToolFailed) -> Attributes:
        """Say which tool is called."""
        if isinstance(event, (ToolFinished, ToolFailed)):
            return self._translate(
                {"tool": fit(event.result.name), "tool_call": event.result.call_id}, operation="tool"
            )
        call = event.call
        arguments = call.arguments if self._content else ""
        facts: Attributes = {"tool": fit(call.name), "tool_call": call.id, "tool_arguments": arguments}
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
            facts["input_messages"] = show_messages(head.messages)
            facts["output_messages"] = show_answer(end.output) if isinstance(end, RunCompleted) else ""
        return self._translate(facts, operation="run")

    def describe_call(
        self,
        *,
        asked: str,
        answered: str,
        provider: str,
        usage: Usage,
        cost_usd: float,
        is_stream: bool = False,
        first_s: float | None = None,
    ) -> Attributes:
        """Say what a model call was that no run made."""
        facts: Attributes = {
            "request_model": asked, "response_model": answered, "provider": provider, "cost": cost_usd,
            "stream": is_stream, "first_chunk": first_s or 0.0 if is_stream else 0.0, **_count(usage),
        }  # fmt: skip
        return self._translate(facts, operation="model")

    def describe_request(
        self, *, method: str, route: str, status: int, scheme: str, request_id: str, error: str
    ) -> Attributes:
        """Say what was asked over HTTP: the route, never the path itself, in which anything may stand."""
        facts: Attributes = {
            "method": method, "route": route, "status": status, "scheme": scheme, "request_id": request_id,
            "error": error,
        }  # fmt: skip
        return self._translate(facts)

    def describe_error(self, code: str) -> Attributes:
        """Say what went wrong: a code, not its words, as those may quote anything."""
        return self._translate({"error": code})

    def _describe_reply(self, reply: Reply) -> Attributes:
        facts: Attributes = {
            "finish_reasons": (STOPS.get(reply.stop, reply.stop),),
            "response_model": reply.model or (reply.route.model if reply.route is not None else ""),
            "provider": self._find_provider(reply.route.model) if reply.route is not None else "",
            "response_id": reply.id,
            "cost": reply.cost_usd or 0.0,
            "cached": reply.cached,
            "estimated": reply.estimated,
            "attempts": 0 if reply.attempts == 1 else reply.attempts,
            "output_messages": show_messages([reply.message], stop=reply.stop) if self._content else "",
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


def fit(name: str) -> str:
    """Return a name if it is one: those that models and tools made up may be anybody's words."""
    return name if not name or _NAME.fullmatch(name) else OTHER


def find_error(event: AnyEvent) -> str:
    """Find the code of the error that something ended with; empty where it went well."""
    match event:
        case RunFailed() | ModelFailed():
            return fit(event.code)
        case RunIncomplete():
            return f"incomplete.{event.limit}"
        case RunCancelled():
            return "cancelled"
        case ToolFailed():
            return fit(event.result.code or "tool_error")
        case ToolUnknown():
            return "unknown_outcome"
        case StepFinished():
            return "" if event.status == "completed" else event.status
        case _:
            return ""


def show_messages(messages: Sequence[Message], *, stop: str = "") -> str:
    """Write messages as the conventions have them (`gen_ai.input.messages`, `gen_ai.output.messages`)."""
    ending = {"finish_reason": STOPS.get(stop, stop)} if stop else {}
    return show([{"role": one.role, "parts": [_show_part(part) for part in one.parts], **ending} for one in messages])


def show_answer(text: str) -> str:
    """Write what a run answered as the conventions have it."""
    return show([{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "stop"}])


def _show_part(part: AnyPart) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    if isinstance(part, Thinking):
        return {"type": "reasoning", "content": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
    if isinstance(part, ToolResult):
        said = part.content if isinstance(part.content, str) else [_show_part(one) for one in part.content]
        return {"type": "tool_call_response", "id": part.call_id, "response": said}
    # Pictures and documents are not copied into traces.
    return {"type": "uri" if part.url else "blob", "mime_type": part.media_type, "uri": part.url}


def show(value: object) -> str:
    """Write what was said as JSON text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _count(usage: Usage) -> Attributes:
    return {name: getattr(usage, name) for name in _USAGE}
