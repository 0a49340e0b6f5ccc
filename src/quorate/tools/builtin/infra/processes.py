"""Is a program running, and since when?"""

from __future__ import annotations

import os
import time

from msgspec import Struct

from quorate.tools.builtin.host.facts import load_psutil
from quorate.tools.builtin.host.processes import describe_command


class RunningProcess(Struct, frozen=True, kw_only=True):
    """A process that fits."""

    pid: int
    name: str
    command: str
    """What it was started with, cut, and with the values of secrets blotted out."""
    state: str
    age_s: float
    rss_bytes: int


class ProcessList(Struct, frozen=True, kw_only=True):
    """The processes that fit, the oldest first."""

    count: int
    is_running: bool
    processes: tuple[RunningProcess, ...]


def find_processes(name: str, *, most: int) -> ProcessList:
    """Find the processes with a text in their name or command line; this process itself does not count.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    wanted, now_s, ours = name.lower(), time.time(), os.getpid()
    found: list[RunningProcess] = []
    for item in load_psutil().process_iter(["name", "cmdline", "status", "create_time", "memory_info"]):
        info = item.info
        command = describe_command(info["cmdline"] or [])
        if item.pid == ours or (wanted not in (info["name"] or "").lower() and wanted not in command.lower()):
            continue
        found.append(
            RunningProcess(
                pid=item.pid,
                name=info["name"] or "",
                command=command,
                state=info["status"] or "unknown",
                age_s=round(max(0.0, now_s - (info["create_time"] or now_s)), 1),
                rss_bytes=info["memory_info"].rss if info["memory_info"] else 0,
            )
        )
    found.sort(key=lambda one: (-one.age_s, one.pid))
    is_running = any(one.state != "zombie" for one in found)
    return ProcessList(count=len(found), is_running=is_running, processes=tuple(found[:most]))
