"""Is a run that comes from outside the one that is there already?"""

from __future__ import annotations

from quorate.errors import Conflict
from quorate.events import AnyEvent
from quorate.ports import Log
from quorate.state.archive.reading import PAGE


class Comparison:
    """Compares a run, event by event as they come, with what a log has under its id."""

    def __init__(self, log: Log, run: str, *, last: int) -> None:
        self.last = last
        """How many events the log has; 0 when the run is new there."""
        self._log = log
        self._run = run
        self._page: list[AnyEvent] = []

    async def check(self, event: AnyEvent) -> None:
        """Compare the next event.

        Raises:
            Conflict: The log has another one there.
        """
        if event.seq > self.last:
            return
        if not self._page or self._page[-1].seq < event.seq:
            self._page = await self._log.read(self._run, after=event.seq - 1, limit=PAGE)
        place = event.seq - self._page[0].seq if self._page else 0
        if not 0 <= place < len(self._page) or self._page[place] != event:
            raise self._fail(f"its event {event.seq} is another one")

    def finish(self, events: int) -> bool:
        """Say whether all of it is there already.

        Raises:
            Conflict: The log has more.
        """
        if self.last > events:
            raise self._fail(f"it has {self.last} events, not {events}")
        return self.last == events

    def _fail(self, why: str) -> Conflict:
        return Conflict(
            f"There is a run {self._run!r} already, and {why}: nothing was written. Delete one of the two, or leave it "
            "out.",
            run=self._run,
        )


async def open_comparison(log: Log, run: str) -> Comparison:
    """Begin to compare a run."""
    return Comparison(log, run, last=await log.last(run))
