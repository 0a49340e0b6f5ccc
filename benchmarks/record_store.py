"""Which store, agent and runs does a measurement work on?"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

from benchmarks.record_bare import Append, open_postgres, open_sqlite
from quorate import Agent, Limits, Message, Reply, Request, Text, ToolCall, Usage, tool
from quorate.assembly import open_runtime
from quorate.events import (
    AnyEvent,
    ModelReplied,
    ModelRequested,
    RunCompleted,
    RunCreated,
    RunStarted,
    ToolFinished,
    ToolStarted,
)
from quorate.ids import new_id
from quorate.messages import ReplyDone, StreamItem, ToolResult, build_user_message
from quorate.ports import Store
from quorate.runtime import Runtime
from quorate.settings import Settings
from quorate.specs import ModelProfile
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

MANY = 1_000_000
TASK = "why is the service slow?"
CONTENT = "x" * 200
USAGE = Usage(input_tokens=10, output_tokens=5, requests=1)
RANDOM = random.Random(7)
FILES = count(1)

ANSWER = Reply(message=Message(role="assistant", parts=(Text(text="done"),)), usage=USAGE)


def build_call(turn: int) -> ToolCall:
    return ToolCall(id=f"call-{turn}", name="probe", arguments=json.dumps({"number": turn}))


def build_ask(turn: int) -> Reply:
    return Reply(message=Message(role="assistant", parts=(build_call(turn),)), usage=USAGE)


class Scripted:
    """A model that asks for one tool call in each of `turns` replies, then answers; the runs of a crowd share it."""

    def __init__(self, turns: int, *, delay_s: float = 0.0, answer_s: float | None = None) -> None:
        self.profile = ModelProfile(name="scripted")
        self.asked: list[float] = []
        """When each request came."""
        self._turns = turns
        self._replies = [build_ask(turn) for turn in range(turns)]
        self._delay_s = delay_s
        self._answer_s = delay_s if answer_s is None else answer_s

    async def complete(self, request: Request) -> Reply:
        self.asked.append(time.perf_counter())
        # Every turn before this one added a message of each side to the task.
        turn = (len(request.messages) - 1) // 2
        is_over = turn >= self._turns
        if delay_s := self._answer_s if is_over else self._delay_s:
            await asyncio.sleep(delay_s)
        return ANSWER if is_over else self._replies[turn]

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        yield ReplyDone(await self.complete(request))


def build_agent(model: Scripted, *, tool_s: float = 0.0) -> Agent[None, str]:
    async def probe(number: int) -> str:
        """Look at a part of the service.

        Args:
            number: Which part.
        """
        if tool_s:
            await asyncio.sleep(tool_s)
        return CONTENT

    limits = Limits(steps=MANY, tool_calls=MANY)
    return Agent("bench", model=model, tools=[tool(probe)], limits=limits)


def find_file(place: str) -> Path:
    """Find a file of a folder that is not there yet."""
    return Path(place) / f"{next(FILES)}-{new_id('bench')}.db"


def open_store(side: str, place: str) -> AbstractAsyncContextManager[Store]:
    """Open the store at an address, or in a file `store.db` of a folder."""
    return open_postgres_store(place) if side == "postgres" else open_sqlite_store(Path(place) / "store.db")


def open_bare(side: str, place: str) -> AbstractAsyncContextManager[Append]:
    """Open a table of the driver's own, fresh."""
    return open_postgres(place) if side == "postgres" else open_sqlite(find_file(place))


@asynccontextmanager
async def open_bench(side: str, place: str, agents: Sequence[Agent[None, str]]) -> AsyncGenerator[Runtime]:
    async with open_store(side, place) as store, open_runtime(Settings(), agents=agents, store=store) as runtime:
        yield runtime


def build_turn(run: str, turn: int, first: int, attempt: str) -> list[AnyEvent]:
    """Build the four events of a tool turn as the loop records them; `first` is the number of the first."""
    now, key, call = time.time(), f"{turn + 1}/model", build_call(turn)
    base = {"run": run, "time": now, "attempt": attempt}
    step = f"{turn + 1}/tool/{call.id}"
    return [
        ModelRequested(**base, seq=first, key=key, model="scripted", messages=1 + 2 * turn, digest=""),
        ModelReplied(**base, seq=first + 1, key=key, reply=build_ask(turn)),
        ToolStarted(**base, seq=first + 2, key=step, call=call, effect="idempotent"),
        ToolFinished(
            **base, seq=first + 3, key=step, result=ToolResult(call_id=call.id, name="probe", content=CONTENT)
        ),
    ]


def build_run(
    turns: int, *, is_ended: bool = True, session: str | None = None, previous: str = "", age_s: float = 0.0
) -> list[AnyEvent]:
    """Build the log of a run as the loop records it; one that is not ended stands after its last tool call."""
    run, attempt, now = new_id("run"), new_id("attempt"), time.time() - age_s
    limits = Limits(steps=MANY, tool_calls=MANY)
    events: list[AnyEvent] = [
        RunCreated(
            run=run,
            seq=1,
            time=now,
            agent="bench",
            messages=(build_user_message(TASK),),
            limits=limits,
            session=session,
            previous=previous,
        ),
        RunStarted(run=run, seq=2, time=now, attempt=attempt),
    ]
    for turn in range(turns):
        events += build_turn(run, turn, 3 + 4 * turn, attempt)
    if is_ended:
        seq, key = len(events) + 1, f"{turns + 1}/model"
        events += [
            ModelRequested(run=run, seq=seq, time=now, attempt=attempt, key=key, model="scripted", messages=1),
            ModelReplied(run=run, seq=seq + 1, time=now, attempt=attempt, key=key, reply=ANSWER),
            RunCompleted(run=run, seq=seq + 2, time=now, attempt=attempt, output="done", usage=USAGE),
        ]
    return events


def find_share(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
