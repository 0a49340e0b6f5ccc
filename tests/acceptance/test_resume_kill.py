"""Does a run whose process was killed go on in another process, without anything being done twice?"""

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.forks import Process, fork

from quorate import Settings
from quorate.assembly import open_store
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    RunResumed,
    ToolFinished,
    ToolStarted,
)

PROGRAM = Path(__file__).with_name("journalist.py")
RUN = "run-1"
EVERYTHING = set("abcdefghij")

# Where to hold the process, and what must have been said before it is killed.
POINTS = {
    "in the first call": ("a", "entered a"),
    "in all of four calls side by side": ("b c d e", "entered b, entered c, entered d, entered e"),
    "in one of four, the others recorded": ("b", "entered b, recorded c, recorded d, recorded e"),
    "in the last of four": ("e", "entered e, recorded b, recorded c, recorded d"),
    "in two of four": ("c d", "entered c, entered d, recorded b, recorded e"),
    "in a call with a key": ("f", "entered f"),
    "in a delegate's second call": ("h", "entered h, recorded i"),
    "in a delegate's model call": ("clerk-2", "asked clerk-2, recorded i"),
    "beside a delegate that is done": ("i", "entered i, recorded g, recorded h"),
    "in the last model call": ("writer-6", "asked writer-6"),
    "before the first call is recorded": ("a.unstarted", "at a.unstarted"),
    "after an effect": ("a.left", "at a.left"),
    "after the effects of two of four": ("b.left d.left", "at b.left, at d.left"),
    "before a result is recorded": ("f.unwritten", "at f.unwritten"),
    "after the commit of a result, before its answer": ("f.written", "at f.written"),
    "after the commit of a delegate's result": ("h.written", "at h.written"),
    "before the outcome": ("outcome.unwritten", "at outcome.unwritten"),
}

AGAIN_AND_AGAIN = (
    "a",
    "b c d e",
    "b c d",
    "b",
    "f",
    "f",
    "clerk-2 i",
    "h i",
    "i",
    "writer-5",
    "writer-6",
)


class Place:
    """Where a run is recorded, and where its effects are."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    """A fresh place on either kind of database."""
    return Place(tmp_path, database)


def start(place: Place, mode: str, *held: str) -> Process:
    command = [PROGRAM, mode, place.database, place.folder / "journal", RUN, *held]
    return fork(command, stdout=subprocess.PIPE)


def kill_at(place: Place, mode: str, held: str, wanted: str) -> None:
    """Run until all of the wanted lines were said, then kill -9."""
    with start(place, mode, *held.split()) as process:
        assert process.stdout is not None
        missing = set(wanted.split(", "))
        for line in process.stdout:
            missing.discard(line.strip())
            if not missing:
                break
        os.kill(process.pid, signal.SIGKILL)
    assert not missing, f"the process ended before it said {missing}"
    assert process.returncode == -signal.SIGKILL


def finish(place: Place, mode: str) -> dict[str, object]:
    """Run to the end and return what it was."""
    with start(place, mode) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return json.loads(said.splitlines()[-1].removeprefix("end "))


def read_log(place: Place) -> list[AnyEvent]:
    async def read() -> list[AnyEvent]:
        async with open_store(Settings(database=place.database)) as store:
            return await store.log.read(RUN)

    return asyncio.run(read())


def read_journal(place: Place, word: str) -> Counter[str]:
    path = place.folder / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split()[1] for line in lines if line.split()[0] == word)


def find_recorded(events: Iterable[AnyEvent]) -> set[str]:
    return {
        str(e.result.content).split()[0] for e in events if isinstance(e, ToolFinished) and e.result.name != "clerk"
    }


def check_whole(place: Place, begun: Counter[str], recorded: set[str]) -> None:
    """Everything was done, what was recorded was not done again, and what was not begun was done once."""
    after, done = read_journal(place, "begin"), read_journal(place, "done")
    assert set(done) == EVERYTHING
    assert {name for name in recorded if after[name] != begun[name]} == set(), "a recorded call was made again"
    assert {name for name in EVERYTHING - set(begun) if after[name] != 1} == set(), "a fresh call was made twice"
    events = read_log(place)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert Counter(e.key for e in events if isinstance(e, ToolFinished)).most_common(1)[0][1] == 1


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the run gives when nobody kills it."""
    folder = tmp_path_factory.mktemp("faultless")
    place = Place(folder, str(folder / "log.db"))
    result = finish(place, "start")
    assert (result["status"], result["text"]) == ("completed", "all written")
    assert read_journal(place, "done") == Counter(EVERYTHING)
    return result


