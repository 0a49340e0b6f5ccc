"""What do the gateway's tests play with? A clock that moves by itself, and models that do as they are told."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from itertools import count
from typing import TypeVar

from quorate.errors import QuorateError, RateLimited, UpstreamError
from quorate.messages import Message, Reply, ReplyDone, StreamItem, Text, TextDelta, Usage, build_user_message
from quorate.specs import Caller, ModelProfile, Request

T = TypeVar("T")
REQUEST = Request(messages=(build_user_message("Hi"),))


def ask(text: str = "Hi", **caller: str) -> Request:
    return Request(messages=(build_user_message(text),), caller=Caller(**caller))


def down() -> UpstreamError:
    return UpstreamError("down", status=503, retryable=True)


def limited(seconds: float | None = None) -> RateLimited:
    return RateLimited("slow", retry_after_s=seconds)


def reply(text: str = "Hello.", **facts: object) -> Reply:
    return Reply(message=Message(role="assistant", parts=(Text(text=text),)), **facts)  # type: ignore[arg-type]


class World:
    """Time that goes on only when everybody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), future))
        await future

    async def run(self, work: Coroutine[object, object, T]) -> T:
        """Do some work to its end, moving the clock on from one wake-up to the next."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(30):
                await asyncio.sleep(0)
            while self._queue and self._queue[0][2].done():
                heapq.heappop(self._queue)
            if self._queue and not task.done():
                self.now, _, future = heapq.heappop(self._queue)
                future.set_result(None)
        return task.result()


Act = Callable[[Request], Awaitable[Reply]] | QuorateError | Reply | str


class Actor:
    """A model that does the same thing every time, until it is told otherwise."""

    def __init__(self, act: Act = "Hello.", *, name: str = "test:actor", **facts: object) -> None:
        self.profile = ModelProfile(name=name, provider="test", **facts)  # type: ignore[arg-type]
        self.act = act
        self.script: list[Act] = []
        """Done first, one after the other."""
        self.calls = 0
        self.requests: list[Request] = []
        self.cancelled = 0
        self.open = 0
        self.closed = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        self.requests.append(request)
        act = self.script.pop(0) if self.script else self.act
        self.open += 1
        try:
            if isinstance(act, QuorateError):
                raise act
            if isinstance(act, str):
                return reply(act, usage=Usage(input_tokens=10, output_tokens=2, requests=1), cost_usd=0.01)
            return act if isinstance(act, Reply) else await act(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        answer = await self.complete(request)
        self.open += 1
        try:
            for start in range(0, len(answer.message.text), 4):
                yield TextDelta(answer.message.text[start : start + 4])
            yield ReplyDone(answer)
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.closed += 1


class Cut(Actor):
    """A model whose streams break after a piece."""

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        self.calls += 1
        yield TextDelta("Hel")
        raise down()


async def forever(_: Request) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def read(items: AsyncGenerator[StreamItem] | object) -> tuple[str, Reply | None]:
    """Read a stream: its text, and the reply at its end."""
    text, end = "", None
    async for item in items:  # type: ignore[attr-defined]
        if isinstance(item, TextDelta):
            text += item.text
        elif isinstance(item, ReplyDone):
            end = item.reply
    return text, end


async def settle(turns: int = 20) -> None:
    """Let everybody who can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
