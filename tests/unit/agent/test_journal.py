"""Does what cannot be recorded harm nothing but itself?"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quorate.agent.journal import Journal
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import InvalidInput
from quorate.events import ModelReplied, ModelRequested, RunCreated, RunStarted, ToolFinished, ToolStarted, get_kind
from quorate.messages import Message, Reply, ToolCall, ToolResult
from quorate.ports import Log
from quorate.state.backends.sqlite import open_sqlite_log

UNFIT = "\ud800"
"""A lone surrogate: no JSON holds it."""


@pytest.fixture
async def log(tmp_path: Path) -> AsyncGenerator[Log]:
    async with open_sqlite_log(tmp_path / "runs.db") as opened:
        yield opened


def open_journal(log: Log) -> Journal:
    journal = Journal("run-1", log, clock=SYSTEM_CLOCK, attempt="try-1")
    journal.write(RunCreated, agent="a", messages=())
    journal.write(RunStarted)
    return journal


def finish(journal: Journal, name: str, content: str) -> str:
    key = f"1/tool/{name}"
    journal.write(ToolFinished, key, result=ToolResult(call_id=name, name="look", content=content))
    return key


async def test_a_result_that_cannot_be_recorded_costs_no_other_branch_its_own(log: Log) -> None:
    """Whoever wrote it is told, whichever branch commits; the results beside it are recorded."""
    journal = open_journal(log)

    async def branch(name: str, content: str) -> None:
        await journal.commit(finish(journal, name, content))

    told = await asyncio.gather(branch("a", "1"), branch("b", UNFIT), branch("c", "3"), return_exceptions=True)
    assert [type(one) for one in told] == [type(None), InvalidInput, type(None)]
    recorded = await log.read("run-1")
    assert [event.seq for event in recorded] == [1, 2, 3, 4]
    assert [event.key for event in recorded[2:]] == ["1/tool/a", "1/tool/c"]
    assert journal.events == recorded


async def test_what_follows_from_an_event_that_cannot_be_recorded_is_not_recorded_either(log: Log) -> None:
    """A reply that is not in the log starts no tool, and a run that was not created does not begin."""
    journal = open_journal(log)
    await journal.commit()
    bad = Reply(message=Message(role="assistant", parts=()), id=UNFIT)
    journal.write(ModelReplied, "1/model", reply=bad)
    journal.write(ToolStarted, "1/tool/a", call=ToolCall(id="a", name="look"))
    with pytest.raises(InvalidInput):
        await journal.commit()
    assert await log.last("run-1") == 2
    journal.write(ModelRequested, "1/model", model="m")
    await journal.commit()
    assert [get_kind(event) for event in await log.read("run-1")] == ["run.created", "run.started", "model.requested"]

    unborn = Journal("run-2", log, clock=SYSTEM_CLOCK, attempt="try-1")
    unborn.write(RunCreated, agent=UNFIT, messages=())
    unborn.write(RunStarted)
    with pytest.raises(InvalidInput):
        await unborn.commit()
    assert await log.last("run-2") == 0


async def test_a_delegate_loses_what_follows_and_its_neighbour_does_not(log: Log) -> None:
    journal = open_journal(log)
    await journal.commit()
    journal.write(ModelRequested, "1/tool/a/1/model", model=UNFIT)
    journal.write(ToolStarted, "1/tool/a/1/tool/x", call=ToolCall(id="x", name="look"))
    journal.write(ModelRequested, "1/tool/b/1/model", model="m")
    with pytest.raises(InvalidInput):
        await journal.commit()
    assert [event.key for event in (await log.read("run-1"))[2:]] == ["1/tool/b/1/model"]
