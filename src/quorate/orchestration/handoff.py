"""How does one agent give a conversation to another, who goes on with it as its own?"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.compile import Compiled
from quorate.agent.delegate import work_for
from quorate.agent.output import Output
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.work import Work
from quorate.agent.run import Run
from quorate.errors import Incomplete, InvalidInput, UnknownName
from quorate.events import AnyEvent, HandoffDone, HandoffRequested, ModelReplied, ToolFailed, ToolFinished
from quorate.messages import (
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    ToolCall,
    ToolResult,
    build_keys,
    build_user_message,
)
from quorate.orchestration.patterns.team import Contribution, TeamReport, build_team
from quorate.ports import Model, RunContext
from quorate.specs import FINAL_TOOL, Limits, ModelProfile, Request, ToolSpec
from quorate.tools.define import fail
from quorate.tools.toolsets import Toolbox

MAX_HOPS = 25
"""How often a conversation may be handed on, unless told otherwise."""
PREFIX = "transfer_to_"
"""How the names of the tools begin by which an agent hands a conversation on."""
Transform = Callable[[Sequence[Message]], Sequence[Message]]
"""Makes what the next agent sees of what the last one knew; it must do the same each time."""
_STEP = re.compile(r"(\d+)/(model|tool/[^/]+)")
_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "Why, in a sentence, for whoever takes over."}},
    "required": ["reason"],
    "additionalProperties": False,
}


class Transfer(Struct, frozen=True, kw_only=True):
    """That one agent may hand a conversation to another."""

    source: str
    target: str
    version: str = ""
    """The version of the target that it was made for; any when empty."""
    transform: Transform | None = None
    """What the target sees; all of the conversation when not given."""
    migrate: Transform | None = None
    """What another version of the target sees; without it, that version is refused."""


class Handed(Struct, frozen=True, kw_only=True, tag_field="quorate", tag="handed", forbid_unknown_fields=True):
    """What an agent gives in place of an answer when it hands the conversation on."""

    target: str
    reason: str = ""


class _Conversation(Struct, frozen=True, forbid_unknown_fields=True):
    task: str
    messages: tuple[Message, ...] = ()


_encode = msgspec.json.Encoder().encode


def handoff(
    name: str,
    members: Sequence[AnyAgent],
    transfers: Sequence[Transfer],
    *,
    hops: int = MAX_HOPS,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team in which one agent has the conversation at a time, and may hand it to another.

    An agent is offered a tool `transfer_to_<target>` for each agent that it may hand to. Once it is called, the target
    goes on with the conversation as if it had been its own, and with the same run-scoped values; all of it is one run.

    Args:
        name: Its name.
        members: Who takes part; the first one begins.
        transfers: Who may hand to whom.
        hops: How often it may be handed on in all.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, two of one name, or a transfer is there twice.
        UnknownName: A transfer names somebody else.
        Conflict: A transfer was made for another version of its target, and nothing migrates to this one.
    """
    known = {member.name: member for member in members}
    rules = {(one.source, one.target): _check(one, known) for one in transfers}
    if len(rules) < len(transfers):
        raise InvalidInput(f"Team {name!r} has a transfer twice: name each pair once.")
    seats = [_Seat(member, [one for one in transfers if one.source == member.name], known) for member in members]

    async def work(procedure: Work, task: str) -> TeamReport:
        current, messages = members[0].name, (build_user_message(task),)
        given: list[Contribution] = []
        while True:
            step = f"hop-{len(given) + 1}"
            arguments = {"task": task, "messages": [*messages]}
            outcome = await procedure.call(step, _name_tool(current), cast("dict[str, object]", arguments))
            if not outcome.is_good:
                raise TeamFailed(f"{current!r} failed: {outcome.text}"[:4_000], agent=current)
            handed = read_handed(outcome.text)
            if handed is None:
                given.append(Contribution(agent=current, status="completed", output=outcome.value, step=step))
                why = " > ".join(one.agent for one in given)
                return TeamReport(pattern="handoff", answer=outcome.value, why=why, contributions=tuple(given))
            rule = rules.get((current, handed.target))
            if rule is None:
                raise TeamFailed(f"{current!r} may not hand to {handed.target!r}.", agent=current)
            told = f"handed to {handed.target}: {handed.reason}"
            given.append(Contribution(agent=current, status="completed", output=told, step=step))
            if len(given) > hops:
                raise Incomplete(f"The conversation was handed on {hops} times without an answer.", limit="hops")
            facts = {"source": current, "target": handed.target}
            await procedure.note(f"{step}/request", HandoffRequested, reason=handed.reason[:2_000], **facts)
            whole = rebuild_conversation(procedure.read_events(step), messages)[:-1]  # the last says only that
            messages = tuple(_transform(rule, known[handed.target], whole))
            await procedure.note(f"{step}/done", HandoffDone, **facts)
            current = handed.target

    return build_team(name, work, members, tools=seats, description=description, limits=limits)


