"""How does a caller follow a run without losing or seeing anything twice (server-sent events)?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_200_OK
from litestar.types import HTTPReceiveMessage, Receive, Scope, Send

from quorate.errors import Forbidden, InvalidInput, QuorateError, RateLimited, Unauthenticated
from quorate.events import AnyEvent, Event, get_kind
from quorate.messages import Delta
from quorate.server.doors import Gone, while_there
from quorate.server.problems import build_problem

MEDIA_TYPE = "text/event-stream"
BEAT_S = 15.0
"""After how many quiet seconds a comment is sent, so that nobody on the way takes the stream for dead."""
MAX_PLACE = 10**12
"""Behind which place of a log nothing is ever asked for."""
MAX_STREAMS = 1_000
"""How many streams one credential may read at once."""
BEAT = b": still there\n\n"
Write = Callable[[bytes], Awaitable[None]]
_encode = msgspec.json.Encoder().encode


def frame(data: bytes, *, event: str = "", id: int | None = None) -> bytes:
    """Write one event of a stream (WHATWG HTML, section 9.2.6); data is JSON, which has no line breaks."""
    lines = [f"id: {id}\n".encode()] if id is not None else []
    if event:
        lines.append(f"event: {event}\n".encode())
    return b"".join([*lines, b"data: ", data, b"\n\n"])


def frame_item(item: AnyEvent | Delta) -> bytes:
    """Write an event of a run, with its place in the log as id, or a piece of text, which has none."""
    if isinstance(item, Event):
        return frame(_encode(item), event=get_kind(item), id=item.seq)
    return frame(_encode(item), event=str(type(item).__struct_config__.tag))


class EventStream(Response[bytes]):
    """An answer that a function writes piece by piece, and that ends with whoever reads it.

    The framework's own streams leave what they iterate to the garbage collector when a reader leaves.

    Args:
        write: Writes frames; it is cancelled when the reader leaves.
        headers: More headers of the answer.
    """

    def __init__(self, write: Callable[[Write], Awaitable[None]], *, headers: dict[str, str] | None = None) -> None:
        super().__init__(b"", headers=headers, media_type=MEDIA_TYPE, status_code=HTTP_200_OK)
        self.write = write

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:  # fmt: skip
        """Build what answers."""
        build = cast("Callable[..., ASGIResponse]", super().to_asgi_response)  # what it takes is the framework's matter
        head = build(app, request, **options)
        return _Streamed(self.write, [pair for pair in head.encode_headers() if pair[0].lower() != b"content-length"])


class _Streamed(ASGIResponse):
    def __init__(self, write: Callable[[Write], Awaitable[None]], sent: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._write = write
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": HTTP_200_OK, "headers": self._sent})

        async def write(frame: bytes) -> None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        with suppress(Gone):
            await while_there(receive, self._write(write))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def write_events(
    write: Write,
    items: AsyncGenerator[AnyEvent | Delta],
    *,
    request_id: str,
    closing: asyncio.Event,
    check: Callable[[], Awaitable[object]],
    beat_s: float = BEAT_S,
) -> None:
    """Write what happens as frames, with a sign of life in quiet times; an error is the last of them.

    Args:
        write: Takes frames, as fast as they are read.
        items: What happens; closed in the end.
        request_id: To quote when asking about an error.
        closing: When it is set, the stream ends: its reader comes back to another process.
        check: Raises when the reader's credential is good no more.
        beat_s: After how many quiet seconds there is a sign of life, and how often the credential is looked at.
    """
    waiting: asyncio.Queue[AnyEvent | Delta | QuorateError | None] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        tasks = (
            group.create_task(_pump(items, waiting)),
            group.create_task(_watch(waiting, closing=closing, check=check, every_s=beat_s)),
        )
        try:
            while True:
                try:
                    async with asyncio.timeout(beat_s):
                        item = await waiting.get()
                except TimeoutError:
                    await write(BEAT)
                    continue
                if item is None:
                    return
                if isinstance(item, QuorateError):
                    await write(frame(_encode(build_problem(item, request_id=request_id)), event="error"))
                    return
                await write(frame_item(item))
        finally:
            for task in tasks:
                task.cancel()


async def _pump(
    items: AsyncGenerator[AnyEvent | Delta], waiting: asyncio.Queue[AnyEvent | Delta | QuorateError | None]
) -> None:
    """Take what happens, as fast as it is read."""
    async with aclosing(items):
        try:
            async for item in items:
                await waiting.put(item)
        except QuorateError as error:
            await waiting.put(error)
        else:
            await waiting.put(None)


async def _watch(
    waiting: asyncio.Queue[AnyEvent | Delta | QuorateError | None],
    *,
    closing: asyncio.Event,
    check: Callable[[], Awaitable[object]],
    every_s: float,
) -> None:
    """End a stream when its reader may read no more, or when we leave."""
    while True:
        try:
            async with asyncio.timeout(every_s):
                await closing.wait()
        except TimeoutError:
            try:
                await check()
            except (Unauthenticated, Forbidden) as error:
                await waiting.put(error)
                return
            except QuorateError:
                continue  # nobody can be asked: whoever was let in stays for now
        else:
            await waiting.put(None)
            return


async def wait_while_wanted(receive: Receive, work: Awaitable[object], *, closing: asyncio.Event) -> None:
    """Wait for something until it is done, whoever asked has left, or we leave; in the end it is cancelled.

    Args:
        receive: Says that they left.
        work: What is waited for.
        closing: Set when we leave: an answer that says how it stands is better than none.
    """

    async def leave() -> HTTPReceiveMessage:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(_hear_leaving(receive)), group.create_task(_await_event(closing))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return {"type": "http.disconnect"}

    with suppress(Gone):
        await while_there(leave, work)


async def _hear_leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _await_event(event: asyncio.Event) -> None:
    await event.wait()


class Seats:
    """Counts who reads streams.

    Args:
        most: How many streams one credential may read at once.
        what: What is counted, for people.
    """

    def __init__(self, most: int = MAX_STREAMS, *, what: str = "streams") -> None:
        self._most = most
        self._what = what
        self._taken = Counter[str]()

    def __len__(self) -> int:
        return self._taken.total()

    def check(self, credential: str) -> None:
        """Return if there is room for one more.

        Raises:
            RateLimited: There is none.
        """
        if self._taken[credential] >= self._most:
            raise RateLimited(f"This credential has {self._most} {self._what} already: end some of them first.")

    @contextmanager
    def take(self, credential: str) -> Generator[None]:
        """Read a stream while a block lasts."""
        self.sit(credential)
        try:
            yield
        finally:
            self.rise(credential)

    def sit(self, credential: str) -> None:
        """Count one more."""
        self._taken[credential] += 1

    def rise(self, credential: str) -> None:
        """Count one less."""
        self._taken[credential] -= 1
        if self._taken[credential] <= 0:
            del self._taken[credential]


def read_last_id(given: str | None) -> int:
    """Read the `Last-Event-ID` that a caller saw last; 0 when they saw none.

    Raises:
        InvalidInput: It is none of ours.
    """
    if given is None or not given.strip():
        return 0
    if not given.isascii() or not given.isdecimal() or len(given) > 15 or int(given) > MAX_PLACE:
        raise InvalidInput(f"Last-Event-ID {given[:80]!r} is not the number of an event.")
    return int(given)
