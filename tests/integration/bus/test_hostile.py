"""Does a bus over a real server outlive whatever another client of the same account sends?"""

import asyncio
import random
from collections.abc import Iterator

import pytest
from tests.tenants import Tenants, build_facts, open_tenants

from quorate.bus.backends._nats_bus import NatsBus
from quorate.bus.backends._nats_work import NatsWork
from quorate.ports.bus import StreamRule

CASES = 300
TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.acme.>",), kind="work", max_bytes=32 << 20)
TASK = "ai.agent.tasks.acme.net"
TOLD = "ai.agent.told.acme"
PATIENCE_S = 100.0
OURS = b"NATS/1.0\r\nQuorate-Tenant: acme\r\n"
BLOCKS = (
    b"",
    b"\r\n",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nQuorate-Tenant: beta\r\n\r\n",
    OURS + b"\r\n",
    OURS + b"quorate-tenant: beta\r\n\r\n",
    OURS + b"Nats-Rollup-\xff: all\r\nnote\x00: x\r\nno\xc3\xb6: y\r\na: b\x1b[31m\r\n\r\n",
    OURS + b"Quorate-Reason: forged\r\nQuorate-Attempts: 99\r\n\r\n",
    OURS + b"".join(b"n%d: x\r\n" % number for number in range(300)) + b"\r\n",
    OURS + b"long: " + b"x" * 30_000 + b"\r\n\r\n",
    OURS + b"huge: " + b"x" * 100_000 + b"\r\n\r\n",
    OURS,
    b"NATS/1.0 503 No Responders\r\n\r\n",
    b"NATS/1.0 " + b"9" * 6000 + b"\r\nNats-Pending-Messages: " + b"9" * 6000 + b"\r\n\r\n",
)


@pytest.fixture(scope="module")
def tenants() -> Iterator[Tenants]:
    with open_tenants(build_facts("acme")) as opened:
        yield opened


async def throw(bus: NatsBus, subject: str, block: bytes, data: bytes, *, reply: str = "") -> None:
    """Publish with whatever headers."""
    where = f"HPUB {subject} {reply} {len(block)} {len(block) + len(data)}\r\n" if block else ""
    plain = f"PUB {subject} {reply} {len(data)}\r\n"
    await bus.connection.send((where or plain).encode() + block + data + b"\r\n")


async def test_hostile_messages_are_put_aside_and_others_go_on(tenants: Tenants) -> None:
    """Hundreds of them, into a queue, to a subscriber, and to the inbox of whoever waits: what is not believed is a
    dead letter or is passed over, what is given out is clean, and what is good arrives."""
    chance = random.Random(10)
    async with (
        asyncio.timeout(PATIENCE_S),
        tenants.open("acme", "server", streams=[TASKS]) as server,
        tenants.open("acme", "worker", streams=[TASKS]) as worker,
        tenants.open("acme", "second") as hostile,
        worker.subscribe("ai.>") as heard,
        worker.work("tasks") as pieces,
    ):
        for number in range(CASES):
            block, data = chance.choice(BLOCKS), chance.randbytes(chance.randint(0, 100))
            subject = chance.choice((TASK, TOLD))
            await throw(hostile, subject, block, data, reply=chance.choice(("", "_INBOX_server.x", "ai.a.b.acme")))
            await throw(hostile, f"{worker.asker.inbox}.{number + 1}", block, data)
            await throw(hostile, f"{server.asker.inbox}.{number + 1}", block, data)
        await hostile.flush()
        await hostile.connection.settle(timeout_s=PATIENCE_S)
        await server.enqueue(TASK, b"good", id="good")
        good = False
        while not good:
            piece = await anext(aiter(pieces))
            good = piece.message.data == b"good"
            for name, value in piece.message.headers.items():
                assert not name.lower().startswith(("nats-", "quorate-tenant"))
                assert (name + value).isprintable()
            await (piece.ack() if good else piece.reject("it is hostile"))
        await server.publish(TOLD, b"last")
        while (message := await anext(aiter(heard))).data != b"last":
            assert not message.reply or message.reply.startswith("_INBOX_")
            assert all((name + value).isprintable() for name, value in message.headers.items())
        assert worker.wire.foreign > 10
        await worker.check_ready(timeout_s=PATIENCE_S)


async def test_a_message_as_large_as_may_be_is_put_aside_without_what_is_in_it(tenants: Tenants) -> None:
    """With why it is a dead letter it would be larger than the server takes, and would come for ever."""
    async with (
        asyncio.timeout(PATIENCE_S),
        tenants.open("acme", "server", streams=[TASKS]) as server,
        server.work("tasks") as pieces,
        server.subscribe("ai.dead.tasks.acme") as letters,
    ):
        block = OURS + b"\r\n"
        data = bytes(server.connection.max_payload - len(block))
        await throw(server, TASK, block, data)
        piece = await anext(aiter(pieces))
        assert piece.message.data == data
        await piece.reject("it is too much")
        letter = await anext(aiter(letters))
        assert letter.data == b""
        assert letter.headers["Quorate-Reason"].startswith("it is too much (its 10")
        assert letter.headers["Quorate-Queue"] == "tasks"


async def test_what_is_no_piece_of_work_is_passed_over(tenants: Tenants) -> None:
    """Messages to the very place at which work is waited for, which only a server should know."""
    async with (
        asyncio.timeout(PATIENCE_S),
        tenants.open("acme", "server", streams=[TASKS]) as server,
        tenants.open("acme", "second") as hostile,
        server.work("tasks") as pieces,
    ):
        assert isinstance(pieces, NatsWork)
        inbox = pieces._puller._inbox  # pyright: ignore[reportPrivateUsage]
        for block in BLOCKS:
            await throw(hostile, inbox, block, b"", reply="_INBOX_server.x")
            await throw(hostile, inbox, block, b"forged")
        await hostile.connection.settle(timeout_s=PATIENCE_S)
        await server.enqueue(TASK, b"real")
        assert (await anext(aiter(pieces))).message.data == b"real"
