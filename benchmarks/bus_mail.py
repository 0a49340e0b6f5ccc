"""How long do messages between agents take, through envelope, trace and record, and how long to write and read one?"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import msgspec

from benchmarks.bus_figures import PACE, Results, Took
from benchmarks.bus_sides import HEADERS, WAIT_S, count_rate
from quorate.bus.backends.nats import open_nats_bus
from quorate.codec.envelope import Envelope, open_body, seal, unseal
from quorate.codec.formats import find_codec
from quorate.codec.schemas.agents import AgentMessage
from quorate.messages import Text
from quorate.orchestration.letters import build_inbox_rules
from quorate.orchestration.mailbox import Mailbox, open_mailbox
from quorate.state.backends.sqlite import open_sqlite_store

WORDS = "The pool of connections is used up; 37 of 40 wait for a lock that host-7 holds. "
LETTER = AgentMessage(
    id="m-1",
    sender="scout",
    recipient="lead",
    parts=tuple(Text(text=WORDS * 9) for _ in range(8)),
    conversation="case-12",
    labels={"case": "12"},
)
"""6 KB as JSON."""
TALKS = 16


def measure_codec(results: Results, *, count: int) -> None:
    """Write and read a message, beside msgspec with an encoder and a decoder of its own."""
    bare: dict[str, ModuleType] = {"json": msgspec.json, "msgpack": msgspec.msgpack}
    outside = Envelope(id="m-1", kind="agent_message", tenant="acme", time=1.0, trace=HEADERS["traceparent"])
    for name in ("json", "msgpack", "protobuf"):
        codec = find_codec(name)
        if name in bare:
            write, read = bare[name].Encoder().encode, bare[name].Decoder(AgentMessage).decode
            took = time_all(lambda read=read, write=write: read(write(LETTER)), count)
            results.add(f"codec_{name}", statistics.median(took) * 1e6, side="bare")
            took = time_all(lambda codec=codec: codec.decode(codec.encode(LETTER), AgentMessage), count)
            results.add(f"codec_{name}", statistics.median(took) * 1e6)

        def sealed(codec=codec) -> AgentMessage:
            data = seal(outside, LETTER, codec=codec)
            return open_body(unseal(data, tenant="acme", codec=codec), AgentMessage)

        results.add(f"sealed_{name}_p95", find_p95(time_all(sealed, count)) * 1e3)


def time_all(work: Callable[[], object], count: int) -> list[float]:
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return took


def find_p95(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.95)]


class Addressee:
    """Deals with messages, and notes when each was dealt with and recorded."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.done: dict[str, float] = {}
        self.ready = asyncio.Event()
        self._changed = asyncio.Event()

    async def serve(self) -> None:
        async with self.mailbox.listen(max_in_flight=256) as inbox, asyncio.TaskGroup() as group:
            self.ready.set()

            async def deal() -> None:
                async for received in inbox:
                    await received.ack("seen" if received.message.kind == "request" else None)
                    self.done[received.message.id] = time.perf_counter()
                    self._changed.set()

            for _ in range(64):
                group.create_task(deal())

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.done) < count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def open_pair(url: str) -> AsyncGenerator[tuple[Mailbox, Addressee]]:
    """Two agents with a connection of their own each, and a database that both share."""
    rules = build_inbox_rules(["lead", "net"], tenant="acme")
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_sqlite_store(f"{folder}/quorate.db") as store,
            open_nats_bus(url, tenant="acme", streams=rules) as one,
            open_nats_bus(url, tenant="acme", streams=rules) as other,
        ):
            how = {"values": store.values, "tenant": "acme", "trace": lambda: HEADERS["traceparent"]}
            async with (
                open_mailbox("lead", bus=one, **how) as lead,
                open_mailbox("net", bus=other, **how) as net,
                asyncio.TaskGroup() as group,
            ):
                addressee = Addressee(net)
                serving = group.create_task(addressee.serve())
                await addressee.ready.wait()
                yield lead, addressee
                serving.cancel()


async def measure_mail(results: Results, url: str, *, count: int) -> None:
    """Let one agent write to another: at a pace, as a question, and as fast as it goes."""
    async with open_pair(url) as (lead, net):
        sent: dict[str, float] = {}

        async def write(talk: int) -> None:
            began = time.perf_counter()
            message = await lead.send("net", WORDS, conversation=f"case-{talk}")
            sent[message.id] = began

        async def write_at_pace() -> None:
            begin = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    await asyncio.sleep(max(begin + number / PACE - time.perf_counter(), 0.0))
                    group.create_task(write(number % TALKS))
            await net.wait(count)

        paced = await count_rate(count, write_at_pace)
        took = [net.done[name] - began for name, began in sent.items()]
        results.add("mail_p50", statistics.median(took) * 1e3)
        results.add("mail_p95", Took(find_p95(took) * 1e3, paced.cpu_us))

        took = []
        for _ in range(max(count // 4, 20)):
            began = time.perf_counter()
            await lead.request("net", WORDS)
            took.append(time.perf_counter() - began)
        results.add("mail_ask_p95", find_p95(took) * 1e3)

        async def write_on(talk: int) -> None:
            for _ in range(count // TALKS):
                await write(talk)

        known, whole = len(net.done), count // TALKS * TALKS

        async def write_all() -> None:
            async with asyncio.TaskGroup() as group:
                for talk in range(TALKS):
                    group.create_task(write_on(talk))
            await net.wait(known + whole)

        results.add("mail_rate", await count_rate(whole, write_all))
