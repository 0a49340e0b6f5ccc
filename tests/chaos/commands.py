"""Do the commands that operators type keep what they promise while they and the broker are killed?

The workers are `quorate worker --agents`, the runs are those of an agent file that asks a web server for one page after
the other, and the web server counts: a request that comes after its answer was recorded is a step that was made again.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from tests.chaos.fleet import AWAY_S, open_task_bus

from quorate import RunOptions, Runtime, Settings, open_runtime
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.errors import DeadlineExceeded, Unavailable
from quorate.events import AnyEvent, RunCompleted, ToolFinished, ToolStarted
from quorate.messages import ToolCall
from quorate.ports import Store
from quorate.runtime.registry import list_workers
from quorate.runtime.relay.opening import open_events
from quorate.settings.values import AgentSettings, BusSettings
from quorate.testing.nats_server import NatsServer

AGENT = "visitor"
PROGRAM = (str(Path(sys.executable).with_name("quorate")), "worker", "--agents", AGENT, "--concurrency", "8")
PAGES = 3
AGENT_FILE = """+++
name = "visitor"
description = "Asks a web server for one page after the other."
tier = "specialist"
domain = "network"
triggers = ["visit"]
tools = ["http_timing"]
output = "diagnosis"
examples = ["visit http://127.0.0.1:8080/"]

[playbook]
needs = "a URL"
applies = "targets.url != null"
healthy = "All pages answer."

[playbook.targets.url]
kind = "url"
"""
STEP = """
[[playbook.steps]]
id = "page{number}"
tool = "http_timing"
about = "page {number}"
when = "{when}"
arguments = {{ url = "=targets.url.url + '/{number}'" }}
"""
ANSWER_S = 0.2
LONGEST_S = 900.0
TOLD_S = 120.0


class Toll(Struct, frozen=True, kw_only=True):
    """What was done to the commands, and what came of it."""

    runs: int
    kills: int
    steps: int
    """How many requests are recorded."""
    again: int
    """How many requests were under way at a kill, and made again."""
    seconds: float


class Visits:
    """When each page of a web server was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.times: dict[str, list[float]] = {}

    def ask_about(self, name: str) -> str:
        """What is asked of the agent."""
        return f"visit http://127.0.0.1:{self.port}/{name}"


@contextmanager
def open_visits() -> Generator[Visits]:
    """Open a web server that takes its time and counts."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.times.setdefault(self.path, []).append(time.time())
            time.sleep(ANSWER_S)
            with suppress(OSError):  # whoever asked was killed
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        visits = Visits(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield visits
        finally:
            server.shutdown()
            thread.join(10)


def write_agent(folder: Path) -> Path:
    """Write the agent's file; return the directory."""
    place = folder / "agents"
    place.mkdir()
    steps = "".join(
        STEP.format(number=number, when=f"results.page{number - 1} != null" if number > 1 else "true")
        for number in range(1, PAGES + 1)
    )
    (place / f"{AGENT}.md").write_text(f"{AGENT_FILE}{steps}+++\nYou visit.\n")
    return place


