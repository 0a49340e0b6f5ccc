"""How does a model plan first and act then: write down all steps, have them checked, and see them through?"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from quorate.errors import InvalidInput, QuorateError, UnknownName
from quorate.messages import (
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    TextDelta,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    build_user_message,
)
from quorate.ports import Model
from quorate.specs import FINAL_TOOL, ModelProfile, OutputSpec, Request, ToolSpec

MAX_REASKS = 2
MAX_REPLANS = 2
MAX_STEPS = 50
_MARK = "quorate.plan"
_REFERENCE = re.compile(r"\{([a-z0-9_-]{1,63})((?:\.[A-Za-z0-9_-]{1,63}){0,9})\}")
_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class PlannedStep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a plan."""

    id: str
    """Its name inside the plan: `a-z`, `0-9`, `_` and `-`."""
    tool: str
    arguments: dict[str, Any] = {}
    """`{id}` or `{id.path.0}` in a text stands for what an earlier step returned."""
    after: tuple[str, ...] = ()
    """Steps that must have succeeded first, beside those whose results it uses."""


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps in any order; what depends on nothing runs side by side."""

    steps: tuple[PlannedStep, ...]


_decode_plan = msgspec.json.Decoder(Plan).decode
_PLAN_SCHEMA: dict[str, object] = msgspec.json.schema(Plan)


class PlannerModel:
    """A `Model` that has another one plan, checks the plan, makes its calls, and has the other one answer.

    The loop, the log, the limits and the tools are those of any agent: the plan travels in the first message of its
    calls, so a run that is resumed goes on with the same plan. A step that fails stops those that depend on it, and
    leads to another plan, at most `max_replans` times. The approach is that of plan-and-solve prompting
    (Wang et al., ACL 2023) with ReWOO's references between steps (Xu et al., 2023).
    """

    def __init__(self, inner: Model, *, max_replans: int = MAX_REPLANS) -> None:
        self.inner = inner
        self.max_replans = max_replans

    @property
    def profile(self) -> ModelProfile:
        """What the inner model can do."""
        return self.inner.profile

    async def complete(self, request: Request) -> Reply:
        """Plan, go on with the plan, or answer, whichever the conversation is at.

        Raises:
            InvalidInput: The inner model's plans did not hold, each of the times it was asked.
            QuorateError: What the inner model raises.
        """
        plans = find_plans(request.messages)
        if not plans:
            return await self._plan(request, number=1, told="")
        progress = read_progress(plans[-1], len(plans), request.messages)
        if progress.calls:
            return _build_reply(progress.calls, plan=None)
        if progress.broken and len(plans) <= self.max_replans:
            return await self._plan(request, number=len(plans) + 1, told="\n".join(progress.broken))
        told = "All steps of the plan are done." if not progress.broken else "\n".join(progress.broken)
        messages = (*request.messages, build_user_message(f"{told}\nNow give the final answer."))
        final = tuple(tool for tool in request.tools if tool.name == FINAL_TOOL)
        settings = structs.replace(request.settings, tool_choice="required" if final else "none")
        last = structs.replace(request, messages=messages, settings=settings, tools=final or request.tools)
        return await self.inner.complete(last)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Do as `complete` does; plans and calls come in one piece."""
        reply = await self.complete(request)
        if reply.message.text:
            yield TextDelta(reply.message.text)
        yield ReplyDone(reply)

    async def _plan(self, request: Request, *, number: int, told: str) -> Reply:
        tools = tuple(tool for tool in request.tools if tool.name != FINAL_TOOL)
        usage, cost_usd, ask = Usage(), 0.0, _describe_task(tools, told)
        asked: list[Message] = [*request.messages, build_user_message(ask)]
        spec = OutputSpec(name="plan", json_schema=_PLAN_SCHEMA)
        settings = structs.replace(request.settings, tool_choice="none")
        fault: QuorateError | None = None
        for _ in range(1 + MAX_REASKS):
            wanted = structs.replace(request, messages=tuple(asked), tools=(), output=spec, settings=settings)
            reply = await self.inner.complete(wanted)
            usage = usage + reply.usage
            cost_usd = None if cost_usd is None or reply.cost_usd is None else cost_usd + reply.cost_usd
            try:
                plan = read_plan(reply.message.text, tools)
            except InvalidInput as error:
                fault = error
                asked += [
                    reply.message,
                    build_user_message(f"{error.message}\nMend the plan and give all of it again."),
                ]
                continue
            calls = read_progress(plan, number, ()).calls
            planned = _build_reply(calls, plan=plan)
            return structs.replace(planned, usage=usage, cost_usd=cost_usd, model=reply.model)
        raise InvalidInput(f"No plan held after {MAX_REASKS} repairs: {fault}") from fault


class Progress(Struct, frozen=True, kw_only=True):
    """How far a plan is."""

    calls: tuple[ToolCall, ...] = ()
    """What can be called now."""
    broken: tuple[str, ...] = ()
    """Which steps failed or cannot run, and why."""


