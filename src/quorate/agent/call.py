"""How is a tool call made exactly once, as far as the log can tell?"""

from __future__ import annotations

import asyncio
from typing import cast

from quorate.agent.run import Run
from quorate.errors import QuorateError, Waiting, describe_error
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from quorate.messages import Message, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.tools.define import CRASHED, fail
from quorate.tools.toolsets import get_call_digest

Keyed = tuple[str, ToolCall]


def build_keys(run: Run, turn: int, calls: tuple[ToolCall, ...]) -> list[Keyed]:
    """Give each call its key: what it is, by the provider's id, told apart where a provider repeats one."""
    seen: set[str] = set()
    keyed: list[Keyed] = []
    for call in calls:
        # A `/` would make the id a path, such as a delegate's.
        name = bare = call.id.replace("/", "|") or "-"
        times = 1
        while name in seen:
            times += 1
            name = f"{bare}#{times}"
        seen.add(name)
        keyed.append((f"{run.path}{turn}/tool/{name}", call))
    return keyed


async def start_calls(run: Run, keyed: list[Keyed]) -> None:
    """Record the intent of every call that is about to be made, before any of them is.

    Raises:
        QuorateError: The run was stopped meanwhile; none of them is made.
    """
    journal, effects = run.journal, run.compiled.effects
    for key, call in keyed:
        known = journal.find(key)
        if known is None or (isinstance(known, (ToolRequested, ToolUnknown)) and _is_approved(run, key, known)):
            journal.write(ToolStarted, key, call=call, effect=effects.get(call.name, "idempotent"))
    await journal.commit()
    if run.scope.cause is not None:
        raise run.scope.cause


async def settle_calls(run: Run, keyed: list[Keyed]) -> None:
    """Make the calls side by side and add their results to the conversation.

    Raises:
        Waiting: At least one call needs an answer first; the others are settled and recorded.
        Exception: What is not the model's to mend, once all calls have ended.
    """
    if len(keyed) == 1:
        outcomes = [await _settle(run, *keyed[0])]
    else:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_settle(run, key, call)) for key, call in keyed]
        outcomes = [task.result() for task in tasks]
    if run.journal.broken is not None:
        raise run.journal.broken
    results: list[ToolResult] = []
    waiting: list[str] = []
    broken: Exception | None = None
    for (key, _), outcome in zip(keyed, outcomes, strict=True):
        if isinstance(outcome, ToolResult):
            results.append(outcome)
        elif isinstance(outcome, Waiting):
            waiting += _get_slots(outcome, key)
        else:
            broken = broken or outcome
    if broken is not None:
        raise broken
    if waiting:
        raise Waiting("The run rests until somebody answers.", keys=tuple(waiting))
    run.messages.append(Message(role="tool", parts=tuple(results)))


def _get_slots(held: Waiting, key: str) -> tuple[str, ...]:
    """Name what must be answered: a delegate's own slots, or this call's."""
    slots = held.context.get("keys")
    if isinstance(slots, tuple):
        return cast("tuple[str, ...]", slots)
    return (f"{key}/{held.context.get('slot', 'approval')}",)


async def _settle(run: Run, key: str, call: ToolCall) -> ToolResult | Exception:
    """Return a call's recorded result, or make it and record what came of it; an error is returned, not raised."""
    journal, toolbox = run.journal, run.compiled.toolbox
    known = journal.find(key)
    if isinstance(known, (ToolFinished, ToolFailed)):
        return known.result
    try:
        result = _settle_unknown(run, key, call, known) if known is not None else None
        if result is None:
            context = RunContext(info=run.info, deps=run.deps, key=key, call=call, clock=run.clock, owner=run)
            result = await toolbox.call(call, context)
        journal.write(ToolFailed if result.is_error else ToolFinished, key, result=result)
        await journal.commit()
    except Waiting as held:
        await _hold(run, key, call, held)
        return held
    except Exception as error:  # the calls beside it end first, whatever a toolset raises
        return await _record_error(run, key, call, error)
    return result


async def _record_error(run: Run, key: str, call: ToolCall, error: Exception) -> Exception:
    """Record that a call failed for a reason that is not the model's, unless it is the record that failed."""
    if run.journal.broken is not None:
        return run.journal.broken
    code = error.code if isinstance(error, QuorateError) else CRASHED
    if isinstance(error, QuorateError):
        error.context = {**error.context, "tool": call.name, "key": key}
    run.journal.write(ToolFailed, key, result=fail(call, describe_error(error), code))
    try:
        await run.journal.commit()
    except QuorateError as lost:
        return lost
    return error


def _find_answer(run: Run, key: str, known: AnyEvent) -> ApprovalDecided | None:
    """Find the answer that was given after `known` was recorded; an older one was about something else."""
    slot = "approval" if isinstance(known, ToolRequested) else "unknown"
    answer = run.journal.find(f"{key}/{slot}")
    return answer if isinstance(answer, ApprovalDecided) and answer.seq > known.seq else None


def _is_approved(run: Run, key: str, known: AnyEvent) -> bool:
    answer = _find_answer(run, key, known)
    return answer is not None and answer.approved


def _settle_unknown(run: Run, key: str, call: ToolCall, known: AnyEvent) -> ToolResult | None:
    """When an unsafe call began in an earlier attempt and nobody knows how it ended: ask, or do as was answered.

    Raises:
        Waiting: Nobody has answered yet.
    """
    began = isinstance(known, ToolStarted) and known.effect == "unsafe"
    if not began and not isinstance(known, ToolUnknown):
        return None
    answer = _find_answer(run, key, known)
    if answer is None:
        raise Waiting(
            f"Tool `{call.name}` was under way when an earlier attempt ended; nobody knows whether it took effect.",
            slot="unknown",
            digest=get_call_digest(run.info.run, key, call),
            ask=began,
        )
    if answer.approved:
        return None
    return fail(call, f"it may have taken effect; {answer.by} decided not to repeat it: {answer.reason}", "unknown")


async def _hold(run: Run, key: str, call: ToolCall, held: Waiting) -> None:
    """Record that a call waits for a person, bound to its exact arguments; a delegate has recorded its own."""
    digest, slot = held.context.get("digest"), str(held.context.get("slot", "approval"))
    if digest is None or held.context.get("ask") is False or isinstance(run.journal.find(key), ToolRequested):
        return
    run.journal.write(ToolUnknown if slot == "unknown" else ToolRequested, key, call=call)
    run.journal.write(ApprovalRequested, f"{key}/{slot}", call=call, digest=str(digest), reason=held.message)
    await run.journal.commit()
