"""How is a run watched, awaited and stopped by the process that submitted it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from quorate.agent.result import RunResult
from quorate.agent.run import Run
from quorate.events import ENDINGS, AnyEvent, Event, RunWaiting
from quorate.messages import Delta

MAX_SHOWN = 10_000
"""How many pieces of text and progress a run keeps for those who begin to watch late."""

Items = AsyncGenerator[AnyEvent | Delta]


class RunHandle:
    """A run that this process works on, or follows while another one does."""

    def __init__(
        self,
        run_id: str,
        agent: str,
        *,
        build: Callable[[Sequence[AnyEvent]], RunResult[object]],
        cancel: Callable[[str], object],
        run: Run | None = None,
        start: Callable[[RunHandle], object] | None = None,
    ) -> None:
        """Build the handle of a run.

        Args:
            run_id: Which run.
            agent: The name of its agent.
            build: Builds what came of it from its events.
            cancel: Stops it, for a reason.
            run: The run itself, where this process works on it.
            start: Begins to drive the handle, when somebody first wants to know; `None` when it is driven already.
        """
        self.id = run_id
        self.agent = agent
        """The name of the agent."""
        self.run = run
        """The run itself, where this process works on it."""
        self._build = build
        self._cancel = cancel
        self._start = start
        self._items: list[AnyEvent | Delta] | None = None if run is not None else []
        """What is there to be watched; a run of this process keeps it while somebody watches, or may begin to."""
        self._watchers = 0
        self._is_kept = False
        """Whether it is kept for those who may begin to watch, also while nobody does."""
        self._shown = 0
        self._changed = asyncio.Event()
        self._done = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    @property
    def is_broken(self) -> bool:
        """Whether its record broke off, as the store went away: how it went is then not in its log."""
        return self.run is not None and self.run.journal.broken is not None

    @property
    def is_at_rest(self) -> bool:
        """Whether the run has come to its end or to rest, though its attempt may still be put away."""
        return self.run is not None and isinstance(self.run.journal.events[-1], (*ENDINGS, RunWaiting))

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches it at the moment."""
        return self._watchers > 0

    async def wait(self) -> RunResult[object]:
        """Wait until the run ends or rests, and return how it went.

        Raises:
            QuorateError: The run failed.
        """
        self.begin()
        self._is_kept = False
        self._unwatch()
        await self._done.wait()
        if self._error is not None and not isinstance(self._error, asyncio.CancelledError):
            raise self._error
        return self._build([item for item in self._items or () if isinstance(item, Event)])

    async def stream(self) -> AsyncGenerator[AnyEvent | Delta]:
        """Yield every event from the beginning on, and every piece of text, until the run ends or rests.

        Text comes in pieces from the first reply on that begins while somebody watches; before, it comes as a whole.
        """
        self.begin()
        items, place = self.watch(), 0
        self._watchers += 1
        try:
            while True:
                while place < len(items):
                    yield items[place]
                    place += 1
                if self._done.is_set():
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._watchers -= 1
            self._unwatch()

    def _unwatch(self) -> None:
        """Show nothing more where nobody watches, or may begin to: that is cheaper."""
        if self.run is not None and not self._watchers and not self._is_kept and not self._done.is_set():
            self._items = None
            self.run.unwatch()

    def keep(self) -> None:
        """Keep what is there to be watched for those who may begin to, until somebody waits for the end."""
        self._is_kept = True
        self.watch()

    def watch(self) -> list[AnyEvent | Delta]:
        """Keep from now on what is there to be watched; the list is what is there already, and grows."""
        if self._items is None:
            self._items = [*self.run.watch()] if self.run is not None else []
        return self._items

    async def events(self, *, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield every event after a position, until the run ends or rests."""
        async for item in self.stream():
            if isinstance(item, Event) and item.seq > after:
                yield item

    def cancel(self, reason: str = "") -> None:
        """Stop the run, inside a wait too; it ends `cancelled`."""
        self._cancel(reason)

    def release(self) -> None:
        """Stop working on the run, or following it, without ending it: it rests, and can be resumed."""
        self._start = None
        if self.task is not None:
            self.task.cancel()
        else:
            self.finish()

    def begin(self) -> None:
        """Begin to follow the run, unless it is followed or worked on already; waiting and watching do so too."""
        start, self._start = self._start, None
        if start is not None:
            start(self)

    async def drive(self, items: Items) -> None:
        """Do the work, or follow it; what goes wrong is raised by `wait`."""
        try:
            async for item in items:
                self._keep(item)
        except BaseException as error:  # whoever waits for the run raises it
            self._error = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            for item in self.run.journal.take() if self.run is not None else ():
                self._keep(item)

    def _keep(self, item: AnyEvent | Delta) -> None:
        if self._items is None:
            return
        if not isinstance(item, Event):
            self._shown += 1
        if isinstance(item, Event) or self._shown <= MAX_SHOWN:
            self._items.append(item)
            self._changed.set()

    def finish(self) -> None:
        """Tell everybody who waits that nothing more comes."""
        self._done.set()
        self._changed.set()
