"""Is a workflow whose process is killed finished by others, no recorded step made again?"""

from __future__ import annotations

from pathlib import Path

from tests.chaos.workflows import check, kill_and_resume


def test_a_wide_workflow_is_killed_three_times(tmp_path: Path) -> None:
    """The short form of what `make chaos` does with a thousand steps and ten kills. part of row B4"""
    events = kill_and_resume(tmp_path, width=20, depth=5, kills=3, seed=5)
    check(events, tmp_path / "effects.txt", steps=102, kills=3)
