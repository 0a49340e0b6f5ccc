"""Is a procedure recorded, resumed, replayed, bounded and cancelled like any run?"""

from __future__ import annotations

import asyncio

import pytest

from quorate import Agent, MemoryLog, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import Candidate, race, side_by_side
from quorate.agent.procedure.work import Work
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import Conflict, UnknownName, Waiting
from quorate.events import ApprovalDecided, ApprovalRequested, StepSkipped, ToolFailed, ToolFinished, ToolStarted
from quorate.models.scripted import After
from quorate.tools.toolsets import Approved


def build_member(name: str, *script: object) -> AnyAgent:
    return Agent(name, model=ScriptedModel(list(script) * 20))  # type: ignore[arg-type]


@tool(effect="idempotent")
async def add(left: int, right: int) -> int:
    """Add."""
    return left + right


@tool(effect="idempotent")
async def hang() -> str:
    """Never come back."""
    await asyncio.Event().wait()
    return ""


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def answer_all(log: MemoryLog, run: str) -> None:
    """Approve whatever is asked."""
    events = await log.read(run)
    asked = [event for event in events if isinstance(event, ApprovalRequested)]
    for place, event in enumerate(asked, len(events) + 1):
        said = ApprovalDecided(
            run=run, seq=place, time=event.time, key=event.key, approved=True, digest=event.digest, by="ann"
        )
        await log.append(run, [said], expected=place - 1)


async def test_steps_are_recorded_below_the_procedure_and_replayed() -> None:
    """part of row A13"""

    async def procedure(work: Work, task: str) -> str:
        jobs = [
            work.ask("first", "one", task),
            work.ask("second", "two", task),
            work.call("sum", "add", {"left": 1, "right": 2}),
        ]
        outcomes = await side_by_side(jobs)
        await work.skip("never", "there is no need")
        return " ".join(one.text for one in outcomes)

    team = build_agent("team", procedure, tools=[build_member("one", "A"), build_member("two", "B"), add])
    result = await team.run("go")
    assert result.text == "A B 3"
    started = {event.key for event in result.events if isinstance(event, ToolStarted)}
    assert {"1/tool/work", "1/tool/work/1/tool/first", "1/tool/work/1/tool/sum"} <= started
    assert [event.name for event in result.events if isinstance(event, StepSkipped)] == ["never"]
    replayed = await replay_exactly(team, result.events)
    assert replayed.divergence is None


