"""What must events over every bus do: patterns with any words, queues of one's own, order by key, and reading again?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate.bus.event_subjects import read_data
from quorate.bus.events import Events, EventSubscription, build_event_rules
from quorate.errors import Forbidden, Incomplete, InvalidInput
from quorate.ports.bus import Overflow, Room
from quorate.ports.happening import Happening
from quorate.testing.contracts.building import expect
from quorate.testing.contracts.bus import PATIENCE_S, OpenBus, PassTime

KINDS = (
    "agent.failed", "agent.net.failed", "agent.net.deep.failed", "agent", "disk.error", "error", "net.dns.error",
)  # fmt: skip
TENANT = "acme"


async def take_events(subscription: EventSubscription, count: int) -> list[Happening]:
    """Take so many events."""
    taken: list[Happening] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in subscription:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


async def take_rest(subscription: EventSubscription) -> list[Happening]:
    """Take what has come, and no more."""
    await subscription.drain()
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in subscription]


def read_numbers(events: Sequence[Happening]) -> list[int]:
    """Read the number that each event tells."""
    return [read_data(event, int) for event in events]


class EventsContract:
    """What `quorate.bus.events.Events` must do over every `Bus`; see `quorate.testing.contracts` on how to use it."""

    async def test_patterns_take_any_words_at_both_ends(self, open_bus: OpenBus) -> None:
        """One word for `*`, any number of them for `**`, wherever they stand; the same when it is read again."""
        wanted = {
            "*.error": ["disk.error"],
            "**.error": ["disk.error", "error", "net.dns.error"],
            "agent.**": ["agent.failed", "agent.net.failed", "agent.net.deep.failed", "agent"],
            "agent.*.failed": ["agent.net.failed"],
            "agent.**.failed": ["agent.failed", "agent.net.failed", "agent.net.deep.failed"],
            "*.*.error": ["net.dns.error"],
            "**.net.**": ["agent.net.failed", "agent.net.deep.failed", "net.dns.error"],
            "disk.error": ["disk.error"],
            "**": list(KINDS),
        }
        async with open_bus(streams=build_event_rules(TENANT)) as bus:
            events = Events(bus, tenant=TENANT)
            for pattern, kinds in wanted.items():
                async with events.subscribe(pattern) as heard:
                    for kind in KINDS:
                        await events.publish(kind, key="host-7")
                    await events.publish("the.end")
                    await bus.flush()
                    found = await take_events(heard, len(kinds))
                    assert [event.kind for event in found] == kinds, pattern
            for kind in KINDS:
                await events.publish(kind, key="host-7", kept=True)
            for pattern, kinds in wanted.items():
                async with events.subscribe(pattern, after=0) as kept:
                    found = await take_events(kept, len(kinds))
                    assert [event.kind for event in found] == kinds, pattern

    async def test_an_event_says_what_whose_and_when(self, open_bus: OpenBus) -> None:
        """Id, kind, tenant, key, time, run, place in the run and what is told arrive as they were sent."""
        async with open_bus() as bus:
            events = Events(bus, tenant=TENANT)
            async with events.subscribe("run.*") as heard:
                facts = {"agent": "net", "tokens": 7}
                await events.publish("run.completed", facts, key="run-1", run="run-1", seq=9, id="run-1/9", time=12.5)
                await events.publish("run.created", tenant="other", key="has space.and/dots")
                first, second = await take_events(heard, 2)
                assert read_data(first, dict[str, object]) == facts
                said = (first.id, first.kind, first.tenant, first.time, first.key, first.run, first.seq, first.place)
                assert said == ("run-1/9", "run.completed", TENANT, 12.5, "run-1", "run-1", 9, 0)
                assert (second.tenant, second.key, second.id != first.id) == ("other", "has space.and/dots", True)
            with expect(InvalidInput, "'has space'"):
                await events.publish("has space")
            with expect(InvalidInput, "'a.**b'"):
                async with events.subscribe("a.**b"):
                    pass
            with expect(InvalidInput, "cannot be written as JSON"):
                await events.publish("run.completed", object())

    async def test_a_key_and_a_tenant_can_be_chosen(self, open_bus: OpenBus) -> None:
        """Whatever the pattern is, and whatever characters the key has."""
        async with open_bus() as bus:
            events = Events(bus, tenant=TENANT)
            for pattern in ("run.done", "run.**", "**.done"):
                for key in ("run-1", "a key.of/words"):
                    async with (
                        events.subscribe(pattern, key=key) as by_key,
                        events.subscribe(pattern, tenant="other") as by_tenant,
                    ):
                        await events.publish("run.done", 1, key=key)
                        await events.publish("run.done", 2, key="run-2")
                        await events.publish("run.done", 3, key="run-2", tenant="other")
                        await events.publish("run.done", 4, key=key, tenant="other")
                        await bus.flush()
                        assert read_numbers(await take_events(by_key, 2)) == [1, 4], pattern
                        assert read_numbers(await take_events(by_tenant, 2)) == [3, 4], pattern

    async def test_each_subscriber_has_a_queue_of_its_own(self, open_bus: OpenBus) -> None:
        """Four who do not read, each with another policy and room for three, and one who does: what gave way is
        counted for each, and in all.
        """
        policies: tuple[Overflow, ...] = ("oldest", "newest", "latest", "end")
        for pattern in ("disk.*", "**.full"):  # the broker tells the first apart, the second is sieved here
            async with open_bus() as bus:
                events = Events(bus, tenant=TENANT)
                found: dict[str, list[int]] = {}
                drops: dict[str, int] = {}
                for policy in policies:
                    room = Room(max_messages=3, overflow=policy)
                    async with (
                        events.subscribe(pattern, room=room) as slow,
                        events.subscribe("disk.full", key="c", room=Room(overflow="end")) as marker,
                    ):
                        for number in range(10):
                            await events.publish("disk.full", number, key="a" if number % 2 else "b")
                            await events.publish("cpu.busy", 0)
                        await events.publish("disk.full", 10, key="c")
                        await take_events(marker, 1)
                        await settle_drops(slow, 8 if policy != "end" else 1)
                        if policy == "end":
                            taken: list[int] = []
                            with expect(Incomplete, "ended"):
                                async with asyncio.timeout(PATIENCE_S):
                                    async for event in slow:
                                        taken.append(read_data(event, int))
                            found[policy] = taken
                        else:
                            found[policy] = read_numbers(await take_rest(slow))
                        drops[policy] = slow.dropped
                assert found == {"oldest": [8, 9, 10], "newest": [0, 1, 2], "latest": [8, 9, 10], "end": [0, 1, 2]}
                assert drops == {"oldest": 8, "newest": 8, "latest": 8, "end": 1}, pattern
                assert events.dropped == 25

    async def test_what_nobody_wants_takes_nobodys_room(self, open_bus: OpenBus) -> None:
        """A pattern that the broker does not know lets only wait what it means."""
        async with open_bus() as bus:
            events = Events(bus, tenant=TENANT)
            room = Room(max_messages=2, overflow="end")
            async with events.subscribe("**.error", room=room) as errors, events.subscribe("the.end") as marker:
                await events.publish("disk.error", 1)
                for number in range(500):
                    await events.publish("disk.fine", number)
                await events.publish("net.dns.error", 2)
                await events.publish("the.end")
                await take_events(marker, 1)
                assert read_numbers(await take_events(errors, 2)) == [1, 2]
                assert (errors.dropped, events.dropped) == (0, 0)

    async def test_events_of_a_key_come_in_order(self, open_bus: OpenBus) -> None:
        """Several publishers with keys of their own, told and kept in turn: each key's numbers only grow, for
        everybody who listens, and again when they are read from the stream.
        """
        async with open_bus(streams=build_event_rules(TENANT)) as bus, open_bus() as ears:
            events, keys = Events(bus, tenant=TENANT), [f"host-{number}" for number in range(5)]

            async def tell(key: str) -> None:
                for number in range(40):
                    await events.publish("host.told", number, key=key, kept=number % 8 == 0)

            heard_by = Events(ears, tenant=TENANT)
            async with heard_by.subscribe("host.*") as plain, heard_by.subscribe("**.told") as sieved:
                async with asyncio.TaskGroup() as group:
                    for key in keys:
                        group.create_task(tell(key))
                for heard in (plain, sieved):
                    found = await take_events(heard, 200)
                    for key in keys:
                        assert read_numbers([event for event in found if event.key == key]) == list(range(40))
            async with events.subscribe("**.told", after=0) as kept:
                found = await take_events(kept, 25)
                for key in keys:
                    assert read_numbers([event for event in found if event.key == key]) == list(range(0, 40, 8))

    async def test_kept_events_are_read_from_a_number_or_a_time(self, open_bus: OpenBus, pass_time: PassTime) -> None:
        """Those behind the place of the last one that was read, or since a moment; then what comes. What was only told
        is not kept, and an id is kept once.
        """
        async with open_bus(streams=build_event_rules(TENANT)) as bus:
            events = Events(bus, tenant=TENANT)
            for number in range(6):
                if number == 3:
                    await pass_time(1.1)
                await events.publish("disk.error", number, id=f"disk-{number}", kept=True)
                await events.publish("disk.fine", number, kept=True)
                await events.publish("disk.error", 99)
            again = await events.publish("disk.error", 5, id="disk-5", kept=True)
            assert again is not None
            assert again.duplicate
            async with events.subscribe("*.error", after=0) as kept:
                found = await take_events(kept, 6)
                assert read_numbers(found) == list(range(6))
            assert [event.place for event in found] == sorted({event.place for event in found})
            async with events.subscribe("**.error", after=found[3].place) as kept:
                assert read_numbers(await take_events(kept, 2)) == [4, 5]
                await events.publish("disk.error", 6, kept=True)
                assert read_numbers(await take_events(kept, 1)) == [6]
            async with bus.subscribe(f"ai.events.kept.{TENANT}.>", after=found[2].place + 1) as raw:
                message = await anext(aiter(raw))
            async with events.subscribe("*.error", since=message.time - 0.5) as kept:
                assert read_numbers(await take_events(kept, 4)) == [3, 4, 5, 6]
        async with open_bus(tenant="other") as bus:
            with expect(InvalidInput, "no stream keeps"):
                async with Events(bus, tenant="other").subscribe(after=0):
                    pass

    async def test_a_group_shares_what_it_wants(self, open_bus: OpenBus) -> None:
        """Each event is heard by one of a group, also where different patterns are one to the broker."""
        async with open_bus() as bus:
            events = Events(bus, tenant=TENANT)
            async with (
                events.subscribe("**.error", group="g") as first,
                events.subscribe("**.error", group="g") as second,
                events.subscribe("**.done", group="g") as other,
            ):
                for number in range(40):
                    await events.publish("disk.error", number)
                    await events.publish("disk.done", number)
                await bus.flush()
                async with events.subscribe("the.end") as marker:
                    await events.publish("the.end")
                    await take_events(marker, 1)
                assert read_numbers(await take_events(other, 40)) == list(range(40))
                shared = read_numbers([*await take_rest(first), *await take_rest(second)])
                assert sorted(shared) == list(range(40))

    async def test_what_is_no_event_is_passed_over_and_counted(self, open_bus: OpenBus) -> None:
        """Bytes, other JSON, a depth that no reader stands, and what belongs elsewhere by its subject."""
        async with open_bus() as bus:
            events = Events(bus, tenant=TENANT)
            subject = f"ai.events.told.{TENANT}.{TENANT}.disk.error.-"
            good = b'{"id":"e1","kind":"disk.error","tenant":"acme","time":1.0,"new":[1]}'
            bad = (
                b"", b"\xff\xfe", b"[]", b'{"id":1}', good[:-1], good.replace(b"acme", b"evil"),
                good.replace(b"disk.error", b"run.completed"), b'{"data":' + b"[" * 100_000,
            )  # fmt: skip
            async with (
                events.subscribe("disk.*") as heard,
                events.subscribe("**.error") as sieved,
                events.subscribe() as all_of_them,
            ):
                await bus.publish(f"ai.events.told.{TENANT}.{TENANT}.-", good.replace(b"disk.error", b""))
                for data in (*bad, good):
                    await bus.publish(subject, data)
                for subscription in (heard, sieved, all_of_them):
                    (event,) = await take_events(subscription, 1)
                    assert (event.id, subscription.unread) == ("e1", len(bad))
            with expect(Forbidden, "another tenant"):
                async with Events(bus, tenant="evil").subscribe():
                    pass


async def settle_drops(subscription: EventSubscription, count: int) -> None:
    """Wait until so many events gave way."""
    async with asyncio.timeout(PATIENCE_S):
        while subscription.dropped < count:  # noqa: ASYNC110 what is counted sets no event
            await asyncio.sleep(0.001)
