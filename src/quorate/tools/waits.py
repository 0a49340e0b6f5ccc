"""How does an agent ask a person for something, or wait until a time has come, without holding a process?"""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, Waiting
from quorate.events import InputGiven, TimerSet
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import ToolSpec
from quorate.tools.define import fail

MAX_QUESTION = 4000
MAX_CHOICES = 50
MAX_ARGUMENTS = 65_536
DAY_S = 86_400.0
MOST_S = 3653 * DAY_S
T = TypeVar("T")

Sleep = Callable[[float], Awaitable[object]]


class _Ask(Struct, frozen=True, forbid_unknown_fields=True):
    question: str
    choices: tuple[str, ...] = ()


class _Wait(Struct, frozen=True, forbid_unknown_fields=True):
    seconds: float


class _WaitUntil(Struct, frozen=True, forbid_unknown_fields=True):
    time: str


class AskPerson:
    """A toolset of one tool, `ask`, by which an agent asks a person and gets the words of the answer.

    The run rests until somebody answers (`quorate approvals answer`, `Runtime.answer`), for days and over restarts.
    """

    def __init__(self, *, expires_s: float | None = None) -> None:
        """Offer the tool.

        Args:
            expires_s: After how many seconds no answer counts any more: the call then fails (`expired`).

        Raises:
            InvalidInput: `expires_s` is no number above 0.
        """
        if expires_s is not None and not 0 < expires_s < math.inf:
            raise InvalidInput(f"`expires_s` is {expires_s!r}: give a number of seconds above 0, or `None`.")
        self._expires_s = expires_s

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        properties: dict[str, object] = {
            "question": {"type": "string", "description": "What you need to know, with all that is needed to answer."},
            "choices": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What may be answered; leave it out when anything may.",
            },
        }
        return (_build_spec("ask", "Ask a person for what only they can tell.", properties, ["question"]),)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Return the answer.

        Raises:
            Waiting: Nobody has answered yet.
        """
        try:
            asked = _read(call, _Ask)
            check_question(asked.question, asked.choices)
        except InvalidInput as error:
            return fail(call, error.message)
        given = context.owner.find(f"{context.key}/input")
        if isinstance(given, InputGiven):
            if asked.choices and given.text not in asked.choices:
                return fail(call, f"the answer of {given.by} is none of the choices")
            return ToolResult(call_id=call.id, name=call.name, content=given.text)
        raise Waiting(
            "The run waits for a person's answer.",
            slot="input",
            question=asked.question,
            choices=asked.choices,
            expires=context.clock.now() + self._expires_s if self._expires_s is not None else None,
        )


def check_question(question: str, choices: Sequence[str]) -> None:
    """Check that a person can be asked so.

    Raises:
        InvalidInput: There are no words, too many of them, or choices that cannot be told apart.
    """
    if not question.strip() or len(question) > MAX_QUESTION:
        raise InvalidInput(f"`question` has {len(question)} characters: ask in 1 to {MAX_QUESTION}")
    if len(choices) > MAX_CHOICES or sum(map(len, choices)) > MAX_QUESTION:
        raise InvalidInput(f"there are {len(choices)} `choices`: give at most {MAX_CHOICES} short ones")
    if len({choice.strip() for choice in choices} - {""}) < len(choices):
        raise InvalidInput("two of the `choices` are the same, or one is empty")


class Timers:
    """A toolset of two tools, `wait` and `wait_until`, by which an agent lets time go by.

    The run rests meanwhile and is woken when the time has come, by whichever worker looks then; short waits are sat
    out. What counts is when the wait was first begun, however often the run was restarted since.
    """

    def __init__(self, *, max_s: float = DAY_S, rest_above_s: float = 5.0, sleep: Sleep = asyncio.sleep) -> None:
        """Offer the tools.

        Args:
            max_s: The longest wait, in seconds.
            rest_above_s: From how many seconds on the run rests instead of sitting the wait out.
            sleep: How a short wait is sat out; for tests.

        Raises:
            InvalidInput: `max_s` is no number above 0, or more than ten years.
        """
        if not 0 < max_s <= MOST_S:
            raise InvalidInput(f"`max_s` is {max_s!r}: give a number of seconds above 0, ten years at most.")
        self._max_s = max_s
        self._rest_above_s = rest_above_s
        self._sleep = sleep

    def specs(self) -> Sequence[ToolSpec]:
        """List both tools."""
        seconds: dict[str, object] = {
            "type": "number",
            "description": f"How long, in seconds; at most {self._max_s:g}.",
        }
        time: dict[str, object] = {
            "type": "string",
            "description": "When, as ISO 8601 with its offset from UTC, such as `2030-01-31T09:00:00Z`.",
        }
        return (
            _build_spec("wait", "Wait for some time before you go on.", {"seconds": seconds}, ["seconds"]),
            _build_spec("wait_until", "Wait until a moment before you go on.", {"time": time}, ["time"]),
        )

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Return what time it is, once the time has come.

        Raises:
            Waiting: It has not come yet.
        """
        now, known = context.clock.now(), context.owner.find(f"{context.key}/timer")
        try:
            due = known.due if isinstance(known, TimerSet) else now + self._read_seconds(call, now)
        except InvalidInput as error:
            return fail(call, error.message)
        if due - now > self._rest_above_s:
            raise Waiting(f"The run waits until {_show(due)}.", slot="timer", due=due)
        if due > now:
            await self._sleep(due - now)
        return ToolResult(call_id=call.id, name=call.name, content=f"It is {_show(max(due, context.clock.now()))}.")

    def _read_seconds(self, call: ToolCall, now: float) -> float:
        if call.name == "wait":
            seconds = _read(call, _Wait).seconds
        elif call.name == "wait_until":
            seconds = read_moment(_read(call, _WaitUntil).time) - now
        else:
            raise InvalidInput("there are `wait` and `wait_until`")
        if not 0 <= seconds <= self._max_s:
            raise InvalidInput(f"that is {seconds:g} s from now: wait for 0 to {self._max_s:g} s")
        return seconds


def read_moment(text: str) -> float:
    """Read a moment, written as ISO 8601, as seconds since 1970.

    Raises:
        InvalidInput: It is none, or does not say which offset from UTC it has.
    """
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text[:80]!r} is no moment: write it like `2030-01-31T09:00:00Z`") from error
    raise InvalidInput(f"{text[:80]!r} has no offset from UTC: write it like `2030-01-31T09:00:00Z`")


def _show(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _build_spec(name: str, description: str, properties: dict[str, object], required: list[str]) -> ToolSpec:
    parameters: dict[str, object] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return ToolSpec(name=name, description=description, parameters=parameters, effect="idempotent")


def _read(call: ToolCall, kind: type[T]) -> T:
    if len(call.arguments) > MAX_ARGUMENTS:
        raise InvalidInput(f"the arguments have {len(call.arguments)} characters; at most {MAX_ARGUMENTS} are read")
    check_depth(call.arguments, what="the JSON")
    try:
        return msgspec.json.decode(call.arguments or "{}", type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"the arguments are not valid: {error}") from error
