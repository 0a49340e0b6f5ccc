"""How are runs written out, one event a line?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import BinaryIO

from quorate.errors import CorruptState, NotFound
from quorate.events import AnyEvent, RunCreated
from quorate.ports import Log
from quorate.state.archive.lines import Advance, RunDigest, build_header, encode_line, ignore_progress
from quorate.state.archive.reading import read_whole
from quorate.state.threads import Threads

PIECE = 1 << 20
STREAMED = 64 << 10


async def export_runs(
    log: Log,
    runs: Sequence[str],
    stream: BinaryIO,
    *,
    tenant: str | None = None,
    progress: Advance = ignore_progress,
) -> int:
    """Write runs to a stream as lines of JSON, in the order given; return how many events.

    Args:
        log: Where they are.
        runs: Which ones.
        stream: Where they go; written in another thread.
        tenant: Whose they must be; anybody's when not given.
        progress: Is told how many runs are written.

    Raises:
        NotFound: There is no such run, or it is another tenant's; what was written before stays written.
        CorruptState: A row does not verify.
    """
    threads, buffer, events = Threads(1), bytearray(), 0
    for number, run in enumerate(dict.fromkeys(runs), 1):
        async for line in build_lines(run, read_whole(log, run), tenant=tenant):
            buffer += line
            if len(buffer) >= PIECE:
                await threads.run(_build_write(stream, buffer))
            events += 1
        events -= 2  # the marks around the run
        progress("runs", number, len(runs))
    await threads.run(_build_write(stream, buffer))
    await threads.run(stream.flush)
    return events


async def stream_runs(log: Log, runs: Sequence[str], *, tenant: str | None = None) -> AsyncGenerator[bytes]:
    """Yield what `export_runs` writes, in pieces of some size.

    Raises:
        NotFound: There is no such run, or it is another tenant's.
        CorruptState: A row does not verify.
    """
    buffer = bytearray()
    for run in dict.fromkeys(runs):
        async with aclosing(read_whole(log, run)) as events:
            async for line in build_lines(run, events, tenant=tenant):
                buffer += line
                if len(buffer) >= STREAMED:
                    yield bytes(buffer)
                    buffer.clear()
    if buffer:
        yield bytes(buffer)


def _build_write(stream: BinaryIO, buffer: bytearray) -> Callable[[], int]:
    piece = bytes(buffer)
    buffer.clear()
    return lambda: stream.write(piece)


async def build_lines(run: str, events: AsyncIterable[AnyEvent], *, tenant: str | None = None) -> AsyncIterator[bytes]:
    """Build the lines of a run: the mark before it, its events, the mark behind it.

    Raises:
        NotFound: It has no events, or is another tenant's.
        CorruptState: Its numbers have a gap.
    """
    digest = RunDigest(run)
    async for event in events:
        if not digest.events:
            if not isinstance(event, RunCreated) or tenant not in (None, event.tenant):
                break
            yield encode_line(build_header(event))
        if event.seq != digest.events + 1 or event.run != run:
            raise CorruptState(
                f"event {digest.events + 1} of run {run!r} is missing from its log. Restore the run from a backup.",
                run=run,
            )
        yield digest.add(encode_line(event))
    if not digest.events:
        raise NotFound(f"There is no run {run!r}: list them with `quorate runs list`.", run=run)
    yield encode_line(digest.build_end())
