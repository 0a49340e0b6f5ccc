"""Does a breaker do what section 4 of the reliability contract says, whatever happens?"""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.models.gateway.samples import REQUEST, Actor, Cut, World, down, forever, limited, read, settle

from quorate.errors import (
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    NotFound,
    QuorateError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)
from quorate.messages import ReplyDone
from quorate.models.breaking import Breaker, BreakerPolicy, Breaking, is_fault


def build(**policy: float) -> tuple[Breaker, World]:
    world = World()
    return Breaker("test:m", policy=BreakerPolicy(**policy), monotonic=world.read), world  # type: ignore[arg-type]


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.note_bad(breaker.enter())


def pass_(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.note_good(breaker.enter())


def get_wait(breaker: Breaker) -> float:
    with pytest.raises(Unavailable) as caught:
        breaker.enter()
    wait = caught.value.context["retry_after_s"]
    assert isinstance(wait, float)
    return wait


def test_five_failures_in_a_row_open_it() -> None:
    breaker, _ = build()
    fail(breaker, 4)
    pass_(breaker)
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"
    assert get_wait(breaker) == 5.0


def test_half_of_twenty_calls_in_thirty_seconds_open_it() -> None:
    """Though never two of them in a row."""
    breaker, world = build()
    for _ in range(9):
        pass_(breaker)
        fail(breaker, 1)
        world.now += 1
    pass_(breaker)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"


def test_failures_older_than_the_window_are_forgotten() -> None:
    breaker, world = build()
    for _ in range(9):
        pass_(breaker)
        fail(breaker, 1)
    world.now += 30.2
    pass_(breaker)
    fail(breaker, 1)
    assert breaker.state == "closed"


def test_fewer_failures_than_half_leave_it_closed() -> None:
    breaker, _ = build()
    for _ in range(100):
        pass_(breaker, 2)
        fail(breaker, 1)
    assert breaker.state == "closed"


def test_it_opens_for_twice_as_long_each_time_up_to_a_minute() -> None:
    """And a good spell makes it begin with five seconds again."""
    breaker, world = build()
    fail(breaker, 5)
    waits: list[float] = []
    for _ in range(6):
        waits.append(get_wait(breaker))
        world.now += waits[-1]
        fail(breaker, 1)
    assert waits == [5, 10, 20, 40, 60, 60]
    world.now += 60
    pass_(breaker, 2)
    fail(breaker, 5)
    assert get_wait(breaker) == 5.0


def test_two_good_probes_close_it_one_at_a_time() -> None:
    """The breaker opens at 5 failures, half-opens after its time, and closes after 2 good probes. row: A11"""
    breaker, world = build()
    fail(breaker, 5)
    world.now += 5
    assert breaker.state == "half_open"
    first = breaker.enter()
    with pytest.raises(Unavailable, match="being tried"):
        breaker.enter()
    breaker.note_good(first)
    assert breaker.state == "half_open"
    pass_(breaker)
    assert breaker.state == "closed"
    assert breaker.build_report().openings == 1


def test_what_began_before_it_opened_does_not_count() -> None:
    """Late good news does not close it, late bad news does not lengthen it."""
    breaker, world = build()
    late = [breaker.enter() for _ in range(3)]
    fail(breaker, 5)
    breaker.note_good(late[0])
    breaker.note_bad(late[1])
    assert get_wait(breaker) == 5.0
    world.now += 5
    pass_(breaker, 2)
    breaker.note_bad(late[2])
    assert breaker.build_report().failures == 0


def test_a_probe_that_says_nothing_makes_way_for_the_next() -> None:
    breaker, world = build()
    fail(breaker, 5)
    world.now += 5
    breaker.note_nothing(breaker.enter())
    pass_(breaker, 2)
    assert breaker.state == "closed"


def test_it_can_be_held_open_and_closed_by_hand() -> None:
    breaker, world = build()
    breaker.hold_open()
    world.now += 10_000
    with pytest.raises(Unavailable, match="by hand"):
        breaker.enter()
    assert breaker.build_report().held
    breaker.close()
    pass_(breaker)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (down(), True),
        (UpstreamError("cannot be reached"), True),
        (DeadlineExceeded("late"), True),
        (Incomplete("cut", limit="stream"), True),
        (UpstreamError("bad", status=400), False),
        (UpstreamError("late", status=408), False),
        (limited(), False),
        (Unauthenticated("no"), False),
        (InvalidInput("no"), False),
        (NotFound("no"), False),
        (TooLarge("no"), False),
        (Incomplete("long", limit="output"), False),
        (Unavailable("full"), False),
    ],
    ids=lambda value: getattr(value, "message", None),
)
async def test_what_counts_is_the_provider_s_fault_alone(error: QuorateError, counts: bool) -> None:
    """429, other 4xx and refusals never count."""
    assert is_fault(error) == counts
    breaker, _ = build()
    model = Breaking(Actor(error), breaker=breaker)
    for _ in range(30):
        with pytest.raises((type(error), Unavailable)):
            await model.complete(REQUEST)
    assert (breaker.state == "open") == counts


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_cancellation_never_counts(how: str) -> None:
    breaker, _ = build()
    model = Breaking(Actor(forever), breaker=breaker)
    for _ in range(30):
        work = model.complete(REQUEST) if how == "complete" else read(model.stream(REQUEST))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)  # type: ignore[arg-type]
            await settle(3)
            task.cancel()
    assert breaker.build_report().failures == 0
    assert breaker.state == "closed"


