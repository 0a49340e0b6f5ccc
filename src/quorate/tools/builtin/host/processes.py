"""Which processes use the machine, and in what state are they?"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from msgspec import Struct

from quorate.tools.builtin.host.facts import load_psutil

MAX_COMMAND_CHARS = 200
_ATTRIBUTES = [
    *("pid", "name", "username", "cmdline", "cpu_times", "memory_info", "status", "num_threads", "create_time"),
]
_SECRET = re.compile(r"(?i)pass|token|secret|api[-_]?key|credential|private[-_]?key")
_LOGIN = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


class Process(Struct, frozen=True, kw_only=True):
    """A process while it was watched."""

    pid: int
    name: str
    user: str
    command: str
    """What it was started with, cut, and with the values of secrets blotted out."""
    cpu_percent: float
    """Of one core, so that it may pass 100."""
    rss_bytes: int
    memory_percent: float
    state: str
    threads: int
    age_s: float


class ProcessReport(Struct, frozen=True, kw_only=True):
    """All processes in numbers, and the busiest by name."""

    total: int
    states: dict[str, int]
    zombies: int
    zombie_pids: tuple[int, ...]
    top_cpu: tuple[Process, ...]
    top_memory: tuple[Process, ...]
    interval_s: float


def measure_processes(*, most: int, interval_s: float) -> ProcessReport:
    """Watch all processes for a moment.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    psutil = load_psutil()
    started = time.monotonic()
    before = {item.pid: _cpu_s(item.info["cpu_times"]) for item in psutil.process_iter(["cpu_times"])}
    time.sleep(interval_s)
    elapsed_s = time.monotonic() - started
    memory_bytes = psutil.virtual_memory().total
    now_s = time.time()
    found: list[Process] = []
    for item in psutil.process_iter(_ATTRIBUTES):
        info = item.info
        spent_s = _cpu_s(info["cpu_times"]) - before.get(item.pid, 0.0)
        rss = info["memory_info"].rss if info["memory_info"] else 0
        found.append(
            Process(
                pid=item.pid,
                name=info["name"] or "",
                user=info["username"] or "",
                command=describe_command(info["cmdline"] or []),
                # One that began meanwhile has spent all of its time meanwhile.
                cpu_percent=round(max(0.0, 100.0 * spent_s / elapsed_s), 1),
                rss_bytes=rss,
                memory_percent=round(100.0 * rss / memory_bytes, 2),
                state=info["status"] or "unknown",
                threads=info["num_threads"] or 0,
                age_s=round(max(0.0, now_s - (info["create_time"] or now_s)), 1),
            )
        )
    return summarize_processes(found, most=most, interval_s=elapsed_s)


def summarize_processes(found: Sequence[Process], *, most: int, interval_s: float) -> ProcessReport:
    """Count states and pick the busiest."""
    states: dict[str, int] = {}
    for process in found:
        states[process.state] = states.get(process.state, 0) + 1
    zombies = tuple(process.pid for process in found if process.state == "zombie")
    return ProcessReport(
        total=len(found),
        states=states,
        zombies=len(zombies),
        zombie_pids=zombies[:20],
        top_cpu=tuple(sorted(found, key=lambda one: (-one.cpu_percent, one.pid))[:most]),
        top_memory=tuple(sorted(found, key=lambda one: (-one.rss_bytes, one.pid))[:most]),
        interval_s=round(interval_s, 3),
    )


def describe_command(arguments: Sequence[str]) -> str:
    """Join a command line for people, without what looks like a secret."""
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hide_next:
            shown.append("***")
        elif equals and _SECRET.search(name):
            shown.append(f"{name}=***")
        else:
            shown.append(_LOGIN.sub(r"\1:***@", argument))
        hide_next = not equals and argument.startswith("-") and _SECRET.search(argument) is not None
    # A process may write anything over its command line, bytes that are no text included.
    joined = " ".join(shown)[:MAX_COMMAND_CHARS]
    return joined.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _cpu_s(times: object) -> float:
    return float(getattr(times, "user", 0.0)) + float(getattr(times, "system", 0.0))
