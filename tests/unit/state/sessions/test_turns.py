"""From where does each turn of a session go on, whatever happens beside it?"""

import asyncio

import pytest
from tests.unit.state.sessions.doubles import ANN, HOUR, Desk, build_created, look

from quorate import Agent, Approved, ScriptedModel
from quorate.agent.run import RunOptions
from quorate.errors import Conflict, InvalidInput, NotFound, Unavailable, UpstreamError
from quorate.events import CancelRequested, RunCreated
from quorate.messages import Usage
from quorate.models.scripted import call
from quorate.state.backends.memory import MemoryLog
from quorate.state.conversation import build_conversation, load_history
from quorate.state.sessions import SessionLimits, SessionStore

LOOK = call("look", name="disk")


class TestConversation:
    async def test_each_turn_knows_what_was_said_before(self, desk: Desk) -> None:
        """row: E6 — history goes across runs, though each run records only what is new."""
        await desk.say("one")
        await desk.say("two", LOOK, "seen")
        await desk.again().say("three")
        last = await desk.say("four")
        said = ["one", "You said: one", "two", "", "", "seen", "three", "You said: three", "four"]
        assert desk.asked[-1] == said
        created = last.events[0]
        assert isinstance(created, RunCreated)
        assert [message.text for message in created.messages] == ["four"]
        history = await desk.sessions.history("s-1", **ANN)
        assert history == list(last.messages)

    async def test_the_first_turn_of_a_new_id_creates_the_session(self, desk: Desk) -> None:
        turn = await desk.sessions.begin_turn("s-9", **ANN)
        assert (turn.session, turn.previous, turn.previous_seq) == ("s-9", "", 0)
        assert (await desk.sessions.get("s-9", **ANN)).principal == "ann"

    async def test_a_run_that_failed_is_part_of_it(self, desk: Desk) -> None:
        """What was asked and not answered was said all the same."""
        with pytest.raises(UpstreamError):
            await desk.say("one", LOOK, UpstreamError("away"))
        await desk.say("two")
        assert desk.asked[-1] == ["one", "", "", "two"]

    async def test_a_run_that_rests_is_gone_on_from_as_it_is(self, desk: Desk) -> None:
        """A later resumption of that run changes nothing in the conversation that went on."""
        first = await desk.say("one", LOOK, tools=[Approved(look)])
        assert first.status == "waiting"
        turn = await desk.sessions.begin_turn("s-1", **ANN, run="run-2")
        assert (turn.previous, turn.previous_seq) == (first.run_id, len(first.events))
        known = await load_history(desk.store.log, build_created(turn))
        assert known[-1].parts[0].content == "Not called: nobody had answered whether it may be."
        await desk.work(turn, "two", run="run-2")
        agent = Agent("chatter", model=ScriptedModel([LOOK, "late"]), tools=[look])
        again = await agent.resume(first.run_id, log=desk.store.log, options=RunOptions(clock=desk.clock))
        assert len(again.events) > len(first.events)
        assert await load_history(desk.store.log, build_created(turn)) == known

    async def test_the_reference_names_the_very_event(self, desk: Desk) -> None:
        """`previous_seq` is said even when it is all of a run, since a resting run may grow."""
        first = await desk.say("one")
        turn = await desk.sessions.begin_turn("s-1", **ANN)
        assert (turn.previous, turn.previous_seq) == (first.run_id, len(first.events))

    async def test_a_run_under_way_is_passed_over(self, desk: Desk) -> None:
        """Nobody goes on from what is not said yet."""
        first = await desk.say("one")
        await desk.leave(await desk.sessions.begin_turn("s-1", **ANN))
        desk.clock.advance(60)
        turn = await desk.sessions.begin_turn("s-1", **ANN)
        assert turn.previous == first.run_id

    async def test_two_turns_at_once_fork_the_conversation(self, desk: Desk) -> None:
        """row: E6 — two turns that begin at once corrupt nothing: both go on from the same run, and the list shows it."""
        first = await desk.say("one")
        left, right = await asyncio.gather(*(desk.sessions.begin_turn("s-1", **ANN) for _ in range(2)))
        assert left.previous == right.previous == first.run_id
        second = await desk.work(left, "left", run="run-left")
        third = await desk.work(right, "right", run="run-right")
        assert desk.asked[1:] == [["one", "You said: one", "left"], ["one", "You said: one", "right"]]
        timeline = await desk.sessions.timeline("s-1", **ANN)
        assert [(entry.run.run, entry.previous, entry.beside) for entry in timeline] == [
            (first.run_id, "", ()),
            (second.run_id, first.run_id, (third.run_id,)),
            (third.run_id, first.run_id, (second.run_id,)),
        ]
        await desk.say("more")
        assert desk.asked[-1] == ["one", "You said: one", "right", "You said: right", "more"]

    async def test_clocks_that_differ_lose_no_turn(self, desk: Desk) -> None:
        """A run that goes on from another is behind it, even where its clock says it was first."""
        first = await desk.say("one")
        desk.clock.jump(-62)
        second = await desk.say("two")
        assert second.events[0].time < first.events[0].time
        desk.clock.advance(HOUR)
        turn = await desk.sessions.begin_turn("s-1", **ANN)
        assert turn.previous == second.run_id

    async def test_runs_of_one_moment_follow_each_other(self, desk: Desk) -> None:
        """Turns too quick for their ids to be in order still make one conversation."""
        for number, run in enumerate(("run-z", "run-m", "run-a")):
            turn = await desk.sessions.begin_turn("s-1", **ANN, run=run)
            await desk.work(turn, f"task {number}", run=run)
            desk.clock.jump(-60)
        assert desk.asked[-1][::2] == ["task 0", "task 1", "task 2"]
        assert (await desk.sessions.begin_turn("s-1", **ANN)).previous == "run-a"

    async def test_nothing_is_told_at_the_end_and_nothing_is_lost(self, desk: Desk) -> None:
        """`finish_turn` is a hint: the next turn is the same with it and without."""
        turn = await desk.sessions.begin_turn("s-1", **ANN, run="run-1")
        await desk.sessions.finish_turn(turn, tenant="default")  # the run is not recorded: nothing to note
        assert (await desk.sessions.get("s-1", **ANN)).last_run == ""
        await desk.work(turn, "one", run="run-1")
        before = await desk.sessions.begin_turn("s-1", **ANN)
        await desk.sessions.finish_turn(turn, tenant="default")
        assert (await desk.sessions.get("s-1", **ANN)).last_run == "run-1"
        after = await desk.sessions.begin_turn("s-1", **ANN)
        assert (before.previous, before.previous_seq) == (after.previous, after.previous_seq)

    @pytest.mark.parametrize("verb", ["begin_turn", "history", "timeline"])
    async def test_a_log_that_is_away_is_said_as_it_is(self, desk: Desk, verb: str) -> None:
        """One error, not a group of them."""
        await desk.say("one")
        desk.clock.jump(-60)
        await desk.say("two")

        class Away(MemoryLog):
            __slots__ = ()

            async def list_runs(self, **wanted):
                return await desk.store.log.list_runs(**wanted)

            async def read(self, run, **wanted):
                raise Unavailable("The store is away.")

        sessions = SessionStore(desk.store.values, Away(), clock=desk.clock)
        with pytest.raises(Unavailable, match="The store is away"):
            await getattr(sessions, verb)("s-1", **ANN)


