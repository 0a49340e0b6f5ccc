"""Which tools let an agent see what runs on a machine, and what is about to stop running?"""

from __future__ import annotations

import time
from typing import Annotated, Any

from msgspec import Meta

from quorate.tools.builtin.host.disks import DiskReport, measure_disks
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.builtin.infra.certificates import CertificateReport, scan_certificates
from quorate.tools.builtin.infra.containers import ContainerReport, read_containers
from quorate.tools.builtin.infra.ports import ListenerReport, find_listeners
from quorate.tools.builtin.infra.processes import ProcessList, find_processes
from quorate.tools.builtin.infra.services import ServiceReport, read_services
from quorate.tools.builtin.infra.timesync import TimeReport, read_time_sync
from quorate.tools.define import Tool, tool
from quorate.tools.process import run_command
from quorate.tools.workspace import Workspace

__all__ = ["infra_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A file or directory in the workspace.")]
Most = Annotated[int, Meta(ge=1, le=500, description="How many to list.")]


def infra_tools(workspace: Workspace, *, run: Run = run_command) -> list[Tool[..., Any]]:
    """Build the tools that look at services, containers, ports, disks and time, and at certificates in a workspace.

    What this machine lacks is reported with the status `unavailable` and the reason, never as success.
    """
    return [*_manager_tools(run), *_machine_tools(), _certificate_tool(workspace)]


def _manager_tools(run: Run) -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=15)
    async def list_services(
        pattern: Annotated[str, Meta(min_length=1, max_length=200)] = "*", most: Most = 50
    ) -> ServiceReport:
        """List the services systemd knows, those that failed first.

        Args:
            pattern: A glob for their names, such as `nginx*`.
        """
        return await read_services(run, pattern=pattern, most=most)

    @tool(effect="idempotent", timeout_s=25)
    async def list_containers() -> ContainerReport:
        """List the containers of docker and podman, with their state and health."""
        return await read_containers(run)

    @tool(effect="idempotent", timeout_s=15)
    async def time_sync() -> TimeReport:
        """Find out whether the clock is synchronized, and how far it is off."""
        return await read_time_sync(run)

    return [list_services, list_containers, time_sync]


def _machine_tools() -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=10)
    def list_ports(
        port: Annotated[int, Meta(ge=1, le=65_535)] | None = None,
        process: Annotated[str, Meta(max_length=100)] = "",
    ) -> ListenerReport:
        """Find who listens on this machine.

        Args:
            port: Only this port.
            process: Only processes with this in their name.
        """
        return find_listeners(port=port, process=process)

    @tool(effect="idempotent", timeout_s=10)
    def list_processes(name: Annotated[str, Meta(min_length=1, max_length=100)], most: Most = 20) -> ProcessList:
        """Find the processes with a text in their name or command line.

        Args:
            name: The text, such as `nginx`.
        """
        return find_processes(name, most=most)

    @tool(effect="idempotent", timeout_s=10)
    def check_disks(threshold_percent: Annotated[float, Meta(ge=1, le=100)] = 90.0) -> DiskReport:
        """Find disks that are nearly full or mounted read-only."""
        return measure_disks(threshold_percent)

    return [list_ports, list_processes, check_disks]


def _certificate_tool(workspace: Workspace) -> Tool[..., Any]:
    @tool(effect="idempotent", timeout_s=20)
    def check_certificates(
        path: Path = ".",
        *,
        warn_days: Annotated[int, Meta(ge=0, le=3650)] = 30,
        most: Most = 50,
    ) -> CertificateReport:
        """Find the certificates in a file or below a directory, and when they expire.

        Args:
            warn_days: Count those that expire within so many days.
        """
        return scan_certificates(workspace, path, warn_days=warn_days, most=most, now_s=time.time())

    return check_certificates
