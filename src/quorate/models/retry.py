"""Should a failed model call be made again, and when?

This is the one layer that retries model calls. It retries what may succeed later, only while nothing was given
out, within a deadline, and within a budget that keeps a dead provider from being called many times as often.
"""

from __future__ import annotations

import asyncio
import random as random_
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, cast

from msgspec import Meta, Struct, structs

from quorate.errors import Incomplete, InvalidInput, QuorateError, Unavailable, UnknownName
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.attempts import AttemptBudget, RetryBudget
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATES = (
    re.compile(r"\w{3}, (?P<day>\d\d) (?P<month>\w{3}) (?P<year>\d{4}) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) GMT"),
    re.compile(r"\w{6,9}, (?P<day>\d\d)-(?P<month>\w{3})-(?P<year>\d\d) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) GMT"),
    re.compile(r"\w{3} (?P<month>\w{3}) (?P<day>[ \d]\d) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) (?P<year>\d{4})"),
)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


class RetryPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and how fast a call is made again."""

    attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    base_s: Annotated[float, Meta(ge=0, le=60)] = 0.5
    """The bound of the first wait; it doubles each time. The wait is random below its bound."""
    cap_s: Annotated[float, Meta(ge=0, le=3600)] = 20.0
    deadline_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    """From the first attempt on; a wait that would pass it is not begun."""
    budget: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """The share of the calls that may be made again in vain."""
    floor: Annotated[int, Meta(ge=0, le=1000)] = 3
    """How many may be, however few calls there are."""
    max_wait_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    """The longest wait that a provider may ask for; a longer one is an error at once."""


RETRY_POLICY = RetryPolicy()


def build_budget(policy: RetryPolicy, *, monotonic: Callable[[], float] = time.monotonic) -> RetryBudget:
    """Build the budget that a policy asks for."""
    return RetryBudget(share=policy.budget, floor=policy.floor, monotonic=monotonic)


class Retrying(Layer):
    """A `Model` that calls another one again when that may help."""

    def __init__(
        self,
        inner: Model,
        *,
        policy: RetryPolicy = RETRY_POLICY,
        budget: AttemptBudget | None = None,
        random: Callable[[], float] = random_.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self.policy = policy
        self.budget: AttemptBudget = budget or build_budget(policy, monotonic=monotonic)
        self._random = random
        self._sleep = sleep
        self._monotonic = monotonic

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece, after up to `policy.attempts` attempts; raises what the last one raised."""
        budget = self.budget
        budget.open_call()
        began = self._monotonic()
        try:
            try:
                return await self.inner.complete(request)
            except QuorateError as error:
                failure = error
            number = 1
            while True:
                await self._wait(failure, number, began)
                number += 1
                failed = True
                try:
                    reply = await self.inner.complete(request)
                    failed = False
                except QuorateError as error:
                    failure = error
                    continue
                finally:
                    budget.settle(failed=failed)
                return structs.replace(reply, attempts=reply.attempts + number - 1)
        finally:
            budget.close_call()

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; once a piece was given out, a failure is final."""
        budget = self.budget
        budget.open_call()
        began = self._monotonic()
        number = 1
        try:
            while True:
                given = False
                items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
                try:
                    async with aclosing(items):
                        async for item in items:
                            if not given:
                                given = True
                                if number > 1:
                                    budget.settle(failed=False)
                            yield item if number == 1 else _count_attempts(item, number)
                    return
                except QuorateError as error:
                    if given:
                        raise
                    failure = error
                finally:
                    if number > 1 and not given:
                        budget.settle(failed=True)
                await self._wait(failure, number, began)
                number += 1
        finally:
            budget.close_call()

    async def __aenter__(self) -> Retrying:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _wait(self, error: QuorateError, number: int, began: float) -> None:
        """Take the next attempt and wait for its time, or raise `error` when there is none."""
        policy = self.policy
        asked = get_retry_after(error)
        if number >= policy.attempts or not is_worth_retrying(error):
            raise note_attempts(error, number)
        if asked is not None and policy.max_wait_s is not None and asked > policy.max_wait_s:
            raise note_attempts(error, number)
        delay = choose_delay(policy, number, retry_after_s=asked, random=self._random)
        if self._monotonic() + delay > began + policy.deadline_s or not self.budget.take():
            raise note_attempts(error, number)
        waited = False
        try:
            await self._sleep(delay)
            waited = True
        finally:
            if not waited:
                self.budget.settle(failed=False)


def note_attempts(error: QuorateError, number: int) -> QuorateError:
    """Note in an error how many upstream calls it took, those that an inner layer noted included."""
    before = error.context.get("attempts")
    if number > 1 or isinstance(before, int):
        error.context = {**error.context, "attempts": number - 1 + (before if isinstance(before, int) else 1)}
    return error


def _count_attempts(item: StreamItem, number: int) -> StreamItem:
    if type(item) is not ReplyDone:
        return item
    return ReplyDone(structs.replace(item.reply, attempts=item.reply.attempts + number - 1))


def is_worth_retrying(error: QuorateError) -> bool:
    """Whether the same call may succeed later; a cut answer of which nothing was given out is one.

    A refusal of our own is not: a breaker that is open, a queue that is full, a limit that has waited already.
    """
    if isinstance(error, Unavailable) or error.context.get("source") == "gateway":
        return False
    return error.retryable or isinstance(error, Incomplete)


def is_refusal(error: QuorateError) -> bool:
    """Whether an error says that nobody was asked: it was our own, and cost nobody anything."""
    if isinstance(error, (Unavailable, InvalidInput)):
        return not isinstance(error, UnknownName)
    return error.context.get("source") in ("gateway", "pool")


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
