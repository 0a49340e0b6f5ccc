"""Does time go forward, and only when a test says so?"""

import time

import pytest

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput
from quorate.testing import ManualClock


def test_the_system_clock_is_the_machines() -> None:
    before = time.time()
    assert before <= SYSTEM_CLOCK.now() <= time.time()
    before = time.monotonic()
    assert before <= SYSTEM_CLOCK.monotonic() <= time.monotonic()


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(100.0, monotonic=5.0)
    assert [clock.now(), clock.monotonic(), clock.now(), clock.monotonic()] == [100.0, 5.0, 100.0, 5.0]
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 7.5)


def test_a_jump_moves_the_wall_clock_alone() -> None:
    """As when an administrator or NTP sets the time."""
    clock = ManualClock(100.0)
    clock.jump(-3600)
    assert (clock.now(), clock.monotonic()) == (-3500.0, 0.0)


def test_time_does_not_go_back() -> None:
    with pytest.raises(InvalidInput, match="use `jump`"):
        ManualClock().advance(-1)


@pytest.mark.parametrize("clock", [SYSTEM_CLOCK, ManualClock()])
def test_both_are_clocks(clock: Clock) -> None:
    assert isinstance(clock.now(), float)
    assert isinstance(clock.monotonic(), float)