def read_plan(text: str, tools: Sequence[ToolSpec]) -> Plan:
    """Read a plan and check all of it.

    Raises:
        InvalidInput: It is not a plan, names an unknown tool or step, repeats a name, or goes in a circle; all
            faults are listed.
    """
    try:
        plan = _decode_plan(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"The plan is not valid: {error}") from error
    faults: list[str] = []
    names = [step.id for step in plan.steps]
    known_tools = {tool.name for tool in tools}
    if not 1 <= len(names) <= MAX_STEPS:
        faults.append(f"a plan has 1 to {MAX_STEPS} steps, not {len(names)}")
    for place, step in enumerate(plan.steps):
        where = f"$.steps[{place}]"
        if names.count(step.id) > 1:
            faults.append(f"{where}.id: {step.id!r} is there twice")
        if step.tool not in known_tools:
            faults.append(f"{where}.tool: {UnknownName('tool', step.tool, known_tools)}")
        for name in sorted(find_needs(step) - set(names)):
            faults.append(f"{where}: {UnknownName('step', name, names)}")
    faults += _find_circles(plan)
    if faults:
        raise InvalidInput("The plan does not hold: " + "; ".join(faults))
    return plan


def find_needs(step: PlannedStep) -> set[str]:
    """Find the steps that must have succeeded before this one."""
    text = _encode_json(step.arguments).decode()
    return {*step.after, *(match[1] for match in _REFERENCE.finditer(text))}


def _find_circles(plan: Plan) -> list[str]:
    needs = {step.id: find_needs(step) for step in plan.steps}
    done = {name for needed in needs.values() for name in needed if name not in needs}
    while ready := {name for name, needed in needs.items() if name not in done and needed <= done}:
        done |= ready
    stuck = sorted(set(needs) - done)
    return [f"steps {', '.join(stuck)} wait for one another"] if stuck else []


def find_plans(messages: Sequence[Message]) -> list[Plan]:
    """Find the plans of a conversation, oldest first."""
    return [
        _decode_plan(part.text)
        for message in messages
        if message.role == "assistant"
        for part in message.parts
        if isinstance(part, Thinking) and part.signature == _MARK
    ]


def read_progress(plan: Plan, number: int, messages: Sequence[Message]) -> Progress:
    """Work out what a plan's next calls are, from the results in the conversation."""
    results = {part.call_id: part for message in messages for part in message.parts if isinstance(part, ToolResult)}
    settled = {step.id: results[key] for step in plan.steps if (key := _get_call_id(number, step)) in results}
    values = {name: _read_value(result) for name, result in settled.items() if not result.is_error}
    broken = {name: str(result.content) for name, result in settled.items() if result.is_error}
    calls: list[ToolCall] = []
    progressing = True
    while progressing:
        progressing = False
        for step in plan.steps:
            needs = find_needs(step)
            if step.id in broken or step.id in settled:
                continue
            if lost := sorted(needs & set(broken)):
                broken[step.id] = f"it was not run, because it needs {', '.join(lost)}"
                progressing = True
    for step in plan.steps:
        if step.id in settled or step.id in broken or not find_needs(step) <= set(values):
            continue
        try:
            arguments = substitute(step.arguments, values)
        except InvalidInput as error:
            broken[step.id] = error.message
            continue
        text = _encode_json(arguments).decode()
        calls.append(ToolCall(id=_get_call_id(number, step), name=step.tool, arguments=text))
    return Progress(calls=tuple(calls), broken=tuple(f"Step {name} failed: {why}" for name, why in broken.items()))


def substitute(value: object, results: Mapping[str, object]) -> object:
    """Put results in the place of references; a text that is one reference alone takes the result's own type.

    Raises:
        InvalidInput: A result has no such part.
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole is not None and whole[1] in results:
            return _get_part(results, whole)
        return _REFERENCE.sub(lambda match: _show(_get_part(results, match)), value)
    if isinstance(value, dict):
        return {key: substitute(item, results) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [substitute(item, results) for item in cast("list[object]", value)]
    return value


def _get_part(results: Mapping[str, object], match: re.Match[str]) -> object:
    part = results[match[1]]
    for name in match[2].split(".")[1:]:
        try:
            part = (
                cast("list[object]", part)[int(name)]
                if isinstance(part, list)
                else cast("dict[str, object]", part)[name]
            )
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise InvalidInput(f"{match[0]!r} names nothing in the result of step {match[1]!r}.") from error
    return part


def _show(value: object) -> str:
    return value if isinstance(value, str) else _encode_json(value).decode()


def _read_value(result: ToolResult) -> object:
    if not isinstance(result.content, str):
        return None
    try:
        return _decode_json(result.content)
    except (msgspec.DecodeError, ValueError):
        return result.content


def _get_call_id(number: int, step: PlannedStep) -> str:
    return f"plan{number}-{step.id}"


def _build_reply(calls: Sequence[ToolCall], *, plan: Plan | None) -> Reply:
    head = () if plan is None else (Thinking(text=_encode_json(plan).decode(), signature=_MARK),)
    message = Message(role="assistant", parts=(*head, *calls))
    return Reply(message=message, usage=Usage(), model="planner", stop="tool_calls")


def _describe_task(tools: Sequence[ToolSpec], told: str) -> str:
    listed = "\n".join(
        f"- {tool.name}: {tool.description.split(chr(10), 1)[0]} Arguments: {_encode_json(tool.parameters).decode()}"
        for tool in tools
    )
    before = f"An earlier plan did not work out:\n{told}\nIts other results are above. " if told else ""
    return (
        f"{before}Plan how to do this with the tools below, and do nothing else yet. Answer with JSON alone: "
        '{"steps": [{"id": "…", "tool": "…", "arguments": {…}, "after": []}]}. '
        "Write {id} or {id.path} inside an argument's text for what an earlier step returned.\n" + listed
    )
