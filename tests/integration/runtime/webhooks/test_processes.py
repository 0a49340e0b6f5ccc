"""Is every event delivered, under one id, when real processes share a database and are killed anywhere?"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration.runtime.programs import Child, Start, starting
from tests.integration.runtime.webhooks.process import SETTINGS, working
from tests.integration.runtime.webhooks.receiver import WAIT_S, Receiver, ids, wait_until

from quorate import Settings
from quorate.assembly import open_runtime
from quorate.events import RunCreated, RunFailed
from quorate.messages import build_user_message
from quorate.runtime import Runtime
from quorate.runtime.webhooks import Webhook, Webhooks

SCRIPT = Path(__file__).with_name("process.py")


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh file; a server's database where a test asks for one."""
    kind = getattr(request, "param", "sqlite")
    return str(tmp_path / "quorate.db") if kind == "sqlite" else request.getfixturevalue("postgres_dsn")


@pytest.fixture
async def runtime(database: str) -> AsyncIterator[Runtime]:
    """The same database, to prepare and to look."""
    async with open_runtime(Settings(database=database, webhooks=SETTINGS)) as opened:
        yield opened


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes and wait until they are open; none outlives the test."""
    with starting(SCRIPT) as begin:
        yield begin


def let_go(*children: Child) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()


async def record(runtime: Runtime, run: str) -> None:
    now = runtime.clock.now()
    created = RunCreated(run=run, seq=1, time=now, agent="clerk", messages=(build_user_message("task"),))
    failed = RunFailed(run=run, seq=2, time=now, code="tool_error", message="no")
    await runtime.store.log.append(run, [created, failed], expected=0)


@pytest.mark.parametrize(
    ("database", "prefix", "when", "at", "sent"),
    [
        ("sqlite", "webhook-due/", "after", 1, 0),
        ("sqlite", "webhook-due/", "after", 2, 0),
        ("sqlite", "webhook-done/", "before", 1, 1),
        ("postgres", "webhook-done/", "before", 1, 1),
        ("sqlite", "webhook-done/", "after", 1, 1),
    ],
    ids=["noted", "claimed", "sent-and-not-marked", "sent-and-not-marked-postgres", "marked"],
    indirect=["database"],
)
async def test_a_process_that_is_killed_anywhere_loses_nothing(
    runtime: Runtime, start: Start, receiver: Receiver, prefix: str, when: str, at: int, sent: int
) -> None:
    """With -9, before and after each step of a delivery: another process, which is this one, goes on, and sends again
    at most what was under way, under the same id."""
    secret = (await Webhooks(runtime).add(Webhook(id="hook", url=receiver.url, events=("run.failed",))))[1]
    await record(runtime, "run-1")
    first = start(runtime.settings.database, 1, prefix, when, at)
    let_go(first)
    assert await asyncio.to_thread(first.wait, WAIT_S) == -signal.SIGKILL
    assert len(receiver.got) == sent
    async with working(runtime, lease_s=60), asyncio.timeout(WAIT_S):
        while [row.status for row in await Webhooks(runtime).list_deliveries("hook")] != ["delivered"]:
            await asyncio.sleep(0.05)
    again = (prefix, when) == ("webhook-done/", "before")
    assert len(receiver.got) == 1 + again
    assert len(set(ids(receiver.got))) == 1
    for got in receiver.got:
        got.verify(secret, now=time.time())


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
async def test_three_processes_deliver_each_event_once(runtime: Runtime, start: Start, receiver: Receiver) -> None:
    """Nobody dies: a hundred events, three processes, no delivery more than there are events."""
    await Webhooks(runtime).add(Webhook(id="hook", url=receiver.url))
    let_go(*[start(runtime.settings.database, 60) for _ in range(2)])
    async with working(runtime, lease_s=60):  # the third is this one
        for number in range(50):
            await record(runtime, f"run-{number:03}")
        await wait_until(lambda: len(set(ids(receiver.got))) == 100, what=lambda: len(receiver.got))
    assert len(receiver.got) == 100
    seen: dict[object, list[object]] = {}
    for got in receiver.got:
        seen.setdefault(got.data["run"], []).append(got.data["seq"])
    assert sorted(map(tuple, seen.values())) == [(1, 2)] * 50
