"""A process to kill: `lead.py ADDRESS SHARING` stores a value, delegates, says `ready` inside the delegate and hangs."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from typing import cast

from quorate import Agent, RunContext, RunOptions, ScriptedModel, tool
from quorate.agent.delegate import AgentTool
from quorate.models.scripted import Answer, call
from quorate.ports import Sharing, Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.scopes import RunStateView, StateStore

LEAD: list[Answer] = [
    call("put", name="a", value="lead's"),
    call("helper", task="go on"),
    call("look", name="a"),
    "ended",
]
HELPER: list[Answer] = [call("put", name="b", value="helper's"), call("wait"), call("look", name="a"), "done"]


def open_store(address: str) -> AbstractAsyncContextManager[Store]:
    return open_postgres_store(address) if address.startswith("postgresql:") else open_sqlite_store(address)


class StateOnly:
    """Services with stored values alone."""

    def __init__(self, store: StateStore, steps: tuple[tuple[Sharing, str], ...] = ()) -> None:
        self._store = store
        self._steps = steps

    def open_state(self, context: RunContext[object]) -> RunStateView:
        view = RunStateView.of(self._store, context)
        for sharing, path in self._steps:
            view = view.open_child(sharing, path)
        return view

    def open_artifacts(self, context: RunContext[object]) -> object:
        raise AssertionError("nobody asks for artifacts here")

    def open_child(self, sharing: Sharing, path: str) -> "StateOnly":
        return StateOnly(self._store, (*self._steps, (sharing, path)))


def build_options(store: Store) -> RunOptions:
    return RunOptions(run_id="run-1", services=StateOnly(StateStore(store.values)))  # type: ignore[arg-type]


def build_team(sharing: Sharing, *, lead: list[Answer], helper: list[Answer], is_waiting: bool) -> Agent:
    @tool(effect="keyed")
    async def put(context: RunContext[object], name: str, value: str) -> str:
        """Store a value."""
        await context.state.set(name, value)
        return ""

    @tool(effect="idempotent")
    async def look(context: RunContext[object], name: str) -> str:
        """Read a value."""
        entry = await context.state.get(name)
        return f"{name}={entry.value if entry is not None else None}"

    @tool(effect="idempotent")
    async def wait() -> str:
        """Say that it is ready, and wait to be killed."""
        if is_waiting:
            print("ready", flush=True)
            await asyncio.Event().wait()
        return ""

    inner = Agent("helper", model=ScriptedModel(helper), tools=[put, look, wait])
    return Agent("lead", model=ScriptedModel(lead), tools=[put, look, AgentTool(inner, sharing=sharing)])


async def main(address: str, sharing: Sharing) -> None:
    async with open_store(address) as store:
        team = build_team(sharing, lead=LEAD, helper=HELPER, is_waiting=True)
        await team.run("begin", log=store.log, options=build_options(store))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], cast("Sharing", sys.argv[2])))
