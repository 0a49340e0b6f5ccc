"""What must every bus do with what it keeps: work that is done once, and what happened?"""

from __future__ import annotations

import asyncio
from collections import Counter

from msgspec import structs

from quorate.errors import InvalidInput, RateLimited
from quorate.ports.bus import Bus, Delivery, Message, StreamRule, Work
from quorate.testing.contracts.building import expect, run_together
from quorate.testing.contracts.bus import PATIENCE_S, OpenBus, PassTime, take, wait_total

ACK_WAIT_S = 1.5
"""Short, as some brokers have a clock of their own, and long enough for a machine that is busy with other things."""
REST_S = 1.0
TASK = "ai.agent.tasks.acme.net"
DEAD = "ai.dead.tasks.acme"
TASKS = StreamRule(
    name="tasks",
    subjects=("ai.agent.tasks.acme.>",),
    kind="work",
    max_messages=50,
    ack_wait_s=60.0,
    max_deliver=3,
    backoff_s=(0.2,),
)
FORGETFUL = structs.replace(TASKS, ack_wait_s=ACK_WAIT_S)
"""For tests in which somebody says nothing."""
RESTING = structs.replace(TASKS, backoff_s=(REST_S,))
EVENTS = StreamRule(name="events", subjects=("ai.events.>",), kind="events", max_messages=20)
EVENT = "ai.events.runs.acme"


async def take_work(bus: Bus, count: int, *, answer: bool = True) -> list[Delivery]:
    """Take so many pieces of work, and say that they are done."""
    taken: list[Delivery] = []
    async with asyncio.timeout(PATIENCE_S), bus.work("tasks") as work:
        async for delivery in work:
            taken.append(delivery)
            if answer:
                await delivery.ack()
            if len(taken) == count:
                break
    return taken


async def take_one(work: Work) -> Delivery | None:
    """Take the next piece of work; none when there will be no more."""
    async for delivery in work:
        return delivery
    return None


async def read_dead(bus: Bus, count: int = 1) -> list[Message]:
    """Read the first dead letters."""
    async with bus.subscribe(DEAD, after=0) as letters:
        return await take(letters, count)


