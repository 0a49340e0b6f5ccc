"""Do the shipped agents find planted faults on this machine, with their playbooks and the real tools alone?"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quorate.agent.result import RunResult
from quorate.assembly import build_toolbox, open_runtime
from quorate.catalog.load import load_catalog
from quorate.models.playbook import Diagnosis, Finding, check_playbook
from quorate.settings import Settings
from quorate.specs import ToolSpec

OPERATIONS = (
    "network-diagnostics",
    "system-monitoring",
    "log-analysis",
    "infrastructure",
    "code-review",
    "incident-lead",
)
SLOW_S = 1.5


@contextlib.asynccontextmanager
async def open_shop() -> AsyncIterator[str]:
    """A web service that is quick on `/`, slow on `/slow` and broken on `/bad`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            words = (await reader.readline()).split()
            path = words[1].decode() if len(words) > 1 else ""
            if path == "/slow":
                await asyncio.sleep(SLOW_S)
            status = "500 Internal Server Error" if path == "/bad" else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A workspace with a log in it, and a database beside it."""
    (tmp_path / "work").mkdir()
    return Settings(database=str(tmp_path / "runs.db"), workspace=str(tmp_path / "work"))


async def ask(settings: Settings, agent: str, task: str, *, replay: bool = False) -> Diagnosis:
    """Run an agent to its end; when asked, see that the log alone leads to the same answer."""
    async with open_runtime(settings) as runtime:
        run = await runtime.submit(task, agent=agent, model="playbook")
        result: RunResult[object] = await run.wait()
        assert result.status == "completed"
        assert isinstance(result.output, Diagnosis)
        if replay:
            assert (await runtime.replay(run.id)).output == result.output
        return result.output


def get(diagnosis: Diagnosis, title: str) -> Finding:
    """The one finding whose title begins so."""
    found = [finding for finding in diagnosis.findings if finding.title.startswith(title)]
    assert len(found) == 1, [finding.title for finding in diagnosis.findings]
    return found[0]


def write_log(path: Path, port: int) -> None:
    """200 entries in ten minutes: ten errors that name a port, and a few slow requests."""
    lines: list[str] = []
    for place in range(200):
        stamp = f"2026-03-01T09:{place * 3 // 60:02d}:{place * 3 % 60:02d}Z"
        if place % 20 == 7:
            lines.append(f"{stamp} ERROR backend call failed: connect 127.0.0.1:{port}: Connection refused")
        elif place % 50 == 3:
            lines.append(f"{stamp} WARNING GET /slow took 15{place % 90:02d} ms")
        else:
            lines.append(f"{stamp} INFO GET / 200 in {place % 7} ms")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_playbook_fits_the_real_tools(settings: Settings) -> None:
    """Names of tools and of arguments, for all agents that ship. row: B1"""
    toolbox = build_toolbox(settings)
    catalog = load_catalog(tools=set(toolbox))
    faults: list[str] = []
    for name in OPERATIONS:
        definition = catalog.get(name)
        specs = [spec for tool in definition.tools if tool in toolbox for spec in toolbox[tool].specs()]
        task: dict[str, object] = {"properties": {"task": {"type": "string"}}, "required": ["task"]}
        specs += [ToolSpec(name=agent.replace("-", "_"), parameters=task) for agent in definition.delegates]
        assert definition.playbook is not None
        faults += [f"{name}: {fault}" for fault in check_playbook(definition.playbook, specs)]
    assert faults == []


async def test_a_refused_port_is_found_with_its_timings(settings: Settings, closed_port: int) -> None:
    """`why can't I reach http://127.0.0.1:9?`: refused, and how long each measurement took. row: B1"""
    diagnosis = await ask(
        settings, "network-diagnostics", f"why can't I reach http://127.0.0.1:{closed_port}?", replay=True
    )
    refused = get(diagnosis, f"Connection refused: 127.0.0.1:{closed_port}")
    assert diagnosis.applies
    assert refused.severity == "critical"
    assert [fact.tool for fact in refused.evidence] == ["tcp_connect", "http_timing"]
    assert re.fullmatch(rf"connect 127\.0\.0\.1:{closed_port} refused after [\d.]+ ms", refused.evidence[0].fact)
    assert all(isinstance(fact.value, float) and 0 <= fact.value < 1000 for fact in refused.evidence)


async def test_a_slow_path_is_named_and_compared(settings: Settings) -> None:
    """The path, its first byte, and what the other path takes. row: B1"""
    async with open_shop() as url:
        diagnosis = await ask(settings, "network-diagnostics", f"why is {url}/slow so slow?")
    slow = get(diagnosis, "Slow path: /slow on http://127.0.0.1:")
    first_byte_ms = slow.evidence[0].value
    assert isinstance(first_byte_ms, float)
    assert SLOW_S * 1000 <= first_byte_ms < SLOW_S * 1000 + 1500
    assert re.search(r"other paths of .* first byte: / [\d.]+ ms", slow.evidence[1].fact)
    assert [fact.tool for fact in slow.evidence] == ["http_compare", "http_compare", "http_timing"]


async def test_a_healthy_service_has_no_findings(settings: Settings) -> None:
    """Nothing is invented. row: B1"""
    async with open_shop() as url:
        diagnosis = await ask(settings, "network-diagnostics", f"is {url} well?")
    assert diagnosis.findings == ()
    assert diagnosis.summary.startswith("Everything that was asked for answers as it should.")


async def test_an_error_answer_is_found(settings: Settings) -> None:
    """The code that the server gave. row: B1"""
    async with open_shop() as url:
        diagnosis = await ask(settings, "network-diagnostics", f"why does {url}/bad fail?")
    assert get(diagnosis, f"HTTP 500: {url}/bad").evidence[0].value == 500


async def test_planted_errors_are_counted(settings: Settings) -> None:
    """How many, of which kind, first and last. row: B1"""
    write_log(Path(settings.workspace) / "app.log", 8081)
    diagnosis = await ask(settings, "log-analysis", "which errors are in app.log?", replay=True)
    errors = get(diagnosis, "Errors in app.log: 10")
    assert errors.severity == "high"
    assert errors.evidence[0].value == 10
    assert errors.evidence[1].fact == (
        "10 × `ERROR backend call failed: connect <ip>:<num>: Connection refused` first 2026-03-01T09:00:21Z, "
        "last 2026-03-01T09:09:21Z, lines 8, 28, 48, 68, 88, such as: ERROR backend call failed: connect "
        "127.0.0.1:8081: Connection refused"
    )


async def test_a_log_that_is_not_there_is_stated(settings: Settings) -> None:
    """An unreadable file is no healthy one. row: B1"""
    diagnosis = await ask(settings, "log-analysis", "which errors are in nope.log?")
    assert diagnosis.summary.startswith("Nothing could be measured")
    assert "nope.log" in diagnosis.unavailable[0]


async def test_planted_faults_in_code_are_found_at_their_lines(settings: Settings) -> None:
    """A secret and `eval`, each with file and line. row: B1"""
    (Path(settings.workspace) / "bad.py").write_text(
        'API_KEY = "sk_live_4242abcd4242abcd4242abcd"\n\n\ndef run(text):\n    return eval(text)\n', encoding="utf-8"
    )
    diagnosis = await ask(settings, "code-review", "review the code in bad.py")
    titles = [finding.title for finding in diagnosis.findings]
    assert "hardcoded-secret: bad.py:1" in titles
    assert "eval: bad.py:5" in titles
    assert not any("4242abcd4242abcd" in fact.fact for finding in diagnosis.findings for fact in finding.evidence)


async def test_this_machine_is_measured(settings: Settings) -> None:
    """Whatever its state, processors, memory and disks are told, as fine or as findings. row: B1"""
    diagnosis = await ask(settings, "system-monitoring", "what uses up this machine?")
    told = " ".join([*diagnosis.checked, *(finding.title for finding in diagnosis.findings)]).lower()
    assert all(word in told for word in ("processors", "memory", "disk", "process:"))


async def test_services_that_do_not_run_and_missing_tools_are_told_apart(settings: Settings, closed_port: int) -> None:
    """A port without a listener is a finding; a program that is not installed is a gap. row: B1"""
    task = f"is service quorate-no-such-service running, and who listens on port {closed_port}?"
    diagnosis = await ask(settings, "infrastructure", task)
    assert get(diagnosis, "Service does not run: quorate-no-such-service").evidence[0].value == 0
    assert get(diagnosis, f"Nothing listens on port {closed_port}").severity == "high"
    assert not any("not installed" in finding.title for finding in diagnosis.findings)


async def test_the_lead_merges_what_its_agents_found(settings: Settings, closed_port: int) -> None:
    """A slow path that only the log names, a refused port and the errors in the log, by their agents."""
    write_log(Path(settings.workspace) / "app.log", closed_port)
    async with open_shop() as url:
        task = f"why is {url} failing? logs are in app.log, it also needs 127.0.0.1:{closed_port}"
        diagnosis = await ask(settings, "incident-lead", task, replay=True)
    refused = get(diagnosis, f"Connection refused: 127.0.0.1:{closed_port}")
    slow = get(diagnosis, "Slow path: /slow")
    errors = get(diagnosis, "Errors in app.log: 10")
    assert (refused.source, slow.source, errors.source) == (
        "network-diagnostics",
        "network-diagnostics",
        "log-analysis",
    )
    assert refused.evidence[0].call_id.startswith("network/tcp-")
    assert slow.evidence[0].call_id.startswith("paths/compare-")
    assert diagnosis.findings[0] == refused
    assert get(diagnosis, f"The log names 127.0.0.1:{closed_port}").severity == "high"


@pytest.mark.parametrize("agent", OPERATIONS)
async def test_a_request_for_somebody_else_is_refused_without_a_call(settings: Settings, agent: str) -> None:
    """Each says what it would need. row: B1"""
    diagnosis = await ask(settings, agent, "write me a poem about spring")
    assert not diagnosis.applies
    assert diagnosis.summary.startswith("This request does not apply: it needs ")
    assert diagnosis.findings == ()
