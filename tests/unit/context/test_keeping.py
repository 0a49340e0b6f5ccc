"""Does an operator see all of a tenant's memories, and can they be taken out and deleted for good?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.context.hive import ACME, ZETA, member, texts

from quorate.context.memory.keeping import TenantMemory
from quorate.context.memory.kinds import MemoryRules, Retention
from quorate.context.memory.memories import Memories
from quorate.errors import InvalidInput, UpstreamError
from quorate.messages import Embeddings
from quorate.ports import Store
from quorate.specs import EmbedRequest
from quorate.state.audit import AuditTrail
from quorate.state.backends._postgres_tenants import ROOMS
from quorate.state.erasure import Eraser
from quorate.state.services import ROOMS as RUN_ROOMS
from quorate.testing.clock import ManualClock

ANN, BOB = member("net"), member("db", principal="bob")


@pytest.fixture
def keeping(store: Store, clock: ManualClock) -> TenantMemory:
    return TenantMemory(store.values, prefix=ACME, clock=clock)


@pytest.fixture
async def filled(open_hive: Callable[..., Memories]) -> Memories:
    """Two principals of one tenant, and one of another with the same name."""
    hive = open_hive()
    await hive.remember("ann's own pump", ANN)
    await hive.remember("the pump is red", ANN, visibility="shared")
    await hive.remember("the pump is red", BOB, visibility="shared")
    await hive.remember("bob's valve", BOB, kind="episodic")
    await hive.remember("pump at hand", ANN, kind="working", visibility="shared")
    await hive.remember("valve at hand", member("net", principal="bob", session="talk"), kind="working")
    await open_hive(prefix=ZETA).remember("zeta's pump", ANN)
    return hive


async def test_an_operator_sees_the_whole_tenant(filled: Memories, keeping: TenantMemory) -> None:
    """Private memories among them, and nobody else's tenant's; page by page."""
    listed = await keeping.list_memories()
    assert sorted((one.entry.text, one.owner) for one in listed) == [
        ("ann's own pump", "ann.net"),
        ("bob's valve", "bob.db"),
        ("pump at hand", "run-1"),
        ("the pump is red", "all"),
        ("valve at hand", "talk.bob.net"),
    ]
    pages, after = list[str](), ""
    while page := await keeping.list_memories(after=after, limit=2):
        pages += [one.entry.text for one in page]
        after = page[-1].after
    assert pages == [one.entry.text for one in listed]
    assert len(await keeping.list_memories(principal="bob")) == 3
    assert len(await keeping.list_memories(kind="working")) == 2
    assert len(await keeping.list_memories(agent="db", principal="ann")) == 0
    assert await keeping.list_memories(space="other") == []


async def test_an_operator_finds_and_shows(filled: Memories, keeping: TenantMemory) -> None:
    """By words, without making anything stronger."""
    found = await keeping.find("red pump")
    assert texts(found)[0] == "the pump is red"
    (shown,) = await keeping.show(found.found[0].entry.id)
    assert (shown.entry.recalls, len(shown.entry.contributors)) == (0, 2)
    assert await keeping.show("mem-none") == []
    with pytest.raises(InvalidInput):
        await keeping.find("pump", limit=0)


async def test_an_operator_forgets_whoever_said_it(filled: Memories, keeping: TenantMemory, store: Store) -> None:
    (red,) = [one.entry.id for one in await keeping.list_memories() if "red" in one.entry.text]
    assert await keeping.forget(red) == 2
    assert await keeping.forget(red) == 0
    assert b"red" not in b"".join(entry.value for entry in await store.values.scan(""))


async def test_what_a_principal_said_is_taken_out_and_erased(
    filled: Memories, keeping: TenantMemory, store: Store
) -> None:
    """Its bytes too, also of rows that cannot be read; what others said of the same stays."""
    assert {one.note.text for one in [note async for note in keeping.export("ann")]} == {
        "ann's own pump",
        "the pump is red",
        "pump at hand",
    }
    await store.values.put(f"{ACME}own/ann.net/common/semantic/mem-x/ann/net", b"broken")
    assert await keeping.erase("ann") == 4
    assert [note async for note in keeping.export("ann")] == []
    assert not any("/ann/" in entry.key for entry in await store.values.scan(ACME))
    (red,) = [one.entry for one in await keeping.list_memories() if "red" in one.entry.text]
    assert [who.principal for who in red.contributors] == ["bob"]
    assert await keeping.erase() == 3
    assert await store.values.scan(ACME) == []
    assert len(await store.values.scan(ZETA)) == 1


async def test_tidying_keeps_rules_that_became_stricter(filled: Memories, store: Store, clock: ManualClock) -> None:
    one = Retention(max_entries=1, max_kb=1, half_life_s=60.0)
    strict = TenantMemory(
        store.values, prefix=ACME, clock=clock, rules=MemoryRules(semantic=one, working=one, episodic=one)
    )
    await filled.remember("a second pump", ANN, importance=0.9)
    assert await strict.tidy() == 1
    clock.advance(600.0)
    assert await strict.tidy() > 0
    assert await store.values.scan(ACME) == []


async def test_erasing_a_principal_a_session_or_a_run_takes_what_they_remember(
    filled: Memories, keeping: TenantMemory, store: Store, clock: ManualClock
) -> None:
    """Through the same erasure as all else they have; the two know the same keys."""
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    eraser = Eraser(store, tenant="acme", clock=clock, audit=trail)
    await eraser.erase_session("talk", by="ops")
    assert await keeping.list_memories(kind="working", principal="bob") == []
    done = await eraser.erase_principal("ann", by="ops")
    assert done.counts["value"] == 3
    assert [note async for note in keeping.export("ann")] == []
    assert len(await keeping.list_memories(principal="bob")) == 2


def test_every_room_of_runs_is_kept_apart_by_the_database() -> None:
    assert {*RUN_ROOMS} <= {*ROOMS}


class Concepts:
    """An embedder that knows what two words mean, or knows nothing any more."""

    name = "concepts:1"

    def __init__(self) -> None:
        self.is_there = True
        self.asked = list[EmbedRequest]()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.asked.append(request)
        if not self.is_there:
            raise UpstreamError("It is away.")
        return Embeddings(vectors=tuple([self._place(text) for text in request.texts]))

    def _place(self, text: str) -> tuple[float, ...]:
        return (float("water" in text or "pump" in text), float("money" in text or "price" in text), 0.1)


async def test_what_is_alike_is_found_without_a_shared_word(open_hive: Callable[..., Memories]) -> None:
    """Where there is an embedder; without it, words alone count, and a note says so."""
    embedder = Concepts()
    hive = open_hive(embedder=embedder)
    await hive.remember("the pump is red", ANN)
    await hive.remember("the price is high", ANN)
    found = await hive.find("where does our water come from", ANN)
    assert texts(found) == ["the pump is red"]
    assert found.found[0].why.startswith("relevance 0.50 (by likeness alone)")
    assert [request.purpose for request in embedder.asked] == ["document", "document", "query"]
    embedder.is_there = False
    assert (await hive.find("water", ANN)).found == ()
    found = await hive.find("pump", ANN)
    assert texts(found) == ["the pump is red"]
    assert found.notes == ("The embedder 'concepts:1' gave no vector (upstream_error): words alone count.",)
    kept = await hive.remember("the hose leaks", ANN)
    assert (kept.outcome, len(kept.notes)) == ("kept", 1)


@pytest.mark.parametrize("vector", [(), (0.0, 0.0), (float("nan"),), (float("inf"),), (1e200, 1e200), (1.0,) * 9000])
async def test_vectors_that_are_none_are_not_kept(
    open_hive: Callable[..., Memories], vector: tuple[float, ...]
) -> None:
    class Broken(Concepts):
        def _place(self, text: str) -> tuple[float, ...]:
            return vector

    kept = await open_hive(embedder=Broken()).remember("the pump is red", ANN)
    assert kept.notes == ("The embedder 'concepts:1' gave no vector that can be compared: words alone count.",)
