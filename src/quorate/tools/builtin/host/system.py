"""Since when is the machine up, how warm is it, what runs over its network cards, and are its files used up?"""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path

from msgspec import Struct

from quorate.tools.builtin.host.facts import load_psutil, percent, read_fact


class Uptime(Struct, frozen=True, kw_only=True):
    """What machine this is, and since when it runs."""

    hostname: str
    system: str
    kernel: str
    architecture: str
    uptime_s: float
    booted_at: str
    now: str


class Sensor(Struct, frozen=True, kw_only=True):
    """One temperature."""

    name: str
    celsius: float
    high_celsius: float | None = None
    critical_celsius: float | None = None


class Temperatures(Struct, frozen=True, kw_only=True):
    """What the sensors say, or that there are none."""

    status: str
    """`ok`, or `unavailable` where no sensor can be read."""
    reason: str = ""
    sensors: tuple[Sensor, ...] = ()
    hottest_celsius: float | None = None


class Interface(Struct, frozen=True, kw_only=True):
    """What passed through a network card since the start, and how fast while it was watched."""

    name: str
    received_bytes: int
    sent_bytes: int
    received_bytes_per_s: float
    sent_bytes_per_s: float
    errors: int
    dropped: int


class NetworkIo(Struct, frozen=True, kw_only=True):
    """All network cards."""

    interfaces: tuple[Interface, ...]
    interval_s: float


class FileUser(Struct, frozen=True, kw_only=True):
    """A process and the files it holds open."""

    pid: int
    name: str
    open_files: int
    limit: int | None
    """Its soft limit; absent when there is none."""
    percent: float


class OpenFiles(Struct, frozen=True, kw_only=True):
    """How many files are open, in all and by process."""

    status: str
    """`ok`, or `unavailable` where the system does not tell."""
    reason: str = ""
    system_open: int | None = None
    system_limit: int | None = None
    system_percent: float | None = None
    our_limit: int | None = None
    """The soft limit of this process."""
    processes: tuple[FileUser, ...] = ()
    """Those nearest to their limit first."""
    unreadable: int = 0
    """Processes of other users, whose files may not be counted."""


def measure_uptime() -> Uptime:
    """Tell what machine this is and since when it runs."""
    now_s = time.time()
    text = read_fact("/proc/uptime")
    uptime_s = float(text.split()[0]) if text else now_s - load_psutil().boot_time()
    return Uptime(
        hostname=platform.node(),
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        uptime_s=round(uptime_s, 1),
        booted_at=_format(now_s - uptime_s),
        now=_format(now_s),
    )


def measure_temperatures() -> Temperatures:
    """Read the sensors; a machine without any says so.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    read = getattr(load_psutil(), "sensors_temperatures", None)
    if read is None:
        return Temperatures(status="unavailable", reason="this system does not tell temperatures")
    sensors = tuple(
        Sensor(
            name=f"{chip}/{one.label or number}",
            celsius=one.current,
            high_celsius=one.high,
            critical_celsius=one.critical,
        )
        for chip, readings in read().items()
        for number, one in enumerate(readings)
    )
    if not sensors:
        return Temperatures(status="unavailable", reason="no sensor was found, as is usual in virtual machines")
    hottest = max(sensor.celsius for sensor in sensors)
    return Temperatures(status="ok", sensors=sensors, hottest_celsius=hottest)


def measure_network_io(interval_s: float) -> NetworkIo:
    """Watch the network cards for a moment.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    psutil = load_psutil()
    started = time.monotonic()
    before = psutil.net_io_counters(pernic=True, nowrap=False)
    time.sleep(interval_s)
    after = psutil.net_io_counters(pernic=True, nowrap=False)
    elapsed_s = time.monotonic() - started
    interfaces = tuple(
        Interface(
            name=name,
            received_bytes=now.bytes_recv,
            sent_bytes=now.bytes_sent,
            received_bytes_per_s=round(max(0, now.bytes_recv - before[name].bytes_recv) / elapsed_s, 1),
            sent_bytes_per_s=round(max(0, now.bytes_sent - before[name].bytes_sent) / elapsed_s, 1),
            errors=now.errin + now.errout,
            dropped=now.dropin + now.dropout,
        )
        for name, now in sorted(after.items())
        if name in before
    )
    return NetworkIo(interfaces=interfaces, interval_s=round(elapsed_s, 3))


def measure_open_files(*, most: int, proc: Path = Path("/proc")) -> OpenFiles:
    """Count open files: of the system, and of the processes nearest to their limit."""
    numbers = (read_fact(proc / "sys/fs/file-nr") or "").split()
    if len(numbers) != 3:
        return OpenFiles(status="unavailable", reason="this system does not tell how many files are open")
    users: list[FileUser] = []
    unreadable = 0
    for entry in os.scandir(proc):
        if not entry.name.isdigit():
            continue
        try:
            count = len(os.listdir(f"{entry.path}/fd"))
        except FileNotFoundError:
            continue  # it ended while we looked
        except OSError:
            unreadable += 1
            continue
        limit = parse_file_limit(read_fact(f"{entry.path}/limits") or "")
        name = (read_fact(f"{entry.path}/comm") or "").strip()
        share = percent(count, limit or 0)
        users.append(FileUser(pid=int(entry.name), name=name, open_files=count, limit=limit, percent=share))
    users.sort(key=lambda user: (-user.percent, -user.open_files, user.pid))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return OpenFiles(
        status="ok",
        system_open=int(numbers[0]),
        system_limit=int(numbers[2]),
        system_percent=percent(int(numbers[0]), int(numbers[2])),
        our_limit=None if soft == resource.RLIM_INFINITY else soft,
        processes=tuple(users[:most]),
        unreadable=unreadable,
    )


def parse_file_limit(text: str) -> int | None:
    """Read the soft limit of open files from `/proc/PID/limits`."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            value = line[len("Max open files") :].split()[0]
            return int(value) if value.isdigit() else None
    return None


def _format(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
