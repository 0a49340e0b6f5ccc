"""How do vectors get the patience that replies have: attempts within a budget, and a breaker?"""

from __future__ import annotations

import asyncio
import random as random_
import time
from collections.abc import Awaitable, Callable

from quorate.errors import QuorateError
from quorate.messages import Embeddings
from quorate.models.attempts import AttemptBudget
from quorate.models.breaking import Breaker
from quorate.models.layer import Closable
from quorate.models.retry import (
    RETRY_POLICY,
    RetryPolicy,
    build_budget,
    choose_delay,
    get_retry_after,
    is_worth_retrying,
)
from quorate.ports import Embedder
from quorate.specs import EmbedRequest


class Steady:
    """An `Embedder` that asks another one again when that may help, and not at all for a while when it fails too often.

    Args:
        inner: Who is asked.
        policy: How often and how fast.
        breaker: Counts how the calls end; one of its own when there is none.
        budget: What the gateway's layers may make again, all together; one of its own when there is none.
        random: Spreads the waits.
        sleep: Waits.
        monotonic: Where to read the time.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        policy: RetryPolicy = RETRY_POLICY,
        breaker: Breaker | None = None,
        budget: AttemptBudget | None = None,
        random: Callable[[], float] = random_.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self.policy = policy
        self.breaker = breaker or Breaker(inner.name, monotonic=monotonic)
        self.budget: AttemptBudget = budget or build_budget(policy, monotonic=monotonic)
        self._random = random
        self._sleep = sleep
        self._monotonic = monotonic

    @property
    def name(self) -> str:
        """The model's name in full."""
        return self.inner.name

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors, after up to `policy.attempts` attempts; raises what the last one raised.

        Raises:
            Unavailable: The breaker is open; `retry_after_s` says for how long.
        """
        ends = self._monotonic() + self.policy.deadline_s
        self.budget.open_call()
        try:
            number = 1
            while True:
                failed = True
                try:
                    vectors = await self.breaker.watch(lambda: self.inner.embed(request))
                    failed = False
                    return vectors
                except QuorateError as error:
                    failure = error
                finally:
                    if number > 1:
                        self.budget.settle(failed=failed)
                await self._wait(failure, number, ends)
                number += 1
        finally:
            self.budget.close_call()

    async def aclose(self) -> None:
        """Close the connections below; they open again when it is used again."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()

    async def _wait(self, error: QuorateError, number: int, ends: float) -> None:
        """Take the next attempt and wait for its time, or raise `error` when there is none."""
        if number >= self.policy.attempts or not is_worth_retrying(error):
            raise error
        delay = choose_delay(self.policy, number, retry_after_s=get_retry_after(error), random=self._random)
        if self._monotonic() + delay > ends or not self.budget.take():
            raise error
        waited = False
        try:
            await self._sleep(delay)
            waited = True
        finally:
            if not waited:
                self.budget.settle(failed=False)
