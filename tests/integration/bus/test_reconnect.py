"""Does a bus over NATS come back by itself, and is nothing of what was published lost in silence?"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from quorate.bus.backends.nats import NatsPatience, open_nats_bus
from quorate.errors import DeadlineExceeded, NoResponders, QuorateError, Unavailable
from quorate.ports.bus import StreamRule, Subscription
from quorate.testing.nats_server import NatsServer

QUICK = NatsPatience(wait_s=0.02, longest_wait_s=0.1, regroup_s=0.3, connect_s=20, request_s=20, drain_s=3, ping_s=1)
SUBJECT = "ai.agent.told.acme"
TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.>",), kind="work", ack_wait_s=5)
EVENTS = StreamRule(name="events", subjects=("ai.events.>",), kind="events")
TASK, EVENT = "ai.agent.tasks.acme", "ai.events.runs.acme"


@asynccontextmanager
async def collecting(subscription: Subscription, into: list[bytes]) -> AsyncGenerator[None]:
    async def collect() -> None:
        async for message in subscription:
            into.append(message.data)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(collect())
        try:
            yield
        finally:
            task.cancel()


async def wait_until(condition: object, *, within_s: float = 30.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_killed_server_that_is_back_is_used_without_user_code(server: NatsServer) -> None:
    """The server is killed in the middle of a stream of messages and started again, three times: every subscription
    goes on, and whatever `publish` took arrives.
    row: A4"""
    heard: list[bytes] = []
    accepted: list[bytes] = []
    async with (
        open_nats_bus(server.url, tenant="acme", patience=QUICK) as listener,
        open_nats_bus(server.url, tenant="acme", patience=QUICK) as sender,
        listener.subscribe("ai.agent.*.acme") as subscription,
        collecting(subscription, heard),
    ):
        for round_ in range(3):
            for number in range(3000):
                if number == 1000:
                    await asyncio.to_thread(server.kill)
                if number == 2000:
                    await asyncio.to_thread(server.start)
                    await wait_until(lambda: listener.is_connected)
                data = f"{round_}-{number}".encode()
                await sender.publish(SUBJECT, data)
                accepted.append(data)
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await sender.flush(timeout_s=30)
            await sender.publish(SUBJECT, b"last %d" % round_)
            await wait_until(lambda: b"last %d" % round_ in heard)
    assert set(accepted) <= set(heard), "what was taken did not arrive"


async def test_what_is_published_in_the_gap_is_delivered(server: NatsServer) -> None:
    """It waits for the connection, in order, and is confirmed by `flush`."""
    async with open_nats_bus(server.url, tenant="acme", streams=[EVENTS], patience=QUICK) as bus:
        await asyncio.to_thread(server.kill)
        await wait_until(lambda: not bus.is_connected)
        for number in range(500):
            await bus.publish(EVENT, str(number).encode())
        with pytest.raises(DeadlineExceeded, match="500 messages"):
            await bus.flush(timeout_s=0.1)
        await asyncio.to_thread(server.start)
        await bus.flush(timeout_s=30)
        async with bus.subscribe(EVENT, after=0) as events, asyncio.timeout(30):
            assert [(await anext(aiter(events))).data for _ in range(500)] == [str(n).encode() for n in range(500)]


async def test_what_does_not_fit_into_the_gap_is_refused(server: NatsServer) -> None:
    """A typed error for each, and everything that was taken is delivered."""
    patience = NatsPatience(wait_s=0.02, longest_wait_s=0.1, regroup_s=0.3, window_bytes=20_000, request_s=1)
    accepted: list[int] = []
    refused: list[int] = []
    async with (
        open_nats_bus(server.url, tenant="acme", streams=[EVENTS]) as reader,
        open_nats_bus(server.url, tenant="acme", streams=[EVENTS], patience=patience) as bus,
    ):
        await asyncio.to_thread(server.kill)
        await wait_until(lambda: not bus.is_connected)
        for number in range(40):
            try:
                await bus.publish(EVENT, str(number).encode().rjust(1000))
                accepted.append(number)
            except Unavailable:
                refused.append(number)
                if len(refused) == 2:  # each waits for its second
                    break
        assert accepted
        assert len(refused) == 2
        await asyncio.to_thread(server.start)
        await bus.flush(timeout_s=30)
        async with reader.subscribe(EVENT, after=0) as events, asyncio.timeout(30):
            kept = [int((await anext(aiter(events))).data) for _ in accepted]
    assert kept == accepted


async def test_when_no_server_comes_back_the_loss_is_reported(server: NatsServer) -> None:
    """After as many attempts as are configured: the number of messages, and every later call fails at once."""
    patience = NatsPatience(wait_s=0.01, longest_wait_s=0.02, attempts=2, connect_s=1)
    async with open_nats_bus(server.url, tenant="acme", streams=[TASKS], patience=patience) as bus:
        await asyncio.to_thread(server.kill)
        await wait_until(lambda: not bus.is_connected)
        for _ in range(7):
            await bus.publish(SUBJECT, b"x")
        await wait_until(lambda: bus.connection.is_closed)
        with pytest.raises(Unavailable, match="7 messages were lost") as lost:
            await bus.flush()
        assert lost.value.context["lost"] == 7
        for call in (bus.publish(SUBJECT, b""), bus.request(SUBJECT, b""), bus.enqueue(TASK, b"")):
            with pytest.raises(Unavailable):
                await call


async def test_work_goes_on_after_a_kill(server: NatsServer) -> None:
    """What was enqueued and confirmed is there after a kill -9, and is given out; questions go on as well."""
    random.seed(7)
    done: list[bytes] = []
    async with (
        open_nats_bus(server.url, tenant="acme", streams=[TASKS], patience=QUICK) as worker,
        open_nats_bus(server.url, tenant="acme", streams=[TASKS], patience=QUICK) as sender,
        asyncio.TaskGroup() as tasks,
    ):

        async def work() -> None:
            async with worker.work("tasks") as pieces:
                async for piece in pieces:
                    done.append(piece.message.data)
                    await piece.ack()

        task = tasks.create_task(work())
        for number in range(60):
            if number in (10, 30, 50):
                await asyncio.to_thread(server.kill)
                tasks.create_task(asyncio.to_thread(server.start))
            await sender.enqueue(TASK, str(number).encode(), timeout_s=30)
        await wait_until(lambda: len(set(done)) == 60, within_s=30)
        task.cancel()
    assert sorted(set(done)) == sorted(str(number).encode() for number in range(60))
    assert len(done) <= 60 + 3 * 4, "only what was under way at a kill comes twice"


async def test_a_reader_goes_on_where_it_was(server: NatsServer) -> None:
    """Nothing twice, nothing left out, although the server forgot who was reading."""
    async with (
        open_nats_bus(server.url, tenant="acme", streams=[EVENTS], patience=QUICK) as bus,
        bus.subscribe(EVENT, after=0) as events,
    ):
        seqs: list[int] = []
        for round_ in range(3):
            for _ in range(20):
                await bus.enqueue(EVENT, b"x", timeout_s=30)
            async with asyncio.timeout(30):
                async for event in events:
                    seqs.append(event.seq)
                    if len(seqs) == 20 * (round_ + 1):
                        break
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        assert seqs == list(range(1, 61))


async def test_a_question_under_way_fails_with_the_connection(server: NatsServer) -> None:
    """At once and typed; nobody waits for an answer that cannot come."""
    async with (
        open_nats_bus(server.url, tenant="acme", patience=QUICK) as bus,
        bus.subscribe("ai.agent.ask.acme") as questions,
        asyncio.TaskGroup() as tasks,
    ):
        asking = tasks.create_task(ask(bus.request("ai.agent.ask.acme", b"?", timeout_s=30)))
        await anext(aiter(questions))
        await asyncio.to_thread(server.kill)
        async with asyncio.timeout(30):
            assert isinstance(await asking, Unavailable)
        await asyncio.to_thread(server.start)
        await wait_until(lambda: bus.is_connected)
        with pytest.raises(NoResponders):
            await bus.request("ai.agent.nobody.acme", b"?")


async def ask(question: object) -> BaseException | None:
    try:
        await question  # pyright: ignore[reportGeneralTypeIssues]
    except QuorateError as error:
        return error
    return None


async def test_a_server_that_stands_still_is_left(server: NatsServer) -> None:
    """A connection that answers no ping is given up and made anew; what was published meanwhile arrives."""
    async with open_nats_bus(server.url, tenant="acme", streams=[EVENTS], patience=QUICK) as bus:
        server.pause()
        try:
            for number in range(20):
                await bus.publish(EVENT, str(number).encode())
            with pytest.raises((DeadlineExceeded, Unavailable)):
                await bus.enqueue(EVENT, b"", timeout_s=0.2)
            await wait_until(lambda: not bus.is_connected)
        finally:
            server.resume()
        await bus.flush(timeout_s=30)
        async with bus.subscribe(EVENT, after=0) as events, asyncio.timeout(30):
            kept: list[bytes] = []
            async for event in events:
                kept.append(event.data)
                if set(kept) >= {str(number).encode() for number in range(20)}:
                    break


async def test_the_waits_between_attempts_grow_and_spread(server: NatsServer) -> None:
    """From nothing to a bound that doubles up to the longest; a thousand clients do not come back at once."""
    patience = NatsPatience(wait_s=0.1, longest_wait_s=2.0)
    async with open_nats_bus(server.url, tenant="acme", patience=patience) as bus:
        choose, pool = bus.connection.choose_server, bus.connection.server_pool
        waits = [choose(pool, {})[1] for _ in range(200)]
        assert waits[0] <= 0.1
        assert waits[1] <= 0.2
        assert waits[2] <= 0.4
        assert max(waits) <= 2.0
        assert max(waits[10:]) > 1.5
        assert min(waits[10:]) < 0.5


async def test_an_answer_does_not_wait_for_others_to_come_back(server: NatsServer) -> None:
    """Right after the connection is back, whoever asks is answered; what is told to everybody waits a moment."""
    patience = NatsPatience(wait_s=0.01, longest_wait_s=0.05, regroup_s=4)
    async with (
        open_nats_bus(server.url, tenant="acme", patience=patience) as bus,
        bus.subscribe("ai.agent.ask.acme") as questions,
        asyncio.TaskGroup() as tasks,
    ):

        async def answer() -> None:
            async for question in questions:
                await bus.publish(question.reply, b"!")

        answering = tasks.create_task(answer())
        await asyncio.to_thread(server.kill)
        await wait_until(lambda: not bus.is_connected)
        await asyncio.to_thread(server.start)
        await wait_until(lambda: bus.is_connected)
        assert (await bus.request("ai.agent.ask.acme", b"?", timeout_s=30)).data == b"!"
        with pytest.raises(DeadlineExceeded, match="1 messages"):
            await bus.flush(timeout_s=0.1)
        answering.cancel()
        await bus.flush(timeout_s=30)
