"""How do these tests type commands? In a process each, with a home and a project of their own."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.forks import COUNTS_LINES, run_fork

QUORATE = Path(sys.executable).parent / "quorate"
WITHIN_S = 110.0
ALONE = frozenset({"chat", "doctor", "init", "run", "serve", "slo", "worker"})
"""Commands of one word; all others have two."""
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

## Evaluation
```toml
request = "watch the disk of this machine"
[expect]
holds = ["output.applies", "size(output.checked) >= 0"]
```
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


@pytest.fixture(scope="session")
def typed_for_real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Which commands the installed program has done, for all processes that run tests beside each other."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "typed-for-real"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def quorate(project: Path, typed_for_real: Path) -> Run:
    """Type a command in the project, and wait for its end.

    Until a command has ended well once, it is the installed program that starts, and imports what it needs and nothing
    else; from then on a fork, a process as well, that finds imported what most commands import. Lines are counted in
    the installed program, and only that one reads what the environment tells Python.
    """

    def run(*words: str, stdin: str = "", env: dict[str, str] | None = None, cwd: Path | None = None) -> Done:
        environment = {**{k: v for k, v in os.environ.items() if k != SLOW}, **(env or {})}
        proof = typed_for_real / re.sub(r"\W", "-", name_command(words))
        is_real = not proof.exists() or COUNTS_LINES in environment or any(k.startswith("PYTHON") for k in env or {})
        place = cwd or project
        if is_real:
            done = subprocess.run(
                [QUORATE, *words], input=stdin, env=environment, cwd=place, capture_output=True, text=True,
                timeout=WITHIN_S, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                proof.touch()
        else:
            done = run_fork([QUORATE, *words], cwd=place, env=environment, stdin=stdin, timeout_s=WITHIN_S)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def name_command(words: tuple[str, ...]) -> str:
    """The command that some words are for; asking for help is one of its own."""
    if "--help" in words:
        return "help"
    return " ".join(words[: 1 if words[:1] and words[0] in ALONE else 2])


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
