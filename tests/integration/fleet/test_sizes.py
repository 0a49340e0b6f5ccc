"""Are results of any size kept whole, and is a run of ten thousand events gone on with, on both databases?"""

import time
from collections.abc import AsyncIterator

import pytest
from tests.integration.fleet.test_boundaries import Mortal

from quorate import Agent, Limits, Request, RunContext, RunOptions, Runtime, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime
from quorate.errors import Unavailable
from quorate.events import ToolFailed, ToolFinished
from quorate.messages import File, ToolResult
from quorate.models.scripted import call
from quorate.ports import Store
from quorate.state.artifacts import ArtifactQuery, Caller, search_artifacts

KIB = 1 << 10
MIB = 1 << 20
BOUND = 64 * KIB
TURNS, CALLS = 25, 200


def make(size: int) -> bytes:
    """Text of a size that no two places of are alike."""
    lines = b"".join(b"%07d " % n for n in range(KIB // 8, 2 * KIB))
    return b"".join(b"%07d " % n + lines for n in range(size // len(lines) + 1))[:size]


async def give(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), MIB):
        yield data[begin : begin + MIB]


@tool(effect="idempotent")
async def give_text(size: int) -> str:
    """Give a text."""
    return make(size).decode()


@tool(effect="idempotent")
async def give_file(size: int) -> File:
    """Give a file."""
    return File(data=make(size), media_type="text/plain")


@tool(effect="idempotent")
async def save(context: RunContext[None], size: int) -> str:
    """Keep a file, piece by piece."""
    return f"kept as {(await context.artifacts.save('large.txt', give(make(size)))).id}"


async def run_once(runtime: Runtime, name: str, size: int) -> tuple[str, str]:
    """Let a run make one call; return its id, and what is in its log of the result."""

    def answer(request: Request) -> object:
        return "done" if any(message.role == "assistant" for message in request.messages) else call(name, size=size)

    agent = Agent("loader", model=ScriptedModel(answer), tools=[give_text, give_file, save])
    run = await runtime.submit("x", agent=agent)
    assert (await run.wait()).text == "done"
    (event,) = [e for e in await runtime.log.read(run.id) if isinstance(e, (ToolFinished, ToolFailed))]
    return run.id, str(event.result.content)


async def load_artifact(runtime: Runtime, run: str) -> bytes:
    """Load the one artifact of a run."""
    operator = Caller(tenant=runtime.tenant, operator=True)
    (info,) = (await search_artifacts(runtime.artifacts, ArtifactQuery(run=run), caller=operator)).items
    return await runtime.artifacts.load(info, caller=operator)


@pytest.mark.parametrize("size", [KIB, BOUND])
async def test_a_small_result_is_in_the_log(store: Store, size: int) -> None:
    """Up to its bound a result is kept in the log itself, every byte of it."""
    async with open_runtime(Settings(), store=store) as runtime:
        assert (await run_once(runtime, "give_text", size))[1] == make(size).decode()


@pytest.mark.parametrize(
    ("name", "size"), [("give_text", BOUND + 1), ("give_text", MIB), ("give_file", 10 * MIB), ("save", 50 * MIB)]
)
async def test_a_large_result_is_a_handle_in_the_log(store: Store, name: str, size: int) -> None:
    """Above the bound a result is an artifact, every byte of it, and the log has its handle."""
    async with open_runtime(Settings(), store=store) as runtime:
        run, kept = await run_once(runtime, name, size)
        assert len(kept) < 8 * KIB
        assert await load_artifact(runtime, run) == make(size)


async def test_a_text_that_no_message_holds_becomes_an_artifact(store: Store) -> None:
    """50 MB returned as a text: the model gets a handle, the log stays small, and every byte is kept."""
    async with open_runtime(Settings(), store=store) as runtime:
        _, said = await run_once(runtime, "give_text", 50 * MIB)
    assert "Kept as artifact" in said
    assert len(said) < 16 * KIB


async def test_a_text_that_nothing_may_hold_is_refused_in_words(store: Store) -> None:
    """More than an artifact may have: the model is told to ask for less, and the run goes on."""
    async with open_runtime(Settings(), store=store) as runtime:
        _, said = await run_once(runtime, "give_text", 101 * 1_000_000)
    assert "ask for less" in said
    assert len(said) < KIB


async def test_a_run_of_ten_thousand_events_is_gone_on_with(store: Store) -> None:
    """It dies before its outcome is recorded; whoever goes on repeats nothing, and comes to the same end."""
    made = 0

    @tool(effect="idempotent")
    async def count(number: int) -> str:
        """Count."""
        nonlocal made
        made += 1
        return str(number)

    def answer(request: Request) -> object:
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn < TURNS:
            return [call("count", number=turn * CALLS + n) for n in range(CALLS)]
        return str(sum(int(str(p.content)) for m in request.messages for p in m.parts if isinstance(p, ToolResult)))

    limits = Limits(steps=TURNS + 2, tool_calls=TURNS * CALLS, repeated_calls=10_000, seconds=600)

    def build() -> Agent[None, str]:
        return Agent("counter", model=ScriptedModel(answer), tools=[count], limits=limits)

    counting = Mortal(store.log, at=1_000_000, after=False)
    result = await build().run("x", options=RunOptions(log=counting, run_id="run-whole"))  # type: ignore[arg-type]
    dying = Mortal(store.log, at=counting.appends, after=False)
    with pytest.raises(Unavailable):
        await build().run("x", options=RunOptions(log=dying, run_id="run-long"))  # type: ignore[arg-type]
    before = await store.log.read("run-long")
    assert len(before) >= 10_000
    assert made == 2 * TURNS * CALLS
    began = time.perf_counter()
    resumed = await build().resume("run-long", log=store.log)
    took = time.perf_counter() - began
    assert resumed.output == result.output == str(sum(range(TURNS * CALLS)))
    assert made == 2 * TURNS * CALLS, "a recorded call was made again"
    events = await store.log.read("run-long")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    print(f"\n{store.name}: {len(before)} events resumed in {took:.2f} s")
