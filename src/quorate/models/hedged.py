"""Is a slow call made a second time, so that the quicker answer wins?"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, TypeVar, cast

from msgspec import Meta, Struct, structs

from quorate.errors import QuorateError
from quorate.messages import Reply, ReplyDone, StreamItem, Usage
from quorate.models.attempts import AttemptBudget
from quorate.models.cost import Price, cost_usd
from quorate.models.layer import Layer
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import Request

T = TypeVar("T")
Seconds = Annotated[float, Meta(gt=0, le=3600)]
MEASURED = 100
"""How many calls are remembered."""
LEAST_MEASURED = 20
"""How many must have been made before what was measured is gone by."""


class HedgeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a second call is made; both are paid for."""

    models: tuple[str, ...] = ()
    """The models' names in full; every model when nothing is said."""
    delay_s: Seconds | None = None
    """How long the first may take; what is measured (`quantile`) when nothing is said."""
    quantile: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.95
    least_s: Seconds = 0.05
    """The shortest wait, whatever is measured."""


class Hedged(Layer):
    """A `Model` that is asked a second time when it is slower than usual; the first answer wins, the other is dropped.

    A stream is hedged until its first piece. The second call comes out of the gateway's retry budget, and what the one
    that lost has read is added to the bill, as an estimate.

    Args:
        inner: Who is asked.
        rule: When.
        budget: What the gateway's layers may make again, all together.
        price: What the model's tokens cost, for the bill.
        sleep: Waits.
        monotonic: Where to read the time.
    """

    def __init__(
        self,
        inner: Model,
        *,
        rule: HedgeRule,
        budget: AttemptBudget,
        price: Price | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self.rule = rule
        self._budget = budget
        self._price = price
        self._sleep = sleep
        self._monotonic = monotonic
        self._whole: deque[float] = deque(maxlen=MEASURED)
        self._first: deque[float] = deque(maxlen=MEASURED)

    def find_delay(self, *, stream: bool = False) -> float | None:
        """Say how long a call may take before it is made again; `None` while too little is measured."""
        rule = self.rule
        if rule.delay_s is not None:
            return rule.delay_s
        measured = sorted(self._first if stream else self._whole)
        if len(measured) < LEAST_MEASURED:
            return None
        return max(rule.least_s, measured[min(len(measured) - 1, int(rule.quantile * len(measured)))])

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the last call raised."""
        began = self._monotonic()
        delay = self.find_delay()
        if delay is None:
            reply, calls = await self.inner.complete(request), 1
        else:
            reply, calls = await self._race(lambda: self.inner.complete(request), delay, drop=None)
        self._whole.append(self._monotonic() - began)
        return reply if calls == 1 else self._book(reply, request)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises."""
        began = self._monotonic()
        delay = self.find_delay(stream=True)

        async def begin() -> tuple[AsyncGenerator[StreamItem], StreamItem | None]:
            items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
            try:
                return items, await anext(items, None)
            except BaseException:
                await items.aclose()
                raise

        if delay is None:
            (items, item), calls = await begin(), 1
        else:
            (items, item), calls = await self._race(begin, delay, drop=lambda lost: lost[0].aclose())
        self._first.append(self._monotonic() - began)
        async with aclosing(items):
            while item is not None:
                if calls > 1 and type(item) is ReplyDone:
                    item = ReplyDone(self._book(item.reply, request))
                yield item
                item = await anext(items, None)

    async def _race(
        self,
        call: Callable[[], Coroutine[object, object, T]],
        delay: float,
        *,
        drop: Callable[[T], Awaitable[None]] | None,
    ) -> tuple[T, int]:
        """Make a call, and once more after a while; give the first answer and how many calls there were."""
        won: list[T] = []
        failed: list[QuorateError] = []
        calls, is_over = 1, False
        changed = asyncio.Event()

        async def run() -> None:
            try:
                result = await call()
            except QuorateError as error:
                failed.append(error)
            else:
                if not won:
                    won.append(result)
                elif drop is not None:
                    await drop(result)
            changed.set()

        async def wait() -> None:
            await self._sleep(delay)
            changed.set()

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run()), group.create_task(wait())]
                while not won and len(failed) < calls:
                    changed.clear()
                    await changed.wait()
                    if not won and not failed and calls == 1 and self._budget.take():
                        calls = 2
                        tasks.append(group.create_task(run()))
                for task in tasks:
                    task.cancel()
            is_over = True
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            if calls == 2:
                self._budget.settle(failed=not won)
            if won and drop is not None and not is_over:  # whoever asked has left before being told of the answer
                await drop(won[0])
        if not won:
            raise failed[-1]
        return won[0], calls

    def _book(self, reply: Reply, request: Request) -> Reply:
        """Add what the call that lost has read: the provider bills it, and nobody says how much it was."""
        lost = Usage(input_tokens=estimate_request(request, self.profile.name), requests=1)
        cost, more = reply.cost_usd, cost_usd(lost, self._price)
        return structs.replace(
            reply,
            usage=reply.usage + lost,
            cost_usd=None if cost is None or more is None else cost + more,
            estimated=True,
            attempts=reply.attempts + 1,
        )