class TestLimits:
    async def test_concurrent_runs(self, desk: Desk) -> None:
        """row: E6 — with one run at a time the second of two turns at once is refused, and told why."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_concurrent_runs=1))
        turns = await asyncio.gather(
            *(desk.sessions.begin_turn("s-1", **ANN, run=f"run-{n}") for n in range(4)), return_exceptions=True
        )
        refused = [turn for turn in turns if isinstance(turn, Conflict)]
        assert len(refused) == 3
        assert "has 1 runs under way, which is its limit: wait for them" in str(refused[0])
        (begun,) = [turn for turn in turns if not isinstance(turn, BaseException)]
        await desk.leave(begun)
        with pytest.raises(Conflict, match=rf"has 1 runs under way \({begun.run}\)"):
            await desk.say("no")
        stop = CancelRequested(run=begun.run, seq=3, time=desk.clock.now(), key="cancel")
        await desk.store.log.append(begun.run, [stop], expected=2)
        with pytest.raises(Conflict, match="under way"):  # it was asked to stop, and has not
            await desk.say("no")

    @pytest.mark.parametrize("limits", [SessionLimits(), SessionLimits(max_runs=200)])
    async def test_many_turns_at_once(self, desk: Desk, limits: SessionLimits) -> None:
        """Of a hundred who want a turn at the same moment none is turned away because of the others."""
        await desk.sessions.create("s-1", **ANN, limits=limits)
        turns = await asyncio.gather(*(desk.sessions.begin_turn("s-1", **ANN) for _ in range(100)))
        assert len({turn.run for turn in turns}) == 100
        assert len((await desk.sessions.get("s-1", **ANN)).holds) == (100 if limits.max_runs else 0)

    async def test_a_turn_that_came_to_nothing_frees_its_place(self, desk: Desk) -> None:
        """A process that dies between the turn and the record of its run holds the session for a minute."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_concurrent_runs=1))
        await desk.sessions.begin_turn("s-1", **ANN, run="run-1")
        assert (await desk.sessions.begin_turn("s-1", **ANN, run="run-1")).run == "run-1"  # the same one again
        with pytest.raises(Conflict, match="has 1 runs under way, which"):
            await desk.say("no")
        desk.clock.advance(60)
        await desk.say("yes")

    @pytest.mark.parametrize("tells_run", [True, False])
    async def test_one_turn_after_the_other(self, desk: Desk, tells_run: bool) -> None:
        """A run that is recorded stands for its turn, under the id that was told or another."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_concurrent_runs=1, max_runs=3))
        for number in range(3):
            await desk.say(f"task {number}", tells_run=tells_run)
            desk.clock.jump(-59)
        with pytest.raises(Conflict, match="Session 's-1' has had the 3 runs of its limit: raise it with"):
            await desk.say("no")
        await desk.sessions.update("s-1", **ANN, limits=SessionLimits(max_runs=4))
        await desk.say("yes", tells_run=tells_run)

    async def test_money(self, desk: Desk) -> None:
        """row: E6 — a session that has used its money takes no turns, until its limit is raised."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_cost_usd=0.5))
        await desk.say("one", cost_usd=0.3)
        await desk.say("two", cost_usd=0.3)
        with pytest.raises(Conflict, match=r"has used \$0\.6000 of its \$0\.5: raise it with .* --limit max_cost_usd"):
            await desk.say("three")
        await desk.sessions.update("s-1", **ANN, limits=SessionLimits(max_cost_usd=1))
        await desk.say("three", cost_usd=None)
        with pytest.raises(Conflict, match="the cost of one of its runs is not known"):
            await desk.say("four")

    async def test_turns_without_runs_are_bounded(self, desk: Desk) -> None:
        """A record does not grow by turns that come to nothing."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_runs=10_000))
        for _ in range(256):
            await desk.sessions.begin_turn("s-1", **ANN)
        with pytest.raises(Conflict, match="has 256 turns whose runs were not recorded"):
            await desk.sessions.begin_turn("s-1", **ANN)
        desk.clock.advance(60)
        await desk.say("yes")
        assert len((await desk.sessions.get("s-1", **ANN)).holds) == 1

    async def test_limits_are_counted_from_the_log(self, desk: Desk) -> None:
        """A restart, and a lost record, reset nothing that was used."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_runs=1))
        await desk.say("one")
        with pytest.raises(Conflict, match="has had the 1 runs"):
            await desk.again().say("two")

    async def test_usage(self, desk: Desk) -> None:
        """row: E6 — usage and cost are summed over the runs of a session."""
        await desk.say("one", cost_usd=0.25)
        await desk.say("two", LOOK, "seen", cost_usd=0.25)
        await desk.leave(await desk.sessions.begin_turn("s-1", **ANN))
        usage = await desk.sessions.usage("s-1", **ANN)
        assert (usage.runs, usage.open, usage.cost_usd) == (3, 1, 0.75)
        assert usage.usage == Usage(requests=3, tool_calls=usage.usage.tool_calls)
        await desk.say("three", cost_usd=None)
        assert (await desk.sessions.usage("s-1", **ANN)).cost_usd is None