class BusQueueContract:
    """What every `Bus` must do with streams; see `quorate.testing.contracts` on how to use it."""

    async def test_work_is_done_once_by_one_of_many(self, open_bus: OpenBus) -> None:
        """Forty pieces, four workers: each piece is given to one of them, and then it is gone."""
        done: list[Counter[bytes]] = [Counter() for _ in range(4)]
        async with open_bus(streams=[TASKS]) as bus, asyncio.TaskGroup() as tasks:

            async def work(counter: Counter[bytes]) -> None:
                async with bus.work("tasks", max_in_flight=2) as pieces:
                    async for piece in pieces:
                        await asyncio.sleep(0.002)
                        counter[piece.message.data] += 1
                        await piece.ack()

            workers = [tasks.create_task(work(counter)) for counter in done]
            await run_together(bus.enqueue(TASK, str(number).encode()) for number in range(40))
            await wait_total(done, 40)
            for worker in workers:
                worker.cancel()
        total = sum(done, Counter[bytes]())
        assert sorted(total) == sorted(str(number).encode() for number in range(40))
        assert set(total.values()) == {1}

    async def test_a_piece_of_work_tells_what_it_is(self, open_bus: OpenBus) -> None:
        """Subject, headers, id, number, time, and that this is the first attempt."""
        async with open_bus(streams=[TASKS]) as bus:
            receipt = await bus.enqueue(TASK, b"why?", id="t1", headers={"a": "b"})
            (piece,) = await take_work(bus, 1)
        message = piece.message
        assert (receipt.stream, receipt.seq, receipt.duplicate) == ("tasks", 1, False)
        assert (message.subject, message.data, message.seq, piece.attempt) == (TASK, b"why?", 1, 1)
        assert dict(message.headers) == {"a": "b", "Quorate-Id": "t1"}
        assert message.time > 1e9
        assert not message.reply

    async def test_the_same_id_is_kept_once(self, open_bus: OpenBus) -> None:
        """Also when it is sent twenty times at once; the receipts say which number it has."""
        async with open_bus(streams=[TASKS]) as bus:
            receipts = await run_together(bus.enqueue(TASK, b"x", id="same") for _ in range(20))
            await bus.enqueue(TASK, b"y", id="other")
            assert Counter(receipt.duplicate for receipt in receipts) == {True: 19, False: 1}
            assert {receipt.seq for receipt in receipts} == {1}
            assert [piece.message.data for piece in await take_work(bus, 2)] == [b"x", b"y"]
            for bad in ("", "a b", "a\r\nb", "x" * 300):
                with expect(InvalidInput, "message id"):
                    await bus.enqueue(TASK, b"", id=bad)

    async def test_what_fails_again_and_again_is_a_dead_letter_once(
        self, open_bus: OpenBus, pass_time: PassTime
    ) -> None:
        """It lands at the subject for dead letters, with the last error and how often it was tried."""
        attempts: list[int] = []
        async with open_bus(streams=[TASKS]) as bus, asyncio.TaskGroup() as tasks:

            async def work() -> None:
                async with bus.work("tasks") as pieces:
                    async for piece in pieces:
                        if piece.message.data == b"good":
                            await piece.ack()
                            continue
                        attempts.append(piece.attempt)
                        await piece.nak(f"it broke\r\nfor the {piece.attempt}. time")

            worker = tasks.create_task(work())
            async with bus.subscribe(DEAD) as live:
                await bus.enqueue(TASK, b"bad", headers={"a": "b"}, id="t1")
                await bus.enqueue(TASK, b"good")
                for _ in range(4):
                    await pass_time(0.25)
                (letter,) = await take(live, 1)
            worker.cancel()
            assert attempts == [1, 2, 3]
            assert [kept.data for kept in await read_dead(bus)] == [b"bad"]
            assert letter.headers["Quorate-Reason"] == "it broke for the 3. time"
            assert letter.headers["Quorate-Attempts"] == "3"
            assert letter.headers["Quorate-Queue"] == "tasks"
            assert letter.headers["Quorate-Subject"] == TASK
            assert letter.headers["Quorate-Id"] == "t1"
            assert letter.headers["a"] == "b"
            await bus.enqueue(TASK, b"last")
            assert [piece.message.data for piece in await take_work(bus, 1)] == [b"last"]

    async def test_failed_work_rests_before_it_comes_again(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """For as long as the rule says, or whoever failed; others are not held up."""
        async with open_bus(streams=[RESTING]) as bus, bus.work("tasks") as pieces:
            await bus.enqueue(TASK, b"one")
            await bus.enqueue(TASK, b"two")
            first = await anext(aiter(pieces))
            await first.nak("not now")
            second = await anext(aiter(pieces))
            assert (second.message.data, second.attempt) == (b"two", 1)
            await second.nak("again at once", delay_s=0)
            third = await anext(aiter(pieces))
            assert (third.message.data, third.attempt) == (b"two", 2)
            await third.ack()
            await pass_time(REST_S + 0.05)
            async with asyncio.timeout(PATIENCE_S):
                again = await anext(aiter(pieces))
            assert (again.message.data, again.attempt) == (b"one", 2)
            await again.ack()

    async def test_work_of_somebody_who_died_comes_again(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """After a silence, and not before; who says that it is under way keeps it."""
        async with (
            open_bus(streams=[FORGETFUL]) as bus,
            bus.work("tasks") as pieces,
            bus.work("tasks") as others,
            asyncio.TaskGroup() as tasks,
        ):
            await bus.enqueue(TASK, b"x")
            piece = await anext(aiter(pieces))
            waiting = tasks.create_task(take_one(others))
            for _ in range(4):
                await pass_time(ACK_WAIT_S * 0.3)
                assert not waiting.done(), "somebody else was given what is under way"
                await piece.in_progress()
            await pass_time(ACK_WAIT_S + 0.1)
            async with asyncio.timeout(PATIENCE_S):
                again = await waiting
            assert again is not None
            assert (again.message.data, again.attempt) == (b"x", 2)
            await again.ack()

    async def test_work_that_kills_its_workers_is_put_aside(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """Deliveries are counted also of those who never answered; the last letter says so."""
        async with open_bus(streams=[FORGETFUL]) as bus, bus.work("tasks", max_in_flight=8) as pieces:
            await bus.enqueue(TASK, b"poison")
            for attempt in (1, 2, 3):
                async with asyncio.timeout(PATIENCE_S):
                    piece = await anext(aiter(pieces))
                assert (piece.message.data, piece.attempt) == (b"poison", attempt)
                await pass_time(ACK_WAIT_S + 0.1)
            await bus.enqueue(TASK, b"good")
            async with asyncio.timeout(PATIENCE_S):
                good = await anext(aiter(pieces))
            assert good.message.data == b"good"
            await good.ack()
            (letter,) = await read_dead(bus)
            assert (letter.data, letter.headers["Quorate-Attempts"]) == (b"poison", "3")
            assert "nobody answered in time" in letter.headers["Quorate-Reason"]

    async def test_what_can_never_be_done_is_put_aside_at_once(self, open_bus: OpenBus) -> None:
        """A worker says so; saying it twice, or saying that it is done, changes nothing any more."""
        async with open_bus(streams=[TASKS]) as bus, bus.work("tasks") as pieces:
            await bus.enqueue(TASK, b"x")
            piece = await anext(aiter(pieces))
            await piece.reject("no such agent")
            await piece.reject("no such agent")
            await piece.ack()
            (letter,) = await read_dead(bus)
            assert (letter.headers["Quorate-Reason"], letter.headers["Quorate-Attempts"]) == ("no such agent", "1")
            await bus.enqueue(TASK, b"y")
            assert (await anext(aiter(pieces))).message.data == b"y"
            assert len(await read_dead(bus)) == 1

    async def test_a_full_queue_pushes_back(self, open_bus: OpenBus) -> None:
        """A typed error, nothing lost, and room again once something is done."""
        async with open_bus(streams=[TASKS]) as bus:
            for number in range(50):
                await bus.enqueue(TASK, str(number).encode())
            for _ in range(3):
                with expect(RateLimited, "Send it again"):
                    await bus.enqueue(TASK, b"too much")
            assert len(await take_work(bus, 50)) == 50
            await bus.flush()
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        await bus.enqueue(TASK, b"now")
                        break
                    except RateLimited:
                        await asyncio.sleep(0.01)
            assert [piece.message.data for piece in await take_work(bus, 1)] == [b"now"]

    async def test_what_nobody_takes_in_time_is_gone(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """By its own time to live, which is counted in whole seconds."""
        async with open_bus(streams=[TASKS, EVENTS]) as bus:
            await bus.enqueue(TASK, b"short", ttl_s=0.2)
            await bus.enqueue(EVENT, b"short", ttl_s=1)
            await bus.enqueue(TASK, b"long", ttl_s=3600)
            await bus.enqueue(EVENT, b"long")
            await pass_time(2.2)
            assert [piece.message.data for piece in await take_work(bus, 1)] == [b"long"]
            async with bus.subscribe(EVENT, after=0) as events:
                assert [event.data for event in await take(events, 1)] == [b"long"]
            for bad in (0, -1, float("nan")):
                with expect(InvalidInput, "ttl_s"):
                    await bus.enqueue(TASK, b"", ttl_s=bad)

    async def test_a_worker_has_no_more_than_it_may(self, open_bus: OpenBus) -> None:
        """`max_in_flight` bounds what was not answered; an answer makes room."""
        async with (
            open_bus(streams=[TASKS]) as bus,
            bus.work("tasks", max_in_flight=2) as pieces,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(3):
                await bus.enqueue(TASK, str(number).encode())
            first, _ = await anext(aiter(pieces)), await anext(aiter(pieces))
            waiting = tasks.create_task(take_one(pieces))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await first.ack()
            async with asyncio.timeout(PATIENCE_S):
                third = await waiting
            assert third is not None
            assert third.message.data == b"2"
            with expect(InvalidInput, "max_in_flight"):
                async with bus.work("tasks", max_in_flight=0):
                    pass

    async def test_work_that_was_forgotten_makes_room(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """Whoever never answers is not blocked by it for ever."""
        async with open_bus(streams=[FORGETFUL]) as bus, bus.work("tasks", max_in_flight=1) as pieces:
            await bus.enqueue(TASK, b"x")
            first = await take_one(pieces)
            await pass_time(ACK_WAIT_S + 0.1)
            async with asyncio.timeout(PATIENCE_S):
                second = await take_one(pieces)
            assert first is not None
            assert second is not None
            assert (first.attempt, second.attempt) == (1, 2)
            await first.ack()

    async def test_a_worker_that_leaves_gives_back_what_it_has(self, open_bus: OpenBus) -> None:
        """Others need not wait for the silence."""
        async with open_bus(streams=[TASKS]) as bus:
            for number in range(5):
                await bus.enqueue(TASK, str(number).encode())
            async with bus.work("tasks") as pieces:
                await anext(aiter(pieces))
            taken = await take_work(bus, 5)  # which has less patience than the rule
            assert sorted(piece.message.data for piece in taken) == [str(number).encode() for number in range(5)]

    async def test_draining_ends_the_loop_of_a_worker(self, open_bus: OpenBus) -> None:
        """Also one that waits for work."""
        async with (
            open_bus(streams=[TASKS]) as bus,
            bus.work("tasks") as pieces,
            asyncio.timeout(PATIENCE_S),
            asyncio.TaskGroup() as tasks,
        ):
            waiting = tasks.create_task(take_one(pieces))
            await asyncio.sleep(0.01)
            await pieces.drain()
            assert await waiting is None

    async def test_what_happened_is_read_again_from_any_place(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """From the beginning, behind a number, since a time; and then what comes."""
        async with open_bus(streams=[EVENTS]) as bus:
            for number in range(10):
                await bus.enqueue(f"{EVENT}.r{number % 2}", str(number).encode())
            async with bus.subscribe("ai.events.>", after=0) as events:
                kept = await take(events, 10)
                assert [(event.seq, event.data) for event in kept] == [(n + 1, str(n).encode()) for n in range(10)]
                await bus.enqueue(EVENT, b"new")
                assert [event.data for event in await take(events, 1)] == [b"new"]
            async with bus.subscribe("ai.events.>", after=7) as events:
                assert [event.seq for event in await take(events, 4)] == [8, 9, 10, 11]
            async with bus.subscribe(f"{EVENT}.r1", after=2) as events:
                assert [event.data for event in await take(events, 4)] == [b"3", b"5", b"7", b"9"]
            await pass_time(0.1)
            late = await bus.enqueue(EVENT, b"late")
            async with bus.subscribe(EVENT, after=late.seq - 1) as events:
                (event,) = await take(events, 1)
            async with bus.subscribe("ai.events.>", since=event.time - 0.01) as events:
                assert [event.data for event in await take(events, 1)] == [b"late"]
            with expect(InvalidInput, "after"):
                async with bus.subscribe("ai.events.>", after=1, since=2.0):
                    pass

    async def test_a_stream_of_events_forgets_the_oldest(self, open_bus: OpenBus) -> None:
        """It is bounded, and whoever tells is not held up."""
        async with open_bus(streams=[EVENTS]) as bus:
            for number in range(30):
                await bus.enqueue(EVENT, str(number).encode())
            async with bus.subscribe(EVENT, after=0) as events:
                assert [event.seq for event in await take(events, 20)] == list(range(11, 31))

    async def test_what_is_kept_is_heard_as_well(self, open_bus: OpenBus) -> None:
        """Whoever listens need not read the stream; and what is only told is kept where a stream keeps its subject."""
        async with open_bus(streams=[EVENTS]) as bus:
            async with bus.subscribe("ai.events.>") as heard:
                await bus.enqueue(EVENT, b"kept", id="e1")
                await bus.publish(EVENT, b"told")
                messages = await take(heard, 2)
            assert [(message.data, message.headers.get("Quorate-Id")) for message in messages] == [
                (b"kept", "e1"),
                (b"told", None),
            ]
            async with bus.subscribe(EVENT, after=0) as events:
                assert [event.data for event in await take(events, 2)] == [b"kept", b"told"]
