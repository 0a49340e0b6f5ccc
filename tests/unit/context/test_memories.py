"""Is what a hive remembers kept for as long as it should be, and found by those alone whom it concerns?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs
from tests.unit.context.hive import ACME, DAY_S, ZETA, member, texts

from quorate.context.memory.kinds import KINDS, Kind, MemoryRules, Retention, read_kind
from quorate.context.memory.memories import Memories
from quorate.context.memory.notes import Contributor
from quorate.errors import InvalidInput, NotFound, TooLarge, UnknownName
from quorate.ports import Store
from quorate.state.leaks import is_like_key
from quorate.testing.clock import ManualClock

ANN, BOB = member("net"), member("db", principal="bob", run="run-2")
SAYABLE: tuple[Kind, ...] = ("working", "episodic", "semantic", "procedural")
SHORT = Retention(max_entries=10, max_kb=10, half_life_s=100.0, ttl_s=50.0)
FADING = Retention(max_entries=10, max_kb=10, half_life_s=10.0)


async def test_every_kind_lasts_as_long_as_its_rules_say(
    open_hive: Callable[..., Memories], clock: ManualClock
) -> None:
    """Each kind has its own time to live, by our clock, and what is over is never recalled. row: D10, A16"""
    rules = MemoryRules()
    for place, kind in enumerate(KINDS, 1):
        rules = structs.replace(rules, **{kind: structs.replace(rules.get(kind), half_life_s=1e6, ttl_s=100.0 * place)})
    hive = open_hive(rules)
    for kind in SAYABLE:
        assert (await hive.remember(f"the {kind} pump", ANN, kind=kind)).outcome == "kept"
    await hive.agree("the collective pump", ANN, decision="decision-1")
    for passed, kind in enumerate(KINDS):
        assert {one.entry.kind for one in (await hive.find("pump", ANN)).found} == {*KINDS[passed:]}
        clock.advance(99.0)
        assert kind in {one.entry.kind for one in (await hive.find("pump", ANN)).found}
        clock.advance(1.0)
    assert texts(await hive.find("pump", ANN)) == []


async def test_what_nobody_touches_fades_and_what_is_recalled_stays(
    open_hive: Callable[..., Memories], clock: ManualClock
) -> None:
    """Decay halves by its half-life; saying and recalling push the end away. row: D10"""
    hive = open_hive(MemoryRules(semantic=FADING))
    fresh = (await hive.remember("the pump is red", ANN)).entry
    await hive.remember("the valve is blue", ANN)
    assert fresh is not None
    assert fresh.level == 1.0
    clock.advance(10.0)
    (half,) = (await hive.find("pump", ANN)).found
    assert half.entry.level == pytest.approx(0.5)
    end_s = fresh.expires - clock.now()
    (recalled,) = (await hive.recall("pump", ANN)).found
    assert recalled.entry.level == pytest.approx(0.5)  # as it was found
    (after,) = (await hive.find("pump", ANN)).found
    assert (after.entry.level, after.entry.recalls) == (pytest.approx(1.0), 1)
    clock.advance(end_s)
    assert texts(await hive.find("", ANN)) == ["the pump is red"]
    again = await hive.remember("The pump is red.", ANN)
    assert (again.outcome, again.entry.times if again.entry else 0) == ("reinforced", 2)
    clock.advance(end_s)
    assert texts(await hive.find("", ANN)) == ["the pump is red"]
    clock.advance(1000.0)
    assert texts(await hive.find("", ANN)) == []


async def test_recalling_does_not_prolong_a_time_to_live(
    open_hive: Callable[..., Memories], clock: ManualClock
) -> None:
    """It counts from when something was last said: what must be gone after a while is gone."""
    hive = open_hive(MemoryRules(semantic=SHORT))
    await hive.remember("the pump is red", ANN)
    for _ in range(5):
        clock.advance(9.0)
        assert len((await hive.recall("pump", ANN)).found) == 1
    clock.advance(5.0)
    assert (await hive.recall("pump", ANN)).found == ()


async def test_what_is_over_is_absent_before_anybody_cleans_up(
    open_hive: Callable[..., Memories], store: Store, clock: ManualClock
) -> None:
    """Rules that became shorter hold for what was kept under longer ones, whose bytes are still there."""
    await open_hive().remember("the pump is red", ANN)
    strict = open_hive(MemoryRules(semantic=SHORT))
    clock.advance(50.0)
    assert len(await store.values.scan(ACME)) == 1
    assert (await strict.find("pump", ANN)).found == ()
    assert (await strict.recall("pump", ANN)).found == ()
    await strict.consolidate(ANN)
    assert await store.values.scan(ACME) == []


async def test_what_fades_leaves_no_bytes(hive: Memories, store: Store, clock: ManualClock) -> None:
    """The store itself drops it, without any cleaning up."""
    await hive.remember("the pump is red", ANN, kind="episodic")
    clock.advance(90 * DAY_S)
    assert await store.values.scan(ACME) == []


async def test_recall_is_ranked_and_explained(hive: Memories, clock: ManualClock) -> None:
    """By relevance, freshness, strength and importance; what has nothing to do with it stays away. row: D10, A16"""
    await hive.remember("the database pool is exhausted", ANN, importance=0.9)
    clock.advance(DAY_S)
    await hive.remember("the database is on host seven", ANN, importance=0.1)
    await hive.remember("lunch is at noon", ANN, importance=1.0)
    found = await hive.find("is the database pool too small?", ANN)
    assert texts(found) == ["the database pool is exhausted", "the database is on host seven"]
    assert found.found[0].score > found.found[1].score
    assert found.found[0].why.startswith("relevance 0.50 (database, pool), ")
    assert found.found[0].why.endswith("recency 0.99, strength 0.75, importance 0.90")
    assert found.looked_at == 3
    assert texts(await hive.find("", ANN, limit=1)) == ["lunch is at noon"]  # the freshest and most important


async def test_the_same_memories_come_in_the_same_order(hive: Memories) -> None:
    """Ties are broken by what they are, not by chance."""
    for number in range(20):
        await hive.remember(f"pump number{number}", ANN)
    first = await hive.find("pump", ANN, limit=20)
    assert len(first.found) == 20
    assert first == await hive.find("pump", ANN, limit=20)


async def test_a_member_finds_its_own_and_the_hives(hive: Memories) -> None:
    """Private memories are those of one agent of one principal; shared ones are everybody's. row: D10"""
    others = [member("net", principal="bob"), member("db", principal="ann"), member("net-2", principal="ann")]
    await hive.remember("my pump", ANN)
    await hive.remember("our pump", ANN, visibility="shared")
    assert sorted(texts(await hive.find("pump", ANN))) == ["my pump", "our pump"]
    for other in others:
        found = await hive.find("pump", other)
        assert texts(found) == ["our pump"]
        assert found.found[0].entry.contributors == (Contributor("ann", "net"),)


