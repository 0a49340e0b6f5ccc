"""Do events keep what they say, whatever it is, and stay readable by other versions?"""

import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.language.strategies import build_structs

from quorate import events as e
from quorate.codec.json import decode_event, encode
from quorate.errors import CorruptState
from quorate.messages import Message, Text, Usage, build_user_message
from quorate.testing.samples import build_every_event

KINDS: tuple[type[e.Event], ...] = e.AnyEvent.__args__
SAMPLES = Path(__file__).parent / "samples"
NAMED = {
    "run.created", "run.started", "run.waiting", "run.resumed", "run.completed", "run.failed", "run.cancelled",
    "run.incomplete", "cancel.requested", "model.requested", "model.replied", "model.failed", "tool.requested",
    "tool.started", "tool.finished", "tool.failed", "tool.unknown", "approval.requested", "approval.decided",
    "handoff.requested", "handoff.done", "state.changed", "artifact.saved", "budget.reserved", "budget.settled",
    "budget.exceeded", "guard.blocked", "vote.opened", "vote.cast", "vote.closed", "step.started", "step.finished",
    "step.skipped", "task.delegated", "task.finished",
}  # fmt: skip


def get_tag(kind: type[e.Event]) -> str:
    return str(kind.__struct_config__.tag)


@pytest.mark.parametrize("kind", KINDS, ids=get_tag)
@given(data=st.data())
def test_every_event_survives_the_codec(kind: type[e.Event], data: st.DataObject) -> None:
    """What is written is what is read, for any value of any field."""
    event = data.draw(build_structs(kind))
    assert decode_event(encode(event)) == event


def test_the_union_is_whole() -> None:
    """Every class of event is in the union, and every kind of the design has a class."""
    classes = {
        value
        for value in vars(e).values()
        if isinstance(value, type) and issubclass(value, e.Event) and value is not e.Event
    }
    assert classes == set(KINDS)
    assert {get_tag(kind) for kind in KINDS} >= NAMED
    assert len({get_tag(kind) for kind in KINDS}) == len(KINDS)


def test_every_event_is_a_frozen_value() -> None:
    """An event is a fact: it cannot be changed, and equal facts are equal."""
    for event in build_every_event("run-1"):
        with pytest.raises(AttributeError):
            event.seq = 9  # pyright: ignore[reportAttributeAccessIssue]
    assert build_every_event("run-1") == build_every_event("run-1")


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_stored_samples_are_readable_for_ever(path: Path) -> None:
    """What any released version wrote is read, and says the same when it is written again."""
    stored = path.read_bytes()
    event = decode_event(stored, version=path.parent.name)
    assert e.get_kind(event) == path.stem
    written = msgspec.json.decode(encode(event))
    assert msgspec.json.decode(stored).items() <= written.items()


def test_every_kind_has_a_stored_sample_with_every_field() -> None:
    """A new kind, or a new field, comes with a sample: `samples/<version>/<kind>.json`."""
    for kind in KINDS:
        found = list(SAMPLES.glob(f"*/{get_tag(kind)}.json"))
        assert found, f"no sample of {get_tag(kind)!r}"
        named = {name for path in found for name in msgspec.json.decode(path.read_bytes())}
        missing = {field.name for field in msgspec.structs.fields(kind)} - named
        assert missing <= {"attempt"} if kind in e.CONTROLS else not missing, (get_tag(kind), missing)


def test_shipped_samples_fill_every_field() -> None:
    """`build_every_event` has one event of each kind, in order, with no field at its default."""
    built = build_every_event("run-1", after=4)
    assert [type(event) for event in built] == list(KINDS)
    assert [event.seq for event in built] == list(range(5, 5 + len(KINDS)))
    for event in built:
        for field in msgspec.structs.fields(type(event)):
            is_default = not field.required and getattr(event, field.name) == field.default
            is_by_nature = type(event) in e.CONTROLS and field.name == "attempt"
            assert is_by_nature or not is_default, (e.get_kind(event), field.name)


