"""Can a person follow what happens in a fleet, and have kept answers forgotten, with nothing but the command line?"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import QUORATE, SLOW, Run
from tests.forks import Process, fork

from quorate.testing.nats_server import NatsServer, open_nats_server

PATIENCE_S = 100


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with open_nats_server() as opened:
        yield opened


@pytest.fixture
def fleet(project: Path, server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with a bus over which events are told."""
    settings = project / "quorate.toml"
    settings.write_text(settings.read_text() + "[bus]\nevents = true\n", encoding="utf-8")
    monkeypatch.setenv("QUORATE_BUS_URL", server.url)
    return project


def test_without_a_bus_it_says_what_to_do(quorate: Run) -> None:
    """In one line, as wrong input."""
    done = quorate("events", "follow", "run.*")
    assert (done.code, "set `bus.url`, or `QUORATE_BUS_URL`, to a NATS server" in done.err) == (2, True)
    assert "Traceback" not in done.err


@contextmanager
def start(fleet: Path, *words: str) -> Generator[Process]:
    """Start a command that goes on; it is killed at the end, or when nothing comes of it."""
    process = fork(
        [QUORATE, *words],
        cwd=fleet,
        env={k: v for k, v in os.environ.items() if k != SLOW} | {"HOME": str(fleet.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def test_events_are_followed_live_and_read_again(fleet: Path, quorate: Run) -> None:
    """A run is told while it is watched; Ctrl-C ends that; later the same is read by number, by time and by pattern."""
    with start(fleet, "events", "follow", "run.**") as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stderr.readline().startswith("Following run.** over nats://127.0.0.1:")
        done = quorate("run", "--agent", "disk-watch", "--json", "watch the disk")
        assert done.code == 0, done.err
        with start(fleet, "worker", "--quiet") as working:
            lines = [watching.stdout.readline(), watching.stdout.readline()]
            working.terminate()
            assert working.wait(timeout=PATIENCE_S) == 0
        assert ["run.created" in lines[0], "run.completed" in lines[1]] == [True, True], lines
        assert '"agent":"disk-watch"' in lines[1]
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=PATIENCE_S)
        assert (watching.returncode, out, err) == (130, "", "")

    again = quorate("events", "follow", "*.completed", "--after", "0", "--count", "1", "--json")
    event = json.loads(again.out)
    assert (event["kind"], event["data"]["status"], event["place"], event["seq"] > 1) == (
        "run.completed",
        "completed",
        2,
        True,
    )
    since = quorate("events", "follow", "--since", "1h", "--count", "2", "--key", event["run"])
    assert [line.split()[0] for line in since.out.splitlines()] == ["1", "2"]


def test_kept_answers_are_forgotten_where_they_can_be_reached(
    project: Path, quorate: Run, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says when there is nothing, when nobody can be told, and when others are."""
    none = quorate("cache", "clear")
    assert (none.code, "No answers are kept" in none.err) == (2, True)
    settings = project / "quorate.toml"
    settings.write_text(f'gateway = "gateway.toml"\n{settings.read_text()}', encoding="utf-8")
    (project / "gateway.toml").write_text("[cache]\n", encoding="utf-8")
    alone = quorate("cache", "clear", "--model", "openai:*")
    assert (alone.code, "there is no bus to reach them by: set `bus.url`" in alone.err) == (2, True)
    monkeypatch.setenv("QUORATE_BUS_URL", server.url)
    told = quorate("cache", "clear", "--model", "openai:*", "--json")
    assert told.json == {"forgotten": 0, "told": True}
    kept = quorate("events", "follow", "cache.*", "--after", "0", "--count", "1", "--json")
    assert kept.json["data"] == {"kind": "cache.invalidated", "model": "openai:*"}