async def test_tenants_share_nothing(open_hive: Callable[..., Memories]) -> None:
    """The same members of another tenant find nothing, and what they forget is their own. row: D10, A16"""
    acme, zeta = open_hive(), open_hive(prefix=ZETA)
    kept = await acme.remember("our pump", ANN, visibility="shared")
    assert (await zeta.find("pump", ANN)).found == ()
    assert (await zeta.forget(kept.id, ANN)).gone == 0
    with pytest.raises(NotFound):
        await zeta.reinforce(kept.id, ANN)
    await zeta.remember("our pump", ANN, visibility="shared")
    assert (await zeta.forget(kept.id, ANN)).gone == 1
    assert texts(await acme.find("pump", ANN)) == ["our pump"]


async def test_spaces_share_nothing(hive: Memories) -> None:
    await hive.remember("our pump", ANN, visibility="shared", space="ops")
    assert (await hive.find("pump", ANN, space="sales")).found == ()
    assert texts(await hive.find("pump", ANN, space="ops")) == ["our pump"]


@pytest.mark.parametrize("bad", ["../zeta", "a/b", "a.b", "", "ANN", "a b", "x" * 64, "ann\n", "a\0", "ä", "*"])
async def test_ids_that_could_leave_their_part_of_a_key_are_refused(hive: Memories, bad: str) -> None:
    """As a principal, an agent, a run, a session, a space, a memory, or a decision."""
    with pytest.raises(InvalidInput):
        member(bad)
    with pytest.raises(InvalidInput):
        member(principal=bad)
    with pytest.raises(InvalidInput):
        member(session=bad)
    if bad:
        with pytest.raises(InvalidInput):
            member(run=bad)
    for asked in (
        hive.remember("a pump", ANN, space=bad),
        hive.find("a pump", ANN, space=bad),
        hive.forget(bad, ANN),
        hive.reinforce(bad, ANN),
        hive.agree("a pump", ANN, decision=bad),
        hive.consolidate(ANN, space=bad),
    ):
        with pytest.raises(InvalidInput):
            await asked


