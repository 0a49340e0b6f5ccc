"""Which services does the service manager know, and which of them have failed?"""

from __future__ import annotations

import fnmatch
from typing import Literal

from msgspec import Struct

from quorate.tools.builtin.infra.ask import Run, ask

MAX_OUTPUT_BYTES = 2 * 1024 * 1024
_ARGV = ("systemctl", "list-units", "--type=service", "--all", "--plain", "--no-legend", "--no-pager", "--full")


class Service(Struct, frozen=True, kw_only=True):
    """A unit as systemd sees it."""

    name: str
    load: str
    active: str
    """`active`, `inactive`, `failed`, `activating` or `deactivating`."""
    sub: str
    """What `active` means for this unit, such as `running`, `exited` or `dead`."""
    description: str = ""


class ServiceReport(Struct, frozen=True, kw_only=True):
    """The services, or why they cannot be known."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    total: int = 0
    running: int = 0
    failed: tuple[str, ...] = ()
    """The names of those that failed, whatever the pattern."""
    services: tuple[Service, ...] = ()
    """Those whose names match."""
    truncated: bool = False


async def read_services(run: Run, *, pattern: str, most: int) -> ServiceReport:
    """Ask systemd for its services."""
    answer = await ask(run, _ARGV, timeout_s=10, max_output_bytes=MAX_OUTPUT_BYTES)
    if answer.reason:
        return ServiceReport(status="unavailable", reason=answer.reason)
    return summarize_services(parse_services(answer.output), pattern=pattern, most=most)


def summarize_services(services: list[Service], *, pattern: str, most: int) -> ServiceReport:
    """Count, and pick those whose names match."""
    chosen = [one for one in services if fnmatch.fnmatchcase(one.name, pattern)]
    chosen.sort(key=lambda one: (one.active != "failed", one.name))
    return ServiceReport(
        status="ok",
        total=len(services),
        running=sum(one.sub == "running" for one in services),
        failed=tuple(one.name for one in services if one.active == "failed"),
        services=tuple(chosen[:most]),
        truncated=len(chosen) > most,
    )


def parse_services(output: str) -> list[Service]:
    """Read what `systemctl list-units --plain --no-legend` prints."""
    services: list[Service] = []
    for line in output.splitlines():
        fields = line.lstrip("●*× \t").split(None, 4)
        if len(fields) >= 4:
            name, load, active, sub = fields[:4]
            description = fields[4].strip() if len(fields) > 4 else ""
            services.append(Service(name=name, load=load, active=active, sub=sub, description=description))
    return services
