"""Where do facts about the machine come from: the library that knows every system, and the small files of Linux?"""

from __future__ import annotations

from pathlib import Path

from quorate.errors import MissingExtra

MAX_FACT_BYTES = 1 << 20


# Without an annotation the checker knows the module's own types, which no written type could name.
def load_psutil():  # noqa: D103
    try:
        import psutil
    except ImportError as error:
        raise MissingExtra("Measuring this machine", "ops") from error
    return psutil


def read_fact(path: str | Path) -> str | None:
    """Read a small file of `/proc` or `/sys`; `None` when it is not there or not ours to read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_FACT_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def percent(part: float, whole: float) -> float:
    """Return a share in percent with one decimal; 0 of nothing."""
    return round(100.0 * part / whole, 1) if whole > 0 else 0.0
