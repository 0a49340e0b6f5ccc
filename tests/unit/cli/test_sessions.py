"""How is a session written for a person, and how are its limits read?"""

import pytest

from quorate.cli.session_words import (
    describe,
    read_metadata,
    read_session_limits,
    render_message,
    render_run,
    render_session,
)
from quorate.errors import InvalidInput, UnknownName
from quorate.events import RunSummary
from quorate.messages import Message, Text, ToolCall, ToolResult, Usage
from quorate.state.sessions import NO_LIMITS, Origin, Session, SessionLimits, SessionUsage, TimelineEntry

SESSION = Session(
    id="s-1",
    tenant="default",
    principal="ann",
    title="Slow \x1b[31mshop",
    tags=("a", "b"),
    metadata={"k": 1},
    limits=SessionLimits(max_runs=3, max_cost_usd=0.5),
    created=0.0,
    updated=60.0,
    active=60.0,
    parent=Origin(session="s-0", run="run-1", seq=4),
    recovered=("It pointed to nothing.",),
)
USAGE = SessionUsage(runs=2, open=0, usage=Usage(input_tokens=7, output_tokens=3), cost_usd=0.25)
RUN = RunSummary(run="run-2", agent="a", status="completed", created=0.0, updated=2.0, events=5, task="Look\nhere")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], SessionLimits(max_runs=3)),
        (["max_runs=4"], SessionLimits(max_runs=4)),
        (["max_runs=none", "max_cost_usd=0.5"], SessionLimits(max_cost_usd=0.5)),
        (["max_idle_s=60"], SessionLimits(max_runs=3, max_idle_s=60)),
    ],
)
def test_limits_are_read_over_those_there_are(given: list[str], expected: SessionLimits) -> None:
    assert read_session_limits(given, base=SessionLimits(max_runs=3)) == expected


def test_limits_that_are_none() -> None:
    with pytest.raises(InvalidInput, match="`--limit max_runs` has no value: write it like"):
        read_session_limits(["max_runs"], base=NO_LIMITS)
    with pytest.raises(UnknownName, match="Did you mean `max_runs`"):
        read_session_limits(["max_run=1"], base=NO_LIMITS)
    with pytest.raises(InvalidInput, match=r"`--limit` is not a number: .*max_runs"):
        read_session_limits(["max_runs=few"], base=NO_LIMITS)


def test_metadata_is_an_object() -> None:
    assert read_metadata(None) is None
    assert read_metadata('{"a": [1]}') == {"a": [1]}
    for text in ("[1]", "{", "x"):
        with pytest.raises(InvalidInput, match="`--metadata` is not valid"):
            read_metadata(text)


def test_what_is_known_of_a_session() -> None:
    """Words of others cannot move the cursor."""
    assert describe(SESSION, most=60) == r"Slow \x1b[31mshop #a #b"
    assert render_session(SESSION, USAGE, None) == [
        "session   s-1",
        "status    active",
        "owner     ann",
        r"title     Slow \x1b[31mshop #a #b",
        "created   1970-01-01 00:00:00 UTC",
        "updated   1970-01-01 00:01:00 UTC",
        "limits    max_runs=3, max_cost_usd=0.5",
        'metadata  {"k":1}',
        "from      s-0, run run-1, event 4",
        "used      2 runs, 10 tokens, $0.2500",
        "mended    It pointed to nothing.",
        'turns     quorate run --session s-1 "…"',
    ]
    assert render_session(SESSION, USAGE, "It is suspended.")[-1] == "turns     It is suspended."


def test_a_run_of_a_session() -> None:
    """Runs that go on from the same one are marked."""
    entry = TimelineEntry(run=RUN, previous="run-1", previous_seq=5, beside=("run-3",))
    assert render_run(entry) == (
        "run-2", "completed", "1970-01-01 00:00:00", "2.0 s", "no cost", "beside 1", "Look here",
    )  # fmt: skip


def test_messages() -> None:
    call = ToolCall(id="1", name="look", arguments='{"name": "disk"}')
    assert render_message(Message(role="assistant", parts=(Text(text="a\nb"), call))) == [
        "assistant: a\nb",
        'assistant: calls look({"name": "disk"})',
    ]
    results = (ToolResult(call_id="1", name="look", content="fine"), ToolResult(call_id="2", name="see", content=()))
    assert render_message(Message(role="tool", parts=results)) == ["tool: look gave fine", "tool: see gave (0 parts)"]