@pytest.mark.parametrize(
    ("database", "point"),
    # What a run does beside a boundary is the same on either database.
    [("sqlite", point) for point in POINTS]
    + [("postgres", point) for point in POINTS if POINTS[point][1][:3] == "at "],
    indirect=["database"],
)
def test_a_killed_run_is_finished_by_another_process(point: str, faultless: dict[str, object], place: Place) -> None:
    """Killed with -9 in the middle of something, it is resumed: no recorded step again, and the same result.
    row: B5"""
    held, wanted = POINTS[point]
    kill_at(place, "start", held, wanted)
    begun, recorded = read_journal(place, "begin"), find_recorded(read_log(place))
    assert {line.split()[1] for line in wanted.split(", ") if line.startswith("recorded")} <= recorded
    assert not recorded & {one for one in held.split() if not one.endswith(".written")}
    assert {one.removesuffix(".written") for one in held.split() if one.endswith(".written")} <= recorded
    assert finish(place, "resume") == faultless
    check_whole(place, begun, recorded)


def test_a_run_that_died_after_its_end_was_recorded_has_ended(faultless: dict[str, object], place: Place) -> None:
    """The outcome was committed and nobody was told: it stands, and nothing is done again."""
    kill_at(place, "start", "outcome.written", "at outcome.written")
    events, begun = read_log(place), read_journal(place, "begin")
    assert isinstance(events[-1], ENDINGS)
    result = finish(place, "resume")
    assert (result["status"], result["text"]) == (faultless["status"], faultless["text"])
    assert (read_log(place), read_journal(place, "begin")) == (events, begun)


def test_a_run_that_is_killed_again_and_again_gets_done(faultless: dict[str, object], place: Place) -> None:
    """Each new process goes on where the last one died, and the one that survives gives the same result."""
    mode = "start"
    for held in AGAIN_AND_AGAIN:
        wanted = ", ".join(f"asked {one}" if "-" in one else f"entered {one}" for one in held.split())
        kill_at(place, mode, held, wanted)
        mode = "resume"
    begun, events = read_journal(place, "begin"), read_log(place)
    assert sum(isinstance(event, RunResumed) for event in events) == len(AGAIN_AND_AGAIN) - 1
    assert finish(place, "resume") == faultless
    check_whole(place, begun, find_recorded(events))


def test_a_call_with_a_key_is_repeated_under_the_same_key(place: Place) -> None:
    """What was under way is made again with the key it had, so that the other side can tell."""
    kill_at(place, "start", "f", "entered f")
    finish(place, "resume")
    lines = [line.split() for line in (place.folder / "journal").read_text().splitlines()]
    keys = [words[2] for words in lines if words[:2] == ["begin", "f"]]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_an_unsafe_call_that_was_cut_waits_for_a_person(faultless: dict[str, object], place: Place) -> None:
    """Nobody pays twice by guessing: the run rests until somebody says whether to repeat the call."""
    kill_at(place, "start", "j", "entered j")
    assert finish(place, "resume")["status"] == "waiting"
    assert read_journal(place, "begin")["j"] == 1
    asyncio.run(answer(place))
    assert finish(place, "resume") == faultless
    assert (read_journal(place, "begin")["j"], read_journal(place, "done")["j"]) == (2, 1)
    assert sum(isinstance(e, ToolStarted) and e.call.name == "pay" for e in read_log(place)) == 2


def test_each_unknown_outcome_is_asked_about_anew(faultless: dict[str, object], place: Place) -> None:
    """A yes is for one repetition: when that one is cut too, the run asks again."""
    kill_at(place, "start", "j", "entered j")
    for times in (1, 2):
        assert finish(place, "resume")["status"] == "waiting"
        assert finish(place, "resume")["status"] == "waiting", "asking again is no answer"
        assert read_journal(place, "begin")["j"] == times
        asyncio.run(answer(place))
        if times == 1:
            kill_at(place, "resume", "j", "entered j")
    assert finish(place, "resume") == faultless
    assert sum(isinstance(event, ApprovalRequested) for event in read_log(place)) == 2
    assert read_journal(place, "done")["j"] == 1


async def answer(place: Place) -> None:
    """Say yes to what the run asks."""
    async with open_store(Settings(database=place.database)) as store:
        log = store.log
        events = await log.read(RUN)
        asked = next(event for event in reversed(events) if isinstance(event, ApprovalRequested))
        place = len(events) + 1
        yes = ApprovalDecided(run=RUN, seq=place, time=0.0, key=asked.key, approved=True, digest=asked.digest, by="ann")
        await log.append(RUN, (yes,), expected=len(events))
