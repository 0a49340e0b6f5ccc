"""How do many small requests for vectors become few large ones?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from quorate.errors import InvalidInput, QuorateError, TooLarge, Unavailable, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.crew import Crew
from quorate.models.layer import Closable
from quorate.ports import Embedder
from quorate.specs import Caller, EmbedRequest

MAX_TEXTS = 256
"""Texts in one call, where the provider does not say."""
Kind = tuple[Caller, int | None, Literal["document", "query"] | None]
"""What must be equal for requests to go together."""


class BatchRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and how much is gathered."""

    wait_s: Annotated[float, Meta(ge=0, le=1)] = 0.003
    max_texts: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Texts in one call; what the provider takes when nothing is said."""
    max_waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Texts that may wait; a request that would pass it is refused at once."""


class Batched:
    """An `Embedder` that gathers the requests of a few milliseconds and makes one call of them.

    Only requests for the same caller, dimensions and purpose go together. Each gets its own vectors, in its order, and
    its share of the bill. When a batch is refused for what is in it, its requests are made one by one, so that a bad
    one fails alone. A request that nobody waits for any more is left out, and a batch of which nobody waits for
    anything is cancelled.

    Args:
        inner: Who is asked.
        crew: Looks after the batches; they end with it.
        rule: How long and how much is gathered.
        max_texts: How many texts one call may have.
        sleep: Waits.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        crew: Crew,
        rule: BatchRule | None = None,
        max_texts: int = MAX_TEXTS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.inner = inner
        self.rule = rule or BatchRule()
        self.max_texts = self.rule.max_texts or max_texts
        self._crew = crew
        self._sleep = sleep
        self._open: dict[Kind, _Batch] = {}
        self._waiting = 0

    @property
    def name(self) -> str:
        """The model's name in full."""
        return self.inner.name

    @property
    def waiting(self) -> int:
        """How many texts wait for their vectors; a metric."""
        return self._waiting

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors, in their order; raises what the inner embedder raises.

        Raises:
            Unavailable: Too many texts wait already, or the gateway is not open.
        """
        count = len(request.texts)
        if not count or count >= self.max_texts:
            return await self.inner.embed(request)
        if self._waiting + count > self.rule.max_waiting:
            raise Unavailable(
                f"{self._waiting} texts wait for vectors of `{self.name}`, and it takes no more: try again later.",
                retry_after_s=1.0,
                reason="overloaded",
                model=self.name,
            )
        part = _Part(request)
        batch = self._join(part)
        self._waiting += count
        try:
            return await part.future
        except asyncio.CancelledError:
            batch.leave(part)
            raise
        finally:
            self._waiting -= count

    async def aclose(self) -> None:
        """Close the connections below; they open again when it is used again."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()

    def _join(self, part: _Part) -> _Batch:
        """Put a request into the batch that is being gathered, or begin one."""
        request = part.request
        kind: Kind = (request.caller, request.dimensions, request.purpose)
        batch = self._open.get(kind)
        if batch is not None and batch.size + len(request.texts) > self.max_texts:
            batch.close()
            batch = None
        if batch is None:
            batch = _Batch(self.inner, on_close=lambda closed: self._forget(kind, closed))
            batch.begin(self._crew, wait=lambda: self._sleep(self.rule.wait_s))
            self._open[kind] = batch
        batch.add(part)
        if batch.size >= self.max_texts:
            batch.close()
        return batch

    def _forget(self, kind: Kind, batch: _Batch) -> None:
        if self._open.get(kind) is batch:
            del self._open[kind]


class _Part:
    """One request of a batch, and who waits for it."""

    __slots__ = ("future", "request")

    def __init__(self, request: EmbedRequest) -> None:
        self.request = request
        self.future: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()


