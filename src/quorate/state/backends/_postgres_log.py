"""How is the log of runs kept in PostgreSQL?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from quorate.events import AnyEvent, RunSummary, Status
from quorate.ports import RunOrder
from quorate.state.backends._checks import build_page_conflict, check_count
from quorate.state.backends._postgres_commit import Append, Committer
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_queue import Queue
from quorate.state.backends._postgres_rows import SummaryRow, check_run, decode_summaries, escape
from quorate.state.backends._rows import verify_events

RunRow = tuple[int, int, str, int, bytes]
"""A run's last `seq`, then `seq` (0 where there is no event), version, checksum and body of an event."""

_AT_ONCE = 200
"""How many runs are read by one statement."""


class PostgresLog:
    """A `Log` in a PostgreSQL database."""

    __slots__ = ("_committer", "_lines", "_queue")

    def __init__(self, lines: Lines, queue: Queue, committer: Committer) -> None:
        self._lines = lines
        self._queue = queue
        self._committer = committer

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`.

        An append that is cancelled may still be committed: look before appending again.
        """
        job = Append(run, events, expected=expected)
        await self._queue.put(job)
        await job.future

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        check_count(after, "after")
        check_count(limit or 0, "limit")
        rows = await self._lines.read(RunRow, "read_events", check_run(run), after, limit)
        return _verify(run, rows, after=after, limit=limit)

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs; see `quorate.ports.Log`."""
        wanted = list(dict.fromkeys(check_run(run) for run in runs))
        found: dict[str, list[AnyEvent]] = {}
        for begin in range(0, len(wanted), _AT_ONCE):
            part = wanted[begin : begin + _AT_ONCE]
            rows = await self._lines.read(tuple[str, int, int, str, int, bytes], "read_many", part)
            for run, of_run in groupby(rows, key=lambda row: row[0]):
                events = _verify(run, [row[1:] for row in of_run], after=0, limit=None)
                if events:
                    found[run] = events
        return found

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        rows = await self._lines.read(tuple[int], "get_last", check_run(run))
        return rows[0][0] if rows else 0

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        order: RunOrder = "newest",
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs; see `quorate.ports.Log`."""
        check_count(limit, "limit")
        text = self._lines.statements
        filters = {"status": status, "agent": agent, "session": session, "tenant": tenant}
        blocks = {name: text[f"{'any' if value is None else 'one'}_{name}"] for name, value in filters.items()}
        blocks["page"] = text["first_page" if before is None else f"page_{order}"]
        blocks["order"] = text[f"order_{order}"]
        mark = await self._find_updated(before) if before is not None and order == "updated" else None
        values = [escape(value) for value in filters.values()]
        rows = await self._lines.read(
            SummaryRow, text["list_runs"].format_map(blocks), *values, limit, before and check_run(before), mark
        )
        return decode_summaries(rows)

    async def _find_updated(self, before: str) -> float:
        rows = await self._lines.read(tuple[float], "get_updated", check_run(before))
        if not rows:
            raise build_page_conflict(before)
        return rows[0][0]

    async def delete(self, run: str) -> bool:
        """Forget a run; see `quorate.ports.Log`."""
        check_run(run)
        lines = self._lines
        async with lines.borrow(is_write=True) as connection, connection.transaction():
            # The line first: it keeps appends waiting until the events are gone, too. Where there is none, nothing
            # is held up, so that events could be those of a run begun this moment.
            is_there = await connection.execute(lines.statements["delete_run"], run) != "DELETE 0"
            if is_there:
                await connection.execute(lines.statements["delete_events"], run)
        self._committer.forget(run)
        return is_there


def _verify(run: str, rows: Sequence[RunRow], *, after: int, limit: int | None) -> list[AnyEvent]:
    """Build events from the rows of a run, in whichever order they come."""
    last = rows[0][0] if rows else 0
    found = sorted((row[1:] for row in rows if row[1]), key=itemgetter(0))
    return verify_events(run, found, last=last, after=after, limit=limit)
