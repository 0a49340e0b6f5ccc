"""Is the memory of this process read, bounded, and held against more work?"""

import resource
from pathlib import Path

import pytest

from quorate.runtime.memory import MB, MemoryGate, find_memory_limit_mb, read_memory_mb, read_total_mb


def build_gate(*readings: float, limit_mb: float | None = 100) -> MemoryGate:
    given = iter(readings)
    return MemoryGate(limit_mb, read=lambda: next(given))


def test_the_gate_closes_at_its_limit_and_opens_well_below_it() -> None:
    """It would come and go with every run otherwise."""
    gate = build_gate(99.9, 100, 99, 90, 89.9, 99.9)
    assert [gate.look() for _ in range(6)] == [False, True, True, True, False, False]
    assert gate.describe() == "100 MB of memory, and 100 MB are the limit"


def test_without_a_limit_it_is_always_open() -> None:
    gate = build_gate(1e9, limit_mb=None)
    assert (gate.look(), gate.used_mb) == (False, 1e9)


def test_measuring_opens_and_closes_nothing() -> None:
    """The registry shows the memory between two looks."""
    gate = build_gate(200, 95)
    assert (gate.measure(), gate.look()) == (200, False)


@pytest.mark.blocking
def test_what_this_process_has_is_read() -> None:
    """As the kernel counts it, in megabytes; and it is not above the most that it ever was."""
    assert 5 < read_memory_mb() <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB * 1.01


def test_the_lower_of_a_number_and_a_share_holds() -> None:
    total = read_total_mb()
    assert find_memory_limit_mb(None, None) is None
    assert find_memory_limit_mb(800, None) == 800
    assert find_memory_limit_mb(None, 0.5) == total / 2
    assert find_memory_limit_mb(1, 0.5) == 1


def test_a_container_has_what_its_group_allows(tmp_path: Path) -> None:
    """`max`, and a place that is not there, are no limit."""
    for name, text in (("allowed", "64000000\n"), ("free", "max\n")):
        (tmp_path / name).write_text(text, encoding="ascii")
    machine = read_total_mb(())
    assert read_total_mb((str(tmp_path / "allowed"),)) == 64
    assert read_total_mb((str(tmp_path / "free"), str(tmp_path / "absent"))) == machine