class _Batch:
    """Requests that are gathered and made together."""

    __slots__ = ("_full", "_inner", "_on_close", "_parts", "_task", "size")

    def __init__(self, inner: Embedder, *, on_close: Callable[[_Batch], None]) -> None:
        self.size = 0
        self._inner = inner
        self._on_close = on_close
        self._parts: list[_Part] = []
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, crew: Crew, *, wait: Callable[[], Awaitable[object]]) -> None:
        """Begin to gather."""
        self._task = crew.start(self._run(wait))

    def add(self, part: _Part) -> None:
        """Add a request."""
        self._parts.append(part)
        self.size += len(part.request.texts)

    def close(self) -> None:
        """Take no more, and make the call."""
        self._on_close(self)
        self._full.set()

    def leave(self, part: _Part) -> None:
        """Take out a request that nobody waits for any more."""
        if part in self._parts:
            self._parts.remove(part)
            self.size -= len(part.request.texts)
        if not self._parts and self._task is not None:
            self._on_close(self)
            self._task.cancel()

    async def _run(self, wait: Callable[[], Awaitable[object]]) -> None:
        try:
            if not self._full.is_set():
                await self._gather(wait)
            self._on_close(self)
            await self._embed(list(self._parts))
        except asyncio.CancelledError:
            self._fail(self._parts, Unavailable("The gateway was closed while vectors were under way."))
            raise
        except Exception as error:  # whatever it is, those who wait are to hear it, and not the crew
            self._fail(self._parts, error)
        finally:
            self._on_close(self)

    async def _gather(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for a while, or until the batch is full."""
        async with asyncio.TaskGroup() as group:

            async def expire() -> None:
                await wait()
                self._full.set()

            timer = group.create_task(expire())
            await self._full.wait()
            timer.cancel()

    async def _embed(self, parts: list[_Part]) -> None:
        if not parts:
            return
        if len(parts) == 1:
            self._give(parts[0], await self._inner.embed(parts[0].request))
            return
        texts = tuple([text for part in parts for text in part.request.texts])
        try:
            whole = await self._inner.embed(structs.replace(parts[0].request, texts=texts))
        except QuorateError as error:
            if not _is_of_one(error):
                raise
            for part in parts:
                await self._embed_alone(part)
            return
        if len(whole.vectors) != len(texts):
            raise UpstreamError(f"The model gave {len(whole.vectors)} vectors for {len(texts)} texts.", retryable=True)
        place = 0
        for part, share in zip(parts, _split(whole, parts), strict=True):
            count = len(part.request.texts)
            self._give(part, structs.replace(share, vectors=whole.vectors[place : place + count]))
            place += count

    async def _embed_alone(self, part: _Part) -> None:
        if part.future.done():
            return
        try:
            self._give(part, await self._inner.embed(part.request))
        except QuorateError as error:
            self._fail([part], error)

    def _give(self, part: _Part, vectors: Embeddings) -> None:
        if not part.future.done():
            part.future.set_result(vectors)

    def _fail(self, parts: list[_Part], error: Exception) -> None:
        for part in parts:
            if not part.future.done():
                part.future.set_exception(error)


def _is_of_one(error: QuorateError) -> bool:
    """Whether a batch may have failed for one of its texts: the others are not to suffer for it."""
    if isinstance(error, UpstreamError):
        return error.status is not None and 400 <= error.status < 500
    return isinstance(error, (InvalidInput, TooLarge))


def _split(whole: Embeddings, parts: list[_Part]) -> list[Embeddings]:
    """Split the bill by the texts' length, so that the sums are those of the one call."""
    sizes = [sum(len(text) for text in part.request.texts) for part in parts]
    left, tokens, cost = sum(sizes), whole.usage.input_tokens, whole.cost_usd
    shares: list[Embeddings] = []
    for place, size in enumerate(sizes):
        mine = tokens * size // left if left else 0
        paid = None if cost is None else cost * size / left if left else 0.0
        left, tokens, cost = left - size, tokens - mine, None if cost is None or paid is None else cost - paid
        usage = Usage(input_tokens=mine, requests=whole.usage.requests if place == 0 else 0)
        shares.append(Embeddings(vectors=(), usage=usage, model=whole.model, cost_usd=paid))
    return shares