async def test_what_waits_does_not_stop_what_goes_on_and_nothing_is_made_twice() -> None:
    """Two steps are held side by side, a third one is done meanwhile; answered, the run goes on behind all of it."""
    made: list[str] = []

    @tool(effect="idempotent")
    async def note(word: str) -> str:
        """Note."""
        made.append(word)
        return word

    async def procedure(work: Work, task: str) -> str:
        jobs = [
            work.call("pay-1", "pay", {"amount": 1}),
            work.call("note", "note", {"word": task}),
            work.call("pay-2", "pay", {"amount": 2}),
        ]
        return " ".join(one.text for one in await side_by_side(jobs))

    team, log = build_agent("team", procedure, tools=[Approved(pay), note]), MemoryLog()
    result = await team.run("x", log=log)
    assert result.status == "waiting"
    assert [len(event.keys) for event in result.events if hasattr(event, "keys")] == [2]
    await answer_all(log, result.run_id)
    result = await team.resume(result.run_id, log=log)
    assert result.text == "paid 1 x paid 2"
    assert made == ["x"]
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_a_step_is_cut_at_its_time_and_the_cut_is_recorded() -> None:
    async def procedure(work: Work, task: str) -> str:
        outcome = await work.call("slow", "hang", {}, timeout_s=0.01)
        return f"{outcome.status} {outcome.code}"

    team = build_agent("team", procedure, tools=[hang])
    result = await team.run("go")
    assert result.text == "failed deadline_exceeded"
    assert [event.key for event in result.events if isinstance(event, ToolFailed)] == ["1/tool/work/1/tool/slow"]
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_of_several_the_first_good_one_wins_and_the_others_are_stopped() -> None:
    """part of row C9"""

    async def accept(outcome: Outcome) -> bool:
        return outcome.text == "good"

    async def procedure(work: Work, task: str) -> str:
        runners = [Candidate(step=name, agent=name, task=task) for name in ("slow", "bad", "quick")]
        winner, came = await race(work, runners, accept)
        assert winner is not None
        return f"{winner.step}: {','.join(f'{one.step}={one.code or one.text}' for one in came)}"

    members = [
        build_member("slow", After(60, "good")),
        build_member("bad", "no"),
        build_member("quick", After(0.01, "good")),
    ]
    team = build_agent("team", procedure, tools=members)
    result = await team.run("go")
    assert result.text == "quick: bad=no,quick=good,slow=cancelled"
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_who_won_before_a_crash_wins_again() -> None:
    """What came first in the log is first, though both are there when the procedure is begun again."""
    crash = True

    @tool(effect="idempotent")
    async def fall() -> str:
        """Fail once."""
        if crash:
            raise Conflict("not now")
        return "on"

    async def accept(outcome: Outcome) -> bool:
        return True

    async def procedure(work: Work, task: str) -> str:
        runners = [Candidate(step=name, agent=name, task=task) for name in ("a", "b")]
        winner, _ = await race(work, runners, accept)
        assert winner is not None
        await work.call("pay", "pay", {"amount": 1})
        return winner.step

    members = [build_member("a", After(60, "x")), build_member("b", "x")]
    team, log = build_agent("team", procedure, tools=[*members, Approved(pay), fall]), MemoryLog()
    result = await team.run("go", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    quick = build_agent("team", procedure, tools=[build_member("a", "x"), build_member("b", "x"), Approved(pay), fall])
    assert (await quick.resume(result.run_id, log=log)).text == "b"


async def test_what_a_tool_breaks_is_its_own_step() -> None:
    @tool(effect="idempotent")
    async def broken() -> str:
        """Break."""
        raise RuntimeError("no")

    async def procedure(work: Work, task: str) -> str:
        outcomes = await side_by_side(
            [work.call("bad", "broken", {}), work.call("good", "add", {"left": 1, "right": 1})]
        )
        return " ".join(one.status for one in outcomes)

    result = await build_agent("team", procedure, tools=[broken, add]).run("go")
    assert result.text == "failed completed"


async def test_a_step_that_names_nothing_fails_the_run() -> None:
    async def procedure(work: Work, task: str) -> str:
        return (await work.call("x", "nothing", {})).text

    with pytest.raises(UnknownName, match="nothing"):
        await build_agent("team", procedure, tools=[add]).run("go")


async def test_a_stopped_run_stops_its_steps() -> None:
    begun = asyncio.Event()

    @tool(effect="idempotent")
    async def begin() -> str:
        """Begin and never end."""
        begun.set()
        await asyncio.Event().wait()
        return ""

    async def procedure(work: Work, task: str) -> str:
        await side_by_side([work.call("one", "begin", {}), work.call("two", "hang", {})])
        return "never"

    team = build_agent("team", procedure, tools=[begin, hang])
    task = asyncio.get_running_loop().create_task(team.run("go"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_side_by_side_keeps_order_bounds_and_names_all_that_wait() -> None:
    """part of row B3"""
    busy, most = 0, 0

    async def job(place: int) -> int:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return place

    assert await side_by_side([job(place) for place in range(20)], at_once=3) == list(range(20))
    assert most == 3

    async def hold(key: str) -> int:
        raise Waiting("held", keys=(key,))

    with pytest.raises(Waiting) as held:
        await side_by_side([hold("a"), job(1), hold("b")])
    assert held.value.context["keys"] == ("a", "b")


async def test_one_definition_serves_runs_that_do_not_meet() -> None:
    async def procedure(work: Work, task: str) -> str:
        outcome = await work.call("sum", "add", {"left": int(task), "right": 0})
        return outcome.text

    team = build_agent("team", procedure, tools=[add])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(team.run(str(number))) for number in range(20)]
    assert [task.result().text for task in tasks] == [str(number) for number in range(20)]
    assert all(sum(isinstance(event, ToolFinished) for event in task.result().events) == 2 for task in tasks)