def read_handed(text: str) -> Handed | None:
    """Read that a conversation is handed on; `None` where the text is an answer."""
    if not text.startswith("{"):
        return None
    try:
        return msgspec.json.decode(text, type=Handed)
    except msgspec.DecodeError:
        return None


def rebuild_conversation(events: Mapping[str, AnyEvent], messages: Sequence[Message]) -> list[Message]:
    """Build the conversation that an agent had, of what is recorded of it.

    Args:
        events: What was recorded last for each step of the agent, by its key below the agent's path.
        messages: What it began with.
    """
    found = [*messages]
    turn = 1
    while isinstance(replied := events.get(f"{turn}/model"), ModelReplied):
        found.append(replied.reply.message)
        calls = replied.reply.message.tool_calls
        keyed = zip(build_keys(str(turn), calls), calls, strict=True)
        results = [_read_result(events.get(key), call) for key, call in keyed]
        if results:
            found.append(Message(role="tool", parts=tuple(results)))
        turn += 1
    return found


def _read_result(event: AnyEvent | None, call: ToolCall) -> ToolResult:
    if isinstance(event, ToolFinished | ToolFailed):
        return event.result
    return ToolResult(call_id=call.id, name=call.name, content="Not called.")


def _transform(rule: Transfer, target: AnyAgent, whole: Sequence[Message]) -> Sequence[Message]:
    """Make what the target sees; it must end with something for it to answer."""
    change = rule.transform
    if rule.version and rule.version != target.version:
        change = rule.migrate
    shown = list(change(whole) if change is not None else whole)
    if not shown or shown[-1].role == "assistant":
        shown.append(build_user_message("Go on."))
    return shown


def _check(rule: Transfer, known: Mapping[str, AnyAgent]) -> Transfer:
    for name in (rule.source, rule.target):
        if name not in known:
            raise UnknownName("member", name, known)
    target = known[rule.target]
    if rule.version and rule.version != target.version and rule.migrate is None:
        raise InvalidInput(
            f"The transfer from {rule.source!r} to {rule.target!r} was made for version {rule.version!r}, and it is "
            f"{target.version!r}: give `migrate`, or the version that it is."
        )
    return rule


def _name_tool(member: str) -> str:
    return f"have_{member.replace('-', '_')}"


