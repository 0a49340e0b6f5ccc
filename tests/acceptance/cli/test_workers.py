"""Can a person start workers for some agents, see who is there, and learn why a run waits, with the command line?"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.acceptance.cli.conftest import AGENT, QUORATE, Run
from tests.forks import Process, fork

from quorate import Settings
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.assembly import open_store
from quorate.bus.backends.nats import open_nats_bus
from quorate.runtime.registry import list_workers
from quorate.testing.nats_server import open_nats_server


@contextmanager
def working(project: Path, *words: str, bus: str = "") -> Generator[Process]:
    """A worker that has begun to work, for a block; it is told to stop at the end, and leaves by itself."""
    process = fork(
        [QUORATE, "worker", "--no-schedules", *words],
        cwd=project,
        env={**os.environ, "QUORATE_WORKER__BEAT_S": "0.2", "QUORATE_BUS_URL": bus},
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert "Working on runs" in process.stderr.readline()
        yield process
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def wait_for_worker(project: Path) -> None:
    """Wait until a worker shows itself."""

    async def wait() -> None:
        settings = Settings(database=str(project / ".quorate/quorate.db"))
        async with open_store(settings) as store, asyncio.timeout(120):
            while not await list_workers(store):
                await asyncio.sleep(0.02)

    asyncio.run(wait())


def test_a_run_waits_for_a_worker_that_may_do_it(quorate: Run, project: Path) -> None:
    """It is said why nobody takes it; with what it requires it is done."""
    needy = AGENT.replace('name = "disk-watch"', 'name = "disk-card"').replace("watch the disk", "watch the card")
    needy = needy.replace('domain = "storage"', 'domain = "storage"\nrequires = ["gpu"]')
    (project / "agents/disk-card.md").write_text(needy, encoding="utf-8")
    run = quorate("run", "--detach", "--agent", "disk-card", "watch the card").out.strip()
    with working(project, "--agents", "disk*,network-diagnostics", "--concurrency", "3") as process:
        wait_for_worker(project)
        fleet = cast("dict[str, Any]", quorate("workers", "list", "--json").json)
        found = fleet["workers"][0]
        assert (found["pid"], found["concurrency"], found["state"]) == (process.pid, 3, "working")
        assert found["patterns"] == ["disk*", "network-diagnostics"]
        assert found["lacking"] == {"disk-card": ["gpu"]}
        why = "no worker offers `gpu`, which agent `disk-card` requires: start one with `--capability gpu`"
        assert fleet["queued"] == [{"agent": "disk-card", "runs": 1, "why": why}]
        assert why in quorate("runs", "show", run).out
        shown = quorate("workers", "show", found["id"][-10:]).out
        assert f"worker   {found['id']}\n" in shown
        assert "leaves   disk-card (needs gpu)" in shown
    with working(project, "--capability", "gpu"):
        assert quorate("runs", "wait", run, "--quiet").code == 0


def test_a_process_that_knows_less_submits_to_the_fleet(quorate: Run, project: Path, tmp_path: Path) -> None:
    """Elsewhere nobody has the agent's file: its name is looked up among the workers, and its answer can be read."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "quorate.toml").touch()
    shared = {"QUORATE_DATABASE": str(project / ".quorate/quorate.db")}
    order = ("run", "--detach", "--agent", "disk-watch", "watch the disk")
    unknown = quorate(*order, cwd=elsewhere, env=shared)
    assert (unknown.code, "No worker knows it, either: `quorate workers list`" in unknown.err) == (2, True)
    with working(project):
        wait_for_worker(project)
        run = quorate(*order, cwd=elsewhere, env=shared).out.strip()
        done = quorate("runs", "wait", run, "--quiet", cwd=elsewhere, env=shared)
    assert (done.code, "were measured" in done.out) == (0, True), done


async def test_tasks_of_the_bus_are_done(quorate: Run, project: Path) -> None:
    """A program elsewhere asks an agent whose file it has not; what it asks for is a run of the worker."""
    with open_nats_server() as server, working(project, "--agents", "disk-watch", bus=server.url):
        async with (
            open_nats_bus(server.url, principal="caller", streams=build_task_rules(["disk-watch"])) as bus,
            asyncio.timeout(120),
        ):
            result = await RemoteAgent("disk-watch", bus=bus, output_type=str, patience_s=100).run("watch the disk")
    assert (result.status, "were measured" in result.text) == ("completed", True)
    run = await asyncio.to_thread(quorate, "runs", "show", result.run_id)
    assert (run.code, "disk-watch" in run.out) == (0, True)


def test_who_is_there_is_watched_until_it_is_enough(quorate: Run, project: Path) -> None:
    """Ctrl-C ends it, and is no failure."""
    watching = subprocess.Popen(
        [QUORATE, "workers", "list", "--watch", "--every", "1s"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == "No worker is there. Start one: `quorate worker`.\n"
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=120)
    assert watching.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("worker", "--agents", "disk-wach"), "There is no agent 'disk-wach'. Did you mean `disk-watch`?"),
        (("workers", "show", "worker-1"), "There is no worker 'worker-1': list them with `quorate workers list`."),
    ],
)
def test_what_makes_no_sense_is_refused(quorate: Run, words: tuple[str, ...], said: str) -> None:
    done = quorate(*words)
    assert (done.code, done.out, said in done.err) == (2, "", True), done.err
