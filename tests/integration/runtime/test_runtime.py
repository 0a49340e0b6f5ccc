"""Does everything work together: settings, catalog, tools, models, the log on disk?"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate import (
    Agent,
    InvalidInput,
    Limits,
    NotFound,
    Runtime,
    ScriptedModel,
    Settings,
    TextDelta,
    UnknownName,
    tool,
)
from quorate.assembly import open_runtime
from quorate.errors import Conflict, QuorateError
from quorate.events import ApprovalRequested, Event, RunCompleted, get_kind
from quorate.messages import StreamItem
from quorate.models.scripted import After, call
from quorate.ports import Model
from quorate.settings.values import AgentSettings, LimitSettings
from quorate.specs import Request
from quorate.tools.toolsets import Approved, Toolbox

CLERK = """+++
name = "clerk"
version = "1"
description = "Keeps the register of parcels and tells where each of them is."
tier = "specialist"
domain = "post"
triggers = ["parcel", "register of parcels"]
tools = ["list_files"]
examples = ["where is parcel 7?", "which parcels came today?", "find the parcel for Ann"]
not_for = ["send a letter"]
+++

You keep the register of parcels.
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(CLERK)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "register.txt").write_text("parcel 7: shelf 3\n")
    return Settings(
        database=str(tmp_path / "quorate.db"),
        workspace=str(tmp_path / "files"),
        agents=AgentSettings(directories=(str(tmp_path / "agents"),)),
    )


@asynccontextmanager
async def running(settings: Settings, script: object = ("done",), name: str = "scripted") -> AsyncIterator[Runtime]:
    models: Mapping[str, Model] = {name: ScriptedModel(script)}  # type: ignore[arg-type]
    async with open_runtime(settings, models=models) as runtime:
        yield runtime


