"""Is a failed call made again when that helps, and only then?"""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from quorate.errors import (
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    QuorateError,
    RateLimited,
    Unauthenticated,
    UpstreamError,
)
from quorate.messages import Reply, StreamItem, TextDelta, build_user_message
from quorate.models.retry import (
    Retrying,
    RetryPolicy,
    choose_delay,
    is_worth_retrying,
    parse_http_date,
    read_retry_after,
)
from quorate.models.scripted import ScriptedModel
from quorate.specs import ModelProfile, Request

REQUEST = Request(messages=(build_user_message("Hi"),))
DOWN = UpstreamError("down", retryable=True)


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


class Halfway:
    """A model whose stream fails after a piece."""

    def __init__(self) -> None:
        self.profile = ModelProfile(name="halfway")
        self.calls = 0

    async def complete(self, request: Request) -> Reply:
        raise DOWN

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        self.calls += 1
        yield TextDelta("Hel")
        raise DOWN


def wrap(*script: object, time: Time | None = None, **policy: float) -> tuple[Retrying, ScriptedModel, Time]:
    time = time or Time()
    inner = ScriptedModel(script)  # type: ignore[arg-type]
    model = Retrying(inner, policy=RetryPolicy(**policy), random=lambda: 1.0, sleep=time.sleep, monotonic=time.read)
    return model, inner, time


async def test_a_failure_that_may_pass_is_tried_again_with_doubling_waits() -> None:
    """The bound of the wait doubles; the wait is random below it. row: C5"""
    model, inner, time = wrap(DOWN, DOWN, "yes")
    assert (await model.complete(REQUEST)).message.text == "yes"
    assert len(inner.requests) == 3
    assert time.slept == [0.5, 1.0]


async def test_three_attempts_are_the_end() -> None:
    """The last error is the one that is raised."""
    model, inner, _ = wrap(DOWN, DOWN, RateLimited("slow"), "never")
    with pytest.raises(RateLimited, match="slow"):
        await model.complete(REQUEST)
    assert len(inner.requests) == 3


@pytest.mark.parametrize(
    "error", [Unauthenticated("no"), InvalidInput("no"), UpstreamError("no"), DeadlineExceeded("late")]
)
async def test_what_will_fail_again_is_not_tried_again(error: QuorateError) -> None:
    model, inner, time = wrap(error, "never")
    with pytest.raises(type(error)):
        await model.complete(REQUEST)
    assert len(inner.requests) == 1
    assert not time.slept


async def test_a_stream_starts_again_only_while_nothing_was_given_out() -> None:
    model, inner, _ = wrap(DOWN, "Hello.")
    items = [item async for item in model.stream(REQUEST)]
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == "Hello."
    assert len(inner.requests) == 2


async def test_a_stream_that_fails_after_a_piece_has_failed() -> None:
    """Two answers are never joined."""
    inner = Halfway()
    items: list[StreamItem] = []

    async def collect() -> None:
        async for item in Retrying(inner).stream(REQUEST):
            items.append(item)

    with pytest.raises(UpstreamError):
        await collect()
    assert items == [TextDelta("Hel")]
    assert inner.calls == 1


async def test_a_cut_answer_of_which_nothing_was_given_out_is_tried_again() -> None:
    model, _, _ = wrap(Incomplete("cut"), "yes")
    assert (await model.complete(REQUEST)).message.text == "yes"
    assert is_worth_retrying(Incomplete("cut"))


async def test_the_provider_s_own_wait_is_kept() -> None:
    """Within a tenth, and never shorter."""
    model, _, time = wrap(RateLimited("slow", retry_after_s=7.0), "yes")
    await model.complete(REQUEST)
    assert time.slept == [pytest.approx(7.7)]


async def test_a_wait_past_the_deadline_is_not_begun() -> None:
    """Nobody waits an hour for a call that has ten minutes."""
    model, inner, time = wrap(RateLimited("slow", retry_after_s=3600), "never")
    with pytest.raises(RateLimited):
        await model.complete(REQUEST)
    assert not time.slept
    assert len(inner.requests) == 1


@pytest.mark.parametrize(("calls", "retried"), [(100, 20), (5, 3), (2, 2)])
async def test_retries_do_not_multiply_load(calls: int, retried: int) -> None:
    """When everything fails at once, a fifth of the calls under way may be retried, or three; the others fail. row: C5"""
    everybody = asyncio.Barrier(calls)
    waiting = 0

    class Down(Halfway):
        async def complete(self, request: Request) -> Reply:
            await everybody.wait()
            raise DOWN

    async def wait_forever(_: float) -> None:
        nonlocal waiting
        waiting += 1
        await asyncio.Event().wait()

    model = Retrying(Down(), sleep=wait_forever)
    tasks = [asyncio.create_task(model.complete(REQUEST)) for _ in range(calls)]
    while sum(task.done() for task in tasks) + waiting < calls:
        await asyncio.sleep(0)
    assert waiting == retried
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, UpstreamError) for outcome in outcomes) == calls - retried


async def test_a_retry_that_ends_gives_its_place_back() -> None:
    model, _, _ = wrap(*[DOWN, "yes"] * 10)
    for _ in range(10):
        assert (await model.complete(REQUEST)).message.text == "yes"


async def test_cancellation_is_not_an_error_to_retry() -> None:
    class Slow(Halfway):
        async def complete(self, request: Request) -> Reply:
            self.calls += 1
            raise asyncio.CancelledError

    inner = Slow()
    with pytest.raises(asyncio.CancelledError):
        await Retrying(inner).complete(REQUEST)
    assert inner.calls == 1


def test_waits_are_random_below_a_doubling_bound() -> None:
    policy = RetryPolicy()
    bounds = [choose_delay(policy, n, retry_after_s=None, random=lambda: 1.0) for n in range(1, 9)]
    assert bounds == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert choose_delay(policy, 3, retry_after_s=None, random=lambda: 0.0) == 0.0
    assert choose_delay(policy, 1, retry_after_s=0.0, random=lambda: 1.0) == 0.0


NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:50:07 GMT"}, 30.0),
        ({"retry-after": "Sun Nov  6 08:50:07 1994"}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 99 Nov 1994 08:50:07 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 CET"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, now=NOW) == seconds


def test_a_year_of_two_digits_is_near() -> None:
    """Never more than fifty years ahead."""
    later: Callable[[str], float | None] = lambda year: parse_http_date(  # noqa: E731
        f"Sunday, 06-Nov-{year} 08:49:37 GMT", now=1.8e9
    )
    past, coming = later("94"), later("30")
    assert past is not None
    assert coming is not None
    assert past < 1.8e9 < coming
