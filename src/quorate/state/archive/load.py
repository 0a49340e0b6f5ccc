"""How do runs come into a store from lines of JSON, all of them checked before the first is written?"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import BinaryIO, cast

from msgspec import Struct

from quorate.errors import TooLarge
from quorate.events import AnyEvent
from quorate.ports import Log
from quorate.state.archive.compare import Comparison, open_comparison
from quorate.state.archive.lines import MAX_LINE, Advance, Item, RunEnd, RunHeader, RunReader, ignore_progress
from quorate.state.threads import Threads

PIECE = 1 << 20
WHOLE_EVENTS = 10_000
"""Up to how many events a run is written in one go, so that nobody ever sees half of it."""
TOGETHER = 2_000
"""How many events of short runs are written at once."""


class ImportReport(Struct, frozen=True, kw_only=True, gc=False):
    """What came of an import."""

    runs: int
    """How many runs were written."""
    events: int
    """How many events of them."""
    skipped: int = 0
    """How many runs were there already, the same in every event."""


async def import_runs(
    log: Log,
    stream: BinaryIO,
    *,
    tenant: str | None = None,
    what: str = "the file",
    dry_run: bool = False,
    progress: Advance = ignore_progress,
) -> ImportReport:
    """Read runs from lines of JSON and append them; every line is checked before the first run is written.

    A run that is there already, the same in every event, is skipped; one that is there in part is completed.

    Args:
        log: Where they go.
        stream: What `export_runs` wrote; one that cannot be read twice is put aside in a temporary file.
        tenant: The only one whose runs are taken; anybody's when not given.
        what: What to call the stream in messages.
        dry_run: Only check.
        progress: Is told how many events were checked, then how many are written.

    Raises:
        InvalidInput: A line does not fit; the message has its number. Nothing was written.
        Conflict: A run is there already and differs. Nothing was written.
        CorruptState: It is from a newer version, or was changed. Nothing was written.
        StorageFull: There is no room; what was written before stays, and importing again goes on.
    """
    threads = Threads(1)
    with tempfile.TemporaryFile() as aside:
        if not await threads.run(stream.seekable):
            await threads.run(partial(_copy, stream, aside))
            stream = aside
        begin = await threads.run(stream.tell)
        checked = await _check(log, _read(stream, threads, what, tenant), progress)
        if dry_run:
            return checked
        await threads.run(partial(stream.seek, begin))
        writer = RunWriter(log, lambda events: progress("events written", events, checked.events))
        async with aclosing(_read(stream, threads, what, tenant)) as items:
            async for item in items:
                await writer.take(item)
        await writer.flush()
        return ImportReport(runs=checked.runs, events=writer.events, skipped=checked.skipped)


def _copy(stream: BinaryIO, aside: BinaryIO) -> None:
    while piece := stream.read(PIECE):
        aside.write(piece)
    aside.seek(0)


async def _check(log: Log, items: AsyncGenerator[Item], progress: Advance) -> ImportReport:
    runs = events = skipped = seen = 0
    comparison: Comparison | None = None
    async with aclosing(items):
        async for item in items:
            if isinstance(item, RunHeader):
                comparison = await open_comparison(log, item.run)
                continue
            assert comparison is not None  # the reader gives events and ends only behind a header
            if not isinstance(item, RunEnd):
                await comparison.check(item)
                seen += 1
                if not seen % 1000:
                    progress("events checked", seen, 0)
            elif comparison.finish(item.events):
                skipped += 1
            else:
                runs, events = runs + 1, events + item.events - comparison.last
    return ImportReport(runs=runs, events=events, skipped=skipped)


async def _read(stream: BinaryIO, threads: Threads, what: str, tenant: str | None) -> AsyncGenerator[Item]:
    reader, numbers = RunReader(what, tenant=tenant), itertools.count(1)
    async for lines in read_lines(stream.read, threads, what=what):
        for line, number in zip(lines, numbers, strict=False):
            if line.strip():
                yield reader.take(number, line)
    reader.finish()


async def read_lines(read: Callable[[int], bytes], threads: Threads, *, what: str) -> AsyncGenerator[list[bytes]]:
    """Yield lines without their newlines, about a megabyte of them at a time.

    Raises:
        TooLarge: A line has no end.
    """
    rest = b""
    while piece := await threads.run(partial(read, PIECE)):
        *lines, rest = (rest + piece).split(b"\n") if b"\n" in piece else [rest + piece]
        if len(rest) > MAX_LINE:
            raise TooLarge(f"{what} has a line of more than {MAX_LINE} bytes.")
        if lines:
            yield lines
    if rest:
        yield [rest]


class RunWriter:
    """Appends runs as they come: many short ones at once, each of them whole."""

    def __init__(self, log: Log, advance: Callable[[int], None]) -> None:
        self.events = 0
        """How many events were appended."""
        self._log = log
        self._advance = advance
        self._run: list[AnyEvent] = []
        self._ready: list[list[AnyEvent]] = []
        self._waiting = 0

    async def take(self, item: Item) -> None:
        """Take in what comes next."""
        if isinstance(item, RunEnd):
            self._end_run()
        elif not isinstance(item, RunHeader):
            self._run.append(item)
            if len(self._run) >= WHOLE_EVENTS:
                self._end_run()
        if self._waiting >= TOGETHER:
            await self.flush()

    async def flush(self) -> None:
        """Append what was taken in, but for what the log has already.

        Raises:
            Conflict: Somebody else wrote to one of the runs meanwhile.
        """
        ready, self._ready, self._waiting = self._ready, [], 0
        try:
            async with asyncio.TaskGroup() as group:
                done = [group.create_task(self._append(events)) for events in ready]
        except BaseExceptionGroup as error:
            raise find_first(error) from error
        self.events += sum(task.result() for task in done)
        self._advance(self.events)

    async def _append(self, events: list[AnyEvent]) -> int:
        run = events[0].run
        last = await self._log.last(run)
        new = [event for event in events if event.seq > last]
        if new:
            await self._log.append(run, new, expected=new[0].seq - 1)
        return len(new)

    def _end_run(self) -> None:
        if self._run:
            self._ready.append(self._run)
            self._waiting += len(self._run)
            self._run = []


def find_first(error: BaseException) -> BaseException:
    """Find what went wrong first in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return find_first(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return error