async def test_what_others_say_cannot_be_forgotten(hive: Memories) -> None:
    """Each forgets its own words; a memory is gone when nobody says it any more."""
    kept = await hive.remember("our pump", ANN, visibility="shared")
    await hive.remember("our pump", BOB, visibility="shared")
    forgotten = await hive.forget(kept.id, ANN)
    assert (forgotten.gone, forgotten.others) == (1, 1)
    (left,) = (await hive.find("pump", ANN)).found
    assert left.entry.contributors == (Contributor("bob", "db"),)
    again = await hive.forget(kept.id, ANN)
    assert (again.gone, again.others) == (0, 1)
    assert (await hive.forget(kept.id, BOB)).gone == 1
    assert (await hive.find("pump", ANN)).found == ()


async def test_working_memory_is_of_one_run_or_session(hive: Memories) -> None:
    """Others in the run find it, other runs do not; a session's is of all its runs."""
    await hive.remember("pump at hand", ANN, kind="working", visibility="shared")
    assert texts(await hive.find("pump", member("db"))) == ["pump at hand"]
    assert (await hive.find("pump", member(run="run-9"))).found == ()
    talk = member(session="talk")
    await hive.remember("valve at hand", talk, kind="working", visibility="shared")
    await hive.remember("my valve at hand", talk, kind="working")
    assert len((await hive.find("valve", member(run="run-7", session="talk"))).found) == 2
    assert texts(await hive.find("valve", member("db", run="run-8", session="talk"))) == ["valve at hand"]
    with pytest.raises(InvalidInput, match="belongs to a run or a session"):
        await hive.remember("pump", member(run=""), kind="working")


async def test_what_is_repeated_or_important_lasts(hive: Memories) -> None:
    """Working memories become semantic or episodic ones of whoever said them, once. row: A16"""
    later = member(run="run-9")
    for number in range(5):
        said = await hive.remember("the pump is red", ANN, kind="working")
        assert said.became == (("semantic",) if number == 2 else ())
    important = await hive.remember("the pump burst", ANN, kind="working", importance=0.9)
    assert important.became == ("episodic",)
    await hive.remember("the valve is blue", ANN, kind="working")
    found = {one.entry.text: (one.entry.kind, one.entry.place) for one in (await hive.find("", later)).found}
    assert found == {"the pump is red": ("semantic", "own"), "the pump burst": ("episodic", "own")}
    assert (await hive.find("", member("db", run="run-9"))).found == ()


async def test_consolidating_again_makes_nothing_stronger(hive: Memories) -> None:
    """What is recalled often lasts too; a consolidation that was cut off can be done again."""
    await hive.remember("the pump is red", ANN, kind="working")
    for _ in range(2):
        await hive.recall("pump", ANN)
    assert (await hive.consolidate(ANN)).lasting == 1
    (before,) = (await hive.find("pump", member(run="run-9"))).found
    assert (await hive.consolidate(ANN)).lasting == 0
    (after,) = (await hive.find("pump", member(run="run-9"))).found
    assert before.entry == after.entry


