"""Does each worker do the runs of the agents that it was told, and of none that need more than it offers?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from quorate import Agent, Runtime, ScriptedModel, Settings
from quorate.agent.agent import AnyAgent
from quorate.assembly import open_runtime
from quorate.errors import InvalidInput, UnknownName
from quorate.ports import Store
from quorate.runtime.placement import build_placement
from quorate.runtime.registry import explain_queued, list_workers
from quorate.runtime.worker import MANY_FOREIGN, Worker
from quorate.settings.values import AgentSettings, WorkerSettings
from quorate.state.backends.memory import open_memory_store
from quorate.testing.contracts.building import build_opening

FILE = """+++
name = "{name}"
description = "Sees what is on a picture."
tier = "core"
domain = "vision"
triggers = ["look at the {name}"]
tools = ["disk_usage"{tools}]
examples = ["look at the {name}"]
requires = [{requires}]

[playbook]
needs = "a disk"

[[playbook.steps]]
id = "disks"
tool = "disk_usage"
about = "how full they are"

[[playbook.findings]]
title = "It was seen"
severity = "info"
when = "has(results.disks)"
next_steps = ["Look again."]
+++
You look.
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With an agent that needs a graphics card, and one that has that one as a tool."""
    folder = tmp_path / "agents"
    folder.mkdir()
    for name, tools, requires in (("eyes", "", '"gpu"'), ("guide", ', "agent:eyes"', "")):
        text = FILE.format(name=name, tools=tools, requires=requires)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return Settings(agents=AgentSettings(directories=(str(folder),)), worker=WorkerSettings(beat_s=0.05))


@pytest.fixture
async def here() -> AsyncIterator[Store]:
    """A store for what asks none."""
    async with open_memory_store() as opened:
        yield opened


def build_clerks(*names: str) -> list[AnyAgent]:
    return [Agent(name, model=ScriptedModel(lambda request: "done")) for name in names]


@asynccontextmanager
async def working(runtime: Runtime, **how: object) -> AsyncGenerator[list[str]]:
    """A worker, for a block; the list is the runs that it took."""
    taken: list[str] = []

    def tell(what: str, run: object, why: object) -> None:
        if what == "taken":
            taken.append(run.id)  # type: ignore[attr-defined]

    worker = Worker(runtime, poll_s=0.01, tell=tell, placement=build_placement(runtime, **how))  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        try:
            yield taken
        finally:
            worker.stop()


async def crowd(store: Store) -> None:
    """Queue what nobody here can open, older than everything else."""

    async def queue(number: int) -> None:
        created = structs.replace(build_opening(f"run-0-{number:03}")[0], agent="other")
        await store.log.append(created.run, [created], expected=0)

    await asyncio.gather(*[queue(number) for number in range(300)])


async def test_each_worker_does_what_it_was_told(store: Store) -> None:
    """By names and globs; between two that may, whoever is quicker."""
    clerks = build_clerks("net", "host-a", "host-b", "desk")
    async with (
        open_runtime(Settings(), store=store, agents=clerks) as one,
        open_runtime(Settings(), store=store, agents=clerks) as two,
        working(one, agents=["net", "desk"]) as first,
        working(two, agents=["host*"]) as second,
    ):
        runs = dict[str, str]()
        for agent in ("host-a", "net", "desk", "host-b", "net", "host-a"):
            runs[(await one.submit("x", agent=agent, start=False)).id] = agent
        async with asyncio.timeout(30):
            for run in runs:
                assert (await (await two.attach(run)).wait()).status == "completed"
    assert {runs[run] for run in first} == {"net", "desk"}
    assert {runs[run] for run in second} == {"host-a", "host-b"}


async def test_an_agent_waits_for_a_worker_that_offers_what_it_requires(store: Store, settings: Settings) -> None:
    """Also one that has it only among its tools; it stays queued, and it can be said why."""
    clerks = build_clerks("clerk")
    async with (
        open_runtime(settings, store=store, agents=clerks) as one,
        open_runtime(settings, store=store, agents=clerks) as two,
    ):
        eyes = await one.submit("look at the eyes", agent="eyes", start=False)
        guide = await one.submit("look at the guide", agent="guide", start=False)
        other = await one.submit("look", agent="clerk", start=False)
        async with working(one) as first:
            async with asyncio.timeout(30):
                await other.wait()
                while not (workers := await list_workers(store)):
                    await asyncio.sleep(0.01)
            assert first == [other.id]
            assert (await one.show(eyes.id)).status == "queued"
            assert workers[0].lacking == {"eyes": ("gpu",), "guide": ("gpu",)}
            for agent in ("eyes", "guide"):
                assert explain_queued(agent, workers) == (
                    f"no worker offers `gpu`, which agent `{agent}` requires: start one with `--capability gpu`"
                )
            async with working(two, capabilities=["gpu", "disk"]) as second, asyncio.timeout(30):
                await asyncio.gather(eyes.wait(), guide.wait())
            assert set(second) == {eyes.id, guide.id}


async def test_what_others_do_is_not_read_past(store: Store) -> None:
    """However many runs of other agents are older, each look brings those that may be taken, and no others."""
    await crowd(store)
    async with open_runtime(Settings(), store=store, agents=build_clerks("net")) as runtime:
        run = await runtime.submit("x", agent="net", start=False)
        await runtime.begin()
        found = await runtime.owner.find_work(limit=1, agents=["net"])
        assert [summary.run for summary in found] == [run.id]
        async with working(runtime, agents=["net"]), asyncio.timeout(30):
            assert (await run.wait()).status == "completed"


async def test_what_nobody_here_knows_is_not_looked_at_for_ever(store: Store) -> None:
    """A worker for everything says of some runs that it cannot open them, and then looks for those that it can."""
    await crowd(store)
    told: list[str] = []
    async with open_runtime(Settings(), store=store, agents=build_clerks("net")) as runtime:
        run = await runtime.submit("x", agent="net", start=False)
        worker = Worker(runtime, poll_s=0.01, tell=lambda what, run, why: told.append(what))
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            async with asyncio.timeout(30):
                assert (await run.wait()).status == "completed"
            worker.stop()
    assert MANY_FOREIGN <= told.count("foreign") < 200


async def test_code_says_what_an_agent_requires(here: Store, settings: Settings) -> None:
    """An agent that is no file has no place for it; beside what a file says it is that of all that have it as a tool."""
    async with open_runtime(settings, store=here, agents=build_clerks("ears", "net")) as runtime:
        placement = build_placement(runtime, agents=["ears", "net"], requires={"ea*": ["mic"]})
        assert (placement.wanted, placement.lacking) == (("net",), {"ears": ("mic",)})
        placement = build_placement(runtime, capabilities=["gpu"], requires={"ey*": ["disk"]})
        assert placement.lacking == {"eyes": ("disk",), "guide": ("disk",)}
        assert build_placement(runtime, capabilities=["gpu"]).wanted is None


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ({"agents": ["nett"]}, UnknownName, r"There is no agent 'nett'\. Did you mean `net`\?"),
        ({"agents": ["x*"]}, InvalidInput, r"`x\*` is the name of no agent here: write a name or a glob"),
        ({"capabilities": ["G P U"]}, InvalidInput, "capability 'G P U' is not an identifier"),
        ({"agents": ["eyes", "guide"]}, InvalidInput, "Agent 'eyes' requires `gpu`, which this worker does not offer: add `--cap"),
    ],
)  # fmt: skip
async def test_what_cannot_be_placed_is_refused(
    here: Store, settings: Settings, how: dict[str, list[str]], kind: type[InvalidInput], said: str
) -> None:
    async with open_runtime(settings, store=here, agents=build_clerks("net")) as runtime:
        with pytest.raises(kind, match=said):
            build_placement(runtime, **how)  # type: ignore[arg-type]


async def test_the_settings_place_a_worker(here: Store) -> None:
    chosen = WorkerSettings(agents=("net",), capabilities=("gpu",))
    async with open_runtime(Settings(worker=chosen), store=here, agents=build_clerks("net", "desk")) as runtime:
        placement = Worker(runtime).placement
    assert (placement.wanted, placement.capabilities) == (("net",), ("gpu",))
