"""How many calls may be under way at one model, and how many may wait for a place?"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Annotated, cast

from msgspec import Meta, Struct

from quorate.errors import QuorateError, RateLimited, Unavailable
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.breaking import is_fault
from quorate.models.health import Health
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request

WEIGHT = 0.1


class BulkheadRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many calls one model takes, so that a slow one harms no other."""

    model: str = ""
    """The model's name in full; each model by itself when nothing is said."""
    max_in_flight: Annotated[int, Meta(ge=1, le=100_000)] = 256
    max_waiting: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    """How many may wait for a place; the next is refused at once."""
    wait_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    """How long one waits; a call whose turn would come later is refused at once."""


BULKHEAD_RULE = BulkheadRule()


class Bounded(Layer):
    """A `Model` that takes so many calls at once, lets some wait, and refuses the rest at once.

    Whoever is let in is served: a call is refused before it waits in vain, so that a model that is asked for five times
    as much as it can do does all that it can do. What is measured here is what routes go by.
    """

    def __init__(
        self,
        inner: Model,
        *,
        rule: BulkheadRule = BULKHEAD_RULE,
        health: Health | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self.rule = rule
        self.health = health or Health(inner.profile.name, monotonic=monotonic)
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy_s = 0.0
        """How long a call keeps its place, on average."""
        self._monotonic = monotonic

    @property
    def waiting(self) -> int:
        """How many wait for a place; a metric."""
        return len(self._waiting)

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            Unavailable: Too many wait already; `retry_after_s` says when there may be a place.
        """
        if self.in_flight < self.rule.max_in_flight and not self._waiting:
            self.in_flight += 1
        else:
            await self._wait()
        began = self._monotonic()
        try:
            reply = await self.inner.complete(request)
        except QuorateError as error:
            self._note_error(error)
            raise
        finally:
            self._leave(began)
        self.health.note_answer(self._monotonic() - began)
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises."""
        if self.in_flight < self.rule.max_in_flight and not self._waiting:
            self.in_flight += 1
        else:
            await self._wait()
        began = self._monotonic()
        first = True
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
        try:
            async with aclosing(items):
                async for item in items:
                    if first:
                        first = False
                        self.health.note_first(self._monotonic() - began)
                    if type(item) is ReplyDone:  # whoever reads may leave once it has this
                        self.health.note_good()
                    yield item
        except QuorateError as error:
            self._note_error(error)
            raise
        finally:
            self._leave(began)

    def _note_error(self, error: QuorateError) -> None:
        if is_fault(error) or isinstance(error, RateLimited):
            self.health.note_bad(error.code)

    async def _wait(self) -> None:
        rule = self.rule
        place = len(self._waiting) + 1
        expected_s = self._busy_s * place / rule.max_in_flight
        if place > rule.max_waiting or expected_s > rule.wait_s:
            raise self._refuse(expected_s)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(rule.wait_s):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self._pass_on()  # the place came with the cancellation
            else:
                with suppress(ValueError):  # it was passed over
                    self._waiting.remove(future)
            if isinstance(error, TimeoutError):
                raise self._refuse(expected_s) from error
            raise

    def _leave(self, began: float) -> None:
        spent = self._monotonic() - began
        self._busy_s = spent if not self._busy_s else self._busy_s + WEIGHT * (spent - self._busy_s)
        self._pass_on()

    def _pass_on(self) -> None:
        """Give a place to the next in line, or back."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.in_flight -= 1

    def _refuse(self, expected_s: float) -> Unavailable:
        name, left = self.inner.profile.name, max(0.1, min(60.0, expected_s))
        return Unavailable(
            f"`{name}` has {self.in_flight} calls under way and {len(self._waiting)} waiting, and takes no more: "
            f"try again in {left:.3g} s, or raise its bulkhead.",
            retry_after_s=left,
            reason="overloaded",
            model=name,
        )
