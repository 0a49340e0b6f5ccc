"""How do ten thousand readers follow a run without asking its log ten thousand times?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from quorate.errors import QuorateError
from quorate.events import AnyEvent
from quorate.runtime import Runtime

KEPT = 32
"""How many of a run's last events are kept for those who read it here; whoever is further behind reads the log."""
PAGE = 200
"""How many events are read of the log at a time."""


class Follows:
    """Follows each run once, for everybody who reads it in this process."""

    def __init__(self) -> None:
        self._followed: dict[tuple[str, str], _Followed] = {}

    def __len__(self) -> int:
        return len(self._followed)

    async def follow(self, runtime: Runtime, run_id: str, *, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield a run's events after a position, as `Runtime.follow` does, each once and in order.

        Args:
            runtime: Whose run it is.
            run_id: Which run.
            after: Behind which event.

        Raises:
            NotFound: There is no such run, or it was deleted.
        """
        place = (runtime.tenant, run_id)
        followed = self._followed.get(place)
        if followed is None or followed.is_over:  # what rested may have gone on since
            followed = self._followed[place] = _Followed(runtime, run_id, after=after)
        followed.readers += 1
        try:
            while True:
                events = followed.find_after(after)
                if events is None:
                    events = await runtime.log.read(run_id, after=after, limit=PAGE)
                for event in events:
                    after = event.seq
                    yield event
                if events:
                    continue
                if followed.is_over:
                    followed.check()
                    return
                await followed.advance()
        finally:
            followed.readers -= 1
            if not followed.readers:
                if self._followed.get(place) is followed:
                    del self._followed[place]
                await followed.aclose()


class _Followed:
    """One run and what is known of it; of those who wait for more, one looks and the others are told."""

    def __init__(self, runtime: Runtime, run_id: str, *, after: int) -> None:
        self.readers = 0
        self.is_over = False
        """Whether the run has ended or rests, or following it failed."""
        self._runtime = runtime
        self._run_id = run_id
        self._recent = deque[AnyEvent](maxlen=KEPT)
        self._last = after
        self._source: AsyncGenerator[AnyEvent] | None = None
        self._failure: QuorateError | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    def find_after(self, place: int) -> Sequence[AnyEvent] | None:
        """Find what is known behind a place; `None` when some of that is in the log only."""
        if place >= self._last:
            return ()
        if not self._recent or self._recent[0].seq > place + 1:
            return None
        return [event for event in self._recent if event.seq > place]

    def check(self) -> None:
        """Return if nothing went wrong.

        Raises:
            QuorateError: What did.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    async def advance(self) -> None:
        """Wait until there is more, or the run is over."""
        changed = self._changed
        if self._turn.locked():
            await changed.wait()  # whoever looks may leave: then somebody else of us does
            return
        async with self._turn:
            try:
                await self._look()
            finally:
                self._changed = asyncio.Event()
                changed.set()

    async def aclose(self) -> None:
        """Follow it no more."""
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()

    async def _look(self) -> None:
        if self._source is None:
            self._source = self._runtime.follow(self._run_id, after=self._last)
        try:
            event = await anext(self._source, None)
        except QuorateError as error:
            self._failure, event = error, None
        except BaseException:
            self._source = None  # it is broken off with whoever looked: the next one begins where it was
            raise
        if event is None:
            self.is_over = True
        else:
            self._recent.append(event)
            self._last = event.seq
