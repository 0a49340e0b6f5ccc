"""How does a caller follow stored values as they change (server-sent events)?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from quorate.errors import Forbidden, InvalidInput, QuorateError, Unauthenticated
from quorate.server.problems import build_problem
from quorate.server.streams import BEAT, BEAT_S, Write, frame
from quorate.state.watching import StateChange, StateWatch

POLL_S = 0.5
"""How often the store is looked at for one reader."""
MAX_WATCHES = 32
"""How many one credential may follow at once: each of them asks the store again and again."""


class NotAcceptable(InvalidInput):
    """An answer is wanted in a form that there is not."""

    code = "not_acceptable"


_encode = msgspec.json.Encoder().encode


async def write_changes(
    write: Write,
    watch: StateWatch,
    show: Callable[[StateChange], object],
    *,
    request_id: str,
    closing: asyncio.Event,
    check: Callable[[], Awaitable[object]],
    beat_s: float = BEAT_S,
) -> None:
    """Write changes as frames, with a sign of life in quiet times; an error is the last of them.

    Args:
        write: Takes frames, as fast as they are read.
        watch: The changes.
        show: Builds what a caller reads of one.
        request_id: To quote when asking about an error.
        closing: When it is set, the stream ends: its reader comes back to another process.
        check: Raises when the reader's credential is good no more.
        beat_s: How often the credential is looked at, and a sign of life given.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        closer = group.create_task(_close(watch, closing))
        try:
            async with watch:
                await write(BEAT)  # from here on, nothing is missed
                seen = loop.time()
                while True:
                    try:
                        async with asyncio.timeout_at(seen + beat_s):
                            change = await anext(watch, None)
                        if change is None:
                            return
                        await write(frame(_encode(show(change)), event="state.changed", id=change.revision))
                    except TimeoutError:
                        await write(BEAT)
                    if loop.time() >= seen + beat_s:
                        await _check(check)
                        seen = loop.time()
        except QuorateError as error:
            await write(frame(_encode(build_problem(error, request_id=request_id)), event="error"))
        finally:
            closer.cancel()


async def _check(check: Callable[[], Awaitable[object]]) -> None:
    """Raise if a reader may read no more; where nobody can be asked, whoever was let in stays for now."""
    try:
        await check()
    except (Unauthenticated, Forbidden):
        raise
    except QuorateError:
        return


async def _close(watch: StateWatch, closing: asyncio.Event) -> None:
    await closing.wait()
    watch.close()
