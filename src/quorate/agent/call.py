"""How is a tool call made exactly once, as far as the log can tell?"""

from __future__ import annotations

import asyncio
from typing import cast

from quorate.agent.held import build_question, get_exact, is_asked, judge
from quorate.agent.run import Run
from quorate.errors import Incompatible, QuorateError, Waiting, describe_error
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from quorate.messages import Message, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.tools.define import CRASHED, fail
from quorate.tools.outcomes import find_outcome
from quorate.tools.toolsets import get_call_digest

Keyed = tuple[str, ToolCall]


async def start_calls(run: Run, keyed: list[Keyed], *, branch: str | None = None) -> None:
    """Record the intent of every call that is about to be made, before any of them is.

    Args:
        run: Whose calls they are.
        keyed: The calls, by their keys.
        branch: Whose refusal is raised (see `Journal.commit`); anything's below the run when not given.

    Raises:
        QuorateError: The run was stopped meanwhile; none of them is made.
    """
    journal, effects = run.journal, run.compiled.effects
    for key, call in keyed:
        known = journal.find(key)
        if known is not None:
            _check_tool(run, call, known)
        exact = call if known is None else _find_cleared(run, key, call, known)
        if exact is not None:
            journal.write(ToolStarted, key, call=exact, effect=effects.get(call.name, "idempotent"))
    await journal.commit(run.path if branch is None else branch, joins=branch is not None)
    if run.scope.cause is not None:
        raise run.scope.cause


def _check_tool(run: Run, call: ToolCall, known: AnyEvent) -> None:
    """A call that another version of the agent began or held must be one that this version can make.

    Raises:
        Incompatible: There is no such tool any more.
    """
    if call.name not in run.compiled.effects and not isinstance(known, (ToolFinished, ToolFailed)):
        raise Incompatible(
            f"Run {run.info.run!r} has a call of tool {call.name!r} under way, which agent {run.info.agent!r} in this "
            "version does not have: bring the tool back and resume the run, or cancel it.",
            run=run.info.run,
            tool=call.name,
        )


async def settle_calls(run: Run, keyed: list[Keyed]) -> None:
    """Make the calls side by side and add their results to the conversation.

    Raises:
        Waiting: At least one call needs an answer first; the others are settled and recorded.
        Exception: What is not the model's to mend, once all calls have ended.
    """
    if len(keyed) == 1:
        # Nothing happens before the next question is recorded, and the result goes with it.
        outcomes = [await _settle(run, *keyed[0], commit=False)]
        run.late = keyed[0]
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


async def make_call(run: Run, key: str, call: ToolCall, *, late_chars: int = 0) -> ToolResult:
    """Make one call that a toolset of the run wants made, as the loop makes its own: recorded, held, never twice.

    Args:
        run: Whose tools, limits and log it uses.
        key: What the call is; below the key of the call that wants it.
        call: The tool, its arguments, and an id that tells it apart from its neighbours.
        late_chars: How many characters a result may have that is only written: whoever calls commits soon.

    Raises:
        Waiting: Somebody must answer first; `keys` in its context say what.
        QuorateError: The call failed for a reason that is no result, or the run was stopped.
    """
    await start_calls(run, [(key, call)], branch=key)
    outcome = await _settle(run, key, call, late_chars=late_chars)
    if isinstance(outcome, ToolResult):
        return outcome
    if isinstance(outcome, Waiting):
        raise Waiting(outcome.message, keys=_get_slots(outcome, key))
    raise outcome


def _get_slots(held: Waiting, key: str) -> tuple[str, ...]:
    """Name what must be answered: a delegate's own slots, or this call's."""
    slots = held.context.get("keys")
    if isinstance(slots, tuple):
        return cast("tuple[str, ...]", slots)
    return (f"{key}/{held.context.get('slot', 'approval')}",)


async def record_late(run: Run, error: QuorateError) -> None:
    """Record that a result which was to be recorded with the next question could not be."""
    late, run.late = run.late, None
    if late is not None:
        await _record_error(run, *late, error)


async def _settle(
    run: Run, key: str, call: ToolCall, *, commit: bool = True, late_chars: int = 0
) -> ToolResult | Exception:
    """Return a call's recorded result, or make it and record what came of it; an error is returned, not raised."""
    journal, toolbox = run.journal, run.compiled.toolbox
    known = journal.find(key)
    if isinstance(known, (ToolFinished, ToolFailed)):
        return known.result
    context = RunContext(
        info=run.info, deps=run.deps, key=key, call=call, clock=run.clock, owner=run, services=run.services
    )
    try:
        result = await _settle_known(run, context, known) if known is not None else None
        if result is None:
            result = await toolbox.call(call, context)
        journal.write(ToolFailed if result.is_error else ToolFinished, key, result=result)
        if commit and not (late_chars and _is_light(result, late_chars)):
            await journal.commit(key)
    except Waiting as held:
        await _hold(run, key, call, held)
        return held
    except Exception as error:  # the calls beside it end first, whatever a toolset raises
        return await _record_error(run, key, call, error)
    return result


