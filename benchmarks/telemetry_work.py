"""What is done with telemetry on and off, and what does it cost?"""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from benchmarks.measure import count_calls
from benchmarks.script import PROGRESS, TASK, TOOLS, Progress, Script
from benchmarks.sides.quorate import LIMITS, Model
from quorate import Agent, Limits, MemoryLog, tool
from quorate.agent.run import RunOptions
from quorate.agent.traced import Traced, TracedModel
from quorate.assembly import open_runtime
from quorate.events import AnyEvent
from quorate.runtime import Runtime
from quorate.security.secrets import Secret
from quorate.settings import Settings
from quorate.settings.values import OpenAISettings, TelemetrySettings
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.describe import Describer
from quorate.telemetry.logs import JsonFormatter
from quorate.telemetry.meters import Meters
from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.otel import Receiver, build_sink, open_receiver
from quorate.telemetry.tally import Tally
from quorate.telemetry.watcher import Watcher

WINDOW = 10
"""Tool turns a count is the mean of."""
WARM_UP = 20
PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"
SIDES = ("off", "logs", "metrics", "traces")
"""Each with what the one before it has, but the logs, which are compared with none."""

PROVIDER = """
import asyncio, json, sys
from aiohttp import web

CALL = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}

async def answer(request):
    body = await request.json()
    is_done = body["messages"][-1]["role"] == "tool"
    message = {"role": "assistant", "content": "done"} if is_done else {"role": "assistant", "tool_calls": [CALL]}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if is_done else "tool_calls"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    whole = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return web.json_response(whole)

async def take(request):
    await request.read()
    return web.Response(body=b"", content_type="application/x-protobuf")

async def main():
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/v1/chat/completions", answer)
    for signal in ("traces", "metrics", "logs"):
        app.router.add_post(f"/otlp/v1/{signal}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
"""A provider and a receiver, in a process of their own: their time is not counted."""


@contextmanager
def serve_others() -> Iterator[str]:
    """Serve a provider and a receiver while a block lasts; yield where they are."""
    with subprocess.Popen(
        [sys.executable, "-c", PROVIDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)


@tool(effect="idempotent")
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    logging.getLogger("bench").info("added %d and %d", a, b)
    return str(a + b)


@asynccontextmanager
async def open_side(side: str, origin: str, folder: Path) -> AsyncIterator[Runtime]:
    """Open a runtime with as much telemetry as a side has."""
    telemetry = (
        TelemetrySettings(endpoint=f"{origin}/otlp", interval_s=3600)
        if side == "traces"
        else TelemetrySettings(interval_s=3600)
    )
    settings = Settings(
        database=str(folder / f"{side}.db"),
        openai=OpenAISettings(api_key=Secret("a-key"), base_url=f"{origin}/v1"),
        telemetry=telemetry,
        log_format="json" if side == "logs" else "text",
    )
    async with open_runtime(settings, counts=side in ("metrics", "traces")) as runtime:
        yield runtime


@contextmanager
def write_logs(side: str) -> Iterator[None]:
    """Write what is logged: all sides do, one of them as JSON with trace ids and without secrets."""
    logger, before = logging.getLogger(), logging.getLogger().level
    with tempfile.TemporaryFile("w") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(JsonFormatter(secrets=["a-key"]) if side == "logs" else logging.Formatter(PLAIN))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)


def build_agent(runtime: Runtime) -> Agent:
    """Build an agent whose model is asked over HTTP, through the gateway."""
    assert runtime.gateway is not None
    model = runtime.gateway.find_model("openai:m")
    return Agent("bench", model=model, tools=[add], limits=Limits(steps=10, seconds=60))


async def run_once(runtime: Runtime, agent: Agent) -> None:
    handle = await runtime.submit(TASK, agent=agent)
    result = await handle.wait()
    if result.output != "done":
        raise RuntimeError(f"the answer is {result.output!r}")


async def measure_cpu_us(runtime: Runtime, runs: int) -> float:
    """Measure the CPU of this process for each run, all its threads and what is shown in the end included."""
    agent = build_agent(runtime)
    gc.collect()
    began = time.process_time()
    for _ in range(runs):
        await run_once(runtime, agent)
    if runtime.watching is not None:
        await runtime.watching.watcher.flush()
    return (time.process_time() - began) / runs * 1e6


async def measure_sides(
    origin: str, *, rounds: int, runs: int, note: Callable[[str, float], None], log: Callable[[str], None]
) -> None:
    """Measure all sides in turns, in one process: they share the moment's machine."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            sides = {
                side: await stack.enter_async_context(open_side(side, origin, Path(folder))) for side in SIDES
            }  # fmt: skip
            for side, runtime in sides.items():
                with write_logs(side):
                    await measure_cpu_us(runtime, WARM_UP)
            for number in range(rounds):
                log(f"round {number + 1} of {rounds}")
                # Each round begins with another side, so that none has always the same one before it.
                for place in range(len(SIDES)):
                    side = SIDES[(place + number) % len(SIDES)]
                    with write_logs(side):
                        note(side, await measure_cpu_us(sides[side], runs))


async def count_turn(origin: str, *, shows: bool) -> float:
    """Count the calls of a tool turn, with everything shown by OTLP, or with nothing."""
    shorter = await count_calls(await prepare(origin, 1, shows=shows))
    longer = await count_calls(await prepare(origin, 1 + WINDOW, shows=shows))
    return (longer - shorter) / WINDOW


async def prepare(origin: str, turns: int, *, shows: bool) -> Callable[[], Awaitable[object]]:
    """Build a go at a run whose spans and counts are sent in the same thread, so that all is counted."""
    agent = Agent("bench", model=Model(Script(turns=turns)), tools=[tool(TOOLS["add"])], limits=LIMITS)
    names = load_names()
    tally = Tally(names)
    exporters = open_receiver(Receiver(endpoint=f"{origin}/otlp"))
    counting = CountingSink(Meters(names, tally), load_objectives())
    sink = build_sink(counting, tally, version="1", exporters=exporters)

    async def work(function: Callable[..., object], *args: object) -> object:
        return function(*args)

    async def find_before(run: str) -> list[AnyEvent]:
        return []

    watcher = Watcher(sink, Describer(names), find_before=find_before, work=work)

    def note(event: AnyEvent) -> None:
        watcher.note([event])

    shown = RunOptions(
        listeners=(note,), wrap=lambda tools: Traced(tools, sink.enter), wrap_model=TracedModel, log=MemoryLog()
    )  # fmt: skip

    async def go() -> None:
        PROGRESS.set(Progress())
        await agent.run(TASK, options=shown if shows else RunOptions(log=MemoryLog()))
        await watcher.flush()

    for _ in range(2):
        await go()
        await asyncio.sleep(0)
    return go
