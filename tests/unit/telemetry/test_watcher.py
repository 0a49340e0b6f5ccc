"""Does watching stay within its bounds, whatever becomes of who is shown things?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from msgspec import structs

from quorate import Agent, ScriptedModel
from quorate.events import AnyEvent, RunResumed, RunWaiting
from quorate.telemetry.describe import OTHER, Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.spans import LOST, Span
from quorate.telemetry.watcher import MAX_RUNS, MAX_WAITING, Batch, Watcher, open_watcher

NAMES = load_names()
HUNG = """
import asyncio, threading
from quorate.telemetry.describe import Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.watcher import Watcher, open_watcher
from quorate.tools.threads import ThreadPool

class Hung:
    def show(self, batch): threading.Event().wait()
    def close(self): threading.Event().wait()

async def main():
    pool = ThreadPool(1)
    async def work(function, *args): return await pool.run(lambda: function(*args))
    async def find_before(run): return []
    watcher = Watcher(Hung(), Describer(load_names()), find_before=find_before, interval_s=0.01, work=work)
    async with open_watcher(watcher):
        await asyncio.sleep(0.1)

asyncio.run(main())
print("ended")
"""


class Shown:
    """Remembers what it was shown."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.spans: list[Span] = []
        self.dropped = 0
        self.is_broken = is_broken

    def show(self, batch: Batch) -> None:
        self.spans += batch.spans
        self.dropped += batch.dropped

    def close(self) -> None:
        if self.is_broken:
            raise RuntimeError("nobody listens")


async def never(seconds: float) -> None:
    await asyncio.Event().wait()


def build(sink: Shown, logs: dict[str, list[AnyEvent]], asked: list[str]) -> Watcher:
    async def find_before(run: str) -> list[AnyEvent]:
        asked.append(run)
        return logs.get(run, [])

    return Watcher(sink, Describer(NAMES), find_before=find_before, sleep=never)


async def run() -> list[AnyEvent]:
    result = await Agent("net", model=ScriptedModel(["It is up."])).run("Is it up?")
    return list(result.events)


async def test_a_run_whose_beginning_is_not_known_is_looked_for_once() -> None:
    """However many events it has, and whether or not it is found."""
    known, lost = await run(), await run()
    sink, asked = Shown(), list[str]()
    watcher = build(sink, {known[0].run: known}, asked)
    watcher.note([*known[1:], *lost[1:]])
    await watcher.flush()
    assert asked == [known[0].run, lost[0].run]
    assert {span.attributes["quorate.run.id"] for span in sink.spans} == {known[0].run}


async def test_a_run_that_rested_is_one_run() -> None:
    """Whoever goes on with it, here or elsewhere: its rests are counted, and what was lost is shown as lost."""
    created, started, asked, *rest = await run()
    waiting = RunWaiting(run=created.run, seq=4, time=asked.time, reason="interrupted", keys=())
    resumed = RunResumed(run=created.run, seq=5, time=asked.time, attempt="try-2", number=2)
    again = [structs.replace(event, seq=number) for number, event in enumerate([asked, *rest], 6)]
    log = [created, started, asked, waiting, resumed, *again]
    for cut in range(1, len(log)):
        sink = Shown()
        watcher = build(sink, {created.run: log}, [])
        for events in (log[:cut], log[cut:]):
            watcher.note(events)
            await watcher.flush()
        [root] = [span for span in sink.spans if span.kind == "run"]
        assert [mark.name for mark in root.marks] == ["run.waiting", "run.resumed"], cut
        assert [span.error for span in sink.spans if span.kind == "model"] == [LOST, ""], cut


async def test_whoever_gives_up_loses_nothing() -> None:
    """A flush that is cancelled while it reads what came before leaves everything to the next one; what comes meanwhile
    is not taken for something that was read.
    """
    sink, events = Shown(), await run()
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def find_before(run: str) -> list[AnyEvent]:
        reading.set()
        await go_on.wait()
        return events

    watcher = Watcher(sink, Describer(NAMES), find_before=find_before, sleep=never)
    watcher.note(events[2:4])
    flushing = asyncio.ensure_future(watcher.flush())
    await reading.wait()
    flushing.cancel()
    await asyncio.wait([flushing])
    reading.clear()
    again = asyncio.ensure_future(watcher.flush())
    await reading.wait()
    watcher.note(events[4:])
    go_on.set()
    await again
    await watcher.flush()
    assert {span.kind for span in sink.spans} >= {"run", "model"}
    assert sink.dropped == 0


async def test_what_was_dropped_is_told() -> None:
    """Once each, however often it is looked at."""
    sink, events = Shown(), await run()
    watcher = build(sink, {}, [])
    many = events * (MAX_WAITING // len(events) + 1)
    for _ in range(2):
        watcher.note(many)
        await watcher.flush()
    assert sink.dropped == watcher.dropped == 2 * len(many)


async def test_the_run_that_was_quiet_longest_gives_way() -> None:
    sink, events = Shown(), await run()
    watcher = build(sink, {}, [])
    others = [structs.replace(events[0], run=f"run-{number}") for number in range(MAX_RUNS)]
    watcher.note([events[0], *others[:-1], events[1], others[-1], *events[2:]])
    await watcher.flush()
    assert {span.attributes["quorate.run.id"] for span in sink.spans} == {events[0].run}


async def test_an_end_that_fails_is_nobodys_failure() -> None:
    """The program ends as it does, though what was left could not be shown."""
    async with open_watcher(build(Shown(is_broken=True), {}, [])) as watcher:
        watcher.note(await run())


def test_a_receiver_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A program ends although the thread that shows what it did never will."""
    done = subprocess.run(
        [sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=90, cwd=tmp_path, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_no_words_are_names() -> None:
    """A name that a model made up is in no span's name."""
    say = Describer(NAMES)
    assert say.name("tool", "disk_usage") == "execute_tool disk_usage"
    for made_up in ("my name is bob", "a\nb", "{name}", "{0.__class__}", "é", "x" * 200):
        assert say.name("tool", made_up) == f"execute_tool {OTHER}"
