"""How is a run watched to its end, and what does Ctrl-C do meanwhile?"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

from quorate.agent.result import RunResult
from quorate.cli.console import tell
from quorate.cli.failures import get_status_code
from quorate.cli.live import open_progress
from quorate.errors import QuorateError
from quorate.events import AnyEvent
from quorate.runtime import RunHandle

T = TypeVar("T")
INTERRUPTED = 130


def run_async(work: Coroutine[object, object, T]) -> T:
    """Run what is asynchronous to its end; an error comes out as it is, not in the group it was raised in."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise find_cause(group) from group


def find_cause(error: BaseException) -> BaseException:
    """Find what went wrong first in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error)
        return find_cause(inner.exceptions[0])
    return error


async def watch(
    handle: RunHandle, *, quiet: bool = False, before: Sequence[AnyEvent] = ()
) -> tuple[RunResult[object], int]:
    """Show a run's progress until it ends or rests; return how it went, and the exit code that says so.

    Ctrl-C lets go of the run: it rests, and can be resumed. Ctrl-C again leaves at once. `before` is what its log had
    already.

    Raises:
        QuorateError: The run failed.
    """
    with interruptible(handle) as interrupts:
        with open_progress(quiet=quiet, before=before) as show:
            async for item in handle.stream():
                show(item)
        result = await handle.wait()
    if interrupts and result.status == "waiting":
        tell(f"Stopped. Everything that was done is recorded. Go on with: quorate runs resume {handle.id}")
        return result, INTERRUPTED
    return result, get_status_code(result.status)


@contextmanager
def interruptible(handle: RunHandle) -> Generator[list[int]]:
    """Let signals stop a run instead of the process; the list holds those that came."""
    loop, seen = asyncio.get_running_loop(), list[int]()

    def on_signal(number: int) -> None:
        seen.append(number)
        if len(seen) > 1:
            tell(f"Left at once. Run {handle.id} can be resumed: quorate runs resume {handle.id}")
            os._exit(INTERRUPTED)
        tell(f"Stopping {handle.id} … (again to leave at once)")
        handle.release()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield seen
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def is_failed_run(error: QuorateError) -> bool:
    """Whether an error is how a recorded run ended, not why it could not be recorded."""
    return "run" in error.context and error.code not in {"storage_full", "unavailable", "conflict", "corrupt_state"}
