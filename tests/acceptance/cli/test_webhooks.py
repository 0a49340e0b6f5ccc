"""Can a person have others told of what happens, see what became of it, and stop it, with the command line alone?"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from tests.acceptance.cli.conftest import QUORATE, SLOW, Run

from quorate.security.webhooks import verify_webhook

Got = tuple[dict[str, str], bytes]
WORDS = "watch the disk"


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[Got], list[int]]]:
    """A receiver on loopback: its URL, what it got, and the status that it answers."""
    got, status = list[Got](), [200]

    class Hooks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers.items()), body))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks", got, status
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hooked(project: Path) -> Path:
    """The project, with webhooks switched on and loopback allowed."""
    path = project / "quorate.toml"
    path.write_text(path.read_text() + '[webhooks]\nenabled = true\nallow = ["loopback"]\n', encoding="utf-8")
    return project


def test_a_worker_tells_of_a_run(quorate: Run, hooked: Path, endpoint: tuple[str, list[Got], list[int]]) -> None:
    """Added, told by a real worker, listed; the secret is shown once and nowhere else."""
    url, got, _ = endpoint
    added = quorate("webhooks", "add", url, "--id", "pager", "--event", "run.*", "--json")
    assert (added.code, "only time that the secret is shown" in added.err) == (0, True)
    secret = str(added.json["secret"])
    assert quorate("run", WORDS, "--agent", "disk-watch").code == 0
    worker = subprocess.Popen(
        [QUORATE, "worker", "--quiet"], cwd=hooked, env={k: v for k, v in os.environ.items() if k != SLOW}
    )
    try:
        deadline = time.monotonic() + 120
        while len(got) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=120) == 0
    assert [json.loads(body)["type"] for _, body in got] == ["run.created", "run.completed"]
    for headers, body in got:
        verify_webhook(headers, body, secrets=[secret])
        assert WORDS not in body.decode()
    listed = quorate("webhooks", "deliveries", "pager", "--status", "delivered", "--json")
    rows = cast("list[dict[str, object]]", json.loads(listed.out))
    assert {row["message"] for row in rows} == {
        {name.lower(): value for name, value in headers.items()}["webhook-id"] for headers, _ in got
    }
    assert secret not in listed.out
