"""Who looks after work that several calls wait for, and that may outlive the one that began it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Generic, TypeVar

from quorate.errors import Unavailable

T = TypeVar("T")


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


class Flight(Generic[T]):
    """One piece of work, and those who wait for it; when the last of them leaves, it is cancelled."""

    __slots__ = ("_on_end", "_task", "_waiting", "_work")

    def __init__(self, crew: Crew, work: Callable[[], Awaitable[T]], *, on_end: Callable[[], object]) -> None:
        self._work = work
        self._on_end: Callable[[], object] | None = on_end
        self._waiting: list[asyncio.Future[T]] = []
        self._task = crew.start(self._run())

    async def wait(self) -> T:
        """Wait for what comes of it; raises what the work raises.

        Raises:
            Unavailable: The gateway was closed.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting = self._waiting
        waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    self._end()  # whoever comes now begins anew
                    self._task.cancel()
            raise

    async def _run(self) -> None:
        try:
            result = await self._work()
        except asyncio.CancelledError:
            self._fail(Unavailable("The gateway was closed while the call was under way."))
            raise
        except Exception as error:  # whatever it is, those who wait are to hear it, and not the crew
            self._fail(error)
            return
        for future in self._end():
            if not future.done():
                future.set_result(result)

    def _fail(self, error: Exception) -> None:
        for future in self._end():
            if not future.done():
                future.set_exception(error)

    def _end(self) -> list[asyncio.Future[T]]:
        """End the flight once, and give those who still wait."""
        if self._on_end is not None:
            self._on_end()
            self._on_end = None
        waiting, self._waiting = self._waiting, []
        return waiting
