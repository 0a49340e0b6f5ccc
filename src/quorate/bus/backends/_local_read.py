"""How is a stream in memory read from a place on?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from quorate.bus.backends._local_shelf import Shelf
from quorate.bus.subjects import is_match
from quorate.ports.bus import Message

READ_MOST = 256
"""How many messages are looked at in one go."""


class LocalReader:
    """What a stream keeps from a place on, and then what comes; a `quorate.ports.bus.Subscription`."""

    def __init__(
        self, shelf: Shelf, news: Callable[[], asyncio.Event], pattern: str, *, after: int, since: float
    ) -> None:
        """Build a reader.

        Args:
            shelf: What keeps what is read.
            news: What is set when something more is kept, each time another one.
            pattern: What of it is read.
            after: Behind which number.
            since: Since when.
        """
        self._shelf = shelf
        self._news = news
        self._pattern = pattern
        self._after = after
        self._since = since
        self._found: list[Message] = []
        self._end: int | None = None
        self._leaving = asyncio.Event()
        self.dropped = 0
        """Nothing is dropped: what is read waits in its stream."""

    def __aiter__(self) -> AsyncIterator[Message]:
        """Loop over what is kept."""
        return self

    async def __anext__(self) -> Message:
        """Read the next message."""
        while True:
            while self._found:
                message = self._found.pop()
                if is_match(self._pattern, message.subject):
                    return message
            news = self._news()
            found, self._after = self._shelf.read(after=self._after, since=self._since, limit=READ_MOST)
            self._found = found[::-1]
            if found:
                continue
            if self._end is not None:
                raise StopAsyncIteration
            async with asyncio.TaskGroup() as group:
                waits = {group.create_task(news.wait()), group.create_task(self._leaving.wait())}
                await asyncio.wait(waits, return_when="FIRST_COMPLETED")
                for wait in waits:
                    wait.cancel()

    async def drain(self) -> None:
        """Read what is kept by now, and then end; see `quorate.ports.bus.Subscription`."""
        self._end = self._shelf.last
        self._leaving.set()

    def close(self) -> None:
        """End at once."""
        self._found = []
        self._after = self._end = self._shelf.last
        self._leaving.set()
