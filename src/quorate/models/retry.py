"""Should a failed model call be made again, and when?

This is the one layer that retries model calls. It retries what may succeed later, only while nothing was given
out, within a deadline, and within a budget that keeps a dead provider from being called many times as often.
"""

from __future__ import annotations

import asyncio
import random as random_
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from typing import Protocol, cast, runtime_checkable

from msgspec import Struct

from quorate.errors import Incomplete, QuorateError
from quorate.messages import Reply, StreamItem
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATES = (
    re.compile(r"\w{3}, (?P<day>\d\d) (?P<month>\w{3}) (?P<year>\d{4}) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) GMT"),
    re.compile(r"\w{6,9}, (?P<day>\d\d)-(?P<month>\w{3})-(?P<year>\d\d) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) GMT"),
    re.compile(r"\w{3} (?P<month>\w{3}) (?P<day>[ \d]\d) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) (?P<year>\d{4})"),
)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how fast a call is made again."""

    attempts: int = 3
    base_s: float = 0.5
    """The bound of the first wait; it doubles each time. The wait is random below its bound."""
    cap_s: float = 20.0
    deadline_s: float = 600.0
    """From the first attempt on; a wait that would pass it is not begun."""
    budget: float = 0.2
    """The share of the calls under way that may be retries."""
    floor: int = 3
    """Retries that may be under way however few calls there are."""


RETRY_POLICY = RetryPolicy()


@runtime_checkable
class Closable(Protocol):
    """Something that holds connections."""

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class Retrying:
    """A `Model` that calls another one again when that may help."""

    def __init__(
        self,
        inner: Model,
        *,
        policy: RetryPolicy = RETRY_POLICY,
        random: Callable[[], float] = random_.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self.policy = policy
        self._random = random
        self._sleep = sleep
        self._monotonic = monotonic
        self._active = 0
        self._retrying = 0

    @property
    def profile(self) -> ModelProfile:
        """What the inner model can do."""
        return self.inner.profile

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece, after up to `policy.attempts` attempts; raises what the last one raised."""
        with self._count() as call:
            while True:
                try:
                    return await self.inner.complete(request)
                except QuorateError as error:
                    await self._wait(call, error)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; once a piece was given out, a failure is final."""
        with self._count() as call:
            while True:
                given = False
                items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))
                try:
                    async with aclosing(items):
                        async for item in items:
                            given = True
                            yield item
                    return
                except QuorateError as error:
                    if given:
                        raise
                    await self._wait(call, error)

    async def aclose(self) -> None:
        """Close the inner model's connections; they open again when it is used again."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()

    async def __aenter__(self) -> Retrying:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @contextmanager
    def _count(self) -> Generator[_Call]:
        self._active += 1
        call = _Call(self._monotonic())
        try:
            yield call
        finally:
            self._active -= 1
            if call.number > 1:
                self._retrying -= 1

    async def _wait(self, call: _Call, error: QuorateError) -> None:
        """Wait for the next attempt at a call, or raise `error` when there is none."""
        policy = self.policy
        if call.number >= policy.attempts or not is_worth_retrying(error):
            raise error
        if call.number == 1:
            if self._retrying >= max(policy.floor, policy.budget * self._active):
                raise error
            self._retrying += 1
        delay = choose_delay(policy, call.number, retry_after_s=get_retry_after(error), random=self._random)
        call.number += 1
        if self._monotonic() + delay > call.started + policy.deadline_s:
            raise error
        await self._sleep(delay)


class _Call:
    """One call and its attempts so far."""

    __slots__ = ("number", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.number = 1


def is_worth_retrying(error: QuorateError) -> bool:
    """Whether the same call may succeed later; a cut answer of which nothing was given out is one."""
    return error.retryable or isinstance(error, Incomplete)


def get_retry_after(error: QuorateError) -> float | None:
    """Return how long the provider asked to wait, or `None`."""
    value = error.context.get("retry_after_s")
    return float(value) if isinstance(value, (int, float)) else None


def choose_delay(
    policy: RetryPolicy, number: int, *, retry_after_s: float | None, random: Callable[[], float]
) -> float:
    """Choose the wait after attempt `number`: random below a doubling bound, or as long as was asked for."""
    if retry_after_s is not None:
        return retry_after_s * (1 + 0.1 * random())
    return random() * min(policy.cap_s, policy.base_s * 2 ** (number - 1))


def read_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Read how many seconds to wait from `Retry-After` (seconds or a date) or `retry-after-ms`; names in lower case."""
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    at = parse_http_date(value, now=now)
    return None if at is None else max(0.0, at - now)


def parse_http_date(text: str, *, now: float) -> float | None:
    """Read a date of one of the three forms HTTP knows, as seconds since 1970; `None` for anything else."""
    for pattern in _DATES:
        found = pattern.fullmatch(text)
        if found is None or found["month"] not in MONTHS:
            continue
        year = int(found["year"])
        if len(found["year"]) == 2:  # of two digits, and never more than 50 years ahead
            century = datetime.fromtimestamp(now, UTC).year // 100 * 100
            year += century if century + year <= datetime.fromtimestamp(now, UTC).year + 50 else century - 100
        month = MONTHS.index(found["month"]) + 1
        try:
            moment = datetime(
                year, month, int(found["day"]), int(found["h"]), int(found["m"]), min(int(found["s"]), 59), tzinfo=UTC
            )
        except ValueError:
            return None
        return moment.timestamp()
    return None
