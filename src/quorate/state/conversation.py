"""What was said in a run, and in all the runs that its conversation went through?

What a run added is the same as the loop had in hand while it worked, but for three things: what was said before a
repair is left out with the repair; a call whose result was never recorded gets one that says so; and a reply without
any part is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import CorruptState, NotFound
from quorate.events import (
    AnyEvent,
    ModelReplied,
    ModelRequested,
    RunCompleted,
    RunCreated,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from quorate.messages import Message, ToolCall, ToolResult, build_keys
from quorate.ports import Log
from quorate.specs import FINAL_TOOL

MAX_RUNS = 10_000
PAGE = 500
"""How many runs of a session are read at once."""
_CALL_EVENTS = (ToolStarted, ToolFinished, ToolFailed, ToolRequested, ToolUnknown)


def build_conversation(events: Sequence[AnyEvent], *, upto: int = 0) -> list[Message]:
    """Build the messages that a run added: what it was given, then the replies and results of its own agent.

    What delegates said among themselves is left out; their answers are results. The conversation is one that every
    provider takes, wherever the log ends: each call has a result right behind the message that makes it.

    Args:
        events: The run's log from its beginning, or a part of it.
        upto: The last event that counts; 0 for all.

    Raises:
        CorruptState: It does not begin with `run.created`, or is shorter than `upto`.
    """
    if not events or not isinstance(events[0], RunCreated):
        raise CorruptState("A log that does not begin with `run.created` holds no conversation.")
    if upto > len(events):
        raise CorruptState(f"Run {events[0].run!r} has {len(events)} events, and not the {upto} that are referred to.")
    seen = events[:upto] if upto else events
    replies, calls, asked = _collect(seen)
    is_done = isinstance(seen[-1], RunCompleted)
    messages = list(events[0].messages)
    for turn in sorted(replies):
        message = replies[turn]
        made = message.tool_calls
        known = [calls.get(key) for key in build_keys(str(turn), made)]
        is_final = not any(known)
        if (is_final and turn < asked) or not message.parts:
            continue
        messages.append(message)
        if made:
            is_answer = is_final and any(call.name == FINAL_TOOL for call in made)
            results = (
                [_settle_final(call, taken=is_done) for call in made]
                if is_answer
                else [_settle(call, event) for call, event in zip(made, known, strict=True)]
            )
            messages.append(Message(role="tool", parts=tuple(results)))
    return messages


async def load_history(log: Log, created: RunCreated, *, max_runs: int = MAX_RUNS) -> list[Message]:
    """Load what was said before a run: what it refers to by `previous`, to the beginning of the conversation.

    Nothing when it refers to nothing; what the run was given itself is not among it.

    Raises:
        NotFound: A run that is referred to is gone, or is another tenant's.
        CorruptState: The references go in a circle or further than `max_runs`, or a log is shorter than referred to.
    """
    reader, parts, seen, at = _Reader(log, created), list[list[Message]](), {created.run}, created
    while at.previous:
        if at.previous in seen:
            raise CorruptState(f"The conversation of run {at.run!r} goes in a circle at run {at.previous!r}.")
        if len(seen) > max_runs:
            raise CorruptState(
                f"The conversation of run {created.run!r} goes over more than {max_runs} runs: begin a new session."
            )
        seen.add(at.previous)
        first, events = await reader.read(at)
        parts.append(build_conversation(events, upto=at.previous_seq))
        at = first
    return [message for part in reversed(parts) for message in part]


def _collect(events: Sequence[AnyEvent]) -> tuple[dict[int, Message], dict[str, AnyEvent], int]:
    """Collect the replies by turn, the last event of each call by key, and the last turn that was begun."""
    replies: dict[int, Message] = {}
    calls: dict[str, AnyEvent] = {}
    asked = 0
    for event in events:
        if isinstance(event, _CALL_EVENTS):
            calls[event.key] = event
        elif isinstance(event, (ModelRequested, ModelReplied)):
            number = event.key.removesuffix("/model")
            if not number.isdecimal():
                continue  # a delegate's
            asked = max(asked, int(number))
            if isinstance(event, ModelReplied):
                replies[int(number)] = event.reply.message
    return replies, calls, asked


def _settle_final(call: ToolCall, *, taken: bool) -> ToolResult:
    if call.name != FINAL_TOOL:
        return ToolResult(call_id=call.id, name=call.name, content="Not called: an answer was given beside it.")
    if taken:
        return ToolResult(call_id=call.id, name=call.name, content="The answer was taken.")
    return _refuse(call, "The answer was not taken.", "incomplete")


def _settle(call: ToolCall, event: AnyEvent | None) -> ToolResult:
    if isinstance(event, (ToolFinished, ToolFailed)):
        return event.result
    if isinstance(event, (ToolStarted, ToolUnknown)):
        return _refuse(call, "It was begun, and nobody knows how it ended: it may have taken effect.", "unknown")
    if isinstance(event, ToolRequested):
        return _refuse(call, "Not called: nobody had answered whether it may be.", "waiting")
    return _refuse(call, "Not called: the run ended before.", "cancelled")


def _refuse(call: ToolCall, words: str, code: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=words, is_error=True, code=code)


class _Reader:
    """Reads runs from the youngest to the oldest, those of one session a page at a time."""

    def __init__(self, log: Log, created: RunCreated) -> None:
        self._log = log
        self._tenant = created.tenant
        self._page: dict[str, list[AnyEvent]] = {}
        self._done: set[str] = set()

    async def read(self, at: RunCreated) -> tuple[RunCreated, Sequence[AnyEvent]]:
        """Read the run that `at` goes on from."""
        run, session = at.previous, at.session
        if run not in self._page and session is not None and session not in self._done:
            await self._turn(session, before=at.run if at.run > run else None)
            if run not in self._page:
                self._done.add(session)
        events = self._page.get(run) or await self._log.read(run)
        first = events[0] if events else None
        if not isinstance(first, RunCreated) or first.tenant != self._tenant:
            raise NotFound(
                f"There is no run {run!r}, from which run {at.run!r} goes on: what was said before is lost. "
                f"`quorate sessions recover` begins the session anew from there.",
                run=run,
            )
        return first, events

    async def _turn(self, session: str, *, before: str | None) -> None:
        listed = await self._log.list_runs(session=session, tenant=self._tenant, before=before, limit=PAGE)
        self._page = await self._log.read_many([summary.run for summary in listed])
