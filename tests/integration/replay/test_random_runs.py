"""Do runs to which anything may happen replay, and go on from any of their events?"""

import contextlib

import pytest
from tests.integration.replay.worlds import RUN, Crash, World

from quorate import QuorateError, RunOptions
from quorate.agent.history import build_conversation
from quorate.agent.replay import replay_exactly
from quorate.agent.replay.fork import fork_run
from quorate.codec.json import decode_event, encode
from quorate.events import ENDINGS, RunCreated, RunWaiting, ToolFinished, ToolStarted
from quorate.state.backends.sqlite import open_sqlite_log


@pytest.mark.parametrize("block", range(10))
async def test_random_runs_replay_to_the_byte(block: int) -> None:
    """Parallel calls, three layers of delegates, failures, crashes, cancels, rests, approvals and deaths: 300 runs.

    The log commits at its own pace, a process dies anywhere in a log, and what is compared was read back from bytes.
    row: C14 E13
    """
    for seed in range(30 * block, 30 * block + 30):
        stored = [encode(event) for event in await World(seed).play()]
        events = [decode_event(line) for line in stored]
        done = await replay_exactly(World(seed).build(live=False), events)
        told = done.divergence.describe() if done.divergence is not None else ""
        assert done.is_identical, f"seed {seed}: {told}"
        assert [encode(event) for event in done.events] == stored, f"seed {seed}"


@pytest.mark.parametrize("seed", range(40))
async def test_a_run_goes_on_from_each_of_its_events(seed: int) -> None:
    """As a run of its own that repeats no recorded step, asks before it repeats an unsafe one, and replays itself."""
    world = World(seed)
    events = await world.play()
    world.cancel_at = world.leave_at = 0
    for at in range(1, len(events) + 1):
        new = await fork_run(world.log, RUN, at=at, clock=world.clock)
        copied = await world.log.read(new)
        assert isinstance(copied[-1], RunWaiting)
        created = copied[0]
        assert isinstance(created, RunCreated)
        assert (created.labels["fork.run"], created.labels["fork.seq"]) == (RUN, str(at))
        build_conversation(copied)
        with contextlib.suppress(QuorateError, Crash):
            await world.build().resume(new, log=world.log, options=RunOptions(clock=world.clock))
        went = await world.log.read(new)
        assert went[: len(copied)] == copied
        assert isinstance(went[-1], (*ENDINGS, RunWaiting))
        done = {event.key for event in copied if isinstance(event, ToolFinished)}
        began = {event.key for event in copied if isinstance(event, ToolStarted) and event.effect == "unsafe"}
        again = {event.key for event in went[len(copied) :] if isinstance(event, ToolStarted)}
        assert not again & (done | began)
        replayed = await replay_exactly(World(seed).build(live=False), went)
        assert replayed.is_identical, replayed.divergence
    assert await world.log.read(RUN) == events


async def test_a_fork_is_written_to_a_database_like_any_run(tmp_path) -> None:
    """What a fork copies is what a store takes: numbered from 1, without a gap, in one go."""
    world = World(3)
    events = await world.play()
    async with open_sqlite_log(tmp_path / "quorate.db") as log:
        await log.append(RUN, events, expected=0)
        new = await fork_run(log, RUN, at=7)
        with contextlib.suppress(QuorateError):
            await world.build().resume(new, log=log)
        went = await log.read(new)
        assert [event.seq for event in went] == list(range(1, len(went) + 1))
        assert {summary.run for summary in await log.list_runs()} == {RUN, new}