@pytest.mark.parametrize("event", build_every_event("run-1"), ids=e.get_kind)
def test_unknown_fields_of_a_newer_minor_version_are_passed_over(event: e.AnyEvent) -> None:
    """A newer minor version only adds; the older one reads the rest."""
    newer = {**msgspec.json.decode(encode(event)), "added_later": {"deep": [1, 2]}}
    assert decode_event(encode(newer), version="1.7") == event


def test_another_major_version_is_refused() -> None:
    """The error names the place and the way out."""
    data = encode(build_every_event("run-1")[0])
    for version in ("2.0", "0.9", "", "x"):
        with pytest.raises(CorruptState, match="run 'run-1' seq 1 has schema version") as caught:
            decode_event(data, where="run 'run-1' seq 1", version=version)
        assert "Upgrade Quorate" in caught.value.message


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(CorruptState, match=r"row 7 does not verify: .*'run\.exploded'"):
        decode_event(b'{"kind":"run.exploded","run":"r","seq":1,"time":1.0}', where="row 7")


@given(st.binary(max_size=200))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    """No bytes bring about anything but an event or `CorruptState`."""
    with pytest.raises(CorruptState):
        decode_event(data)


@given(st.data())
def test_cut_or_flipped_bytes_are_a_typed_error_or_an_event(data: st.DataObject) -> None:
    """Truncation is always found; a flipped byte never gives another exception."""
    whole = encode(data.draw(st.sampled_from(build_every_event("run-1"))))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(CorruptState):
        decode_event(whole[:cut])
    flipped = bytearray(whole)
    flipped[cut] ^= data.draw(st.integers(1, 255))
    try:
        decode_event(bytes(flipped))
    except CorruptState:
        return


# The fold


def created(run: str = "run-1", **fields: typing.Any) -> e.RunCreated:
    return e.RunCreated(
        run=run, seq=1, time=10.0, **{"agent": "net", "messages": (build_user_message("why?"),), **fields}
    )


def test_a_summary_begins_with_the_run() -> None:
    started = e.RunStarted(run="run-1", seq=2, time=11.0, attempt="a1")
    assert e.summarize(None, [started]) is None
    assert e.summarize(None, []) is None
    assert e.summarize(None, [created(tenant="acme", session="s1"), started]) == e.RunSummary(
        run="run-1", agent="net", status="running", created=10.0, updated=11.0, events=2, tenant="acme",
        session="s1", task="why?", attempts=1,
    )  # fmt: skip


def test_a_summary_takes_the_task_from_the_last_message() -> None:
    """The history stands before the task; only 200 characters are shown."""
    history = (build_user_message("hello"), Message(role="assistant", parts=(Text(text="hi"),)))
    summary = e.summarize(None, [created(messages=(*history, build_user_message("x" * 500)))])
    assert summary is not None
    assert summary.task == "x" * 200
    empty = e.summarize(None, [created(messages=())])
    assert empty is not None
    assert empty.task == ""


STATUSES: list[tuple[e.AnyEvent, e.Status]] = [
    (e.RunStarted(run="run-1", seq=2, time=11.0), "running"),
    (e.RunWaiting(run="run-1", seq=2, time=11.0, reason="timer"), "waiting"),
    (e.RunResumed(run="run-1", seq=2, time=11.0), "running"),
    (e.RunCompleted(run="run-1", seq=2, time=11.0, output=""), "completed"),
    (e.RunFailed(run="run-1", seq=2, time=11.0, code="", message=""), "failed"),
    (e.RunCancelled(run="run-1", seq=2, time=11.0), "cancelled"),
    (e.RunIncomplete(run="run-1", seq=2, time=11.0, limit="steps", message=""), "incomplete"),
    (e.CancelRequested(run="run-1", seq=2, time=11.0), "queued"),
]