class Workers:
    """Commands that come and go."""

    def __init__(self, folder: Path, database: str, bus: str) -> None:
        self._environment = {**os.environ, "QUORATE_DATABASE": database, "QUORATE_BUS_URL": bus}
        (folder / "quorate.toml").write_text(
            '[agents]\ndirectories = ["agents"]\n\n[bus]\nevents = true\n\n[worker]\nlease_s = 2\nmax_crashes = 100\n'
        )
        self._log = folder / "workers.log"
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def start(self) -> None:
        """Start one more."""
        with self._log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(PROGRAM, cwd=self._folder, env=self._environment, stdout=log, stderr=log)
            )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill one with -9."""
        assert process.poll() is None, self._log.read_text()[-4000:]
        process.kill()
        process.wait()
        self.processes.remove(process)
        self.kills += 1

    def stop(self) -> list[int]:
        """Ask all of them to leave, and return how they did."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        try:
            return [process.wait(30) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
            self.processes.clear()


async def harry_commands(
    folder: Path, database: str, server: NatsServer, *, runs: int, kill_each_s: float, seed: int
) -> Toll:
    """Have three commands do runs, half of them queued in the record and half sent over the bus, and kill them.

    Args:
        folder: Where they run.
        database: What they share.
        server: The broker, which is killed twice.
        runs: How many runs.
        kill_each_s: How often a command dies; another one is started at once.
        seed: Which one.
    """
    chance, began = random.Random(seed), time.monotonic()
    workers = Workers(folder, database, server.url)
    agents = AgentSettings(directories=(str(write_agent(folder)),))
    settings = Settings(database=database, bus=BusSettings(url=server.url, events=True), agents=agents)
    try:
        with open_visits() as visits:
            async with (
                open_runtime(settings) as runtime,
                open_task_bus(server.url, build_task_rules([AGENT])) as bus,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(3):
                    workers.start()
                remote = RemoteAgent(AGENT, bus=bus, patience_s=LONGEST_S)
                names = {f"run-{number}": number % 2 == 0 for number in range(runs)}
                done = {
                    name: group.create_task(send(remote, visits, name) if sent else queue(runtime, visits, name))
                    for name, sent in names.items()
                }
                restarts = 0
                while not all(task.done() for task in done.values()):
                    await asyncio.sleep(kill_each_s)
                    busy = {worker.pid for worker in await list_workers(runtime.store) if worker.runs}
                    working = [process for process in workers.processes if process.pid in busy]
                    if working:  # who has nothing has nothing to lose
                        workers.kill(chance.choice(working))
                        workers.start()
                    if restarts < 2 and 3 * sum(task.done() for task in done.values()) >= (restarts + 1) * runs:
                        restarts += 1
                        await asyncio.to_thread(server.kill)
                        await asyncio.sleep(chance.uniform(0.2, 1.0))
                        await asyncio.to_thread(server.start)
                    assert time.monotonic() < began + LONGEST_S
                assert restarts == 2
                ids = {name: task.result() for name, task in done.items()}
                assert len(set(ids.values())) == runs == len(await runtime.list_runs(limit=10 * runs))
                logs = await runtime.store.log.read_many(list(ids.values()))
                await check_told(settings, runtime.store, set(ids.values()))
            codes = workers.stop()
            assert set(codes) <= {0, -signal.SIGTERM}, codes  # who had just begun knows no better way to leave
            return count(visits, {name: logs[run] for name, run in ids.items()}, kills=workers.kills, began=began)
    finally:
        workers.stop()


async def check_told(settings: Settings, store: Store, runs: set[str]) -> None:
    """Every end was told over the bus, and is kept there once: who told it was killed, too, and so was the broker."""
    told: Counter[str] = Counter()
    async with asyncio.timeout(TOLD_S), open_events(settings) as events:
        async with events.subscribe("run.completed", after=0) as ends:
            async for end in ends:
                told[end.run] += 1
                if len(told) == len(runs):
                    break
        while await store.outbox.pending(limit=1):
            await asyncio.sleep(AWAY_S)
        await events.publish("chaos.over", kept=True)
        told.clear()
        async with events.subscribe(after=0) as everything:
            async for event in everything:
                told[event.run] += event.kind == "run.completed"
                if event.kind == "chaos.over":
                    break
    assert +told == dict.fromkeys(runs, 1)


async def queue(runtime: Runtime, visits: Visits, name: str) -> str:
    """Queue a run in the record, wait for its end and return its id."""
    handle = await runtime.submit(visits.ask_about(name), agent=AGENT, idempotency_key=name, start=False)
    await handle.wait()
    return handle.id


async def send(remote: RemoteAgent[str], visits: Visits, name: str) -> str:
    """Send a task until it has ended, and return its run's id."""
    while True:
        with suppress(Unavailable, DeadlineExceeded):  # under the same key it is the same task
            result = await remote.run(visits.ask_about(name), options=RunOptions(idempotency_key=name))
            return result.run_id
        await asyncio.sleep(AWAY_S)


def count(visits: Visits, logs: dict[str, list[AnyEvent]], *, kills: int, began: float) -> Toll:
    """Check that each run was completed, and that nothing was asked for whose answer was recorded."""
    steps = again = 0
    for name, events in logs.items():
        assert isinstance(events[-1], RunCompleted), f"{name} ended as {events[-1]}"
        asked = {e.key: read_page(e.call) for e in events if isinstance(e, ToolStarted)}
        recorded = Counter(asked[event.key] for event in events if isinstance(event, ToolFinished))
        assert recorded == {f"/{name}/{number}": 1 for number in range(1, PAGES + 1)}
        for event in events:
            if isinstance(event, ToolFinished):
                times = visits.times[asked[event.key]]
                assert max(times) <= event.time, f"{asked[event.key]} was asked for after its answer was recorded"
                steps, again = steps + 1, again + len(times) - 1
    return Toll(runs=len(logs), kills=kills, steps=steps, again=again, seconds=time.monotonic() - began)


def read_page(call: ToolCall) -> str:
    """Read which page a call asks for."""
    return urlsplit(msgspec.json.decode(call.arguments, type=dict[str, str])["url"]).path
