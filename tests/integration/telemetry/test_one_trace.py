"""Is what one request sets off in several processes one trace, and is it counted right?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.integration.telemetry.receivers import Received, http_receiver, read_attributes
from tests.prometheus import serve_prometheus

from quorate import ToolCall
from quorate.clock import SYSTEM_CLOCK
from quorate.security.keys import KeyRing
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.nats_server import open_nats_server
from quorate.testing.provider_server import provider_server

QUORATE = str(Path(sys.executable).parent / "quorate")
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PEPPER = bytes(range(7, 39))
RUNS = 3
WAIT_S = 60.0
AGENT = """+++
name = "reach"
description = "Finds out whether a page answers."
tier = "specialist"
domain = "network"
triggers = ["does the page answer"]
examples = ["does the page answer?"]
tools = ["http_timing"]
+++
Ask for the page.
"""
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: quorate
    authorization: {{credentials: {key}}}
    static_configs: [{{targets: ["{server}"]}}]
  - job_name: quorate-worker
    static_configs: [{{targets: ["{worker}"]}}]
"""


class Target:
    """A page that a tool asks for."""

    def __init__(self) -> None:
        self.url = ""
        self.traces: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.traces.append(request.headers.get("traceparent", ""))
        return web.Response(text="Here.")


@asynccontextmanager
async def serve_target() -> AsyncIterator[Target]:
    target, app = Target(), web.Application()
    app.router.add_get("/", target.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield target
    finally:
        await runner.cleanup()


class Program:
    """A command that runs beside us."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace"))

    async def find(self, word: str) -> str:
        """The first line of its log with a word in it."""
        await until(lambda: any(word in line for line in self.lines) or self.process.returncode is not None)
        found = [line for line in self.lines if word in line]
        assert found, "".join(self.lines)
        return found[0]


@asynccontextmanager
async def start(home: Path, env: dict[str, str], *words: str) -> AsyncIterator[Program]:
    """Run a command of ours until the end of the block, and read what it says."""
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        QUORATE, *words, cwd=home, env=known | {"HOME": str(home)} | env, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    program = Program(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(program.read())
        try:
            yield program
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                try:
                    await asyncio.wait_for(process.wait(), WAIT_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()
            await reading


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():
            await asyncio.sleep(0.02)


class Fleet:
    """A server, a worker, and everything around them."""

    def __init__(self, received: Received, target: Target, provider: Any, http: aiohttp.ClientSession) -> None:
        self.received = received
        self.target = target
        self.provider = provider
        self.http = http
        self.url = ""
        self.worker = ""
        self.key = ""

    async def ask(self) -> str:
        """Let a run be done, as a part of a trace of ours; return its id."""
        headers = {"Authorization": f"Bearer {self.key}", "traceparent": f"00-{TRACE}-{CALLER}-01"}
        task = {"task": "does the page answer?", "agent": "reach", "model": "openai:any-model"}
        async with self.http.post(f"{self.url}/v1/runs?wait=60", json=task, headers=headers) as response:
            answer = await response.json()
        assert (response.status, answer["status"]) == (200, "completed"), answer
        return str(answer["id"])


async def make_key(database: Path) -> str:
    async with open_sqlite_store(str(database)) as store:
        keys = KeyRing(store.values, pepper=PEPPER, clock=SYSTEM_CLOCK)
        return (await keys.create(tenant="default", principal="ops", role="operator")).text.reveal()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """A server that leaves its work to a worker, a bus between them, a provider, a page and a receiver."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "reach.md").write_text(AGENT)
    async with AsyncExitStack() as stack:
        nats = stack.enter_context(open_nats_server())
        received = await stack.enter_async_context(http_receiver())
        target = await stack.enter_async_context(serve_target())
        call = ToolCall(id="call-1", name="http_timing", arguments=json.dumps({"url": target.url}))
        provider = await stack.enter_async_context(provider_server([call, "It answers."] * RUNS, key="a-key"))
        fleet = Fleet(received, target, provider, await stack.enter_async_context(aiohttp.ClientSession()))
        fleet.key = await make_key(tmp_path / "q.db")
        env = {
            "OPENAI_API_KEY": "a-key",
            "OPENAI_BASE_URL": provider.url,
            "QUORATE_DATABASE": str(tmp_path / "q.db"),
            "QUORATE_AGENTS__DIRECTORIES": str(tmp_path / "agents"),
            "QUORATE_BUS__URL": nats.url,
            "QUORATE_LOG_FORMAT": "json",
            "QUORATE_LOG_LEVEL": "info",
            "QUORATE_PROBE__ALLOW": "127.0.0.1",
            "QUORATE_SERVER__OPERATOR_TENANT": "default",
            "QUORATE_SERVER__SECRET": PEPPER.hex(),
            "QUORATE_SERVER__WORKS": "false",
            "QUORATE_TELEMETRY__ENDPOINT": received.url,
            "QUORATE_TELEMETRY__INTERVAL_S": "0.1",
            "QUORATE_TELEMETRY__LOGS": "true",
        }
        server = await stack.enter_async_context(start(tmp_path, env, "serve", "--port", "0"))
        mine = env | {"QUORATE_TELEMETRY__METRICS": "127.0.0.1:0"}
        worker = await stack.enter_async_context(start(tmp_path, mine, "worker", "--agents", "reach", "--quiet"))
        fleet.url = (await server.find("Quorate answers at")).split(" at ")[1].split()[0]
        scraped = json.loads(await worker.find("Scrapes are answered"))["message"]
        fleet.worker = scraped.split("http://")[1].split("/")[0]
        yield fleet


def find_one(spans: list[Any], name: str) -> Any:
    [span] = [span for span in spans if span.name == name]
    return span


async def test_a_request_is_one_trace_across_processes_and_is_counted(fleet: Fleet, tmp_path: Path) -> None:
    """API, bus, worker, tool and model: one trace with right parents, also where others are asked; and the counts of a
    real scrape are what happened. part of rows A8 and A9
    """
    run = await fleet.ask()
    spans: list[Any] = []
    await until(lambda: len([one for one in fleet.received.spans if one.trace_id.hex() == TRACE]) >= 5)
    spans = [one for one in fleet.received.spans if one.trace_id.hex() == TRACE]
    assert sorted(span.name for span in spans) == [
        "POST /v1/runs", "chat openai:any-model", "chat openai:any-model", "execute_tool http_timing",
        "invoke_agent reach",
    ]  # fmt: skip
    asked, done = find_one(spans, "POST /v1/runs"), find_one(spans, "invoke_agent reach")
    tool = find_one(spans, "execute_tool http_timing")
    chats = sorted((one for one in spans if one.name.startswith("chat")), key=lambda one: one.start_time_unix_nano)
    assert asked.parent_span_id.hex() == CALLER
    assert done.parent_span_id == asked.span_id
    assert {one.parent_span_id for one in (*chats, tool)} == {done.span_id}
    assert (asked.kind, done.kind, chats[0].kind) == (2, 1, 3), "SERVER, INTERNAL, CLIENT"
    assert read_attributes(asked.attributes)["http.route"] == "/v1/runs"
    assert read_attributes(done.attributes)["quorate.run.id"] == run
    assert len(find_processes(fleet.received)) == 2, "two processes told of it"
    # Whoever is asked is told by whom: the span of the call.
    assert [sent.headers["traceparent"] for sent in fleet.provider.requests] == [
        f"00-{TRACE}-{chat.span_id.hex()}-01" for chat in chats
    ]
    assert fleet.target.traces == [f"00-{TRACE}-{tool.span_id.hex()}-01"]
    await check_counts(fleet, tmp_path)


def find_processes(received: Received) -> set[str]:
    resources = [resource.resource for request in received.traces for resource in request.resource_spans]
    return {str(read_attributes(one.attributes)["service.instance.id"]) for one in resources}


async def check_counts(fleet: Fleet, folder: Path) -> None:
    """Do more runs, and compare what Prometheus has with what happened."""
    for _ in range(RUNS - 1):
        await fleet.ask()
    place = CONFIGURATION.format(key=fleet.key, server=fleet.url.removeprefix("http://"), worker=fleet.worker)
    expected = {
        'http_server_request_duration_seconds_count{http_route="/v1/runs",http_response_status_code="200"}': RUNS,
        'quorate_runs_total{quorate_outcome="completed",gen_ai_agent_name="reach"}': RUNS,
        'gen_ai_execute_tool_duration_seconds_count{gen_ai_tool_name="http_timing"}': RUNS,
        "sum(gen_ai_client_operation_duration_seconds_count)": 2 * RUNS,
        'quorate_objective_events_total{quorate_objective="availability",quorate_result="good",job="quorate-worker"}': RUNS,
        'quorate_objective_events_total{quorate_objective="activation",quorate_result="good",job="quorate-worker"}': RUNS,
        "sum(up)": 2,
    }
    found: dict[str, float] = {}
    (folder / "prometheus").mkdir()
    with serve_prometheus(folder / "prometheus", place) as url:
        async with asyncio.timeout(WAIT_S):
            while found != expected:
                found = {name: await query(fleet.http, url, name) for name in expected}
                await asyncio.sleep(0.2)


async def query(http: aiohttp.ClientSession, url: str, expression: str) -> float:
    async with http.get(f"{url}/api/v1/query", params={"query": expression}) as response:
        found = (await response.json()).get("data", {}).get("result", [])
    return float(found[0]["value"][1]) if len(found) == 1 else float("nan")
