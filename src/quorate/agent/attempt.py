"""How does an attempt at a whole run begin, and how is its end recorded?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from quorate.agent.held import describe_rest
from quorate.agent.loop import Steps, steps
from quorate.agent.run import Run
from quorate.errors import (
    BudgetExceeded,
    Cancelled,
    DeadlineExceeded,
    Fenced,
    Incompatible,
    Incomplete,
    InvalidInput,
    QuorateError,
    TooLarge,
    Waiting,
    describe_error,
)
from quorate.events import (
    ATTEMPTS,
    CONTROLS,
    AnyEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunWaiting,
)

REST_S = 5.0
"""How long a run that is left may take to say so in its log, in seconds."""


async def attempt(run: Run) -> Steps:
    """Drive a run and record its one end; what was written before goes with the first commit.

    Whoever drives it may leave at any time: the run then rests, and another attempt can go on.

    Raises:
        QuorateError: The run failed.
    """
    ending: tuple[Callable[..., AnyEvent], dict[str, Any]]
    try:
        async with aclosing(steps(run)) as items:
            async for item in items:
                yield item
        ending = RunCompleted, {"output": run.compiled.output.write(run.value)}
    except Waiting as held:
        keys = cast("tuple[str, ...]", held.context.get("keys", ()))
        ending = RunWaiting, describe_rest(run.journal, keys, now=run.clock.now())
    except Incompatible as error:
        ending = RunWaiting, {"reason": "parked", "note": error.message}
    except Cancelled as error:
        ending = RunCancelled, {"reason": error.message}
    except QuorateError as error:
        error.context = {**error.context, "run": run.info.run}
        limit = name_limit(error)
        if limit is None:
            await _fail(run, error.code, error.message)
            raise
        ending = RunIncomplete, {"limit": limit, "message": error.message, "partial": get_partial(run)}
    except (asyncio.CancelledError, GeneratorExit):
        # Whoever leaves is not held up, by a store that is away or hangs: its log then says how it stood.
        with contextlib.suppress(QuorateError, TimeoutError):
            async with asyncio.timeout(REST_S):
                wakes = run.clock.now() if run.handed_over else None
                await _rest(run, reason="interrupted", wakes=wakes)
        raise
    except Exception as error:  # a model or a toolset is anybody's code: the log must tell how the run ended
        await _fail(run, "error", describe_error(error))
        raise
    finally:
        run.scope.close()
    try:
        if ending[0] is RunWaiting:
            await _rest(run, **ending[1])
        else:
            await _end(run, ending[0], **ending[1])
    except QuorateError as error:
        error.context = {**error.context, "run": run.info.run}
        if isinstance(error, (InvalidInput, TooLarge)):  # the last reply or the answer is not to be recorded
            await _fail(run, error.code, error.message)
        raise
    except asyncio.CancelledError:
        # The end is known and only its record is missing: whoever leaves just now is held up for a moment.
        with contextlib.suppress(QuorateError, TimeoutError):
            async with asyncio.timeout(REST_S):
                await run.journal.commit()
        raise
    if run.watched:
        for item in run.journal.take():
            yield item


async def _end(run: Run, kind: Callable[..., AnyEvent], **facts: Any) -> None:
    run.journal.write(kind, usage=run.budget.usage, cost_usd=run.budget.cost_usd, **facts)
    await run.journal.commit()


async def _rest(run: Run, **facts: Any) -> None:
    """Record that the run rests.

    What others recorded just before it came to rest wakes nobody: one that was to stop is ended, and one that was
    answered may go on at once.
    """
    if not isinstance(run.scope.cause, Cancelled):
        await _end(run, RunWaiting, **facts)
    with contextlib.suppress(Fenced):  # somebody goes on with it already
        now = run.clock.now()
        again = describe_rest(run.journal, facts["keys"], now=now) if "keys" in facts else facts
        if again.get("wakes") == now != facts.get("wakes") and not isinstance(run.scope.cause, Cancelled):
            await _end(run, RunWaiting, **again)
        if isinstance(run.scope.cause, Cancelled):
            await _end(run, RunCancelled, reason=run.scope.cause.message)


async def _fail(run: Run, code: str, message: str) -> None:
    """Record a failure, unless the record itself failed: a run whose log cannot be written is blocked, not failed."""
    if run.journal.broken is None:
        await _end(run, RunFailed, code=code, message=message)


def name_limit(error: QuorateError) -> str | None:
    """Name the limit that an error stands for, or `None` when it stands for a failure."""
    if isinstance(error, Incomplete):
        return str(error.context.get("limit", "stream"))
    if isinstance(error, DeadlineExceeded) and "limit" in error.context:
        return str(error.context["limit"])
    if isinstance(error, BudgetExceeded):
        return str(error.context.get("limit", "budget"))
    return None


def get_partial(run: Run) -> str:
    """Return what the agent last said: what is kept when it cannot finish."""
    for message in reversed(run.messages):
        if message.role == "assistant":
            return message.text
    return ""


def get_active_seconds(events: Sequence[AnyEvent]) -> float:
    """Return how long earlier attempts worked, the rests between them left out."""
    total, began, last = 0.0, None, 0.0
    for event in events:
        if isinstance(event, ATTEMPTS):
            total += last - began if began is not None else 0.0
            began = event.time
        if not isinstance(event, CONTROLS):
            last = event.time
    return max(0.0, total + (last - began if began is not None else 0.0))
