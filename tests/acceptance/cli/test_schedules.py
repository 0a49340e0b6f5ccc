"""Can a person put work on a schedule, see when it comes, and stop it, with nothing but the command line?"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest
from tests.acceptance.cli.conftest import QUORATE, Run


def add(quorate: Run, *words: str) -> Any:
    done = quorate("schedules", "add", "disks", "watch the disk", *words, "--json")
    assert done.code == 0, done.err
    return done.json


def test_a_schedule_is_shown_with_its_next_moments(quorate: Run) -> None:
    """By the clocks of its place and in UTC; the winter one of Berlin is an hour ahead."""
    words = ("--cron", "30 6 24 12 *", "--zone", "Europe/Berlin", "--label", "team=shop", "--limit", "seconds=60")
    done = quorate("schedules", "add", "disks", "watch the disk", *words, "--jitter", "30s", "--agent", "disk-watch")
    assert (done.code, "quorate schedules run" in done.err) == (0, True)
    for words in (
        "30 6 24 12 * Europe/Berlin",
        "-12-24 06:30:00 Europe/Berlin  (",
        "-12-24 05:30:00 UTC)",
        "team=shop",
        "up to 30.0 s",
        "the last missed moment is made up for",
    ):
        assert words in done.out
    assert done.out.count("Europe/Berlin  (") == 5
    shown = quorate("schedules", "show", "disks", "--next", "2", "--json").json
    assert (shown["status"], len(cast("list[float]", shown["next"]))) == ("active", 2)
    listed = quorate("schedules", "list")
    assert (listed.code, "disks  active  30 6 24 12 * Europe/Berlin" in listed.out) == (0, True)


def test_nothing_is_kept_on_a_dry_run(quorate: Run) -> None:
    assert add(quorate, "--every", "1h", "--dry-run")["status"] == "active"
    listed = quorate("schedules", "list")
    assert (listed.code, "There are no schedules. Add one:" in listed.out) == (0, True)
    assert quorate("schedules", "list", "--json").json == []


def test_it_is_paused_resumed_replaced_and_deleted(quorate: Run) -> None:
    add(quorate, "--every", "1h")
    assert "is paused" in quorate("schedules", "pause", "disks").out
    paused = quorate("schedules", "show", "disks", "--json").json
    assert (paused["status"], paused["next"]) == ("paused", [])
    assert "comes next at" in quorate("schedules", "resume", "disks").out
    again = quorate("schedules", "add", "disks", "watch the disk", "--every", "2h")
    assert (again.code, "There is a schedule 'disks' already" in again.err) == (2, True)
    assert add(quorate, "--every", "2h", "--replace")["schedule"]["when"]["seconds"] == 7200
    asked = quorate("schedules", "delete", "disks")
    assert (asked.code, "add `--yes` if you mean it" in asked.err) == (2, True)
    assert quorate("schedules", "delete", "disks", "--yes").out == "Schedule disks is deleted; its runs stay.\n"
    gone = quorate("schedules", "show", "disks")
    assert (gone.code, "There is no schedule 'disks': list them with" in gone.err) == (2, True)
    assert "schedule.delete" in quorate("audit", "list").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say when it comes: either `--cron`"),
        (("--cron", "0 6 * * *", "--every", "1h"), "Say when it comes: either `--cron`"),
        (("--cron", "0 6 * *"), "cron expression '0 6 * *' has not 5 fields"),
        (("--cron", "0 25 * * *"), "cron expression '0 25 * * *' is not one: Bad hour."),
        (("--cron", "0 6 * * *", "--zone", "Mars/Base"), "There is no time zone 'Mars/Base' here"),
        (("--every", "1h", "--zone", "UTC"), "`--zone` belongs to `--cron`"),
        (("--cron", "0 6 * * *", "--anchor", "2026-01-01"), "`--anchor` belongs to `--every`"),
        (("--every", "0s"), "`seconds` is 0"),
        (("--every", "soon"), "'soon' is not a time"),
        (("--every", "1h", "--catch-up", "some"), "There is no catch-up 'some'. Known: `all`, `last`, `skip`."),
        (("--every", "1h", "--overlap", "no"), "There is no overlap 'no'"),
        (("--every", "1h", "--agent", "disk-wach"), "Did you mean `disk-watch`?"),
        (("--every", "1h", "--end", "2020-01-01"), "has no moment that is still to come"),
        (("--every", "1m", "--jitter", "5m"), "for this schedule it is 0 to 60 seconds"),
        (("--every", "1h", "--label", "model=x"), "label 'model' is not one"),
        (("--every", "1h", "--limit", "speed=1"), "speed"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(quorate: Run, words: tuple[str, ...], said: str) -> None:
    done = quorate("schedules", "add", "disks", "watch the disk", *words)
    assert (done.code, done.out, said in done.err) == (2, "", True), done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduler_submits_until_it_is_stopped(quorate: Run, project: Path, number: signal.Signals) -> None:
    """What is due is a queued run, which a worker does; the schedule shows it."""
    add(quorate, "--every", "1s", "--overlap", "skip", "--agent", "disk-watch")
    scheduler = subprocess.Popen(
        [QUORATE, "schedules", "run"], cwd=project, env=dict(os.environ), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while not (runs := cast("list[dict[str, str]]", quorate("runs", "list", "--json").json)):
        assert time.monotonic() < deadline
    quorate("schedules", "pause", "disks")
    scheduler.send_signal(number)
    _, err = scheduler.communicate(timeout=60)
    assert (scheduler.returncode, f"default/disks  submitted  {runs[-1]['run']}" in err) == (0, True)
    assert quorate("worker", "--until-idle", "--quiet").code == 0
    assert quorate("runs", "show", runs[-1]["run"], "--json").json["run"]["status"] == "completed"  # type: ignore[index]
    assert runs[-1]["run"] in quorate("schedules", "show", "disks").out