def _is_light(result: ToolResult, most: int) -> bool:
    """Whether a result is certain not to be refused by the log."""
    content = result.content
    if not isinstance(content, str) or len(content) > most:
        return False
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _record_error(run: Run, key: str, call: ToolCall, error: Exception) -> Exception:
    """Record that a call failed for a reason that is not the model's, unless it is the record that failed."""
    if run.journal.broken is not None:
        return run.journal.broken
    code = error.code if isinstance(error, QuorateError) else CRASHED
    if isinstance(error, QuorateError):
        error.context = {**error.context, "tool": call.name, "key": key}
    run.journal.write(ToolFailed, key, result=fail(call, describe_error(error), code))
    try:
        await run.journal.commit(key)
    except QuorateError as lost:
        return lost
    return error


def _find_cleared(run: Run, key: str, call: ToolCall, known: AnyEvent) -> ToolCall | None:
    """Find the exact call that may be made now, when an earlier attempt held it; `None` when it may not."""
    if isinstance(known, ToolRequested):
        return judge(run.journal, key, call, now=run.clock.now()).go
    if isinstance(known, ToolUnknown):
        exact = get_exact(run.journal, key, call)
        answer = _find_word(run, key, exact)
        return exact if answer is not None and answer.approved else None
    return None


async def _settle_known(run: Run, context: RunContext[object], known: AnyEvent) -> ToolResult | None:
    """Settle a call that an earlier attempt began or held, unless it is to be made now.

    Raises:
        Waiting: Nobody knows how it ended, and nobody has said what to do.
    """
    if isinstance(known, ToolRequested):
        verdict = judge(run.journal, context.key, context.call, now=run.clock.now())
        return fail(context.call, verdict.refused, verdict.code) if verdict.refused else None
    if isinstance(known, ToolUnknown) or (isinstance(known, ToolStarted) and known.effect == "unsafe"):
        return await _settle_unknown(run, context)
    return None


async def _settle_unknown(run: Run, context: RunContext[object]) -> ToolResult | None:
    """When an unsafe call began in an earlier attempt and nobody knows how it ended: look, ask, or do as was answered.

    Raises:
        Waiting: Neither the tool's own check nor a person has told.
    """
    key, exact = context.key, get_exact(run.journal, context.key, context.call)
    answer = _find_word(run, key, exact)
    if answer is not None and answer.approved:
        return None
    if answer is not None:
        reason = f"it may have taken effect; {answer.by} decided not to repeat it: {answer.reason}"
        return fail(exact, reason, "unknown")
    found = await find_outcome(run.compiled.toolbox, exact, context)
    if isinstance(found, ToolResult):
        return found
    if found is None:
        raise Waiting(
            f"Tool `{exact.name}` was under way when an earlier attempt ended; nobody knows whether it took effect.",
            slot="unknown",
            digest=get_call_digest(run.info.run, key, exact),
        )
    run.journal.write(ToolStarted, key, call=exact, effect="unsafe")
    await run.journal.commit(key)
    return None


def _find_word(run: Run, key: str, exact: ToolCall) -> ApprovalDecided | None:
    """Find what a person said about a call of unknown outcome, after it was last begun."""
    known, answer = run.journal.find(key), run.journal.find(f"{key}/unknown")
    if known is None or answer is None or answer.seq < known.seq:
        return None
    digest = get_call_digest(run.info.run, key, exact)
    return answer if isinstance(answer, ApprovalDecided) and answer.digest == digest else None


async def _hold(run: Run, key: str, call: ToolCall, held: Waiting) -> None:
    """Record that a call waits, and for what; a delegate has recorded its own."""
    journal, slot = run.journal, str(held.context.get("slot", "approval"))
    exact = get_exact(journal, key, call) if slot == "unknown" else call
    question = build_question(held, exact)
    if question is None:
        return
    kind, facts = question
    known, asked = journal.find(key), is_asked(journal, f"{key}/{slot}", facts)
    if (
        asked
        and known is not None
        and _find_cleared(run, key, call, known) is None
        and not isinstance(known, ToolStarted)
    ):
        return
    journal.write(ToolUnknown if slot == "unknown" else ToolRequested, key, call=exact)
    if not asked:
        journal.write(kind, f"{key}/{slot}", **facts)
    await journal.commit(key)
