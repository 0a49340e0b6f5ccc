"""Does a server that `quorate nats config` set up keep tenants apart, and principals to what they are for?"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from tests.tenants import EVERY_ROLE, Tenants, build_facts, open_tenants

from quorate.errors import Forbidden
from quorate.ports.bus import StreamRule

TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.acme.>",), kind="work", max_bytes=1 << 20)
EVENTS = StreamRule(name="events", subjects=("ai.events.runs.acme",), kind="events", max_bytes=1 << 20)
TASK = "ai.agent.tasks.acme.net"
TOLD = "ai.agent.told.acme"
PATIENCE_S = 60.0
MAY_PUBLISH: Mapping[str, str] = {
    TASK: "server worker second teller chief",
    "ai.agent.tasks.globex.net": "",
    "audit.log": "",
    "_INBOX_server.q-1.1": "server worker second chief",
    "$JS.API.INFO": "server worker second teller looker chief",
    "$JS.API.STREAM.CREATE.acme_mine": "server chief",
    "$JS.API.STREAM.UPDATE.acme_tasks": "server chief",
    "$JS.API.STREAM.DELETE.acme_tasks": "chief",
    "$JS.API.STREAM.PURGE.acme_tasks": "chief",
    "$JS.API.STREAM.MSG.GET.acme_tasks": "chief",
    "$JS.API.CONSUMER.CREATE.acme_tasks.workers": "server worker second chief",
    "$JS.API.CONSUMER.CREATE.acme_events.reader-1": "server worker second looker chief",
    "$JS.API.CONSUMER.MSG.NEXT.acme_tasks.workers": "server worker second chief",
    "$JS.API.CONSUMER.DELETE.acme_tasks.workers": "chief",
    "$JS.ACK.acme_tasks.workers.1.1.1.1.1": "server worker second chief",
    "$JS.ACK.acme_events.reader-1.1.1.1.1.1": "chief",
    "$SYS.REQ.SERVER.PING": "",
    "$KV.any.key": "",
}
"""Who may publish where; nobody else may."""
MAY_HEAR: Mapping[str, str] = {
    "ai.>": "server worker second looker chief",
    TOLD: "server worker second looker chief",
    ">": "chief",
    "_INBOX.>": "",
    "_INBOX_server.>": "server",
    "_INBOX_second.q-1.*": "second",
    "$JS.API.>": "",
    "$SYS.>": "",
}


@pytest.fixture(scope="module")
def tenants() -> Iterator[Tenants]:
    with open_tenants(build_facts("acme", "globex")) as opened:
        yield opened


class Stranger:
    """A client that is not ours, with a key of ours."""

    def __init__(self) -> None:
        self.client = Client()
        self.refused: list[str] = []
        self.heard: list[tuple[str, str]] = []

    async def hear(self, message: object) -> None:
        self.heard.append((str(getattr(message, "subject", "")), str(getattr(message, "reply", ""))))

    async def listen(self, pattern: str) -> None:
        await self.client.subscribe(pattern, cb=self.hear)  # pyright: ignore[reportUnknownMemberType]

    async def note(self, error: Exception) -> None:
        self.refused.append(str(error))

    async def is_refused(self, what: str, subject: str) -> bool:
        """Whether the server did not let it do what it did before."""
        await self.settle()
        return any(what in said and f'"{subject.lower()}"' in said.lower() for said in self.refused)

    async def settle(self) -> None:
        """Wait until the server has dealt with what was sent: the client's first ping may go before it."""
        for _ in range(2):
            await self.client.flush()


@asynccontextmanager
async def open_stranger(tenants: Tenants, principal: str, *, tenant: str = "acme") -> AsyncGenerator[Stranger]:
    stranger = Stranger()
    key = tenants.find_login(tenant, principal).nkey_file
    await stranger.client.connect(
        tenants.server.url, nkeys_seed=key, error_cb=stranger.note, inbox_prefix=f"_INBOX_{principal}"
    )
    try:
        yield stranger
    finally:
        await stranger.client.close()


async def test_a_tenant_that_hears_everything_hears_nothing_of_another(tenants: Tenants) -> None:
    """0 of 1,000 messages, not even counted as foreign; what is its own is heard, and it cannot speak to the other.
    row: A3"""
    async with (
        tenants.open("acme", "chief") as acme,
        tenants.open("globex", "server") as globex,
        acme.subscribe(">") as everything,
        acme.subscribe("ai.>") as ours,
        globex.subscribe("ai.>") as theirs,
        open_stranger(tenants, "server") as stranger,
    ):
        for number in range(1000):
            await globex.publish(f"ai.agent.told.globex.n{number}", b"theirs")
        await globex.flush()
        await stranger.client.publish("ai.agent.told.globex", b"", headers={"Quorate-Tenant": "globex"})
        assert await stranger.is_refused("publish", "ai.agent.told.globex")
        with pytest.raises(Forbidden, match="belongs to another tenant"):
            await acme.publish("ai.agent.told.globex", b"")
        await acme.publish(TOLD, b"ours")
        for heard in (everything, ours):
            assert (await anext(aiter(heard))).data == b"ours"
        assert acme.wire.foreign == 0
        messages = [await anext(aiter(theirs)) for _ in range(1000)]
        assert {message.data for message in messages} == {b"theirs"}
        await globex.publish("ai.agent.told.globex", b"last")
        assert (await anext(aiter(theirs))).data == b"last"


