"""Is whoever has a wrong key, or one that counts no more, told so at once, and is a key replaced without a gap?"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from tests.tenants import EVERY_ROLE, Tenants, build_facts, open_tenants

from quorate.bus.accounts.facts import Facts, PrincipalFacts
from quorate.bus.accounts.saving import save_configuration
from quorate.bus.backends.nats import NatsLogin, NatsPatience, open_nats_bus
from quorate.errors import Forbidden, InvalidInput, QuorateError, Unauthenticated
from quorate.ports.bus import StreamRule

TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.acme.>",), kind="work", max_bytes=1 << 20)
EVENTS = StreamRule(name="events", subjects=("ai.events.runs.acme",), kind="events", max_bytes=1 << 20)
TOLD = "ai.agent.told.acme"
PATIENCE_S = 60.0
FACTS = build_facts("acme", "globex")


@pytest.fixture
def tenants() -> Iterator[Tenants]:
    """A server of one's own, whose configuration changes while it runs."""
    with open_tenants(FACTS) as opened:
        yield opened


async def change(tenants: Tenants, facts: Facts = FACTS, *, rotate: str = "", retire: str = "") -> None:
    """Write another configuration, and let the server read it."""

    def write() -> None:
        save_configuration(facts, tenants.folder, rotate=[rotate] if rotate else [], retire=[retire] if retire else [])
        tenants.server.reload()

    await asyncio.to_thread(write)


def change_people(**people: PrincipalFacts | None) -> Facts:
    """Build the facts with other principals of the first tenant; those that are none are left out."""
    principals = {name: one for name, one in {**EVERY_ROLE, **people}.items() if one is not None}
    acme = structs.replace(FACTS.tenants["acme"], principals=principals)
    return structs.replace(FACTS, tenants={**FACTS.tenants, "acme": acme})


async def fail(tenants: Tenants, *, tenant: str = "acme", principal: str = "worker", **options: object) -> QuorateError:
    """Open a bus that cannot be opened; return why."""
    given = {"login": tenants.find_login("acme", "worker"), **options}
    try:
        async with open_nats_bus(tenants.server.url, tenant=tenant, principal=principal, **given) as bus:  # pyright: ignore[reportArgumentType]
            await bus.publish(f"ai.agent.told.{tenant}", b"")
            await bus.flush()
    except QuorateError as error:
        return error
    raise AssertionError("it was let in")


async def test_who_may_not_in_is_told_what_to_do(tenants: Tenants, tmp_path: Path) -> None:
    """A wrong key, nobody's, one for another principal, one for another tenant, or one that is no key."""
    save_configuration(FACTS, tmp_path / "other")
    wrong = str(tmp_path / "other" / "keys" / "acme" / "worker.nk")
    error = await fail(tenants, login=NatsLogin(nkey_file=wrong))
    assert isinstance(error, Unauthenticated)
    assert "does not let us in: check the login by the key in" in error.message
    assert "`quorate nats config --check`" in error.message
    error = await fail(tenants, login=None)
    assert isinstance(error, Unauthenticated)
    assert "there is none: set one" in error.message
    error = await fail(tenants, login=NatsLogin(user="worker", password="secret"))
    assert isinstance(error, Unauthenticated)
    assert "the login of 'worker'" in error.message
    assert "secret" not in error.message
    error = await fail(tenants, principal="local")
    assert isinstance(error, Forbidden)
    assert "listen to '_INBOX_local" in error.message
    assert "made for our tenant and principal" in error.message
    error = await fail(tenants, tenant="globex")
    assert isinstance(error, Forbidden)
    assert "publish to 'ai.agent.told.globex'" in error.message
    (tmp_path / "none.nk").write_text("SUAnonsense")
    error = await fail(tenants, login=NatsLogin(nkey_file=str(tmp_path / "none.nk")))
    assert isinstance(error, InvalidInput)
    assert "nonsense" not in error.message


