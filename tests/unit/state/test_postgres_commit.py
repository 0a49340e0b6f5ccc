"""Are appends that wait together chained, judged and written each by itself?"""

import pytest

from quorate.errors import Conflict
from quorate.events import RunCompleted, summarize
from quorate.state.backends._postgres_commit import Append, State, _build_changed, _build_events, _build_moved, _chain
from quorate.testing.contracts import build_opening, build_step, build_steps


async def test_appends_that_follow_each_other_are_one_change() -> None:
    jobs = [
        Append("run-1", build_opening("run-1"), expected=0),
        Append("run-1", build_steps("run-1", 3, 2), expected=2),
        Append("run-1", build_steps("run-1", 5, 1), expected=4),
    ]
    plan = _chain("run-1", jobs, State(0))
    assert (plan.end.last, plan.taken, plan.refused) == (5, jobs, [])
    assert plan.end.summary == summarize(None, build_opening("run-1"))
    assert plan.end.updated == build_steps("run-1", 5, 1)[0].time
    assert plan.is_changed


async def test_those_that_do_not_fit_are_refused_with_what_is_there() -> None:
    begin = State(2, 11.0, summarize(None, build_opening("run-1")))
    jobs = [
        Append("run-1", build_steps("run-1", 2, 1), expected=1),
        Append("run-1", build_steps("run-1", 3, 1), expected=2),
        Append("run-1", build_steps("run-1", 3, 1), expected=2),
        Append("run-1", [], expected=3),
    ]
    plan = _chain("run-1", jobs, begin)
    assert plan.taken == [jobs[1], jobs[3]]
    assert plan.refused == [(jobs[0], 2), (jobs[2], 3)]
    assert plan.end.last == 3


async def test_an_ordinary_event_leaves_the_line_of_its_run_alone() -> None:
    """Only position and time are written; a change of status writes the whole line."""
    begin = State(2, 11.0, summarize(None, build_opening("run-1")))
    step = _chain("run-1", [Append("run-1", build_steps("run-1", 3, 1), expected=2)], begin)
    assert not step.is_changed
    assert _build_moved([step]) == ['{"run-1"}', "{2}", "{3}", "{11.0}", "{14.0}"]
    end = Append("run-1", [RunCompleted(run="run-1", seq=3, time=15.0, output="ok")], expected=2)
    changed = _chain("run-1", [end], begin)
    assert changed.is_changed
    columns = _build_changed([changed])
    assert [column[0] for column in columns[:7]] == ["run-1", 2, 3, 11.0, 15.0, "completed", "net"]
    assert _build_events([changed])[:3] == ['{"run-1"}', "{3}", "{run.completed}"]


async def test_a_settled_append_tells_its_caller() -> None:
    fine, bad, left = (Append("run-1", [build_step("run-1", 1)], expected=0) for _ in range(3))
    fine.settle()
    assert await fine.future is None
    bad.settle(Conflict("no"))
    with pytest.raises(Conflict):
        await bad.future
    left.future.cancel()
    left.settle(Conflict("nobody hears it"))
    assert left.future.cancelled()
