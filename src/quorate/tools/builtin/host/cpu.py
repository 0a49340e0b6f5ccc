"""How busy are the processors, and who has to wait for them?"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from quorate.tools.builtin.host.facts import load_psutil, percent, read_fact

Times = Mapping[str, float]
"""Seconds since the start by kind: `user`, `system`, `idle`, `iowait`, `steal` and more."""

# The kernel counts guests in `user` and `nice` already.
_COUNTED_TWICE = ("guest", "guest_nice")
_AT_REST = ("idle", "iowait")


class Stall(Struct, frozen=True, kw_only=True):
    """The share of time in which tasks waited, over the last 10, 60 and 300 seconds."""

    avg10_percent: float
    avg60_percent: float
    avg300_percent: float


class Pressure(Struct, frozen=True, kw_only=True):
    """What the kernel's pressure stall information says of one resource."""

    some: Stall
    """At least one task waited."""
    full: Stall | None = None
    """All tasks waited at once."""


class PressureReport(Struct, frozen=True, kw_only=True):
    """Who has to wait for what; a resource the kernel says nothing about is absent."""

    status: str
    """`ok`, or `unavailable` where the kernel does not measure it."""
    reason: str = ""
    cpu: Pressure | None = None
    memory: Pressure | None = None
    io: Pressure | None = None


class CpuUsage(Struct, frozen=True, kw_only=True):
    """What the processors did while they were watched."""

    percent: float
    """Busy share of all cores together, 0 to 100."""
    per_core_percent: tuple[float, ...]
    user_percent: float
    system_percent: float
    iowait_percent: float
    """Idle only because a disk had not answered."""
    steal_percent: float
    """Taken by other guests of the same machine."""
    cores: int
    physical_cores: int | None
    load_1m: float
    load_5m: float
    load_15m: float
    load_per_core: float
    """The load of one minute for each core; above 1, tasks wait."""
    interval_s: float
    pressure: Pressure | None = None


def measure_cpu(interval_s: float) -> CpuUsage:
    """Watch the processors for a moment.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    psutil = load_psutil()
    started = time.monotonic()
    before = [times._asdict() for times in psutil.cpu_times(percpu=True)]
    time.sleep(interval_s)
    after = [times._asdict() for times in psutil.cpu_times(percpu=True)]
    load = os.getloadavg()
    cores = len(after)
    total_before, total_after = _sum(before), _sum(after)
    return CpuUsage(
        percent=busy_percent(total_before, total_after),
        per_core_percent=tuple(map(busy_percent, before, after)),
        user_percent=share_percent(total_before, total_after, "user"),
        system_percent=share_percent(total_before, total_after, "system"),
        iowait_percent=share_percent(total_before, total_after, "iowait"),
        steal_percent=share_percent(total_before, total_after, "steal"),
        cores=cores,
        physical_cores=psutil.cpu_count(logical=False),
        load_1m=round(load[0], 2),
        load_5m=round(load[1], 2),
        load_15m=round(load[2], 2),
        load_per_core=round(load[0] / cores, 2),
        interval_s=round(time.monotonic() - started, 3),
        pressure=_pressure("cpu"),
    )


def busy_percent(before: Times, after: Times) -> float:
    """Return the share of the time between two readings that was neither idle nor waiting for a disk."""
    spent = _spent(before, after)
    return percent(sum(s for kind, s in spent.items() if kind not in _AT_REST), sum(spent.values()))


def share_percent(before: Times, after: Times, kind: str) -> float:
    """Return the share of the time between two readings that went to one kind; 0 for a kind the system lacks."""
    spent = _spent(before, after)
    return percent(spent.get(kind, 0.0), sum(spent.values()))


def measure_pressure() -> PressureReport:
    """Read what the kernel says of waiting for processor, memory and disk."""
    cpu, memory, io = _pressure("cpu"), _pressure("memory"), _pressure("io")
    if cpu is None and memory is None and io is None:
        return PressureReport(status="unavailable", reason="this kernel has no pressure stall information")
    return PressureReport(status="ok", cpu=cpu, memory=memory, io=io)


def parse_pressure(text: str) -> Pressure | None:
    """Read a file of `/proc/pressure`; `None` when it is not one."""
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        values = {name: value for name, _, value in (field.partition("=") for field in fields)}
        try:
            stalls[kind] = Stall(
                avg10_percent=float(values["avg10"]),
                avg60_percent=float(values["avg60"]),
                avg300_percent=float(values["avg300"]),
            )
        except (KeyError, ValueError):
            return None
    return Pressure(some=stalls["some"], full=stalls.get("full")) if "some" in stalls else None


def _pressure(resource: str) -> Pressure | None:
    text = read_fact(f"/proc/pressure/{resource}")
    return None if text is None else parse_pressure(text)


def _spent(before: Times, after: Times) -> dict[str, float]:
    # A counter may step back a little when a core sleeps.
    return {kind: max(0.0, after[kind] - before.get(kind, 0.0)) for kind in after if kind not in _COUNTED_TWICE}


def _sum(cores: Sequence[Times]) -> dict[str, float]:
    return {kind: sum(core[kind] for core in cores) for kind in cores[0]}