async def test_a_key_is_replaced_without_a_gap(tenants: Tenants, tmp_path: Path) -> None:
    """Both let in until the one before is retired; who still has that is told so, wherever it waits."""
    old = tmp_path / "old.nk"
    old.write_bytes((tenants.folder / "keys" / "acme" / "worker.nk").read_bytes())
    login = NatsLogin(nkey_file=str(old))
    async with (
        tenants.open("acme", "server", streams=[TASKS, EVENTS]),
        open_nats_bus(
            tenants.server.url, tenant="acme", principal="worker", login=login, streams=[TASKS, EVENTS]
        ) as before,
        before.subscribe(TOLD) as heard,
        before.subscribe("ai.events.runs.acme", after=0) as events,
        before.work("tasks") as pieces,
        asyncio.timeout(PATIENCE_S),
    ):
        await change(tenants, rotate="acme/worker")
        async with tenants.open("acme", "worker") as after, after.subscribe(TOLD) as told:
            await before.publish(TOLD, b"old")
            await before.flush()
            assert (await anext(aiter(told))).data == b"old"
            assert (await anext(aiter(heard))).data == b"old"
            await change(tenants, retire="acme/worker")
            for waiting in (heard, events, pieces):
                with pytest.raises(Unauthenticated, match="our key was retired"):
                    await anext(aiter(waiting))
            with pytest.raises(Unauthenticated, match="our key was retired"):
                await before.publish(TOLD, b"")
            await after.publish(TOLD, b"new")
            assert (await anext(aiter(told))).data == b"new"
    assert isinstance(await fail(tenants, login=login), Unauthenticated)


async def test_what_is_taken_away_while_it_is_used_is_told(tenants: Tenants) -> None:
    """A subject, a queue and a stream: whoever waits for them gets an error, not silence; others go on."""
    async with (
        tenants.open("acme", "server", streams=[TASKS, EVENTS]) as server,
        tenants.open("acme", "worker", streams=[TASKS, EVENTS]) as worker,
        worker.subscribe(TOLD) as heard,
        worker.subscribe("ai.agent.other.acme") as other,
        worker.work("tasks") as pieces,
        asyncio.timeout(PATIENCE_S),
    ):
        await server.enqueue("ai.agent.tasks.acme.net", b"one")
        piece = await anext(aiter(pieces))
        less = PrincipalFacts(role="worker", subjects=("ai.agent.other.acme",), queues=(), reads=())
        await change(tenants, change_people(worker=less))
        with pytest.raises(Forbidden, match=f"listen to '{TOLD}'"):
            await anext(aiter(heard))
        await piece.ack()
        with pytest.raises(Forbidden, match=r"publish to '\$js"):
            await anext(aiter(pieces))
        await server.publish("ai.agent.other.acme", b"goes on")
        assert (await anext(aiter(other))).data == b"goes on"
        await change(tenants)
        async with worker.subscribe(TOLD) as again:
            await server.publish(TOLD, b"given back")
            assert (await anext(aiter(again))).data == b"given back"


async def test_somebody_new_is_let_in_while_others_stay(tenants: Tenants) -> None:
    """A principal is added, and one is removed, and the connections of the others are not touched."""
    async with tenants.open("acme", "server") as server, server.subscribe(TOLD) as heard:
        connected = server.connection.stats["reconnects"]
        await change(tenants, change_people(newcomer=PrincipalFacts(role="publisher"), second=None))
        async with tenants.open("acme", "newcomer") as newcomer:
            await newcomer.publish(TOLD, b"hello")
            await newcomer.flush()
        assert (await anext(aiter(heard))).data == b"hello"
        assert server.connection.stats["reconnects"] == connected
        gone = await fail(tenants, principal="second", login=tenants.find_login("acme", "second"))
        assert isinstance(gone, Unauthenticated)


async def test_a_tenant_takes_no_more_than_is_its_own(tenants: Tenants) -> None:
    """Connections, streams and disk: who wants more is told which bound is in the way."""
    small = structs.replace(FACTS.tenants["acme"], max_connections=2, max_streams=3, max_disk=8 << 20)
    await change(tenants, structs.replace(FACTS, tenants={**FACTS.tenants, "acme": small}))
    async with tenants.open("acme", "server", streams=[TASKS, EVENTS]), tenants.open("acme", "worker"):
        said = ""
        for _ in range(20):  # the server says why and hangs up, and what arrives first is not ours to choose
            with pytest.raises(QuorateError) as refused:
                await tenants.open("acme", "second", patience=NatsPatience(connect_s=3)).__aenter__()
            said = refused.value.message
            if "reset by peer" not in said:
                break
        assert "maximum account active connections exceeded" in said
        async with tenants.open("globex", "worker"):
            pass
    large = StreamRule(name="large", subjects=("ai.large.a.acme",), kind="events", max_bytes=16 << 20)
    with pytest.raises(InvalidInput, match="`max_file` is 8388608 bytes"):
        await tenants.open("acme", "server", streams=[large]).__aenter__()
    with pytest.raises(InvalidInput, match="`max_streams` is 3; there are 4"):
        await tenants.open(
            "acme", "server", streams=[TASKS, EVENTS, structs.replace(large, max_bytes=1 << 20)]
        ).__aenter__()
