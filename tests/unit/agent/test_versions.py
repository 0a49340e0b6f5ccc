"""Does a run go on under another version of its agent, or say why not?"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from quorate import Agent, MemoryLog, ScriptedModel, tool
from quorate.errors import Incompatible, Unavailable
from quorate.events import AnyEvent, Event, ModelReplied, RunWaiting, ToolFinished
from quorate.models.scripted import call
from quorate.tools.define import AnyTool

CALL = "1/tool/call-1-1"


class Dying(MemoryLog):
    """A log whose process dies before one event is written."""

    def __init__(self, key: str, kind: type[Event]) -> None:
        super().__init__()
        self.key = key
        self.kind = kind

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        if any(isinstance(event, self.kind) and event.key == self.key for event in events):
            raise Unavailable("killed here")
        await super().append(run, events, expected=expected)


def build(name: str = "fetch", calls: list[str] | None = None) -> AnyTool:
    """Build a tool under a name, which notes its calls."""
    made = calls if calls is not None else []

    @tool(name=name, effect="idempotent")
    async def fetch(page: str) -> str:
        """Fetch a page."""
        made.append(page)
        return f"content of {page}"

    return fetch


async def leave_under_way(key: str, kind: type[Event], made: list[str] | None = None) -> tuple[Dying, str]:
    """Record a run whose process died before an event was written; return its log and its id."""
    log = Dying(key, kind)
    agent = Agent("clerk", model=ScriptedModel([call("fetch", page="a"), "done"]), tools=[build(calls=made)])
    with pytest.raises(Unavailable) as died:
        await agent.run("x", log=log)
    log.key = ""
    return log, str(died.value.context["run"])


async def test_a_call_under_way_whose_tool_is_gone_parks_the_run() -> None:
    """A renamed or removed tool is not guessed at: the run rests with its story, and the old version can go on."""
    log, run = await leave_under_way(CALL, ToolFinished)
    renamed = Agent("clerk", model=ScriptedModel(["done"]), tools=[build("get_page")])
    result = await renamed.resume(run, log=log)
    last = (await log.read(run))[-1]
    assert isinstance(last, RunWaiting)
    assert last.reason == "parked"
    assert "'fetch'" in last.note
    assert "bring the tool back" in result.reason
    old = Agent("clerk", model=ScriptedModel(["done"]), tools=[build()])
    assert (await old.resume(run, log=log)).output == "done"


async def test_a_recorded_result_is_used_though_its_tool_is_gone() -> None:
    """What is recorded is returned whatever the version: the call is not made again, so its tool is not needed."""
    made = list[str]()
    log, run = await leave_under_way("2/model", ModelReplied, made)
    seen = ScriptedModel(["done"])
    result = await Agent("clerk", model=seen).resume(run, log=log)
    assert (result.output, made) == ("done", ["a"])
    assert "content of a" in str(seen.requests[0].messages[-1])


async def test_a_new_step_is_made_and_an_old_one_is_not() -> None:
    """A version that asks for one step more goes on from the record."""
    made = list[str]()
    log, run = await leave_under_way(CALL, ToolFinished)
    script = [[call("fetch", page="b")], "done"]
    agent = Agent("clerk", model=ScriptedModel(script), tools=[build(calls=made)])
    assert (await agent.resume(run, log=log)).output == "done"
    assert made == ["a", "b"]


@dataclass
class Old:
    name: str


@dataclass
class New:
    name: str
    size: int


async def test_a_recorded_answer_of_another_type_is_incompatible() -> None:
    """An answer that does not fit the type of today is told as such, never silently converted."""
    log = MemoryLog()
    result = await Agent("clerk", model=ScriptedModel(['{"name": "a"}']), output_type=Old).run("x", log=log)
    with pytest.raises(Incompatible, match="does not fit the output type"):
        await Agent("clerk", model=ScriptedModel([]), output_type=New).resume(result.run_id, log=log)
