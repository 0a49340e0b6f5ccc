"""What do the commands about webhooks say, and with which exit code do they end?"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quorate.cli.start import start
from quorate.security.webhooks import verify_webhook

pytestmark = pytest.mark.blocking


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


@dataclass
class Endpoint:
    """A receiver on loopback: what it got, and the status that it answers."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    status: list[int] = field(default_factory=lambda: [200])


Run = Callable[..., Done]


@pytest.fixture
def quorate(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Type a command in a project of its own, with webhooks switched on and loopback allowed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quorate.toml").write_text('[webhooks]\nenabled = true\nallow = ["loopback"]\n', encoding="utf-8")

    def run(*words: str) -> Done:
        code = start(words)
        said = capfd.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()

    class Hooks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.got.append((dict(self.headers.items()), body))
            self.send_response(found.status[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
    found.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_ping_is_sent_and_its_answer_is_shown(quorate: Run, endpoint: Endpoint) -> None:
    """Really sent, and signed with the secret that was shown once."""
    added = quorate("webhooks", "add", endpoint.url, "--id", "pager", "--description", "for the night")
    assert (added.code, "only time that the secret is shown" in added.err) == (0, True)
    secret = next(word for word in added.out.split() if word.startswith("whsec_"))
    assert quorate("webhooks", "test", "pager").out.startswith("Webhook pager took it: it answered 200 in ")
    ((headers, body),) = endpoint.got
    verify_webhook(headers, body, secrets=[secret])
    assert json.loads(body)["type"] == "webhook.ping"
    for words in (
        ("list",),
        ("show", "pager"),
        ("show", "pager", "--json"),
        ("list", "--json"),
        ("deliveries", "pager"),
    ):
        shown = quorate("webhooks", *words)
        assert (shown.code, secret in shown.out + shown.err) == (0, False)
    noted = quorate("audit", "list")
    assert ("webhook.add" in noted.out, secret in noted.out) == (True, False)
    assert "for the night" in quorate("webhooks", "show", "pager").out
    assert quorate("webhooks", "redeliver", "pager", "--dead").out == (
        "Webhook pager has no delivery that was given up.\n"
    )
    both = quorate("webhooks", "redeliver", "pager", "run-1/1", "--dead")
    assert (both.code, "either a delivery, such as `run-1/2`, or `--dead`" in both.err) == (2, True)
    missing = quorate("webhooks", "redeliver", "pager", "run-1/1")
    assert (missing.code, "has no delivery 'run-1/1'" in missing.err) == (2, True)


def test_it_is_rotated_switched_off_and_on_and_removed(quorate: Run, endpoint: Endpoint) -> None:
    """Each act says what it did; a ping that is not taken ends with 1."""
    url, got, status = endpoint.url, endpoint.got, endpoint.status
    old = str(quorate("webhooks", "add", f"{url}?key=hidden", "--id", "pager", "--json").json["secret"])
    new = str(quorate("webhooks", "rotate", "pager", "--overlap", "1h", "--json").json["secret"])
    status[0] = 500
    pinged = quorate("webhooks", "test", "pager", "--json")
    assert (pinged.code, pinged.json["taken"], pinged.json["reason"]) == (1, False, "answered 500")
    for secret in (old, new):
        verify_webhook(*got[0], secrets=[secret])
    assert "Webhook pager is off." in quorate("webhooks", "disable", "pager").out
    shown = quorate("webhooks", "show", "pager")
    assert ("off" in shown.out, "hidden" in shown.out, "two sign" in shown.out) == (True, False, True)
    refused = quorate("webhooks", "redeliver", "pager", "--dead")
    assert (refused.code, "quorate webhooks enable pager" in refused.err) == (2, True)
    assert "Webhook pager is on." in quorate("webhooks", "enable", "pager").out
    asked = quorate("webhooks", "remove", "pager")
    assert (asked.code, "add `--yes` if you mean it" in asked.err) == (2, True)
    assert quorate("webhooks", "remove", "pager", "--yes").code == 0
    gone = quorate("webhooks", "show", "pager")
    assert (gone.code, "There is no webhook 'pager': list them with" in gone.err) == (2, True)
    assert "There are no webhooks. Add one:" in quorate("webhooks", "list").out


def test_what_cannot_be_added_is_refused(quorate: Run, tmp_path: Path) -> None:
    """Each with its reason and exit code."""
    for words, code, said in (
        (("https://10.0.0.7/hooks",), 7, "`webhooks.allow`"),
        (("http://169.254.169.254/latest",), 7, "that is never reached"),
        (("https://example.com/hooks", "--event", "run.fail"), 2, "Did you mean `run.failed`?"),
        (("https://user:word@example.com/hooks",), 2, "may hold no user, password"),
    ):
        done = quorate("webhooks", "add", *words)
        assert (done.code, said in done.err) == (code, True), done.err
    (tmp_path / "quorate.toml").unlink()
    off = quorate("webhooks", "add", "https://example.com/hooks")
    assert (off.code, "set `webhooks.enabled = true`" in off.err) == (2, True)
