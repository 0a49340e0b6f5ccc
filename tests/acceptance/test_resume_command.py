"""Does `quorate runs resume` finish a run whose `quorate run` was killed, without repeating a recorded step?"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.forks import run_fork

from quorate import Settings
from quorate.assembly import open_store
from quorate.events import AnyEvent, RunResumed, ToolFinished

QUORATE = Path(sys.executable).with_name("quorate")
AGENT = """+++
name = "walker"
description = "Visits the pages of a small site in order."
tier = "task"
domain = "network"
triggers = ["walk the site"]
tools = ["http_timing"]
output = "diagnosis"
examples = ["walk the site http://127.0.0.1:8080"]

[playbook]
needs = "a URL"
applies = "targets.url != null"
healthy = "Every page answered."

[playbook.targets.url]
kind = "url"

[[playbook.steps]]
id = "first"
tool = "http_timing"
arguments = { url = "='http://' + targets.url.host + ':' + string(targets.url.port) + '/first'" }

[[playbook.steps]]
id = "sides"
tool = "http_timing"
after = ["first"]
for_each = "['/left', '/right', '/middle']"
arguments = { url = "='http://' + targets.url.host + ':' + string(targets.url.port) + item" }

[[playbook.steps]]
id = "last"
tool = "http_timing"
after = ["sides"]
arguments = { url = "='http://' + targets.url.host + ':' + string(targets.url.port) + '/last'" }

[[playbook.checks]]
text = "the last page answered {status_code}"
values = { status_code = "results.last.status_code" }
+++
You visit pages.
"""


class Site:
    """A small site that counts visits, and holds one page until told otherwise."""

    def __init__(self) -> None:
        self.visits: Counter[str] = Counter()
        self.held = ""
        self.entered = threading.Event()
        self.released = threading.Event()
        self.port = 0

    def visit(self, page: str) -> None:
        self.visits[page] += 1
        if page == self.held and not self.released.is_set():
            self.entered.set()
            self.released.wait(30)


@contextmanager
def open_site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.visit(self.path)
            try:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.released.set()
            server.shutdown()
            thread.join()


def build_project(folder: Path) -> None:
    (folder / "agents").mkdir()
    (folder / "agents/walker.md").write_text(AGENT)
    (folder / "quorate.toml").write_text('[agents]\ndirectories = ["agents"]\n')


def type_command(folder: Path, *words: str) -> dict[str, object] | list[dict[str, object]]:
    done = run_fork([QUORATE, *words, "--json"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def read_events(database: str, run: str) -> list[AnyEvent]:
    async def read() -> list[AnyEvent]:
        async with open_store(Settings(database=database)) as store:
            return await store.log.read(run)

    return asyncio.run(read())


def find_recorded(events: list[AnyEvent]) -> set[str]:
    return {event.key for event in events if isinstance(event, ToolFinished)}


@pytest.mark.parametrize(
    ("database", "page"),
    # What a command does is the same on either database; that its record is, is proven beside it.
    [("sqlite", page) for page in ("/first", "/left", "/right", "/last")] + [("postgres", "/right")],
    indirect=["database"],
)
def test_a_killed_command_is_finished_by_another(
    page: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 while a page is being fetched, then `runs resume`: recorded pages are not fetched again. row: B5"""
    build_project(tmp_path)
    monkeypatch.setenv("QUORATE_DATABASE", database)
    with open_site() as site:
        site.held = page
        with subprocess.Popen(
            [QUORATE, "run", "--agent", "walker", f"walk the site http://127.0.0.1:{site.port}"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as command:
            assert site.entered.wait(30)
            os.kill(command.pid, signal.SIGKILL)
        listed = type_command(tmp_path, "runs", "list")
        assert isinstance(listed, list)
        run, before = str(listed[0]["run"]), Counter(site.visits)
        recorded = find_recorded(read_events(database, run))
        site.released.set()
        told = type_command(tmp_path, "runs", "resume", run)
    assert isinstance(told, dict)
    assert (told["run_id"], told["status"]) == (run, "completed")
    again = read_events(database, run)
    assert find_recorded(again) > recorded
    assert [event.seq for event in again] == list(range(1, len(again) + 1))
    assert sum(isinstance(event, RunResumed) for event in again) == 1
    keys = {"/first": "1/tool/first", "/left": "2/tool/sides-1", "/right": "2/tool/sides-2"}
    keys |= {"/middle": "2/tool/sides-3", "/last": "3/tool/last"}
    for name, key in keys.items():
        once_more = key not in recorded
        assert site.visits[name] == before[name] + once_more, f"{name}: {site.visits}"
    assert site.visits[page] == 2
