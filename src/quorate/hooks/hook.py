"""What is a hook, where may it speak, and what may it say there?"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec import Struct, structs

from quorate.errors import InvalidInput, UnknownName
from quorate.ids import check_id
from quorate.messages import Reply, ToolCall, ToolResult
from quorate.specs import Request

Point = Literal["tool.before", "tool.after", "model.before", "model.after"]
Decision = Literal["allow", "deny", "replace", "abstain"]
Outcome = Literal["fail_open", "fail_closed", "raise"]
"""What a failure means: nothing was said; the call is denied; the run ends with a typed error."""
Value = ToolCall | ToolResult | Request | Reply
"""What a hook may put instead, of the kind that its point is about."""

ALL: frozenset[Decision] = frozenset(("allow", "deny", "replace", "abstain"))
LEGAL: Mapping[Point, frozenset[Decision]] = MappingProxyType(
    {"tool.before": ALL, "tool.after": ALL, "model.before": ALL, "model.after": ALL}
)
"""What has an effect at each point; anything else is refused when a hook is made."""
OUTCOMES: tuple[Outcome, ...] = ("fail_open", "fail_closed", "raise")
MAX_TIMEOUT_S = 3600.0
_SUBJECTS: Mapping[Point, tuple[str, type[Value], tuple[str, ...]]] = MappingProxyType(
    {
        "tool.before": ("call", ToolCall, ("id", "name", "signature")),
        "tool.after": ("result", ToolResult, ("call_id", "name")),
        "model.before": ("request", Request, ("key", "caller")),
        "model.after": ("reply", Reply, ("usage", "model", "cost_usd", "id", "request_id", "estimated", "attempts")),
    }
)
"""By point: the field of the moment that it is about, of which type that is, and what of it no hook may change: for
whom a call is made, what it answers, and what it used up."""


class Moment(Struct, frozen=True, kw_only=True):
    """What a hook is asked about; it may look at everything and change nothing in place."""

    point: Point
    run: str
    agent: str
    key: str
    """The step's key in the run's log."""
    tenant: str = "default"
    principal: str = "local"
    session: str = ""
    call: ToolCall | None = None
    """At `tool.before` and `tool.after`: the call as it is about to be made, or was."""
    result: ToolResult | None = None
    """At `tool.after`: what the call gave, a failure too."""
    request: Request | None = None
    """At `model.before` and `model.after`: what the model is about to be asked, or was."""
    reply: Reply | None = None
    """At `model.after`: what the model answered."""


class Heard(Struct, frozen=True, kw_only=True):
    """What one hook said, with what its failure was taken for."""

    hook: str
    point: Point
    verdict: Verdict
    failure: str = ""
    """Why it said nothing of its own; never the words of what it raised, which may be anybody's."""
    ends_run: bool = False
    """Whether it failed and was declared to end the run then."""
    cause: BaseException | None = None
    """What it raised."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What a hook says: go on, stop, take this instead, or nothing (the same as `None`)."""

    decision: Decision
    reason: str = ""
    """Why; a model reads it and the log keeps it, so no secrets."""
    value: Value | None = None
    """With `replace`: what stands instead, such as `structs.replace(moment.call, arguments=…)`."""
    heard: tuple[Heard, ...] = ()
    """What the hooks inside a composite said, in their order."""


ABSTAINED = Verdict(decision="abstain")
HookFunction = Callable[[Moment], Awaitable[Verdict | None]]


class Hook(Struct, frozen=True, kw_only=True):
    """A function that is asked at some points, within its time, with a declared meaning of its failure.

    You would use it to hold calls to rules that are not the agent's business. Making one checks it.
    """

    name: str
    """1 to 63 of `a-z`, `0-9` and `-`; what the log calls it."""
    function: HookFunction
    """`async def f(moment: Moment) -> Verdict | None`. It must give way while it waits, as all asynchronous code."""
    points: tuple[Point, ...]
    """Where it is asked."""
    on_failure: Outcome
    """What it means that it raises, is late, or says what it may not: always declared, so there is no default."""
    decisions: tuple[Decision, ...] = ("allow", "deny", "abstain")
    """What it may say; `replace` only where it is named here. It may always abstain."""
    timeout_s: float | None = 1.0
    """After how many seconds it is cut; `None` only for composites, whose hooks are each cut by themselves."""
    priority: int = 0
    """The higher is asked first in a composite; hooks alike are asked in the order they were given in."""
    parts: tuple[Hook, ...] = ()
    """The hooks inside a composite."""

    def __post_init__(self) -> None:
        check_id(self.name, "hook name")
        where = f"hook {self.name!r}"
        if not self.points:
            raise InvalidInput(f"{where} has no points: name where it is asked, such as `points=('tool.before',)`.")
        for point in self.points:
            if point not in LEGAL:
                raise UnknownName("point of hooks", str(point), LEGAL)
            for decision in self.decisions:
                if decision not in LEGAL[point]:
                    raise UnknownName(f"decision of hooks at {point!r}", str(decision), LEGAL[point])
        if self.on_failure not in OUTCOMES:
            raise UnknownName("outcome of a hook's failure", str(self.on_failure), OUTCOMES)
        if self.timeout_s is None and not self.parts:
            raise InvalidInput(f"{where} has no `timeout_s`: give a number of seconds.")
        if self.timeout_s is not None and not _is_seconds(self.timeout_s):
            raise InvalidInput(
                f"`timeout_s` of {where} is {self.timeout_s!r}: give seconds above 0, at most {MAX_TIMEOUT_S:g}."
            )
        if not is_async(self.function):
            raise InvalidInput(f"{where} is not asynchronous: write `async def`, and use `asyncio.to_thread` in it.")

    def takes(self, point: Point) -> bool:
        """Whether it is asked at a point."""
        return point in self.points


def is_async(function: object) -> bool:
    """Whether a function, or an object that is called like one, is asynchronous."""
    if not callable(function):
        return False
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


def _is_seconds(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 < value <= MAX_TIMEOUT_S
    )


def find_fault(hook: Hook, moment: Moment, said: object) -> str:
    """Say what is wrong with what a hook said; empty where nothing is."""
    if said is None:
        return ""
    if not isinstance(said, Verdict):
        return f"said `{type(said).__name__}` and no `Verdict`"
    if said.decision != "abstain" and said.decision not in hook.decisions:
        return f"said {str(said.decision)[:40]!r}, which it did not declare"
    if type(said.reason) is not str:
        return "gave a reason that is no text"
    if said.heard and not hook.parts:
        return "spoke for other hooks, and is no composite"
    if (said.decision == "replace") != (said.value is not None):
        return "gave a value without `replace`, or `replace` without a value"
    return _find_value_fault(moment, said.value) if said.value is not None else ""


def _find_value_fault(moment: Moment, value: Value) -> str:
    field, kind, kept = _SUBJECTS[moment.point]
    if type(value) is not kind:
        return f"replaces a `{kind.__name__}` by a `{type(value).__name__}`"
    before: object = getattr(moment, field)
    for name in kept:
        if getattr(value, name) != getattr(before, name):
            return f"changes `{name}` of the {field}, which no hook may"
    try:
        # What cannot be written would break the run where it is recorded or sent, and not where it was made.
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError):
        return f"puts in a `{kind.__name__}` that cannot be written as JSON"
    return ""


def put_value(moment: Moment, value: Value) -> Moment:
    """Return the moment as it is once a hook has put something else in."""
    return structs.replace(moment, **{_SUBJECTS[moment.point][0]: value})
