"""How much memory is left, and is the machine swapping?"""

from __future__ import annotations

from msgspec import Struct

from quorate.tools.builtin.host.cpu import Pressure, measure_pressure
from quorate.tools.builtin.host.facts import load_psutil


class MemoryUsage(Struct, frozen=True, kw_only=True):
    """Memory and swap at this moment."""

    total_bytes: int
    available_bytes: int
    """What programs can have without swapping."""
    used_bytes: int
    percent: float
    """What is not available, in percent."""
    swap_total_bytes: int
    """0 where there is no swap."""
    swap_used_bytes: int
    swap_percent: float
    swapped_in_bytes: int
    """Since the start of the machine."""
    swapped_out_bytes: int
    pressure: Pressure | None = None


def measure_memory() -> MemoryUsage:
    """Read memory and swap.

    Raises:
        MissingExtra: `psutil` is not installed.
    """
    psutil = load_psutil()
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return MemoryUsage(
        total_bytes=memory.total,
        available_bytes=memory.available,
        used_bytes=memory.used,
        percent=memory.percent,
        swap_total_bytes=swap.total,
        swap_used_bytes=swap.used,
        swap_percent=swap.percent,
        swapped_in_bytes=swap.sin,
        swapped_out_bytes=swap.sout,
        pressure=measure_pressure().memory,
    )
