"""Does an endpoint that means harm, or is badly broken, harm nobody but itself?"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec import structs
from tests.integration.runtime.webhooks.conftest import World
from tests.integration.runtime.webhooks.receiver import wait_until

from quorate.errors import Forbidden
from quorate.runtime.webhooks import WebhookPolicy
from quorate.runtime.webhooks.records import Records

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHORT_S = 0.4
"""How long an endpoint may take that never answers."""
LATE, BROKEN = "did not answer in time", "cannot be reached"


@pytest.fixture(params=["memory"])
def store(store: object) -> object:
    """One kind of database will do."""
    return store


@asynccontextmanager
async def serve(answer: Serve) -> AsyncGenerator[str]:
    """Listen with a server of one's own, which may break every rule."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            await reader.readexactly(length)
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    finally:
        server.close()


async def send_one(world: World, url: str, *, timeout_s: float = 20.0, **options: object) -> str:
    """Deliver one event there, and return why that failed; nothing when it did not."""
    world.policy = WebhookPolicy(timeout_s=timeout_s)
    world.courier = world.build_courier(**options)
    await world.add(url=url, events=("run.failed",))
    await world.record("run-1", end="failed")
    await world.deliver()
    (row,) = await world.webhooks.list_deliveries("hook")
    return row.reason


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head that never ends, one byte at a time."""
    for byte in b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 100_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"a" * 4000 + b"\r\n")
        await writer.drain()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff\x16 no http at all\r\n\r\n")
    await writer.drain()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (silence, {LATE}),
        (drip, {LATE}),
        (endless_head, {BROKEN, LATE}),
        (garbage, {BROKEN, LATE}),
        (hang_up, {BROKEN, LATE}),
    ],
)
async def test_an_endpoint_that_never_answers_is_a_failure(world: World, answer: Serve, reasons: set[str]) -> None:
    """Within the time that it has, whatever it sends meanwhile."""
    async with serve(answer) as url:
        assert await send_one(world, url, timeout_s=SHORT_S) in reasons


async def test_a_body_that_never_ends_is_not_read(world: World) -> None:
    """The head says that it was taken, and that is enough; the connection is closed under the rest."""
    sent, closed = [0], asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"a" * 65_536 + b"\r\n")
                await writer.drain()
                sent[0] += 65_536
        finally:
            closed.set()

    async with serve(pour) as url:
        assert await send_one(world, url) == ""
        await wait_until(closed.is_set)
    assert sent[0] < 32 << 20
    assert [one.what for one in world.carried] == ["delivered"]


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "/elsewhere", "https://example.com/"])
async def test_a_redirect_is_not_followed(world: World, target: str) -> None:
    """Not to a metadata service, and not anywhere else."""
    world.receiver.headers = {"Location": target}
    world.receiver.answer(307)
    assert (await send_one(world, world.receiver.url)).startswith("answered 307: redirects are not followed")
    assert [got.path for got in world.receiver.got] == ["/in"]


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.7", "192.168.1.1", "fd12::1", "fd00:ec2::254", "::ffff:10.0.0.7", "0.0.0.0"]
)
async def test_a_name_that_turns_private_is_refused_at_the_connection(world: World, address: str) -> None:
    """It was public when the webhook was added: what it stands for is looked up and checked each time."""
    asked = list[str]()

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.215.14", address] if len(asked) > 1 else [address]

    reason = await send_one(world, "https://rebinding.example.com/in", resolve=resolve)
    assert reason == "is at an address that may not be reached"
    await world.pass_time(6)
    assert asked == ["rebinding.example.com"] * 2
    assert {one.what for one in world.carried} == {"failed"}
    assert address not in repr(world.carried)


async def test_a_name_is_not_asked_twice_for_one_connection(world: World) -> None:
    """The connection goes to the very address that was checked: what the name says a moment later does not count."""
    answers = iter([["127.0.0.1"]] * 1 + [["10.0.0.7"]] * 9)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    port = world.receiver.url.split(":")[2]
    assert await send_one(world, f"http://hooks.example.com:{port}", resolve=resolve) == ""
    assert len(world.receiver.got) == 1
    assert world.receiver.got[0].headers["host"].startswith("hooks.example.com:")


async def test_an_address_that_was_let_in_and_is_no_longer_allowed_is_not_reached(world: World) -> None:
    """A row that somebody wrote past the checks, too: it is checked when it is used."""
    await world.add(events=("run.failed",))
    records = Records(world.runtime.store.values)
    for url in ("http://10.0.0.7/in", "http://169.254.169.254/in", "ftp://x/", "http://[::1", "https://x/ y"):
        record = await records.get("default", "hook")
        await records.put(structs.replace(record, webhook=structs.replace(record.webhook, url=url)))
        answer = await world.webhooks.test("hook")
        assert answer.reason in ("is at an address that may not be reached", "has a URL that cannot be reached"), url
    with pytest.raises(Forbidden):
        await world.add("inside", url="http://10.0.0.7/in")


async def test_retry_after_that_is_nonsense_is_passed_over(world: World) -> None:
    """Words, past dates, and ten years: none of them moves a delivery out of reach."""
    world.receiver.answer(503)
    for number, asked in enumerate(("soon", "-5", "1e400", "Wed, 21 Oct 2015 07:28:00 GMT", "\u00e9", "999999999")):
        world.receiver.headers = {"Retry-After": asked}
        world.policy = WebhookPolicy(timeout_s=20)
        world.courier = world.build_courier()
        await world.add(f"hook-{number}", events=("run.failed",), url=f"{world.receiver.url}/{number}")
        await world.record(f"run-{number}", end="failed")
        await world.deliver()
        row = (await world.webhooks.list_deliveries(f"hook-{number}"))[0]
        assert row.next is not None
        assert row.next <= world.clock.now() + 86_400


async def test_a_real_name_is_looked_up_and_a_name_that_is_none_is_a_failure(world: World) -> None:
    """By the machine's own resolver, in threads of the courier's own."""
    await world.add("here", url=world.receiver.url.replace("127.0.0.1", "localhost"), events=("run.failed",))
    for number, host in enumerate(("a" * 64 + ".example.com", "a..b")):
        await world.add(f"nowhere-{number}", url=f"https://{host}/in", events=("run.failed",))
    await world.record("run-1", end="failed")
    await world.deliver()
    assert len(world.receiver.got) == 1
    for number in range(2):
        (row,) = await world.webhooks.list_deliveries(f"nowhere-{number}")
        assert (row.status, row.reason) == ("pending", "cannot be reached"), row