class _Seat:
    """A member as a toolset of one tool: it goes on with a conversation, and may hand it on.

    Args:
        agent: The member.
        transfers: To whom it may hand.
        known: All members, by name.
    """

    def __init__(self, agent: AnyAgent, transfers: Sequence[Transfer], known: Mapping[str, AnyAgent]) -> None:
        self._member = _Member(agent, transfers, known)
        self._spec = ToolSpec(
            name=_name_tool(agent.name),
            description=agent.description or f"Give the conversation to {agent.name}.",
            parameters={"type": "object", "properties": {"task": {"type": "string"}, "messages": {"type": "array"}}},
            effect="idempotent",
            timeout_s=agent.limits.seconds,
        )

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self._spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Have the member go on with the conversation.

        Raises:
            Waiting: Somebody must answer first.
        """
        parent = context.owner
        if not isinstance(parent, Run):
            raise InvalidInput("A conversation is handed on only inside an agent's run.")
        if context.info.depth + 1 > parent.budget.limits.depth:
            return fail(call, f"agents may delegate {parent.budget.limits.depth} deep, and no deeper", Incomplete.code)
        given = msgspec.json.decode(call.arguments, type=_Conversation)
        return await work_for(parent, self._member, list(given.messages), call=call, context=context, sharing="share")


class _Member:
    """An agent that may answer, or hand on."""

    def __init__(self, agent: AnyAgent, transfers: Sequence[Transfer], known: Mapping[str, AnyAgent]) -> None:
        self.name = agent.name
        self.description = agent.description
        self.limits = agent.limits
        self._agent = agent
        tools = _TransferTools({one.target: known[one.target].description for one in transfers})
        self.compiled = _open_up(agent.compiled, tools)

    def find_model(self, default: Model | None = None) -> Model:
        """Find the model to use, which ends its turn once it has handed on."""
        return _HandingModel(self._agent.find_model(default))


def _open_up(compiled: Compiled, tools: _TransferTools) -> Compiled:
    """Return the same with tools to hand on, and with that as an answer."""
    opened = copy.copy(compiled)
    opened.toolbox = Toolbox([compiled.toolbox, tools])
    extra = tuple(tools.specs())
    opened.specs, opened.specs_with_output = (*compiled.specs, *extra), (*compiled.specs_with_output, *extra)
    opened.effects = {**compiled.effects, **{spec.name: spec.effect for spec in extra}}
    opened.output = cast("Output", _EitherOutput(compiled.output))
    opened.printed = None
    return opened


class _EitherOutput:
    """An output type, or that the conversation was handed on."""

    def __init__(self, inner: Output) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._inner, name))

    def read(self, text: str) -> object:
        """Read either."""
        return read_handed(text) or self._inner.read(text)

    def write(self, value: object) -> str:
        """Write either."""
        return _encode(value).decode() if isinstance(value, Handed) else self._inner.write(value)


class _TransferTools:
    """Tools by which an agent hands on."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._specs = [
            ToolSpec(
                name=f"{PREFIX}{name.replace('-', '_')}",
                description=f"Hand the whole conversation to {name}, who goes on with it. {description}".strip(),
                parameters=_PARAMETERS,
                effect="idempotent",
            )
            for name, description in targets.items()
        ]
        self._targets = {spec.name: name for spec, name in zip(self._specs, targets, strict=True)}

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self._specs

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Say who has the conversation now; it is handed on when the turn ends."""
        try:
            reason = msgspec.json.decode(call.arguments, type=dict[str, str]).get("reason", "")
        except msgspec.DecodeError:
            reason = ""
        handed = Handed(target=self._targets[call.name], reason=reason[:2_000])
        return ToolResult(call_id=call.id, name=call.name, content=_encode(handed).decode())


class _HandingModel:
    """A `Model` that ends the agent's turn once it has handed on, without asking the model again."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    @property
    def profile(self) -> ModelProfile:
        """What the inner model can do."""
        return self._inner.profile

    async def complete(self, request: Request) -> Reply:
        """Answer that it is handed on, or ask the model."""
        return _end(request) or await self._inner.complete(request)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer that it is handed on, or ask the model, piece by piece."""
        ended = _end(request)
        if ended is not None:
            yield ReplyDone(ended)
            return
        async for item in self._inner.stream(request):
            yield item


def _end(request: Request) -> Reply | None:
    if request.key.endswith("/1/model"):
        return None  # what stands there last is how the conversation came here
    last = request.messages[-1]
    for part in last.parts if last.role == "tool" else ():
        if isinstance(part, ToolResult) and part.name.startswith(PREFIX) and not part.is_error:
            text = str(part.content)
            if any(tool.name == FINAL_TOOL for tool in request.tools):
                call = ToolCall(id="handed", name=FINAL_TOOL, arguments=text)
                return Reply(message=Message(role="assistant", parts=(call,)), stop="tool_calls", model="handoff")
            return Reply(message=Message(role="assistant", parts=(Text(text),)), model="handoff")
    return None
