"""What becomes of moments that are due, as pure rules?"""

import datetime
from typing import Any

import pytest
from msgspec import structs

from quorate.errors import InvalidInput
from quorate.runtime.schedules.decide import Decision, carry_out, decide, find_time, settle
from quorate.runtime.schedules.moments import Cron, Every
from quorate.runtime.schedules.records import Fired, Firing, Record, build_submission_key
from quorate.runtime.schedules.schedule import (
    Policy,
    Schedule,
    Work,
    check_schedule,
    find_jitter,
    find_next,
    list_moments,
)

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).timestamp()
HOUR = 3600.0
WORK = Work(task="Look at the disks.")


def build(decided: float = NOON, **policy: Any) -> Record:
    schedule = Schedule(name="disks", work=WORK, when=Every(seconds=60), policy=Policy(**policy))
    return Record(schedule=schedule, id="schedule-1", decided=decided, next=find_next(schedule, after=decided))


def test_nothing_is_decided_before_its_time() -> None:
    record = build()
    assert find_time(record, takeover_s=5, now=NOON) == NOON + 60
    assert decide(record, now=NOON + 59.9) is None
    assert decide(record, now=NOON + 60) == Decision(until=NOON + 60, moment=NOON + 60)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"catch_up": "last"}, Decision(until=NOON + 600, moment=NOON + 600, missed=9)),
        ({"catch_up": "skip", "grace_s": 31}, Decision(until=NOON + 600, moment=NOON + 600, missed=9)),
        ({"catch_up": "skip", "grace_s": 29}, Decision(until=NOON + 600, missed=10)),
        ({"catch_up": "all"}, Decision(until=NOON + 60, moment=NOON + 60)),
        ({"catch_up": "all", "most": 3}, Decision(until=NOON + 480, moment=NOON + 480, missed=7)),
    ],
)
def test_an_outage_of_ten_minutes(policy: dict[str, object], expected: Decision) -> None:
    """Ten moments were missed, the last of them half a minute ago."""
    assert decide(build(**policy), now=NOON + 630) == expected


def test_all_of_them_are_made_up_for_one_after_the_other() -> None:
    record, fired = build(catch_up="all", most=4), list[float]()
    while (decision := decide(record, now=NOON + 630)) is not None:
        assert decision.moment is not None
        fired.append(decision.moment)
        decided = carry_out(record, decision, now=NOON + 630, is_busy=False)
        assert decided.firing == Firing(moment=decision.moment, claimed=NOON + 630, work=WORK)
        record = settle(decided, now=NOON + 631, run="run-1")
    assert fired == [NOON + 60 * number for number in (7, 8, 9, 10)]
    assert (record.next, record.fired, record.missed, record.firing) == (NOON + 660, 4, 6, None)
    assert record.last == Fired(moment=NOON + 600, time=NOON + 631, run="run-1")


def test_a_moment_is_passed_over_while_the_run_before_is_under_way() -> None:
    record = build(overlap="skip")
    decision = decide(record, now=NOON + 60)
    assert decision is not None
    passed = carry_out(record, decision, now=NOON + 60, is_busy=True)
    assert (passed.firing, passed.overlapped, passed.next) == (None, 1, NOON + 120)
    assert carry_out(record, decision, now=NOON + 60, is_busy=False).firing is not None
    assert carry_out(build(), decision, now=NOON + 60, is_busy=True).firing is not None, "it may overlap"


def test_what_was_refused_is_not_counted_as_submitted() -> None:
    record = structs.replace(build(), firing=Firing(moment=NOON, claimed=NOON, work=WORK))
    settled = settle(record, now=NOON + 1, refused="The session is full.")
    assert (settled.fired, settled.last) == (0, Fired(moment=NOON, time=NOON + 1, refused="The session is full."))


def test_a_clock_that_is_set_back_decides_nothing_again() -> None:
    record = build(decided=NOON + 60)
    assert decide(record, now=NOON - HOUR) is None
    assert find_time(record, takeover_s=5, now=NOON - HOUR) == NOON + 120


def test_a_clock_that_was_wrong_by_days_does_not_stop_a_schedule_for_days() -> None:
    record = build(decided=NOON + 400 * 24 * HOUR)
    assert find_time(record, takeover_s=5, now=NOON) == NOON
    decision = decide(record, now=NOON)
    assert decision == Decision(until=NOON)
    assert carry_out(record, decision, now=NOON, is_busy=False).next == NOON + 60


