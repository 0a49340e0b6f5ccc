"""Is a provider called at all while it fails, and when is it tried again?"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Literal, TypeVar, cast

from msgspec import Meta, Struct

from quorate.errors import DeadlineExceeded, Incomplete, QuorateError, Unavailable, UpstreamError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1, le=100_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
State = Literal["closed", "open", "half_open"]
TICKS = 300
"""How finely the window is counted: in as many parts."""


class BreakerPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, and for how long."""

    failures: Count = 5
    """Failures in a row that open it."""
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """The share of failures that opens it, once there were `calls` in `window_s`."""
    calls: Count = 20
    window_s: Seconds = 30.0
    open_s: Seconds = 5.0
    """How long it stays open the first time; it doubles while the probes fail."""
    max_open_s: Seconds = 60.0
    successes: Count = 2
    """Good probes, one after the other, that close it."""


class BreakerReport(Struct, frozen=True, kw_only=True):
    """How a breaker stands, for metrics and people."""

    state: State
    held: bool = False
    """Whether it was opened by hand, and stays so."""
    retry_after_s: float = 0.0
    """How long it stays open."""
    failures: int = 0
    """Failures in a row."""
    openings: int = 0
    """How often it opened."""


BREAKER_POLICY = BreakerPolicy()


class Breaker:
    """Counts how calls end, and refuses them for a while when too many fail.

    Closed, all calls pass. Open, none does. When its time is over, one call at a time passes as a probe: some good ones
    close it, a bad one opens it for twice as long. Calls that began before it opened do not count once they end.
    """

    __slots__ = (
        "_failed",
        "_good",
        "_held",
        "_monotonic",
        "_open_s",
        "_openings",
        "_period",
        "_probe",
        "_probes",
        "_row",
        "_ticks",
        "_total",
        "_until",
        "name",
        "policy",
    )

    def __init__(
        self,
        name: str = "the provider",
        *,
        policy: BreakerPolicy = BREAKER_POLICY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.policy = policy
        self._monotonic = monotonic
        self._period = 0
        """Even while closed, odd while open; it names the calls that count."""
        self._row = 0
        self._ticks: deque[list[float]] = deque()
        """Parts of the window with their beginning, calls and failures."""
        self._total = 0
        self._failed = 0
        self._until = 0.0
        self._open_s = 0.0
        self._good = 0
        self._probe = 0
        """The ticket of the probe under way, if there is one."""
        self._probes = 0
        self._held = False
        self._openings = 0

    @property
    def state(self) -> State:
        """How it stands; a metric."""
        if self._held:
            return "open"
        if not self._period & 1:
            return "closed"
        return "open" if self._monotonic() < self._until else "half_open"

    def build_report(self) -> BreakerReport:
        """Describe how it stands."""
        state = self.state
        left = max(0.0, self._until - self._monotonic()) if state == "open" and not self._held else 0.0
        return BreakerReport(
            state=state, held=self._held, retry_after_s=left, failures=self._row, openings=self._openings
        )

    def enter(self) -> int:
        """Let a call begin; give what it got back to `note_good`, `note_bad` or `note_nothing`, exactly once.

        Raises:
            Unavailable: It is open; `retry_after_s` says for how long.
        """
        period = self._period
        if not period & 1 and not self._held:
            return period
        if self._held:
            raise self._refuse(self.policy.max_open_s, "was put aside by hand")
        left = self._until - self._monotonic()
        if left > 0:
            raise self._refuse(left, "failed too often")
        if self._probe:
            raise self._refuse(min(1.0, self.policy.open_s), "failed too often, and is being tried")
        self._probes += 1
        self._probe = -self._probes
        return self._probe

    def note_good(self, ticket: int) -> int:
        """Count a call that succeeded; what comes back speaks for a stream that answered well and goes on."""
        if ticket < 0:
            if ticket == self._probe:
                self._probe = 0
                self._good += 1
                if self._good >= self.policy.successes:
                    self._close()
        elif ticket == self._period and not ticket & 1:
            self._row = 0
            self._count(0)
        return self._period

    def note_bad(self, ticket: int) -> None:
        """Count a call that failed by the provider's fault."""
        if ticket != (self._probe if ticket < 0 else self._period):
            return
        if ticket < 0 or ticket & 1:
            self._open(min(self.policy.max_open_s, self._open_s * 2))
            return
        self._row += 1
        self._count(1)
        policy = self.policy
        many = self._total >= policy.calls and self._failed >= policy.share * self._total
        if self._row >= policy.failures or many:
            self._open(min(policy.open_s, policy.max_open_s))

    def note_nothing(self, ticket: int) -> None:
        """Count nothing for a call that was cancelled, or refused by no fault of the provider's."""
        if ticket < 0 and ticket == self._probe:
            self._probe = 0

    def note_error(self, ticket: int, error: QuorateError) -> None:
        """Count an error where it is the provider's fault."""
        if is_fault(error):
            self.note_bad(ticket)
        else:
            self.note_nothing(ticket)

    async def watch(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something that is one call, unless the breaker is open; raises what `enter` and the work raise."""
        ticket = self.enter()
        try:
            done = await work()
        except QuorateError as error:
            self.note_error(ticket, error)
            raise
        except BaseException:
            self.note_nothing(ticket)
            raise
        self.note_good(ticket)
        return done

    def hold_open(self) -> None:
        """Refuse all calls until `close`."""
        self._held = True

    def close(self) -> None:
        """Let all calls pass, whatever was counted."""
        self._held = False
        self._close()

    def _close(self) -> None:
        if self._period & 1:
            self._period += 1
        self._forget()

    def _open(self, open_s: float) -> None:
        # Of this opening alone: what began before it does not count when it ends.
        self._period += 2 if self._period & 1 else 1
        self._forget()
        self._openings += 1
        self._open_s = open_s
        self._until = self._monotonic() + open_s

    def _forget(self) -> None:
        self._row = self._good = self._total = self._failed = 0
        self._ticks.clear()
        self._probe = 0

    def _count(self, failed: int) -> None:
        now, ticks = self._monotonic(), self._ticks
        oldest = now - self.policy.window_s
        while ticks and ticks[0][0] <= oldest:
            _, calls, failures = ticks.popleft()
            self._total -= int(calls)
            self._failed -= int(failures)
        if not ticks or now - ticks[-1][0] > self.policy.window_s / TICKS:
            ticks.append([now, 0, 0])
        ticks[-1][1] += 1
        ticks[-1][2] += failed
        self._total += 1
        self._failed += failed

    def _refuse(self, left_s: float, why: str) -> Unavailable:
        return Unavailable(
            f"`{self.name}` {why}, so it is not called for {left_s:.3g} s.",
            retry_after_s=left_s,
            reason="breaker",
            model=self.name,
        )


class Breaking(Layer):
    """A `Model` that is not called for a while when it fails too often."""

    def __init__(self, inner: Model, *, breaker: Breaker) -> None:
        super().__init__(inner)
        self.breaker = breaker

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            Unavailable: The breaker is open; `retry_after_s` says for how long.
        """
        return await self.breaker.watch(lambda: self.inner.complete(request))

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises."""
        breaker = self.breaker
        ticket = breaker.enter()
        # A probe is good once it answers: nobody waits for the end of a long stream.
        is_probe = ticket < 0
        is_done = False
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
        try:
            async with aclosing(items):
                async for item in items:
                    if is_probe:
                        is_probe = False
                        ticket = breaker.note_good(ticket)
                    if type(item) is ReplyDone:  # whoever reads may leave once it has this
                        is_done = True
                        breaker.note_good(ticket)
                    yield item
        except QuorateError as error:
            breaker.note_error(ticket, error)
            raise
        finally:
            if not is_done:
                breaker.note_nothing(ticket)


def is_fault(error: QuorateError) -> bool:
    """Whether an error is the provider's fault: no answer, no end, or a status of 500 and more."""
    if isinstance(error, UpstreamError):
        return error.status is None or error.status >= 500
    if isinstance(error, Incomplete):
        return error.context.get("limit") == "stream"
    return isinstance(error, DeadlineExceeded)
