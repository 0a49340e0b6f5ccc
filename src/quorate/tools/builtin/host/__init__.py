"""Which tools let an agent see how the machine it runs on is doing?"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from quorate.tools.builtin.host.cgroup import CgroupLimits, read_cgroup
from quorate.tools.builtin.host.cpu import CpuUsage, PressureReport, measure_cpu, measure_pressure
from quorate.tools.builtin.host.disks import DiskReport, measure_disks
from quorate.tools.builtin.host.memory import MemoryUsage, measure_memory
from quorate.tools.builtin.host.processes import ProcessReport, measure_processes
from quorate.tools.builtin.host.system import (
    NetworkIo,
    OpenFiles,
    Temperatures,
    Uptime,
    measure_network_io,
    measure_open_files,
    measure_temperatures,
    measure_uptime,
)
from quorate.tools.define import Tool, tool

__all__ = ["host_tools"]

Interval = Annotated[float, Meta(ge=0.05, le=5.0, description="How long to watch, in seconds.")]
Most = Annotated[int, Meta(ge=1, le=50, description="How many to list.")]


def host_tools() -> list[Tool[..., Any]]:
    """Build the tools that measure this machine; most need `psutil`, from the extra `ops`."""
    return [*_busy_tools(), *_full_tools(), *_system_tools()]


def _busy_tools() -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=10)
    def cpu_usage(interval_s: Interval = 0.5) -> CpuUsage:
        """Measure how busy the processors are, in all and by core, with load averages and pressure."""
        return measure_cpu(interval_s)

    @tool(effect="idempotent", timeout_s=5)
    def pressure_stalls() -> PressureReport:
        """Read how long tasks wait for processor, memory and disk, as the kernel measures it."""
        return measure_pressure()

    @tool(effect="idempotent", timeout_s=20)
    def top_processes(most: Most = 5, interval_s: Interval = 0.5) -> ProcessReport:
        """Find the processes that use the most processor and memory, and count states and zombies."""
        return measure_processes(most=most, interval_s=interval_s)

    @tool(effect="idempotent", timeout_s=10)
    def network_io(interval_s: Interval = 0.5) -> NetworkIo:
        """Measure traffic, errors and drops of each network card."""
        return measure_network_io(interval_s)

    return [cpu_usage, pressure_stalls, top_processes, network_io]


def _full_tools() -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=5)
    def memory_usage() -> MemoryUsage:
        """Measure memory and swap."""
        return measure_memory()

    @tool(effect="idempotent", timeout_s=10)
    def disk_usage(threshold_percent: Annotated[float, Meta(ge=1, le=100)] = 90.0) -> DiskReport:
        """Measure how full the disks are, in bytes and in inodes."""
        return measure_disks(threshold_percent)

    @tool(effect="idempotent", timeout_s=15)
    def open_files(most: Most = 5) -> OpenFiles:
        """Count open files against the limits of the system and of each process."""
        return measure_open_files(most=most)

    @tool(effect="idempotent", timeout_s=5)
    def cgroup_limits() -> CgroupLimits:
        """Read the memory, processor and process limits that a container or service manager has set."""
        return read_cgroup()

    return [memory_usage, disk_usage, open_files, cgroup_limits]


def _system_tools() -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=10)
    def temperatures() -> Temperatures:
        """Read the temperature sensors; says `unavailable` where there are none."""
        return measure_temperatures()

    @tool(effect="idempotent", timeout_s=5)
    def uptime() -> Uptime:
        """Tell what machine this is and since when it runs."""
        return measure_uptime()

    return [temperatures, uptime]
