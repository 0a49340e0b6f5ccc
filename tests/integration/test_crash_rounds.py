"""Does a fresh process finish what a killed one had begun? The short form of what `make chaos` does at length."""

from pathlib import Path

from tests.chaos.rounds import kill_again_and_again, race_to_resume, stop_and_take_over


def test_eight_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Many runs at once, killed at random moments: none is lost, no recorded step is made again, one end each.
    row: B5, E13"""
    chaos = kill_again_and_again(tmp_path, rounds=8, new=6, within_s=0.2, seed=7)
    assert chaos.recorded


def test_two_processes_that_resume_at_once_come_to_one_end(tmp_path: Path) -> None:
    """Two processes go on with the same runs at the same time: one of them ends each run, the other is fenced."""
    race_to_resume(tmp_path, new=6, racers=2, seed=11)


def test_a_stopped_owner_is_fenced_when_it_wakes(tmp_path: Path) -> None:
    """The old owner's late results are refused, and the new owner's end stands."""
    stop_and_take_over(tmp_path, new=4, seed=13)
