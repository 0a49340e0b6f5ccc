"""Do the runs that a runtime accepts keep to their session?"""

import asyncio

import pytest

from quorate import Agent, Request, ScriptedModel, Settings, open_runtime, tool
from quorate.agent.agent import AnyAgent
from quorate.errors import Conflict, NotFound
from quorate.models.scripted import call
from quorate.state.sessions import SessionLimits

ANN = {"tenant": "default", "principal": "ann"}


def build_chatter(*, hangs: bool = False) -> AnyAgent:
    """An agent that says how many messages it was asked with; it may hang in its tool."""

    @tool(effect="idempotent")
    async def look() -> str:
        """Look."""
        if hangs:
            await asyncio.Event().wait()
        return "fine"

    def answer(request: Request):
        last = request.messages[-1]
        if last.role == "user" and last.text.startswith("look"):
            return call("look")
        return f"asked with {len(request.messages)}: {request.messages[0].text}"

    return Agent("chatter", model=ScriptedModel(answer), tools=[look])


async def test_a_turn_is_taken_back_up_with_its_history(database: str) -> None:
    """A run of a session that rests is resumed by another process, and knows what was said before it."""
    async with open_runtime(Settings(database=database)) as runtime:
        await (await runtime.submit("first", agent=build_chatter(), session="s-1", principal="ann")).wait()
        held = await runtime.submit("look at it", agent=build_chatter(hangs=True), session="s-1", principal="ann")
        async for item in held.stream():
            if type(item).__name__ == "ToolStarted":
                held.release()
    async with open_runtime(Settings(database=database)) as runtime:
        resumed = await runtime.resume(held.id, agent=build_chatter())
        result = await resumed.wait()
        assert result.output == "asked with 5: first"
        assert list(result.messages) == await runtime.sessions.history("s-1", **ANN)
        replayed = await runtime.replay(held.id, agent=build_chatter())
        assert replayed.output == result.output


async def test_the_same_submission_twice_is_one_turn(database: str) -> None:
    """An idempotency key that is used again takes no second turn, also where there is none left."""
    async with open_runtime(Settings(database=database)) as runtime:
        await runtime.sessions.create("s-1", **ANN, limits=SessionLimits(max_runs=1, max_concurrent_runs=1))
        order = {"agent": build_chatter(), "session": "s-1", "principal": "ann", "idempotency_key": "k"}
        first = await runtime.submit("first", **order)
        await first.wait()
        assert (await runtime.submit("first", **order)).id == first.id
        with pytest.raises(Conflict, match="has had the 1 runs of its limit"):
            await runtime.submit("second", agent=build_chatter(), session="s-1", principal="ann")
        assert len(await runtime.list_runs()) == 1


async def test_a_refused_turn_leaves_no_run(database: str) -> None:
    """row: E6 — what a session refuses is not recorded as a run: suspended, full, another user's, another tenant's."""
    async with open_runtime(Settings(database=database)) as runtime:
        await runtime.sessions.create("s-1", **ANN, limits=SessionLimits(max_concurrent_runs=1))
        agent = build_chatter(hangs=True)
        held = await runtime.submit("look at it", agent=agent, session="s-1", principal="ann")
        with pytest.raises(Conflict, match="under way"):
            await runtime.submit("second", agent=agent, session="s-1", principal="ann")
        with pytest.raises(NotFound, match="There is no session 's-1'"):
            await runtime.submit("mine", agent=agent, session="s-1", principal="eve")
        await runtime.cancel(held.id)
        await held.wait()
        await runtime.sessions.suspend("s-1", **ANN)
        with pytest.raises(Conflict, match="is suspended"):
            await runtime.submit("third", agent=agent, session="s-1", principal="ann")
        assert [summary.run for summary in await runtime.list_runs()] == [held.id]
        other = runtime.for_tenant("other")
        result = await (await other.submit("first", agent=build_chatter(), session="s-1", principal="ann")).wait()
        assert result.output == "asked with 1: first"


async def test_many_at_once_within_the_limit(database: str) -> None:
    """row: E6 — of thirty submissions at once to a session that takes three runs, three are recorded."""
    async with open_runtime(Settings(database=database)) as runtime:
        await runtime.sessions.create("s-1", **ANN, limits=SessionLimits(max_runs=3))
        agent = build_chatter()
        tried = await asyncio.gather(
            *(runtime.submit(f"task {n}", agent=agent, session="s-1", principal="ann") for n in range(30)),
            return_exceptions=True,
        )
        begun = [handle for handle in tried if not isinstance(handle, BaseException)]
        for handle in begun:
            await handle.wait()
        assert len(begun) == len(await runtime.list_runs()) == 3
        assert all(isinstance(one, Conflict) for one in tried if isinstance(one, BaseException))
