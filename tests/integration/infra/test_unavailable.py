"""What a machine lacks is said to be unavailable, and what it has is found. row: B1"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from quorate.tools.builtin.infra import infra_tools
from quorate.tools.builtin.logs import log_tools
from quorate.tools.process import CommandResult, run_command
from quorate.tools.workspace import Workspace


class Planted:
    """Runs, in earnest, the programs that a test has put in a directory, and no others."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def put(self, name: str, body: str) -> None:
        path = self.directory / name
        path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
        path.chmod(0o755)

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float, max_output_bytes: int = 1 << 20
    ) -> CommandResult:
        program = str(self.directory / argv[0])
        return await run_command([program, *argv[1:]], timeout_s=timeout_s, max_output_bytes=max_output_bytes)


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "programs")


@pytest.fixture
def tools(planted: Planted, tmp_path: Path) -> dict[str, Any]:
    workspace = Workspace(tmp_path)
    return {one.name: one for one in [*infra_tools(workspace, run=planted), *log_tools(workspace, run=planted)]}


async def test_a_missing_engine_is_unavailable(planted: Planted, tools: dict[str, Any]) -> None:
    """A missing docker is reported as unavailable, not as success. row: B1"""
    report = await tools["list_containers"]()
    assert report.status == "unavailable"
    assert "docker" in report.reason
    assert "podman" in report.reason
    assert report.engines[0].reason


async def test_a_dead_daemon_is_unavailable_with_its_own_words(planted: Planted, tools: dict[str, Any]) -> None:
    planted.put("docker", "sys.stderr.write('Cannot connect to the Docker daemon\\n'); sys.exit(1)")
    report = await tools["list_containers"]()
    assert report.status == "unavailable"
    assert "docker: Cannot connect to the Docker daemon" in report.reason


async def test_an_engine_that_answers_is_read(planted: Planted, tools: dict[str, Any]) -> None:
    planted.put("docker", """print('{"ID":"a","Names":"web","Image":"i","State":"running","Status":"Up"}')""")
    report = await tools["list_containers"]()
    assert (report.status, report.total, report.running) == ("ok", 1, 1)
    assert [engine.status for engine in report.engines] == ["ok", "unavailable"]


async def test_no_service_manager_is_unavailable(planted: Planted, tools: dict[str, Any]) -> None:
    report = await tools["list_services"]()
    assert report.status == "unavailable"
    assert "systemctl" in report.reason
    planted.put("systemctl", "sys.stderr.write('System has not been booted with systemd\\n'); sys.exit(1)")
    report = await tools["list_services"]()
    assert (report.status, report.reason) == ("unavailable", "System has not been booted with systemd")
    planted.put("systemctl", "print('a.service loaded failed failed A thing')")
    report = await tools["list_services"]()
    assert (report.status, report.failed) == ("ok", ("a.service",))


async def test_no_journal_is_unavailable(planted: Planted, tools: dict[str, Any]) -> None:
    report = await tools["analyze_journal"]()
    assert report.status == "unavailable"
    assert report.report is None
    planted.put("journalctl", "sys.stderr.write('No journal files were found.\\n')")
    assert (await tools["analyze_journal"]()).status == "unavailable"
    planted.put("journalctl", """print('{"PRIORITY":"3","MESSAGE":"' + sys.argv[-1] + '"}')""")
    report = await tools["analyze_journal"](unit="nginx.service")
    assert report.status == "ok"
    assert report.report.top_errors[0].example == "--unit=nginx.service"


async def test_the_clock_is_asked_of_each_witness(planted: Planted, tools: dict[str, Any]) -> None:
    report = await tools["time_sync"]()
    assert [source.name for source in report.sources] == ["chrony", "systemd", "kernel"]
    assert [source.status for source in report.sources[:2]] == ["unavailable", "unavailable"]
    assert report.status == "ok" or report.reason
    planted.put("timedatectl", "print('NTPSynchronized=yes')")
    assert (await tools["time_sync"]()).is_synchronized is True


def test_a_listening_port_is_found_with_its_process(tools: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        report = tools["list_ports"](port=port)
        assert report.is_listening
        (listener,) = report.listeners
        assert (listener.address, listener.port, listener.pid) == ("127.0.0.1", port, os.getpid())
        by_name = tools["list_ports"](process=listener.process)
        assert port in {one.port for one in by_name.listeners}
    assert not tools["list_ports"](port=port).is_listening