@pytest.mark.parametrize(("event", "status"), STATUSES, ids=lambda value: value if isinstance(value, str) else "")
def test_events_bring_about_a_status(event: e.AnyEvent, status: e.Status) -> None:
    """Hitting a limit is `incomplete`, never `completed`; a control event alone changes nothing. row: B5"""
    summary = e.summarize(None, [created(), event])
    assert summary is not None
    assert (summary.status, summary.events, summary.updated) == (status, 2, 11.0)


def test_a_summary_knows_who_works_on_a_run_and_how_often_it_broke_off() -> None:
    """Attempts that end without saying so are counted in a row; an end or a rest begins anew."""
    facts = {"run": "run-1", "time": 1.0}
    events: list[e.AnyEvent] = [
        created(principal="ada"),
        e.RunStarted(seq=2, owner="w1", **facts),
        e.RunResumed(seq=3, owner="w2", **facts),
        e.RunResumed(seq=4, owner="w3", **facts),
    ]
    summary = e.summarize(None, events)
    assert summary is not None
    assert (summary.owner, summary.attempts, summary.crashes, summary.principal) == ("w3", 3, 2, "ada")
    rests = e.RunWaiting(seq=5, reason="timer", wakes=60.0, **facts)
    summary = e.summarize(summary, [rests])
    assert summary is not None
    assert (summary.status, summary.owner, summary.crashes, summary.wakes) == ("waiting", "", 0, 60.0)


def test_an_answer_brings_a_resting_run_back_to_the_queue() -> None:
    """A control event on a run that waits makes it one that somebody should work on; on one at work it does not."""
    rests = [created(), e.RunWaiting(run="run-1", seq=2, time=2.0, reason="input", keys=("k",))]
    answer = e.InputGiven(run="run-1", seq=3, time=3.0, key="k", text="yes", by="ada")
    woken, busy = (
        e.summarize(None, [*rests, answer]),
        e.summarize(None, [created(), e.RunStarted(run="run-1", seq=2, time=2.0), answer]),
    )
    assert woken is not None
    assert busy is not None
    assert (woken.status, busy.status) == ("queued", "running")


def test_an_end_brings_usage_and_cost() -> None:
    """What a run used is told when it ends or rests, an unknown price included."""
    usage = Usage(input_tokens=5, requests=1)
    for end in (
        e.RunCompleted(run="run-1", seq=2, time=11.0, output="", usage=usage, cost_usd=None),
        e.RunIncomplete(run="run-1", seq=2, time=11.0, limit="x", message="", usage=usage, cost_usd=None),
        e.RunWaiting(run="run-1", seq=2, time=11.0, reason="input", usage=usage, cost_usd=None),
    ):
        summary = e.summarize(None, [created(), end])
        assert summary is not None
        assert (summary.usage, summary.cost_usd) == (usage, None)


@given(cut=st.integers(0, len(KINDS)))
def test_a_summary_may_be_folded_in_parts(cut: int) -> None:
    """A fold that goes on from a stored summary gives what one fold over everything gives."""
    whole = build_every_event("run-1")
    assert e.summarize(e.summarize(None, whole[:cut]), whole[cut:]) == e.summarize(None, whole)


def test_restamping_moves_an_event() -> None:
    event = build_every_event("run-1")[3]
    moved = e.restamp(event, 99)
    assert moved.seq == 99
    assert e.restamp(moved, event.seq) == event


def test_the_groups_of_events_are_distinct() -> None:
    """What ends a run, begins an attempt, settles a step or controls a run is told apart by class."""
    groups = [set(group) for group in (e.RESULTS, e.ENDINGS, e.ATTEMPTS, e.CONTROLS)]
    assert len(set.union(*groups)) == sum(len(group) for group in groups)
    assert set.union(*groups) <= set(KINDS)
    assert all(e.get_status(event) for event in build_every_event("r") if isinstance(event, e.ENDINGS + e.ATTEMPTS))