async def test_an_open_breaker_calls_nobody() -> None:
    """row: B9"""
    breaker, _ = build()
    inner = Actor(down())
    model = Breaking(inner, breaker=breaker)
    for _ in range(50):
        with pytest.raises((UpstreamError, Unavailable)):
            await model.complete(REQUEST)
        with pytest.raises((UpstreamError, Unavailable)):
            await read(model.stream(REQUEST))
    assert inner.calls == 5


async def test_a_cut_stream_is_a_failure_and_a_whole_one_is_none() -> None:
    breaker, _ = build()
    for _ in range(4):
        with pytest.raises(UpstreamError):
            await read(Breaking(Cut(), breaker=breaker).stream(REQUEST))
    assert breaker.build_report().failures == 4
    assert (await read(Breaking(Actor(), breaker=breaker).stream(REQUEST)))[0] == "Hello."
    assert breaker.build_report().failures == 0


async def test_a_stream_that_is_left_at_its_end_is_good() -> None:
    """Nobody has to read on behind the reply."""
    breaker, _ = build()
    fail(breaker, 4)
    stream = Breaking(Actor(), breaker=breaker).stream(REQUEST)
    async for item in stream:
        if isinstance(item, ReplyDone):
            break
    await stream.aclose()
    assert breaker.build_report().failures == 0


async def test_a_stream_is_a_good_probe_once_it_answers_and_a_bad_one_when_it_breaks() -> None:
    breaker, world = build()
    fail(breaker, 5)
    world.now += 5
    with pytest.raises(UpstreamError):
        await read(Breaking(Cut(), breaker=breaker).stream(REQUEST))
    assert get_wait(breaker) == 10.0
    world.now += 10
    stream = Breaking(Actor(), breaker=breaker).stream(REQUEST)
    await anext(stream)
    pass_(breaker)  # the second probe does not wait for the end of the first
    assert breaker.state == "closed"
    await stream.aclose()
    assert breaker.state == "closed"


async def test_a_probe_that_is_cancelled_lets_the_next_one_through() -> None:
    breaker, world = build()
    fail(breaker, 5)
    world.now += 5
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Breaking(Actor(forever), breaker=breaker).complete(REQUEST))
        await settle(3)
        task.cancel()
    pass_(breaker, 2)
    assert breaker.state == "closed"


class Machine(RuleBasedStateMachine):
    """Plays a breaker beside a plain model of section 4; calls end in any order, time goes on in any steps."""

    @initialize(failures=st.integers(1, 5), calls=st.integers(2, 8))
    def begin(self, failures: int, calls: int) -> None:
        self.policy = BreakerPolicy(failures=failures, calls=calls)
        self.world = World()
        self.breaker = Breaker(policy=self.policy, monotonic=self.world.read)
        self.under_way: list[tuple[int, int, bool]] = []
        """Tickets, with the period they began in, and whether they are probes."""
        self.period = 0
        self.log: list[tuple[float, bool]] = []
        self.row = 0
        self.until: float | None = None
        self.open_s = 0.0
        self.good = 0
        self.probing = False

    def expect_refusal(self) -> bool:
        return self.until is not None and (self.world.now < self.until or self.probing)

    @rule()
    def call(self) -> None:
        if self.expect_refusal():
            with pytest.raises(Unavailable):
                self.breaker.enter()
            return
        probe = self.until is not None
        self.probing = self.probing or probe
        self.under_way.append((self.breaker.enter(), self.period, probe))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), end=st.sampled_from(["good", "bad", "nothing"]))
    def end(self, data: st.DataObject, end: str) -> None:
        ticket, period, probe = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        {"good": self.breaker.note_good, "bad": self.breaker.note_bad, "nothing": self.breaker.note_nothing}[end](
            ticket
        )
        if period != self.period:
            return
        if probe:
            self.probing = False
            if end == "bad":
                self.open(min(60.0, self.open_s * 2))
            elif end == "good":
                self.good += 1
                if self.good == 2:
                    self.until = None
                    self.forget()
        elif end != "nothing":
            self.log.append((self.world.now, end == "bad"))
            self.row = self.row + 1 if end == "bad" else 0
            if end == "bad":
                recent = [bad for at, bad in self.log if at > self.world.now - 30]
                many = len(recent) >= self.policy.calls and sum(recent) * 2 >= len(recent)
                if self.row >= self.policy.failures or many:
                    self.open(5.0)

    def open(self, seconds: float) -> None:
        self.open_s = seconds
        self.until = self.world.now + seconds
        self.forget()

    def forget(self) -> None:
        self.period += 1
        self.row = self.good = 0
        self.log = []
        self.probing = False

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 9.0, 31.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @invariant()
    def stands_as_expected(self) -> None:
        if not hasattr(self, "breaker"):
            return
        expected = "closed" if self.until is None else "open" if self.world.now < self.until else "half_open"
        assert self.breaker.state == expected


TestStateModel = Machine.TestCase
TestStateModel.settings = settings(max_examples=200, stateful_step_count=60)
