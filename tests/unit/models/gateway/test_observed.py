"""Does whoever listens hear of every call, however it ends?"""

import asyncio

import pytest
from tests.unit.models.gateway.samples import Actor, World, ask, down, forever, limited, read, reply, settle

from quorate.errors import Incomplete, RateLimited, Unavailable, UpstreamError
from quorate.messages import Reply, ReplyDone, Route, TextDelta, Usage
from quorate.models.cost import Price
from quorate.models.observed import CallRecord, Observed
from quorate.models.retry import Retrying
from quorate.specs import Request
from quorate.testing.clock import ManualClock

REQUEST = ask("How are you?", tenant="acme", principal="ann", run="r1", agent="helper")
PRICE = Price(input=1_000_000, output=1_000_000)


def build(inner: Actor) -> tuple[Observed, list[CallRecord], ManualClock]:
    clock, heard = ManualClock(), list[CallRecord]()
    return Observed(inner, listeners=(heard.append,), price=PRICE, clock=clock), heard, clock


async def test_an_answer_is_told_with_all_that_is_known_of_it() -> None:
    answer = reply(
        usage=Usage(input_tokens=5, output_tokens=2, requests=1),
        cost_usd=0.5,
        attempts=2,
        request_id="req-1",
        id="c-1",
        route=Route(model="a:b", asked="r", reason="first of the route"),
    )
    clock = ManualClock()

    async def work(_: Request) -> Reply:
        clock.advance(2.0)
        return answer

    heard: list[CallRecord] = []
    model = Observed(Actor(work, name="r"), listeners=(heard.append,), clock=clock)
    await model.complete(REQUEST)
    (record,) = heard
    assert (record.model, record.answered, record.caller) == ("r", "a:b", REQUEST.caller)
    assert (record.outcome, record.stop, record.attempts) == ("ok", "end", 2)
    assert (record.usage, record.cost_usd, record.route) == (answer.usage, 0.5, answer.route)
    assert (record.duration_s, record.began) == (2.0, 1_700_000_000.0)
    assert (record.request_id, record.reply_id, record.is_stream) == ("req-1", "c-1", False)


async def test_a_stream_is_told_once_with_the_time_of_its_first_piece() -> None:
    model, heard, _ = build(Actor("Hello, world."))
    assert (await read(model.stream(REQUEST)))[0] == "Hello, world."
    (record,) = heard
    assert (record.outcome, record.is_stream, record.first_s) == ("ok", True, 0.0)


async def test_a_cached_answer_took_no_attempt() -> None:
    model, heard, _ = build(Actor(reply(cached=True, usage=Usage(requests=0), cost_usd=0.0)))
    await model.complete(REQUEST)
    assert (heard[0].cached, heard[0].attempts) == (True, 0)


@pytest.mark.parametrize("error", [down(), limited(3.0)])
async def test_what_was_refused_costs_nothing(error: UpstreamError | RateLimited) -> None:
    model, heard, _ = build(Actor(error))
    for work in (model.complete(REQUEST), read(model.stream(REQUEST))):
        with pytest.raises(type(error)):
            await work
    assert [(one.outcome, one.usage, one.cost_usd) for one in heard] == [(error.code, Usage(), 0.0)] * 2


async def test_the_attempts_of_a_failure_are_told() -> None:
    world = World()
    inner = Actor(down())
    inner.script = [down(), down(), down()]
    retry = Retrying(inner, sleep=world.sleep, monotonic=world.read)
    model, heard, _ = build(retry)  # type: ignore[arg-type]
    with pytest.raises(UpstreamError):
        await world.run(model.complete(REQUEST))
    assert heard[0].attempts == 3


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_call_that_is_given_up_is_booked_by_estimate(how: str) -> None:
    """The provider bills what it has read, though nobody hears how much it was."""
    model, heard, _ = build(Actor(forever))
    async with asyncio.TaskGroup() as group:
        work = model.complete(REQUEST) if how == "complete" else read(model.stream(REQUEST))
        task = group.create_task(work)  # type: ignore[arg-type]
        await settle()
        task.cancel()
    (record,) = heard
    assert (record.outcome, record.estimated, record.usage.output_tokens) == ("cancelled", True, 0)
    assert record.usage.input_tokens > 0
    assert record.cost_usd == record.usage.input_tokens


async def test_a_stream_that_is_left_is_booked_with_what_came() -> None:
    model, heard, _ = build(Actor("x" * 400))
    stream = model.stream(REQUEST)
    for _ in range(10):
        await anext(stream)
    await stream.aclose()
    (record,) = heard
    assert (record.outcome, record.usage.output_tokens) == ("cancelled", 10)


async def test_a_stream_that_is_cut_is_booked_with_what_came() -> None:
    class Broken(Actor):
        async def stream(self, request: Request):  # type: ignore[no-untyped-def, override]
            yield TextDelta("x" * 40)
            if self.calls:
                return
            raise Incomplete("cut", limit="stream")

    inner = Broken()
    model, heard, _ = build(inner)
    with pytest.raises(Incomplete):
        await read(model.stream(REQUEST))
    inner.calls = 1
    await read(model.stream(REQUEST))  # it ends as if it were whole, without its reply
    assert [(one.outcome, one.usage.output_tokens) for one in heard] == [("incomplete", 10)] * 2


async def test_a_stream_that_is_left_at_its_end_is_whole() -> None:
    model, heard, _ = build(Actor("Hello."))
    stream = model.stream(REQUEST)
    async for item in stream:
        if isinstance(item, ReplyDone):
            break
    await stream.aclose()
    assert [one.outcome for one in heard] == ["ok"]


async def test_a_crash_is_told_too() -> None:
    async def crash(_: Request) -> Reply:
        raise ZeroDivisionError

    model, heard, _ = build(Actor(crash))
    with pytest.raises(ZeroDivisionError):
        await model.complete(REQUEST)
    assert heard[0].outcome == "crash"


async def test_a_listener_that_fails_harms_no_call() -> None:
    """It is reported, and the others hear all the same."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: reported.append(facts))
    heard: list[CallRecord] = []

    def fail(_: CallRecord) -> None:
        raise ZeroDivisionError

    await Observed(Actor(), listeners=(fail, heard.append)).complete(REQUEST)
    assert (len(heard), len(reported)) == (1, 1)


async def test_a_refusal_of_our_own_took_no_attempt() -> None:
    model, heard, _ = build(Actor(Unavailable("open", retry_after_s=3.0)))
    with pytest.raises(Unavailable):
        await model.complete(REQUEST)
    assert (heard[0].attempts, heard[0].outcome) == (0, "unavailable")
