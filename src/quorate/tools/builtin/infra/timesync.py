"""Is the clock of this machine kept right, and how far off is it?"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from quorate.tools.builtin.infra.ask import Run, ask

MAX_OUTPUT_BYTES = 64 * 1024
_UNSYNCHRONIZED = 0x40
_NANOSECONDS = 0x2000
_ERROR = 5


class TimeSource(Struct, frozen=True, kw_only=True):
    """What one witness says of the clock."""

    name: str
    status: Literal["ok", "unavailable"]
    reason: str = ""
    is_synchronized: bool | None = None
    offset_s: float | None = None
    """How far the clock is off, as far as the witness knows; positive when it is behind."""
    error_bound_s: float | None = None
    """The most that it may be off."""


class TimeReport(Struct, frozen=True, kw_only=True):
    """Whether the clock is kept right, by the first witness that knows."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    is_synchronized: bool | None = None
    offset_s: float | None = None
    error_bound_s: float | None = None
    sources: tuple[TimeSource, ...] = ()


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("rest", ctypes.c_long * 24),
    )


async def read_time_sync(run: Run) -> TimeReport:
    """Ask chrony, systemd and the kernel."""
    chrony = await _ask(run, ("chronyc", "-c", "tracking"), name="chrony", parse=parse_chrony)
    systemd = await _ask(run, ("timedatectl", "show"), name="systemd", parse=parse_timedatectl)
    return summarize_sources((chrony, systemd, ask_kernel()))


def summarize_sources(sources: tuple[TimeSource, ...]) -> TimeReport:
    """Believe the first that knows whether the clock is right; take the offset from the first that knows it."""
    knowing = [source for source in sources if source.is_synchronized is not None]
    if not knowing:
        reason = "; ".join(f"{source.name}: {source.reason}" for source in sources)
        return TimeReport(status="unavailable", reason=reason, sources=sources)
    return TimeReport(
        status="ok",
        is_synchronized=knowing[0].is_synchronized,
        offset_s=next((source.offset_s for source in knowing if source.offset_s is not None), None),
        error_bound_s=next((source.error_bound_s for source in knowing if source.error_bound_s is not None), None),
        sources=sources,
    )


def parse_chrony(output: str) -> TimeSource:
    """Read `chronyc -c tracking`: the offset is the fifth field, the leap status the last."""
    fields = output.strip().split(",")
    try:
        offset_s, delay_s, dispersion_s = float(fields[4]), float(fields[10]), float(fields[11])
    except (IndexError, ValueError):
        return TimeSource(name="chrony", status="unavailable", reason="`chronyc` printed something unknown")
    return TimeSource(
        name="chrony",
        status="ok",
        is_synchronized=fields[-1] != "Not synchronised",
        offset_s=offset_s,
        error_bound_s=abs(offset_s) + dispersion_s + delay_s / 2,
    )


def parse_timedatectl(output: str) -> TimeSource:
    """Read `timedatectl show`."""
    fields = {name: value for name, _, value in (line.partition("=") for line in output.splitlines())}
    answer = fields.get("NTPSynchronized")
    if answer not in {"yes", "no"}:
        return TimeSource(name="systemd", status="unavailable", reason="`timedatectl` printed something unknown")
    return TimeSource(name="systemd", status="ok", is_synchronized=answer == "yes")


def ask_kernel() -> TimeSource:
    """Ask the kernel's own clock discipline, which needs no rights and changes nothing."""
    if not sys.platform.startswith("linux"):
        return TimeSource(name="kernel", status="unavailable", reason="only Linux tells")
    state = _Timex()
    result = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    if result < 0:
        return TimeSource(name="kernel", status="unavailable", reason=f"`adjtimex` failed: {ctypes.get_errno()}")
    is_synchronized = result != _ERROR and not state.status & _UNSYNCHRONIZED
    scale = 1e9 if state.status & _NANOSECONDS else 1e6
    return TimeSource(
        name="kernel",
        status="ok",
        is_synchronized=is_synchronized,
        # Without a discipline, the kernel's offset and bound say nothing.
        offset_s=state.offset / scale if is_synchronized else None,
        error_bound_s=state.maxerror / 1e6 if is_synchronized else None,
    )


async def _ask(run: Run, argv: Sequence[str], *, name: str, parse: Callable[[str], TimeSource]) -> TimeSource:
    answer = await ask(run, argv, timeout_s=5, max_output_bytes=MAX_OUTPUT_BYTES)
    if answer.reason:
        return TimeSource(name=name, status="unavailable", reason=answer.reason)
    return parse(answer.output)