async def test_the_hive_agrees_when_enough_say_the_same(hive: Memories) -> None:
    """Three contributors by the record of the store, not by anybody's word; no one says it thrice."""
    for _ in range(5):
        assert (await hive.remember("the pump is red", ANN, visibility="shared")).became == ()
    assert (await hive.remember("the pump is red", BOB, visibility="shared")).became == ()
    third = await hive.remember("The pump is red", member("web"), visibility="shared")
    assert third.became == ("collective",)
    (found,) = (await hive.find("pump", BOB, kinds=["collective"])).found
    assert found.entry.provenance is not None
    assert (found.entry.provenance.contributors, len(found.entry.contributors)) == (3, 3)
    fourth = await hive.remember("the pump is red", member("app"), visibility="shared")
    assert fourth.became == ("collective",)
    (found,) = (await hive.find("pump", BOB, kinds=["collective"])).found
    assert len(found.entry.contributors) == 4


async def test_nobody_alone_says_what_the_hive_agreed(hive: Memories) -> None:
    with pytest.raises(InvalidInput, match="once 3 contributors have said the same, or after a decision"):
        await hive.remember("the pump is red", ANN, kind="collective")
    agreed = await hive.agree("the pump is red", ANN, decision="decision-7")
    assert agreed.entry is not None
    assert agreed.entry.provenance is not None
    assert agreed.entry.provenance.decision == "decision-7"
    again = await hive.agree("the pump is red", ANN, decision="decision-7")
    assert again.outcome == "unchanged"


async def test_what_worked_is_told_from_what_did_not(hive: Memories) -> None:
    """Successes and failures are counted, and what failed comes later; one that failed for me is not what I say."""
    good = await hive.remember("restart the pump by hand", ANN, kind="procedural", visibility="shared")
    bad = await hive.remember("restart the pump by remote", ANN, kind="procedural", visibility="shared")
    await hive.reinforce(good.id, BOB, outcome="success")
    failed = await hive.reinforce(bad.id, BOB, outcome="failure")
    assert failed.entry is not None
    assert failed.entry.contributors == (Contributor("ann", "net"),)
    first, second = (await hive.find("restart the pump", ANN)).found
    assert (first.entry.successes, first.entry.failures) == (1, 0)
    assert (second.entry.successes, second.entry.failures) == (0, 1)
    assert first.why.endswith("worked 1 times of 1")
    assert second.strength < first.strength
    assert first.entry.contributors == (Contributor("ann", "net"), Contributor("bob", "db"))
    await hive.forget(bad.id, ANN)
    assert texts(await hive.find("restart the pump", ANN)) == ["restart the pump by hand"]


async def test_a_call_that_is_made_again_changes_nothing(hive: Memories) -> None:
    """The same key: remembering, recalling and confirming count once, whatever came between."""
    kept = await hive.remember("the pump is red", ANN, key="k1")
    await hive.remember("the pump is red", ANN, key="k2")
    again = await hive.remember("the pump is red", ANN, key="k1")
    assert (again.outcome, again.entry.times if again.entry else 0) == ("unchanged", 2)
    for _ in range(3):
        await hive.recall("pump", ANN, key="k1")
        await hive.reinforce(kept.id, ANN, key="k1")
    (found,) = (await hive.find("pump", ANN)).found
    assert (found.entry.recalls, found.entry.times) == (1, 3)
    assert found.entry.level == 1.0 + 1.0 + 0.5 + 1.0


@pytest.mark.parametrize(
    ("text", "words"), [("", "nothing to remember"), (" \n\0", "nothing to remember"), ("x" * 4001, "4000 characters")]
)
async def test_texts_that_are_none_are_refused(hive: Memories, text: str, words: str) -> None:
    with pytest.raises((InvalidInput, TooLarge), match=words):
        await hive.remember(text, ANN)


