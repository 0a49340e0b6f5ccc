"""Does a large workflow come to its end, whenever its process is killed?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.workflows import check, kill_and_resume


@pytest.mark.chaos
def test_a_thousand_steps_fifty_wide_are_killed_ten_times(tmp_path: Path) -> None:
    """Each step's effect is recorded exactly once."""
    events = kill_and_resume(tmp_path, width=50, depth=20, kills=10, seed=9)
    check(events, tmp_path / "effects.txt", steps=1_002, kills=10)