async def test_a_task_is_routed_done_and_recorded(settings: Settings) -> None:
    """A task without a target finds its agent, whose tools are bounded by the settings; all of it is in the log. row: B5"""
    script = [call("list_files", pattern="*"), "parcel 7 is on shelf 3"]
    async with running(settings, script) as runtime:
        run = await runtime.submit("where is parcel 7?", model="scripted")
        items = [item async for item in run.stream()]
        result = await run.wait()
        summary = await runtime.show(run.id)
    assert result.output == "parcel 7 is on shelf 3"
    assert "".join(item.text for item in items if isinstance(item, TextDelta)) == "parcel 7 is on shelf 3"
    events = [item for item in items if isinstance(item, Event)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[0].labels["route.agent"] == "clerk"  # type: ignore[attr-defined]
    assert "parcel" in events[0].labels["route.reason"]  # type: ignore[attr-defined]
    assert "register.txt" in str(next(e for e in events if get_kind(e) == "tool.finished").result.content)  # type: ignore[attr-defined]
    assert (summary.agent, summary.status, summary.task) == ("clerk", "completed", "where is parcel 7?")


async def test_a_run_can_be_read_by_the_next_process(settings: Settings) -> None:
    """What one runtime recorded the next one lists, shows, follows and replays; nothing is done again. row: B5"""
    async with running(settings, ["on shelf 3"]) as runtime:
        run = await runtime.submit("where is parcel 7?", agent="clerk", model="scripted")
        await run.wait()
    async with running(settings, []) as runtime:
        assert [summary.run for summary in await runtime.list_runs(agent="clerk", status="completed")] == [run.id]
        assert isinstance([event async for event in runtime.follow(run.id)][-1], RunCompleted)
        replayed = await runtime.replay(run.id)
        assert replayed.output == "on shelf 3"
        with pytest.raises(Conflict, match="has ended"):
            await runtime.resume(run.id)
        with pytest.raises(NotFound, match="There is no run 'run-0'"):
            await runtime.show("run-0")


async def test_closing_lets_runs_rest_and_resume_goes_on(settings: Settings) -> None:
    """When the runtime closes, a run under way waits; another process finishes it with the model it had. row: B5"""
    async with running(settings, [call("list_files", pattern="*"), After(60, "late")]) as runtime:
        run = await runtime.submit("where is parcel 7?", agent="clerk", model="scripted")
        async for event in run.events():
            if get_kind(event) == "tool.finished":
                break
    async with running(settings, ["on shelf 3"]) as runtime:
        assert (await runtime.show(run.id)).status == "waiting"
        resumed = await runtime.resume(run.id)
        result = await resumed.wait()
        kinds = [get_kind(event) async for event in runtime.follow(run.id)]
    assert result.output == "on shelf 3"
    assert kinds.count("tool.started") == 1
    assert kinds.count("run.resumed") == 1


async def test_a_run_whose_end_alone_is_awaited_is_never_streamed(settings: Settings) -> None:
    """Whoever waits for the end of what they submit has it without the cost of a stream, however many submit at once."""

    class Counting(ScriptedModel):
        streamed = 0

        def stream(self, request: Request) -> AsyncIterator[StreamItem]:
            self.streamed += 1
            return super().stream(request)

    model = Counting(["done"] * 21)
    async with open_runtime(settings, models={"scripted": model}) as runtime:

        async def ask() -> object:
            run = await runtime.submit("where is parcel 7?", agent="clerk", model="scripted")
            return (await run.wait()).output

        assert await asyncio.gather(*[ask() for _ in range(20)]) == ["done"] * 20
        assert model.streamed == 0
        run = await runtime.submit("where is parcel 7?", agent="clerk", model="scripted")
        assert "".join([item.text async for item in run.stream() if isinstance(item, TextDelta)]) == "done"
        assert model.streamed == 1


async def test_a_run_rests_when_the_runtime_closes_as_soon_as_it_is_submitted(settings: Settings) -> None:
    """Work has begun when `submit` returns, so that leaving at once is recorded, too."""
    async with running(settings, [After(60, "late")]) as runtime:
        run = await runtime.submit("where is parcel 7?", agent="clerk", model="scripted")
    async with running(settings, []) as runtime:
        summary = await runtime.show(run.id)
    assert (summary.status, summary.owner, summary.crashes) == ("waiting", "", 0)


async def test_a_run_is_cancelled_while_it_works_and_while_it_rests(settings: Settings) -> None:
    """Cancel ends a live run at once and a resting one by a last attempt. row: B5"""
    async with running(settings, [After(60, "late"), After(60, "late")]) as runtime:
        live = await runtime.submit("x", agent="clerk", model="scripted")
        await asyncio.sleep(0)
        await runtime.cancel(live.id, reason="enough")
        assert (await live.wait()).status == "cancelled"
        rests = await runtime.submit("x", agent="clerk", model="scripted")
        await asyncio.sleep(0)
    async with running(settings, ["never"]) as runtime:
        await runtime.cancel(rests.id, reason="not needed")
        assert (await runtime.show(rests.id)).status == "cancelled"
        with pytest.raises(Conflict, match="has ended already"):
            await runtime.cancel(rests.id)


async def test_an_answer_is_given_once(settings: Settings) -> None:
    """A run that waits for a person goes on after the answer; a second answer is a conflict. row: B5"""
    done: list[str] = []

    @tool
    async def ship(parcel: int) -> str:
        """Ship a parcel."""
        done.append(str(parcel))
        return "shipped"

    def build(*script: object) -> Agent[None, str]:
        return Agent("shipper", model=ScriptedModel(list(script)), tools=[Approved(Toolbox([ship]))])  # type: ignore[arg-type]

    async with running(settings) as runtime:
        run = await runtime.submit("ship 7", agent=build(call("ship", parcel=7), "done"))  # type: ignore[arg-type]
        result = await run.wait()
        asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
        with pytest.raises(NotFound, match=f"it asked under: {asked.key}"):
            await runtime.decide(run.id, "nothing", approved=True, by="ann")
        await runtime.decide(run.id, asked.key, approved=True, by="ann")
        with pytest.raises(Conflict, match="answered already by 'ann'"):
            await runtime.decide(run.id, asked.key, approved=False, by="bob")
        resumed = await runtime.resume(run.id, agent=build("done"))  # type: ignore[arg-type]
        assert (await resumed.wait()).output == "done"
    assert done == ["7"]


async def test_limits_of_the_settings_cap_an_agents_own(settings: Settings) -> None:
    """An operator's cap holds whatever an agent's file says. row: B5"""
    capped = Settings(
        database=settings.database, workspace=settings.workspace, agents=settings.agents, limits=LimitSettings(steps=1)
    )
    async with running(capped, [call("list_files", pattern="*"), "never"]) as runtime:
        result = await (await runtime.submit("x", agent="clerk", model="scripted")).wait()
        assert (result.status, result.reason) == ("incomplete", "The agent took 1 steps without an answer.")
        over = await runtime.submit("x", agent="clerk", model="scripted", limits=Limits(steps=9))
        created = await anext(over.events())
        assert created.limits.steps == 1  # type: ignore[attr-defined]


async def test_what_the_block_raises_comes_out_as_it_was(settings: Settings) -> None:
    """An error inside the block is not wrapped in a group."""
    with pytest.raises(KeyError, match="mine"):
        async with running(settings):
            raise KeyError("mine")


async def test_unknown_names_suggest_the_nearest(settings: Settings) -> None:
    """An unknown agent, provider or task says what there is."""
    async with running(settings) as runtime:
        with pytest.raises(UnknownName, match="Did you mean `clerk`"):
            await runtime.submit("x", agent="clark")
        with pytest.raises(UnknownName, match="openai"):
            await runtime.submit("x", agent="clerk", model="opnai:gpt-5.2")
        with pytest.raises(InvalidInput, match="has no playbook"):
            await runtime.submit("x", agent="clerk")
        with pytest.raises(InvalidInput):
            await runtime.submit("compose a symphony in d minor")
        assert await runtime.list_runs() == []


async def test_a_failed_run_is_raised_by_wait_and_harms_no_other(settings: Settings) -> None:
    """One run's failure is its own."""

    def play(request: object) -> str:
        if "fail" in request.messages[-1].text:  # type: ignore[attr-defined]
            raise RuntimeError("oops")
        return "fine"

    async with running(settings, play) as runtime:
        bad = await runtime.submit("fail", agent="clerk", model="scripted")
        good = await runtime.submit("work", agent="clerk", model="scripted")
        with pytest.raises(RuntimeError, match="oops"):
            await bad.wait()
        assert (await good.wait()).output == "fine"
        assert (await runtime.show(bad.id)).status == "failed"


async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """The error is ours, and names the file."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(QuorateError, match="file"):
        async with open_runtime(Settings(database=str(tmp_path / "file" / "x.db"))):
            raise AssertionError