@pytest.mark.parametrize("importance", [-0.1, 1.1, float("nan"), float("inf")])
async def test_an_importance_is_from_0_to_1(hive: Memories, importance: float) -> None:
    with pytest.raises(InvalidInput, match="give a number from 0 to 1"):
        await hive.remember("the pump is red", ANN, importance=importance)


@pytest.mark.parametrize("bounds", [{"limit": 0}, {"limit": 51}, {"max_chars": 0}, {"max_chars": 32_001}])
async def test_recall_is_bounded(hive: Memories, bounds: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="give 1 to 50 and 1 to 32000"):
        await hive.recall("pump", ANN, **bounds)  # pyright: ignore[reportArgumentType]


async def test_what_does_not_fit_is_left_off_and_counted(hive: Memories) -> None:
    """Never more characters than asked for; what is short may still fit behind what is too long."""
    await hive.remember(f"pump {'long ' * 100}", ANN, importance=1.0)
    await hive.remember("pump short", ANN, importance=0.1)
    found = await hive.find("pump", ANN, max_chars=20)
    assert (texts(found), found.left_off) == (["pump short"], 1)


async def test_secrets_are_not_remembered(open_hive: Callable[..., Memories], store: Store) -> None:
    hive = open_hive(is_secret=is_like_key)
    with pytest.raises(InvalidInput, match="secrets are not remembered") as caught:
        await hive.remember("the key is sk-1234567890abcdef", ANN)
    assert "sk-123" not in caught.value.message
    assert await store.values.scan(ACME) == []


async def test_a_row_that_cannot_be_read_hides_nothing_else(hive: Memories, store: Store) -> None:
    """It is counted, and left as it is."""
    kept = await hive.remember("the pump is red", ANN)
    await hive.remember("the pump is hot", ANN)
    key = next(entry.key for entry in await store.values.scan(ACME) if kept.id in entry.key)
    await store.values.put(key, b'{"text": 5}')
    await store.values.put(f"{ACME}own/ann.net/common/semantic/stray", b"x")
    found = await hive.find("pump", ANN)
    assert texts(found) == ["the pump is hot"]
    assert found.notes == ("2 rows cannot be read and were left out.",)
    assert (await store.values.get(key)) is not None


async def test_what_the_first_version_kept_is_read(hive: Memories, store: Store, clock: ManualClock) -> None:
    """A row as it is stored; what has gone into it since has defaults."""
    now = int(clock.now())
    row = (
        f'{{"text":"the pump is red","importance":0.5,"level":1.5,"at":{now},"said":{now},"made":{now},"run":"run-1",'
        f'"provenance":{{"contributors":3}},"vector":"AACAPw==","embedder":"e:1","marks":["0123456789abcdef"]}}'
    )
    await store.values.put(f"{ACME}hive/all/common/collective/mem-1/ann/net", row.encode())
    (found,) = (await hive.find("pump", ANN)).found
    assert (found.entry.text, found.entry.level, found.entry.runs) == ("the pump is red", 1.5, ("run-1",))
    assert found.entry.contributors == (Contributor("ann", "net"),)


def test_kinds_have_the_names_that_others_give_them() -> None:
    assert [read_kind(word) for word in ("short_term", "Long-Term", "episodic")] == ["working", "semantic", "episodic"]
    with pytest.raises(UnknownName, match=r"There is no kind of memory 'semantik'\. Did you mean `semantic`"):
        read_kind("semantik")


def test_retention_names_all_its_faults() -> None:
    with pytest.raises(InvalidInput) as caught:
        structs.replace(FADING, max_entries=0, max_kb=0, half_life_s=float("nan"), ttl_s=-1.0, floor=1.0)
    for name in ("max_entries", "max_kb", "half_life_s", "ttl_s", "floor"):
        assert f"`{name}` is" in caught.value.message
