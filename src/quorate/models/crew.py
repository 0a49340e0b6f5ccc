"""Who looks after work that several calls wait for, and that may outlive the one that began it?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType

from quorate.errors import Unavailable


class Crew:
    """The tasks of a gateway: `async with` begins it, and its end cancels what is still under way and waits for it."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Crew:
        self._loop = asyncio.get_running_loop()
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        for task in self._tasks:
            task.cancel()
        if group is not None:
            # What ended the block is not the tasks' failure: it goes on as it is, and not in a group.
            await group.__aexit__(None, None, None)

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Begin some work, which tells its failures to those who wait for it and raises none.

        Raises:
            Unavailable: The crew is not there, or works in another event loop.
        """
        if self._group is None or asyncio.get_running_loop() is not self._loop:
            work.close()
            raise Unavailable("The gateway is not open here: use its models inside `async with gateway`.")
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