class TestFork:
    async def test_from_any_event(self, desk: Desk) -> None:
        """row: E6 — a session is forked from every event of a real log, and a turn is taken in each fork."""
        await desk.say("one")
        second = await desk.say("two", LOOK, [LOOK, call("look", name="net")], "seen")
        before = await desk.sessions.history("s-1", **ANN)
        assert len(second.events) > 12
        for seq in range(1, len(second.events) + 1):
            fork = await desk.sessions.fork("s-1", second.run_id, **ANN, seq=seq)
            history = await desk.sessions.history(fork.id, **ANN)
            assert history == [*before[:2], *build_conversation(second.events, upto=seq)]
            result = await desk.say("onwards", session=fork.id)
            assert list(result.messages[:-2]) == history
            assert [message.text for message in result.messages[-2:]] == ["onwards", "You said: onwards"]
            await desk.say("and on", session=fork.id)
            assert desk.asked[-1] == [message.text for message in result.messages] + ["and on"]
        assert await desk.sessions.history("s-1", **ANN) == before

    async def test_what_a_fork_takes_along(self, desk: Desk) -> None:
        await desk.sessions.create(
            "s-1", **ANN, title="T", tags=["x"], metadata={"k": 1}, limits=SessionLimits(max_runs=2, max_age_s=HOUR)
        )
        first = await desk.say("one")
        fork = await desk.sessions.fork("s-1", first.run_id, **ANN, name="s-2", title="Other")
        assert (fork.id, fork.title, fork.tags, fork.metadata) == ("s-2", "Other", ("x",), {"k": 1})
        assert (fork.limits.max_runs, fork.expires) == (2, fork.created + HOUR)
        assert fork.parent is not None
        assert (fork.parent.session, fork.parent.run, fork.parent.seq) == ("s-1", first.run_id, len(first.events))
        with pytest.raises(Conflict, match="There is a session 's-2' already"):
            await desk.sessions.fork("s-1", first.run_id, **ANN, name="s-2")

    async def test_an_ended_session_is_gone_on_from(self, desk: Desk) -> None:
        first = await desk.say("one")
        await desk.sessions.archive("s-1", **ANN)
        fork = await desk.sessions.fork("s-1", first.run_id, **ANN)
        await desk.say("two", session=fork.id)
        assert desk.asked[-1] == ["one", "You said: one", "two"]

    async def test_a_fork_of_a_fork(self, desk: Desk) -> None:
        """The conversation reaches through all of them to its beginning."""
        session, said = "s-1", list[str]()
        for number in range(4):
            result = await desk.say(f"task {number}", session=session)
            said += [f"task {number}", f"You said: task {number}"]
            session = (await desk.sessions.fork(session, result.run_id, **ANN)).id
        assert [message.text for message in await desk.sessions.history(session, **ANN)] == said

    async def test_what_is_not_there(self, desk: Desk) -> None:
        first, other = await desk.say("one"), await desk.say("one", session="s-2")
        for run in (other.run_id, "run-absent"):
            with pytest.raises(NotFound, match=f"There is no run '{run}' in session 's-1'"):
                await desk.sessions.fork("s-1", run, **ANN)
        for seq in (-1, len(first.events) + 1):
            with pytest.raises(InvalidInput, match=f"fork it from one of 1 to {len(first.events)}, not {seq}"):
                await desk.sessions.fork("s-1", first.run_id, **ANN, seq=seq)