async def test_a_tenant_has_no_stream_of_another(tenants: Tenants) -> None:
    """Not by its name, not in a list, and not by reading it; the same names are streams of its own."""
    rule = StreamRule(name="own", subjects=("ai.own.things.globex",), kind="events", max_bytes=1 << 20)
    async with tenants.open("globex", "server", streams=[rule]) as globex:
        await globex.enqueue("ai.own.things.globex", b"secret")
    async with open_stranger(tenants, "chief") as stranger:
        for question, words in {"STREAM.INFO": b"", "STREAM.MSG.GET": b'{"seq":1}', "CONSUMER.LIST": b""}.items():
            answer = await stranger.client.request(f"$JS.API.{question}.globex_own", words)
            assert b"stream not found" in answer.data, question
        listed = await stranger.client.request("$JS.API.STREAM.NAMES", b"")
        assert b"globex" not in listed.data


@pytest.mark.parametrize("principal", EVERY_ROLE)
async def test_a_principal_may_do_what_it_is_for(tenants: Tenants, principal: str) -> None:
    """And nothing else: the server says so itself, whichever client asks."""
    async with open_stranger(tenants, principal) as stranger:
        for subject in MAY_PUBLISH:
            await stranger.client.publish(subject, b"")
        for pattern in MAY_HEAR:
            await stranger.listen(pattern)
        told = {subject: not await stranger.is_refused("publish", subject) for subject in MAY_PUBLISH}
        heard = {pattern: not await stranger.is_refused("subscription", pattern) for pattern in MAY_HEAR}
    assert told == {subject: principal in who.split() for subject, who in MAY_PUBLISH.items()}
    assert heard == {pattern: principal in who.split() for pattern, who in MAY_HEAR.items()}


async def test_nobody_hears_the_answers_to_another(tenants: Tenants) -> None:
    """Neither by listening to an inbox, nor to everything, nor by a stream that keeps what is said there."""
    async with (
        tenants.open("acme", "server") as asker,
        tenants.open("acme", "worker") as worker,
        tenants.open("acme", "second") as second,
        open_stranger(tenants, "chief") as chief,
        worker.subscribe(TOLD) as questions,
        asyncio.TaskGroup() as tasks,
    ):
        with pytest.raises(Forbidden, match="listen to '_INBOX_server"):
            await second.subscribe("_INBOX_server.>").__aenter__()
        keeper = StreamRule(name="keeper", subjects=("_INBOX_server.>",), kind="events", max_bytes=1 << 20)
        with pytest.raises(Forbidden, match="our login may not make it"):
            async with tenants.open("acme", "second", streams=[keeper]):
                pass
        await chief.listen(">")
        await chief.settle()
        asking = tasks.create_task(asker.request(TOLD, b"?", timeout_s=PATIENCE_S))
        question = await anext(aiter(questions))
        await worker.publish(question.reply, b"secret")
        assert (await asking).data == b"secret"
        await chief.settle()
        assert [subject for subject, _ in chief.heard if "INBOX" in subject or subject.startswith("$")] == []
        assert TOLD in [subject for subject, _ in chief.heard]


async def test_a_forged_place_for_an_answer_is_none(tenants: Tenants) -> None:
    """Whoever may ask cannot have somebody else say something where it may not say it itself."""
    async with (
        tenants.open("acme", "server") as server,
        open_stranger(tenants, "teller") as stranger,
        server.subscribe(TOLD) as heard,
        asyncio.timeout(PATIENCE_S),
    ):
        forged = (TASK, "$JS.API.STREAM.DELETE.acme_tasks", "ai.x.y.globex")
        # The server itself lets none pass that would say that work is done.
        for reply in ("$JS.ACK.acme_tasks.workers.1.1.1.1.1", *forged, "_INBOX_server.q-1.1"):
            await stranger.client.publish(TOLD, b"", reply=reply, headers={"Quorate-Tenant": "acme"})
        replies = [(await anext(aiter(heard))).reply for _ in range(len(forged) + 1)]
        assert replies == ["", "", "", "_INBOX_server.q-1.1"]
        assert server.wire.forged == len(forged)


async def test_each_role_works_with_our_client(tenants: Tenants) -> None:
    """A server makes streams, a publisher puts work into them and asks, a worker does it, an observer looks on."""
    async with (
        tenants.open("acme", "server", streams=[TASKS, EVENTS]) as server,
        tenants.open("acme", "worker", streams=[TASKS, EVENTS]) as worker,
        tenants.open("acme", "teller", streams=[TASKS]) as teller,
        tenants.open("acme", "looker", streams=[EVENTS]) as looker,
        asyncio.timeout(PATIENCE_S),
    ):
        await server.enqueue("ai.events.runs.acme", b"it happened")
        async with looker.subscribe("ai.events.runs.acme", after=0) as events:
            assert (await anext(aiter(events))).data == b"it happened"
        await teller.enqueue(TASK, b"work")
        async with worker.work("tasks") as pieces:
            piece = await anext(aiter(pieces))
            await piece.in_progress()
            await piece.reject("it is none")
        async with server.subscribe("ai.dead.tasks.acme", after=0) as letters:
            assert (await anext(aiter(letters))).headers["Quorate-Reason"] == "it is none"
        async with teller.work("tasks") as pieces:
            with pytest.raises(Forbidden, match=r"publish to '\$js.api.consumer.msg.next"):
                await anext(aiter(pieces))
        await looker.publish(TOLD, b"")
        with pytest.raises(Forbidden, match=r"publish to 'ai.agent.told.acme'"):
            await looker.flush()
    async with tenants.open("acme", "looker", streams=[TASKS]) as looker:
        with pytest.raises(Forbidden, match=r"CONSUMER\.CREATE\.acme_tasks"):
            await looker.subscribe(TASK, after=0).__aenter__()