def test_what_somebody_left_behind_is_anybodys_after_a_while() -> None:
    record = structs.replace(build(), firing=Firing(moment=NOON, claimed=NOON, work=WORK))
    assert find_time(record, takeover_s=5, now=NOON + 1) == NOON + 5
    assert find_time(record, takeover_s=5, now=NOON - HOUR) == NOON - HOUR, "the clock was set back meanwhile"
    paused = structs.replace(record, schedule=structs.replace(record.schedule, paused=True))
    assert find_time(paused, takeover_s=5, now=NOON + 1) == NOON + 5, "what was decided is done"


def test_a_paused_schedule_has_nothing_to_do() -> None:
    record = build()
    assert find_time(structs.replace(record, schedule=structs.replace(record.schedule, paused=True)), takeover_s=5, now=NOON) is None  # fmt: skip


def test_jitter_is_the_same_for_all_and_another_one_each_time() -> None:
    record = build(jitter_s=50)
    drawn = [find_jitter(record.schedule, seed="schedule-1", moment=NOON + 60 * n) for n in range(200)]
    assert drawn == [find_jitter(record.schedule, seed="schedule-1", moment=NOON + 60 * n) for n in range(200)]
    assert (min(drawn) >= 0, max(drawn) <= 50, len(set(drawn))) == (True, True, 200)
    assert 20 < sum(drawn) / 200 < 30
    due = NOON + 60 + find_jitter(record.schedule, seed="schedule-1", moment=NOON + 60)
    assert find_time(record, takeover_s=5, now=NOON) == due
    assert decide(record, now=due - 0.001) is None
    assert decide(record, now=due) == Decision(until=NOON + 60, moment=NOON + 60)


def test_moments_lie_between_start_and_end() -> None:
    """The start is one of them, the end is not."""
    schedule = Schedule(name="x", work=WORK, when=Every(seconds=60), start=NOON, end=NOON + 180)
    assert list(list_moments(schedule, after=0)) == [NOON, NOON + 60, NOON + 120]
    record = Record(schedule=schedule, id="a", decided=0, next=NOON)
    decision = decide(record, now=NOON + HOUR)
    assert decision == Decision(until=NOON + 120, moment=NOON + 120, missed=2)
    over = carry_out(record, decision, now=NOON + HOUR, is_busy=False)
    assert over.next is None
    assert find_time(structs.replace(over, firing=None), takeover_s=5, now=NOON + HOUR) is None


def test_a_schedule_that_was_made_again_has_other_keys() -> None:
    record = build()
    again = structs.replace(record, id="schedule-2")
    assert build_submission_key(record, NOON) == f"schedule/disks/schedule-1/{NOON:.3f}"
    assert build_submission_key(again, NOON) != build_submission_key(record, NOON)


GOOD = Schedule(name="disks", work=WORK, when=Cron(expression="0 6 * * *", zone="Europe/Berlin"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Disks"}, "schedule 'Disks' is not an identifier"),
        ({"name": "a/b"}, "schedule 'a/b' is not an identifier"),
        ({"tenant": "*"}, "tenant '*' is not an identifier"),
        ({"work": Work(task=" ")}, "Schedule 'disks' has no task: say what is to be done."),
        ({"work": Work(task="x", session="A B")}, "session 'A B' is not an identifier"),
        ({"work": Work(task="x", labels={"model": "x"})}, "label 'model' is not one: use 1 to 63 of"),
        ({"work": Work(task="x", labels={"route.agent": "x"})}, "`model`, `route`, `schedule` are ours."),
        ({"work": Work(task="x", labels={"Team": "x"})}, "label 'Team' is not one"),
        ({"work": Work(task="x", labels={"team": "\x1b"})}, "label 'team' is '\\x1b': use at most 256 printable"),
        ({"work": Work(task="x", labels={f"l{n}": "" for n in range(21)})}, "has 20 labels at most, not 21."),
        ({"start": -1.0}, "`start` is -1.0; it is seconds since 1970"),
        ({"end": float("inf")}, "`end` is inf"),
        ({"start": NOON, "end": NOON}, "Schedule 'disks' ends before it starts: give `end` a later time."),
        ({"end": NOON + 60}, "Schedule 'disks' has no moment that is still to come: look at `start` and `end`."),
        ({"policy": Policy(most=0)}, "`most` is 0; 1 to 1000 missed moments are made up for."),
        ({"policy": Policy(grace_s=-1)}, "`grace_s` is -1; it is 0 to 86400 seconds."),
        ({"policy": Policy(jitter_s=float("nan"))}, "`jitter_s` is nan"),
        ({"when": Every(seconds=60), "policy": Policy(jitter_s=61)}, "for this schedule it is 0 to 60 seconds."),
    ],
)
def test_a_bad_schedule_is_refused(change: dict[str, Any], said: str) -> None:
    check_schedule(GOOD, now=NOON)
    with pytest.raises(InvalidInput) as refused:
        check_schedule(structs.replace(GOOD, **change), now=NOON)
    assert said in refused.value.message