class TestRecovery:
    async def test_a_missing_record_is_built_from_the_runs(self, desk: Desk) -> None:
        """row: E6 — a session that only its runs know of is whole again when it is next used."""
        await desk.say("one")
        kept = await desk.sessions.history("s-1", **ANN)
        await desk.store.values.delete("session/default/s-1")
        found = await desk.again().sessions.get("s-1", **ANN)
        assert (found.principal, found.status, found.last_run) == ("ann", "active", "run-1700000000-0")
        assert found.recovered == ("The record was missing: it was built again from the runs that name the session.",)
        assert await desk.sessions.history("s-1", **ANN) == kept
        await desk.store.values.delete("session/default/s-1")
        await desk.say("two")
        assert desk.asked[-1] == ["one", "You said: one", "two"]

    async def test_it_stays_with_whoever_began_it(self, desk: Desk) -> None:
        """Who comes first after a loss does not get another's session."""
        await desk.say("one")
        await desk.store.values.delete("session/default/s-1")
        with pytest.raises(NotFound, match="There is no session 's-1'"):
            await desk.say("mine", principal="eve")
        assert (await desk.sessions.get("s-1", **ANN)).principal == "ann"

    async def test_a_pointer_to_nothing_is_mended(self, desk: Desk) -> None:
        """row: E6 — a record that points to a run that is not there is repaired, and says so."""
        first, second = await desk.say("one"), await desk.say("two")
        await desk.sessions.begin_turn("s-1", **ANN)
        assert (await desk.sessions.get("s-1", **ANN)).last_run == second.run_id
        await desk.store.log.delete(second.run_id)
        found = await desk.sessions.get("s-1", **ANN)
        assert found.last_run == first.run_id
        assert found.recovered == (f"It pointed to run {second.run_id!r}, which is gone.",)
        assert await desk.sessions.get("s-1", **ANN) == found
        await desk.say("three")
        assert desk.asked[-1] == ["one", "You said: one", "three"]

    async def test_a_record_that_cannot_be_read(self, desk: Desk) -> None:
        """row: E6 — a corrupt record is refused with what to do, and built again on request."""
        await desk.say("one")
        await desk.store.values.put("session/default/s-1", b'{"id": 7}')
        with pytest.raises(Exception, match="`quorate sessions recover` builds it again"):
            await desk.say("two")
        mended = await desk.sessions.recover("s-1", **ANN)
        assert "The record did not verify: it was built again" in mended.recovered[0]
        await desk.say("two")
        assert desk.asked[-1] == ["one", "You said: one", "two"]

    async def test_a_record_that_cannot_be_read_and_has_no_runs(self, desk: Desk) -> None:
        await desk.store.values.put("session/default/s-1", b"{")
        with pytest.raises(NotFound):
            await desk.sessions.recover("s-1", **ANN)
        mended = await desk.sessions.recover("s-1", tenant="default", principal=None)
        assert "whose it was is not known" in mended.recovered[0]
        await desk.sessions.delete("s-1", tenant="default", principal=None)

    async def test_a_conversation_that_lost_a_run_begins_anew(self, desk: Desk) -> None:
        """What was said before a run that is gone cannot be known; turns go on without it, and the session says so."""
        first = await desk.say("one")
        second = await desk.say("two")
        await desk.store.log.delete(first.run_id)
        with pytest.raises(NotFound, match=f"no run '{first.run_id}', from which run '{second.run_id}' goes on"):
            await desk.sessions.history("s-1", **ANN)
        mended = await desk.sessions.recover("s-1", **ANN)
        assert "The next turn begins a new conversation." in mended.recovered[-1]
        assert await desk.sessions.recover("s-1", **ANN) == mended
        await desk.say("three")
        await desk.say("four")
        assert desk.asked[-1] == ["three", "You said: three", "four"]
        assert len(await desk.sessions.timeline("s-1", **ANN)) == 3

    async def test_a_fork_whose_point_is_gone(self, desk: Desk) -> None:
        first = await desk.say("one")
        fork = await desk.sessions.fork("s-1", first.run_id, **ANN)
        await desk.store.log.delete(first.run_id)
        mended = await desk.sessions.recover(fork.id, **ANN)
        assert mended.parent is None
        await desk.say("anew", session=fork.id)
        assert desk.asked[-1] == ["anew"]

    async def test_all_of_a_tenant(self, desk: Desk) -> None:
        """Every session is looked at: with a record, without, and with one that cannot be read."""
        for name in ("s-1", "s-2", "s-3"):
            await desk.say("one", session=name)
        await desk.say("one", session="s-9", tenant="other")
        await desk.sessions.create("s-4", **ANN)
        await desk.store.values.delete("session/default/s-1")
        await desk.store.values.put("session/default/s-2", b"{")
        seen = [session async for session in desk.sessions.recover_all(tenant="default")]
        assert sorted(session.id for session in seen) == ["s-1", "s-2", "s-3", "s-4"]
        assert sorted(session.id for session in seen if session.recovered) == ["s-1", "s-2"]
        again = [session async for session in desk.sessions.recover_all(tenant="default")]
        assert {session.id: session.revision for session in again} == {one.id: one.revision for one in seen}

    async def test_a_turn_that_was_begun_and_never_recorded_changes_nothing(self, desk: Desk) -> None:
        """A process that dies between the turn and the run leaves a session as it was."""
        await desk.say("one")
        turn = await desk.sessions.begin_turn("s-1", **ANN)
        again = await desk.again().sessions.begin_turn("s-1", **ANN)
        assert (turn.previous, turn.previous_seq) == (again.previous, again.previous_seq)
        assert len(await load_history(desk.store.log, build_created(again))) == 2
