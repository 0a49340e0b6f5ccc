"""How do these tests type commands? In a subprocess, with a home and a project of their own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

QUORATE = Path(sys.executable).parent / "quorate"
SLOW = "PYTHONDONTWRITEBYTECODE"
"""With it, every command of these tests would compile every module anew."""
AGENT = """+++
name = "disk-watch"
version = "1"
description = "Measures the disks of this machine."
tier = "task"
domain = "storage"
triggers = ["watch the disk"]
tools = ["disk_usage"]
output = "diagnosis"
examples = ["watch the disk"]

[playbook]
needs = "a disk"

[[playbook.steps]]
id = "disks"
tool = "disk_usage"
about = "how full they are"

[[playbook.findings]]
title = "The [bold]disks[/bold] were measured"
severity = "info"
when = "has(results.disks)"
next_steps = ["Look again tomorrow."]
+++
You watch disks.
"""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with settings, and one agent of its own that needs no key."""
    folder = tmp_path / "project"
    (folder / "agents").mkdir(parents=True)
    (folder / "quorate.toml").write_text('[agents]\ndirectories = ["agents"]\n', encoding="utf-8")
    (folder / "agents/disk-watch.md").write_text(AGENT, encoding="utf-8")
    return folder


@pytest.fixture
def quorate(project: Path) -> Run:
    """Type a command in the project, and wait for its end."""

    def run(*words: str, stdin: str = "", env: dict[str, str] | None = None, cwd: Path | None = None) -> Done:
        done = subprocess.run(
            [QUORATE, *words],
            input=stdin,
            env={**{k: v for k, v in os.environ.items() if k != SLOW}, **(env or {})},
            cwd=cwd or project,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def silent_provider() -> Iterator[tuple[str, threading.Event]]:
    """A model provider that takes requests and never answers: its address, and whether it was asked."""
    asked, over = threading.Event(), threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.set()
            over.wait(300)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
