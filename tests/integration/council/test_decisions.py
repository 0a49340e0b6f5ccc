"""Are decisions kept, listed, verified and erased with their runs, whoever holds them and whatever dies?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from tests.unit.council.sessions import DOWN, build_voter, build_voters, choose, write

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.assembly import open_runtime
from quorate.bus.backends.local import open_local_broker, open_local_bus
from quorate.council.decide import Backing, NoDecision, council
from quorate.council.motion import Motion
from quorate.council.plan import Plan
from quorate.council.registrar import ROOM, Entry
from quorate.council.signing import Seal
from quorate.errors import Conflict, CorruptState, Fenced, Forbidden, InvalidInput, NotFound
from quorate.events import InputRequested, RunResumed, ToolFinished, VoteCast, VoteDecided
from quorate.models.scripted import Answer, call
from quorate.ports import Store
from quorate.ports.bus import Bus
from quorate.runtime.decisions import Decisions
from quorate.runtime.serving import serve_agents
from quorate.runtime.worker import Worker
from quorate.security.secrets import Secret
from quorate.settings.council import CouncilSettings
from quorate.settings.values import WorkerSettings
from quorate.specs import Request
from quorate.state.audit import AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.state.erasure import Eraser
from quorate.testing.clock import ManualClock

AB = ("a", "b")
SECRET, OLDER = "5e" * 32, "0d" * 32


@asynccontextmanager
async def running(database: str, *agents: AnyAgent, secret: str = SECRET, former: str = "") -> AsyncIterator[Runtime]:
    chosen = CouncilSettings(secret=Secret(secret), former_secret=Secret(former) if former else None)
    async with open_runtime(Settings(database=database, council=chosen), agents=agents) as runtime:
        yield runtime.for_tenant("acme")


def build_motion(*voters: str, **more: Any) -> Motion:
    return Motion(question="Which?", voters=voters, plan=Plan(options=AB, **more))


async def change_entry(runtime: Runtime, entry: Entry, **facts: object) -> None:
    key = f"{ROOM}/acme/{entry.id}"
    await runtime.store.values.put(key, msgspec.json.encode(structs.replace(entry, **facts)))


async def keep_and_check(database: str) -> None:
    """Decide, list, get, verify, change what is kept, look as another tenant, and erase."""
    async with running(database, *build_voters(*choose("a", "a", "b"))) as runtime:
        decisions = Decisions(runtime)
        handle = await decisions.submit(build_motion("v1", "v2", "v3"))
        result: Any = await handle.wait()
        record = result.output
        (entry,) = await decisions.list_entries()
        assert (entry.id, entry.run, entry.winner, entry.by, entry.digest) == (
            record.id, handle.id, "a", "vote", record.digest,
        )  # fmt: skip
        assert await decisions.list_entries(after=entry.id) == []
        assert await decisions.get(record.id) == record
        verified = await decisions.verify(record.id)
        assert (verified.holds, verified.is_sealed, verified.winner) == (True, True, "a")
        for facts in (
            {"winner": "b"}, {"by": "person"}, {"digest": "0" * 64}, {"closed": 1.0}, {"question": "Why?"},
            {"rule": "veto"}, {"opened": 1.0}, {"key": "1/tool/work"}, {"id": "dec-other"},
            {"winner": None, "by": "", "digest": "", "closed": None},
        ):  # fmt: skip
            await change_entry(runtime, entry, **facts)
            assert not (await decisions.verify(record.id)).holds, facts
        await runtime.store.values.put(f"{ROOM}/acme/{entry.id}", b"{")
        with pytest.raises(CorruptState, match="cannot be read"):
            await decisions.verify(record.id)
        await change_entry(runtime, entry)
        other = Decisions(runtime.for_tenant("zeta"))
        assert await other.list_entries() == []
        await runtime.store.values.put(f"{ROOM}/zeta/{entry.id}", msgspec.json.encode(entry))
        for look in (other.get, other.verify):  # a stolen entry opens no door
            with pytest.raises(NotFound, match="There is no decision"):
                await look(record.id)
            with pytest.raises(InvalidInput, match="is not an identifier"):
                await look("../acme/x")
        trail = AuditTrail(runtime.store.values, clock=runtime.clock, tenant="acme")
        await Eraser(runtime.store, tenant="acme", clock=runtime.clock, audit=trail).erase_run(handle.id, by="dpo")
        assert await decisions.list_entries() == []
        with pytest.raises(NotFound):
            await decisions.get(record.id)


async def test_a_decision_is_kept_listed_verified_and_erased(tmp_path: Path) -> None:
    """What the index says is compared with the log; another tenant sees nothing. Part of row D7."""
    await keep_and_check(str(tmp_path / "runs.db"))


async def test_a_decision_is_kept_in_postgres_too(postgres_dsn: str) -> None:
    await keep_and_check(postgres_dsn)


async def test_a_secret_that_was_changed_is_still_known(tmp_path: Path) -> None:
    database, voters = str(tmp_path / "runs.db"), build_voters(*choose("a", "a"))
    async with running(database, *voters, secret=OLDER) as runtime:
        made: Any = await (await Decisions(runtime).submit(build_motion("v1", "v2"))).wait()
    async with running(database, former=OLDER) as runtime:
        assert (await Decisions(runtime).verify(made.output.id)).is_sealed
    async with running(database) as runtime:
        assert not (await Decisions(runtime).verify(made.output.id)).holds


async def test_no_decision_is_kept_as_one_that_was_not_made(tmp_path: Path) -> None:
    """Too few voters: the run fails, and nowhere does it say that something was decided. Row part of D8."""
    async with running(str(tmp_path / "runs.db"), *build_voters(write("a"), DOWN, DOWN)) as runtime:
        decisions = Decisions(runtime)
        handle = await decisions.submit(build_motion("v1", "v2", "v3", quorum=0.6))
        with pytest.raises(NoDecision, match="1 of 3 are present"):
            await handle.wait()
        (entry,) = await decisions.list_entries()
        assert (entry.winner, entry.by, (await runtime.show(handle.id)).status) == (None, "none", "failed")
        verified = await decisions.verify(entry.id)
        assert (verified.holds, verified.winner) == (True, None)


async def test_a_run_that_is_cancelled_in_the_middle_has_decided_nothing(tmp_path: Path) -> None:
    """Its entry stays open, and what verifies it says so."""
    reached = asyncio.Event()

    @tool(effect="idempotent")
    async def hang() -> str:
        """Never come back."""
        reached.set()
        await asyncio.Event().wait()
        return ""

    stuck = Agent("stuck", model=ScriptedModel([call("hang")]), tools=[hang])
    async with running(str(tmp_path / "runs.db"), stuck, *build_voters(*choose("a", "a"))) as runtime:
        decisions = Decisions(runtime)
        handle = await decisions.submit(build_motion("stuck", "v1", "v2"))
        async with asyncio.timeout(30):
            await reached.wait()
        await runtime.cancel(handle.id)
        assert (await handle.wait()).status == "cancelled"
        (entry,) = await decisions.list_entries()
        assert (entry.by, entry.winner, entry.closed) == ("", None, None)
        assert (await decisions.get(entry.id)).is_open
        assert "it is still open, or was left so" in (await decisions.verify(entry.id)).faults


async def test_only_the_person_on_the_roll_casts_that_ballot(tmp_path: Path) -> None:
    """Another principal is refused, a second answer too, and the ballot counts once. Part of promise R27."""
    async with running(str(tmp_path / "runs.db"), *build_voters(*choose("a"))) as runtime:
        decisions = Decisions(runtime)
        handle = await decisions.submit(build_motion("v1", "person:ada", quorum=1.0))
        assert (await handle.wait()).status == "waiting"
        (asked,) = await runtime.questions()
        assert isinstance(asked.question, InputRequested)
        assert asked.question.of == "ada"
        with pytest.raises(Forbidden, match="asks 'ada'"):
            await runtime.answer(handle.id, asked.key, text=write("b"), by="eve")
        assert (await decisions.get((await decisions.list_entries())[0].id)).is_open
        await runtime.answer(handle.id, asked.key, text=write("a"), by="ada")
        with pytest.raises(Conflict):
            await runtime.answer(handle.id, asked.key, text=write("b"), by="ada")
        result: Any = await (await runtime.resume(handle.id)).wait()
        assert [vote.voter for vote in result.output.last.ballots] == ["v1", "person:ada"]
        assert (await decisions.verify(result.output.id)).is_sealed


async def test_a_large_record_is_the_answer_of_one_vote(tmp_path: Path) -> None:
    """However long it is: it is not cut, and nobody votes again because of it."""
    voters = build_voters(*[write("a", reason="r" * 4_000)] * 30)
    board = council("board", voters, Plan(options=AB))
    async with running(str(tmp_path / "runs.db"), board) as runtime:
        result: Any = await (await runtime.submit("Which?", agent="board")).wait()
        assert len(result.output.last.ballots) == 30
        assert sum(isinstance(one, VoteCast) for one in result.events) == 30
        assert len(await Decisions(runtime).list_entries()) == 1


@asynccontextmanager
async def sharing(store: Store, clock: ManualClock, *agents: AnyAgent) -> AsyncIterator[Runtime]:
    """A process of a fleet."""
    settings = Settings(
        database=":memory:", worker=WorkerSettings(lease_s=10), council=CouncilSettings(secret=Secret(SECRET))
    )
    async with open_runtime(settings, agents=agents, store=store, clock=clock) as runtime:
        yield runtime


async def list_finished(store: Store, run: str) -> set[str]:
    """List the steps of a run that are recorded to have ended."""
    return {one.key.rpartition("/")[2] for one in await store.log.read(run) if isinstance(one, ToolFinished)}


async def test_another_worker_goes_on_with_a_vote_whose_chair_died() -> None:
    """Who has voted is not asked again, and the old chair writes nothing any more, in the log or the index. Promise R27."""
    clock, reached, gate, asked = ManualClock(), asyncio.Event(), asyncio.Event(), list[str]()

    @tool(effect="idempotent", name="wait_here")
    async def go_on() -> str:
        """Wait no more."""
        return "done"

    def build(name: str, choice: str) -> AnyAgent:
        def answer(request: Request) -> Answer:
            asked.append(name)
            return write(choice)

        return Agent(name, model=ScriptedModel(answer), tools=[go_on])

    @tool(effect="idempotent")
    async def wait_here() -> str:
        """Wait."""
        reached.set()
        await gate.wait()
        return "done"

    slow = Agent("v3", model=ScriptedModel([call("wait_here"), write("b")]), tools=[wait_here])
    motion = build_motion("v1", "v2", "v3", quorum=1.0)
    async with (
        open_memory_store(clock=clock) as store,
        sharing(store, clock, build("v1", "a"), build("v2", "a"), slow) as first,
        sharing(store, clock, build("v1", "b"), build("v2", "b"), build("v3", "b")) as second,
    ):
        handle = await Decisions(first).submit(motion)
        async with asyncio.timeout(30):
            await reached.wait()
            while not {"ballot-1-1-1", "ballot-1-2-1"} <= await list_finished(store, handle.id):
                await asyncio.sleep(0.005)
        await second.begin()
        first.owner.rest()  # it beats no more
        for _ in range(3):
            clock.advance(6)
            await second.owner.beat()
        await Worker(second).run(until_idle=True)
        result: Any = await (await second.attach(handle.id)).wait()
        length = await store.log.last(handle.id)
        gate.set()
        with pytest.raises(Fenced):
            await handle.wait()
        events = await store.log.read(handle.id)
        assert (len(events), sum(isinstance(one, RunResumed) for one in events)) == (length, 1)
        assert sum(isinstance(one, VoteDecided) for one in events) == 1
        record = result.output
        assert (record.winner, {vote.voter: vote.ballot.choice for vote in record.last.ballots}) == (
            "a", {"v1": "a", "v2": "a", "v3": "b"},
        )  # fmt: skip
        assert sorted(asked) == ["v1", "v2", "v3"]
        assert (await Decisions(second).verify(record.id)).is_sealed
        assert len(await Decisions(second).list_entries()) == 1


@asynccontextmanager
async def serving(bus: Bus, store: Store, agent: AnyAgent) -> AsyncIterator[Runtime]:
    """A worker of a fleet that has one agent."""
    async with open_runtime(Settings(database=":memory:"), agents=[agent], store=store) as opened:
        runtime, stopping = opened.for_tenant("acme"), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            how = {"agents": [agent.name], "ack_wait_s": 30.0, "stopping": stopping}
            group.create_task(serve_agents(runtime, bus, **how))  # type: ignore[arg-type]
            yield runtime
            stopping.set()


async def test_voters_on_other_workers_vote_and_one_that_dies_is_absent() -> None:
    """Over the bus; nobody serves the fourth one any more. Part of row D7."""
    names = ["v1", "v2", "v3", "gone"]
    rules = build_task_rules(names, tenant="acme", ack_wait_s=30.0)
    async with (
        open_local_broker() as broker,
        open_local_bus("acme", streams=rules, broker=broker) as bus,
        open_memory_store() as store,
    ):
        voters = [RemoteAgent(name, bus=bus, tenant="acme", patience_s=0.2 if name == "gone" else 30) for name in names]
        board = council("board", voters, Plan(options=AB), backing=Backing(seal=Seal(bytes.fromhex(SECRET))))  # type: ignore[arg-type]
        said = zip(names, choose("a", "b", "a"), strict=False)
        agents = [build_voter(name, text) for name, text in said]
        async with (
            serving(bus, store, agents[0]),
            serving(bus, store, agents[1]),
            serving(bus, store, agents[2]) as last,
        ):
            result: Any = await board.run("Which?")
            runs = await last.list_runs()
    record = result.output
    assert (record.winner, [vote.voter for vote in record.last.ballots]) == ("a", ["v1", "v2", "v3"])
    assert [(one.voter, one.why) for one in record.last.refused] == [("gone", "failed")]
    assert {run.agent for run in runs} == {"v1", "v2", "v3"}
