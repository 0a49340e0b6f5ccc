"""What must every bus do?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from quorate.errors import DeadlineExceeded, Forbidden, Incomplete, InvalidInput, NoResponders, TooLarge, UnknownName
from quorate.ports.bus import Bus, Message, Room, StreamRule, Subscription
from quorate.testing.contracts.building import expect, run_together

OpenBus = Callable[..., AbstractAsyncContextManager[Bus]]
"""Opens a bus over one and the same broker; takes `tenant`, `principal` and `streams`."""
PassTime = Callable[[float], Awaitable[None]]
SUBJECT = "ai.agent.told.acme"
PATIENCE_S = 30.0
EVENTS = StreamRule(name="events", subjects=("ai.events.>",), kind="events", max_messages=1000)


async def take(subscription: Subscription, count: int, *, within_s: float = PATIENCE_S) -> list[Message]:
    """Take so many messages."""
    taken: list[Message] = []
    async with asyncio.timeout(within_s):
        async for message in subscription:
            taken.append(message)
            if len(taken) == count:
                break
    return taken


async def wait_total(counters: Sequence[Counter[bytes]], total: int) -> None:
    """Wait until so many things were counted in all."""
    async with asyncio.timeout(PATIENCE_S):
        while sum(counter.total() for counter in counters) < total:  # noqa: ASYNC110 what is counted sets no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def answering(bus: Bus, pattern: str, *, answer: bytes, group: str | None = None) -> AsyncGenerator[None]:
    """Answer whatever is asked, for a block."""
    async with bus.subscribe(pattern, group=group) as questions, asyncio.TaskGroup() as tasks:

        async def serve() -> None:
            async for question in questions:
                if question.reply:
                    await bus.publish(question.reply, answer + question.data)

        task = tasks.create_task(serve())
        yield
        task.cancel()


class BusContract:
    """What every `Bus` must do with messages that nobody keeps; see `quorate.testing.contracts` on how to use it."""

    async def test_a_group_shares_and_a_subscriber_alone_hears_everything(self, open_bus: OpenBus) -> None:
        """Three workers in a group and one alone: 300 messages, each once for the group and once for the other."""
        heard: list[Counter[bytes]] = [Counter() for _ in range(3)]
        async with (
            open_bus() as sender,
            open_bus() as bus,
            asyncio.TaskGroup() as tasks,
            bus.subscribe(SUBJECT) as alone,
        ):
            ready = [asyncio.Event() for _ in heard]

            async def work(number: int) -> None:
                async with open_bus() as own, own.subscribe(SUBJECT, group="workers") as shared:
                    ready[number].set()
                    async for message in shared:
                        heard[number][message.data] += 1

            workers = [tasks.create_task(work(number)) for number in range(3)]
            for event in ready:
                await event.wait()
            for number in range(300):
                await sender.publish(SUBJECT, str(number).encode())
            await sender.flush()
            solo = await take(alone, 300)
            await wait_total(heard, 300)
            for worker in workers:
                worker.cancel()
        assert [message.data for message in solo] == [str(number).encode() for number in range(300)]
        total = sum(heard, Counter[bytes]())
        assert len(total) == 300
        assert set(total.values()) == {1}
        assert all(counter for counter in heard), "a member of the group got nothing"

    async def test_a_request_is_answered(self, open_bus: OpenBus) -> None:
        """The first answer comes back to whoever asked, many questions at a time."""
        async with open_bus() as asker, open_bus() as bus, answering(bus, "ai.agent.ask.acme.*", answer=b"re "):
            answers = await run_together(
                asker.request(f"ai.agent.ask.acme.n{number}", str(number).encode()) for number in range(100)
            )
            assert [answer.data for answer in answers] == [f"re {number}".encode() for number in range(100)]

    async def test_a_request_that_nobody_hears_fails_at_once(self, open_bus: OpenBus) -> None:
        """No responders is known long before the timeout."""
        async with open_bus() as bus:
            loop = asyncio.get_running_loop()
            began = loop.time()
            with expect(NoResponders, "ai.agent.ask.acme"):
                await bus.request("ai.agent.ask.acme", b"?", timeout_s=30)
            assert loop.time() - began < 15

    async def test_a_request_to_somebody_slow_fails_at_the_timeout(self, open_bus: OpenBus) -> None:
        """Somebody listens and says nothing."""
        async with open_bus() as bus, bus.subscribe("ai.agent.ask.acme"):
            loop = asyncio.get_running_loop()
            began = loop.time()
            with expect(DeadlineExceeded, "0.2 s"):
                await bus.request("ai.agent.ask.acme", b"?", timeout_s=0.2)
            assert 0.15 < loop.time() - began < 30

    async def test_a_star_is_one_word_and_a_bracket_the_rest(self, open_bus: OpenBus) -> None:
        """`*` matches one token, `>` one or more."""
        sent = ["a.b", "a.c", "a.b.c", "a.b.c.d", "b.b", "a"]
        wanted = {
            "a.*": ["a.b", "a.c"],
            "a.>": ["a.b", "a.c", "a.b.c", "a.b.c.d"],
            "a.**": ["a.b", "a.c", "a.b.c", "a.b.c.d"],
            "*.b": ["a.b", "b.b"],
            "a.*.c": ["a.b.c"],
            "a.*.>": ["a.b.c", "a.b.c.d"],
            "*": ["a"],
            ">": sent,
            "a.b": ["a.b"],
        }
        async with open_bus() as bus:
            for pattern, expected in wanted.items():
                async with bus.subscribe(pattern) as heard:
                    for subject in sent:
                        await bus.publish(subject, b"")
                    await bus.flush()
                    await heard.drain()
                    assert [message.subject async for message in heard] == expected, pattern

    async def test_what_is_no_subject_is_refused(self, open_bus: OpenBus) -> None:
        """Nothing is sent to a wildcard, an empty word, a space, a line break, or the broker itself."""
        async with open_bus(streams=[EVENTS]) as bus:
            for subject in (
                "a.*",
                "a.>",
                ">",
                "*",
                "",
                "a..b",
                ".a",
                "a.",
                "a b",
                "a\r\nPUB x 0",
                "a\x00",
                "ä",
                "a" * 300,
            ):
                with expect(InvalidInput, "subject"):
                    await bus.publish(subject, b"")
                with expect(InvalidInput, "subject"):
                    await bus.request(subject, b"", timeout_s=1)
                with expect(InvalidInput, "subject"):
                    await bus.enqueue(subject, b"")
            for pattern in ("", "a..b", "a.>.b", "a*", "a.b>", "a b", "a\r\n", ".", "a" * 300):
                with expect(InvalidInput, "pattern"):
                    async with bus.subscribe(pattern):
                        pass
            for subject in ("$JS.API.INFO", "$SYS.x"):
                with expect(Forbidden, "broker"):
                    await bus.publish(subject, b"")
                with expect(Forbidden, "broker"):
                    async with bus.subscribe(subject):
                        pass
            with expect(InvalidInput, "group"):
                async with bus.subscribe("a", group="a b"):
                    pass

    async def test_another_tenants_subjects_are_refused(self, open_bus: OpenBus) -> None:
        """Neither told, asked nor listened to."""
        async with open_bus(streams=[EVENTS]) as bus:
            with expect(Forbidden, "other"):
                await bus.publish("ai.agent.told.other", b"")
            with expect(Forbidden, "other"):
                await bus.request("ai.agent.told.other", b"")
            with expect(Forbidden, "other"):
                await bus.enqueue("ai.events.told.other", b"")
            with expect(Forbidden, "other"):
                async with bus.subscribe("ai.*.*.other.>"):
                    pass

    async def test_headers_travel_and_those_of_the_broker_do_not(self, open_bus: OpenBus) -> None:
        """What only a bus or a broker may say is left out; what could break out of a line is refused."""
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        given = {
            "traceparent": trace,
            "Note": "größer",
            "Nats-Msg-Id": "1",
            "nats-rollup": "all",
            "Quorate-Tenant": "x",
        }
        async with open_bus() as bus, bus.subscribe(SUBJECT) as heard:
            for _ in range(2):
                await bus.publish(SUBJECT, b"x", headers=given)
            for message in await take(heard, 2):
                assert dict(message.headers) == {"traceparent": trace, "Note": "größer"}
            for bad in ({"a": "b\r\nNats-Msg-Id: 1"}, {"a\r\nb": "c"}, {"": "x"}, {"a b": "c"}, {"a": "\x00"}):
                with expect(InvalidInput, "header"):
                    await bus.publish(SUBJECT, b"", headers=bad)
            with expect(TooLarge):
                await bus.publish(SUBJECT, b"", headers={"a": "x" * 20_000})

    async def test_an_answer_goes_to_an_inbox_only(self, open_bus: OpenBus) -> None:
        """Nobody has an answer sent to where something is done."""
        async with open_bus() as bus:
            with expect(InvalidInput, "inbox"):
                await bus.publish(SUBJECT, b"", reply="ai.agent.tasks.acme")

    async def test_the_order_of_a_publisher_is_kept(self, open_bus: OpenBus) -> None:
        """Ten thousand messages of any size come as they were sent."""
        async with open_bus() as sender, open_bus() as bus, bus.subscribe(SUBJECT) as heard:

            async def send() -> None:
                for number in range(10_000):
                    await sender.publish(SUBJECT, number.to_bytes(4, "big") * (1 + number % 97))

            async with asyncio.TaskGroup() as group:
                group.create_task(send())
                taken = await take(heard, 10_000, within_s=30)
            assert [int.from_bytes(message.data[:4], "big") for message in taken] == list(range(10_000))
            assert all(len(message.data) == 4 * (1 + number % 97) for number, message in enumerate(taken))

    async def test_a_message_has_a_largest_size(self, open_bus: OpenBus) -> None:
        """What the broker would not take is refused before it is sent, and the bus lives on."""
        async with open_bus() as bus, bus.subscribe(SUBJECT) as heard:
            with expect(TooLarge, SUBJECT):
                await bus.publish(SUBJECT, bytes(2 << 20))
            await bus.publish(SUBJECT, bytes(1_000_000))
            assert len((await take(heard, 1))[0].data) == 1_000_000

    async def test_what_gives_way_to_whom(self, open_bus: OpenBus) -> None:
        """Nobody's memory grows because he is slow; each policy drops what it says, and counts it."""
        wanted: dict[str, tuple[list[bytes], int]] = {
            "oldest": ([b"5", b"6", b"7"], 5),
            "newest": ([b"0", b"1", b"2"], 5),
            "latest": ([b"7"], 7),
        }
        async with open_bus() as bus:
            for overflow, (expected, dropped) in wanted.items():
                room = Room(max_messages=3, overflow=overflow)  # pyright: ignore[reportArgumentType]
                async with bus.subscribe(SUBJECT, room=room) as slow, bus.subscribe(SUBJECT) as quick:
                    for number in range(8):
                        await bus.publish(SUBJECT, str(number).encode())
                    assert len(await take(quick, 8)) == 8, "a slow one must not harm the others"
                    await slow.drain()
                    assert [message.data async for message in slow] == expected
                    assert slow.dropped == dropped, overflow
            async with bus.subscribe(SUBJECT, room=Room(max_bytes=10, overflow="oldest")) as small:
                for number in range(8):
                    await bus.publish(SUBJECT, str(number).encode() * 4)
                await bus.flush()
                await small.drain()
                assert [message.data[:1] async for message in small] == [b"6", b"7"]

    async def test_a_subscription_may_end_when_it_is_too_slow(self, open_bus: OpenBus) -> None:
        """What came is still given out, and then it says why it ended."""
        async with open_bus() as bus, bus.subscribe(SUBJECT, room=Room(max_messages=3, overflow="end")) as slow:
            async with bus.subscribe(SUBJECT) as quick:
                for number in range(8):
                    await bus.publish(SUBJECT, str(number).encode())
                await take(quick, 8)
            taken: list[bytes] = []
            with expect(Incomplete, SUBJECT, "3 messages waited"):
                async for message in slow:
                    taken.append(message.data)
            assert taken == [b"0", b"1", b"2"]

    async def test_the_end_of_a_bus_waits_for_its_subscribers(self, open_bus: OpenBus) -> None:
        """What came before is still taken; then every loop ends."""
        taken: list[bytes] = []
        async with asyncio.TaskGroup() as tasks, open_bus() as sender, open_bus() as bus:
            ready = asyncio.Event()

            async def read() -> None:
                async with bus.subscribe(SUBJECT) as heard:
                    ready.set()
                    async for message in heard:
                        await asyncio.sleep(0)
                        taken.append(message.data)

            tasks.create_task(read())
            await ready.wait()
            for number in range(500):
                await sender.publish(SUBJECT, str(number).encode())
            await sender.flush()
            async with bus.subscribe("a.last") as last:
                await sender.publish("a.last", b"")
                await take(last, 1)
        assert taken == [str(number).encode() for number in range(500)]

    async def test_a_reader_that_is_cancelled_loses_nothing_for_others(self, open_bus: OpenBus) -> None:
        """Two take from one subscription; what one was woken for goes to the other."""
        async with open_bus() as bus, bus.subscribe(SUBJECT) as heard, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(take(heard, 1))
            second = tasks.create_task(take(heard, 1))
            await asyncio.sleep(0)
            await bus.publish(SUBJECT, b"x")
            first.cancel()
            assert [message.data for message in await second] == [b"x"]

    async def test_an_unknown_queue_is_named(self, open_bus: OpenBus) -> None:
        """So is the nearest one; and a subject that nothing keeps."""
        async with open_bus(streams=[StreamRule(name="tasks", subjects=("ai.t.>",), kind="work")]) as bus:
            with expect(UnknownName, "'task'", "`tasks`"):
                async with bus.work("task"):
                    pass
            with expect(InvalidInput, "no stream keeps 'a.b'", "tasks"):
                await bus.enqueue("a.b", b"")
            with expect(InvalidInput, "no stream keeps 'a.b'"):
                async with bus.subscribe("a.b", after=0):
                    pass

    async def test_streams_that_do_not_hold_together_are_refused(self, open_bus: OpenBus) -> None:
        """All faults at once."""
        bad: Sequence[StreamRule] = (
            StreamRule(name="one", subjects=("ai.t.>",), kind="work", max_messages=0),
            StreamRule(name="two", subjects=("ai.*.x.acme", "ai.x.y.other"), kind="events"),
        )
        with expect(InvalidInput, "max_messages=0", "same subjects", "another tenant"):
            async with open_bus(streams=bad):
                pass
