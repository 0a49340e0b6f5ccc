"""Are equal calls that are under way at the same time made once?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import cast

from msgspec import Struct, structs

from quorate.errors import BudgetExceeded, Incomplete, QuorateError
from quorate.messages import Reply, ReplyDone, StreamItem, Usage
from quorate.models.crew import Crew
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request


class ShareRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which equal calls share one upstream call."""

    streams: bool = False
    """Whether streams are shared too; each piece then costs a little more."""


class Shared(Layer):
    """A `Model` that makes equal calls of the same people once while they are under way, and gives all the one answer.

    The first to ask makes the call and pays; the others wait, and their copies say `cached` and cost nothing. When the
    first one leaves, or is held back by a budget or limit of its own, the next of those who wait makes the call.
    Streams pass through unless the rule says otherwise: whoever joins a shared one late is given its beginning first.

    Turn it off where equal questions are asked on purpose to get different answers.

    Args:
        inner: Who is asked.
        key: Gives a request's key: equal for what may be shared; `None` for what may not.
        crew: Looks after shared streams; they end with it.
        rule: What is shared.
    """

    def __init__(
        self, inner: Model, *, key: Callable[[Request], bytes | None], crew: Crew, rule: ShareRule | None = None
    ) -> None:
        super().__init__(inner)
        self.rule = rule or ShareRule()
        self._crew = crew
        self._key = key
        self._calls: dict[bytes, list[asyncio.Future[Reply | None]]] = {}
        """The calls under way, each with those who wait for it."""
        self._streams: dict[bytes, _Broadcast] = {}

    @property
    def under_way(self) -> int:
        """How many upstream calls are under way; a metric."""
        return len(self._calls) + len(self._streams)

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the one call raises."""
        key = self._key(request)
        if key is None:
            return await self.inner.complete(request)
        calls = self._calls
        while (waiting := calls.get(key)) is not None:
            future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            reply = await future
            if reply is not None:
                return _copy(reply)
        waiting = calls[key] = []
        reply: Reply | None = None
        failure: BaseException | None = None
        try:
            reply = await self.inner.complete(request)
            return reply
        except BaseException as error:
            failure = error
            raise
        finally:
            del calls[key]
            if waiting:
                _tell(waiting, reply, failure, request)

    def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises."""
        key = self._key(request) if self.rule.streams else None
        return self.inner.stream(request) if key is None else self._follow(request, key)

    async def _follow(self, request: Request, key: bytes) -> AsyncGenerator[StreamItem]:
        cast_ = self._streams.get(key)
        is_first = cast_ is None
        if cast_ is None:
            cast_ = self._streams[key] = _Broadcast(self.inner, request)
            cast_.begin(self._crew, on_end=lambda: self._streams.pop(key, None))
        async with aclosing(cast_.follow()) as items:
            async for item in items:
                yield item if is_first or type(item) is not ReplyDone else ReplyDone(_copy(item.reply))


class _Broadcast:
    """A stream under way, from its beginning, for all who follow it."""

    def __init__(self, model: Model, request: Request) -> None:
        self._model = model
        self._request = request
        self._items: list[StreamItem] = []
        """All there was; its size is that of one reply, which is bounded where it is received."""
        self._waiting: list[asyncio.Future[None]] = []
        self._followers = 0
        self._on_end: Callable[[], object] | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._is_done = False

    def begin(self, crew: Crew, *, on_end: Callable[[], object]) -> None:
        """Begin to read."""
        self._on_end = on_end
        self._task = crew.start(self._read())

    async def follow(self) -> AsyncGenerator[StreamItem]:
        """Give all items from the first on; when the last follower leaves, the reading ends."""
        self._followers += 1
        place = 0
        try:
            while True:
                while place < len(self._items):
                    item = self._items[place]
                    place += 1
                    yield item
                if self._error is not None:
                    raise self._error
                if self._is_done:
                    return
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
        finally:
            self._followers -= 1
            if not self._followers and self._task is not None and not self._task.done():
                self._end()  # whoever comes now begins anew
                self._task.cancel()

    async def _read(self) -> None:
        items = cast("AsyncGenerator[StreamItem]", self._model.stream(self._request))  # all of ours are generators
        try:
            async with aclosing(items):
                async for item in items:
                    self._items.append(item)
                    self._wake()
            self._is_done = True
        except asyncio.CancelledError:
            self._error = Incomplete("The stream was cut: the gateway was closed.", limit="stream")
            raise
        except Exception as error:  # whatever it is, those who follow are to hear it, and not the crew
            self._error = error
        finally:
            self._end()
            self._wake()

    def _end(self) -> None:
        if self._on_end is not None:
            self._on_end()
            self._on_end = None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _tell(
    waiting: list[asyncio.Future[Reply | None]], reply: Reply | None, failure: BaseException | None, request: Request
) -> None:
    """Tell those who wait what came of the call; `None` lets one of them make it anew."""
    error = failure if isinstance(failure, Exception) and not _is_own(failure) else None
    # An answer may be short because of what its caller had left to spend.
    if reply is not None and reply.stop == "length" and request.settings.max_tokens is None:
        reply = None
    for future in waiting:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(reply)


def _is_own(failure: Exception) -> bool:
    """Whether a failure is about who made the call, and not about the call."""
    if isinstance(failure, BudgetExceeded):
        return True
    return isinstance(failure, QuorateError) and failure.context.get("source") == "gateway"


def _copy(reply: Reply) -> Reply:
    """Copy a reply for one who did not pay for it."""
    return structs.replace(reply, usage=Usage(requests=0), cost_usd=0.0, cached=True)
