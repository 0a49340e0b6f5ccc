"""Does a result read well, for people and for programs, however the run ended?"""

import pytest

from quorate.agent.result import RunResult
from quorate.cli.render import (
    build_document,
    build_failure,
    count_calls,
    render_failure,
    render_output,
    render_recorded,
    render_report,
)
from quorate.codec.json import encode_text
from quorate.errors import UpstreamError
from quorate.events import (
    AnyEvent,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunIncomplete,
    RunWaiting,
    StepStarted,
    ToolStarted,
)
from quorate.messages import ToolCall, Usage
from quorate.models.playbook.report import Diagnosis, Evidence, Finding

CREATED = RunCreated(
    run="run-1",
    seq=1,
    time=10.0,
    agent="net",
    messages=(),
    labels={"route.agent": "net", "route.reason": "`port` is a trigger"},
)
DIAGNOSIS = Diagnosis(
    applies=True,
    summary="One fault.",
    findings=(
        Finding(
            title="The port refuses\nconnections",
            severity="high",
            detail="Nothing listens there.\nNothing at all.",
            evidence=(Evidence(tool="tcp_connect", call_id="c1", fact="connect 127.0.0.1:9 refused after 0.2 ms"),),
            confidence=0.8,
            source="scout",
        ),
        Finding(title="By the way", severity="info"),
    ),
    checked=("DNS is fine",),
    unavailable=("ping: no permission",),
    next_steps=("Start the service.", "Look again."),
)


def build_result(last: AnyEvent, *, value: object = None, text: str = "") -> RunResult[object]:
    return RunResult[object](
        run_id="run-1",
        text=text,
        messages=(),
        events=(CREATED, last),
        usage=Usage(input_tokens=3),
        cost_usd=None,
        value=value,
    )


def read(result: RunResult[object]) -> str:
    return "\n".join(words for _, words in render_report(result))


def test_a_diagnosis_is_told_with_its_evidence() -> None:
    """Severity first, then what was measured, by which call; then what was fine, what was not had, what to do. row: C17"""
    result = build_result(RunCompleted(run="run-1", seq=9, time=10.4, output=""), value=DIAGNOSIS)
    assert read(result) == (
        "net: completed in 400 ms, 0 tool calls, unknown cost\n"
        "\n"
        "One fault.\n"
        "\n"
        "HIGH      The port refuses connections  (80% sure)  [scout]\n"
        "          Nothing listens there.\n"
        "          Nothing at all.\n"
        "          - connect 127.0.0.1:9 refused after 0.2 ms  (tcp_connect c1)\n"
        "\n"
        "INFO      By the way\n"
        "\n"
        "Measured and fine\n"
        "  - DNS is fine\n"
        "\n"
        "Could not be measured\n"
        "  - ping: no permission\n"
        "\n"
        "Next steps\n"
        "  1. Start the service.\n"
        "  2. Look again.\n"
        "\n"
        "Run run-1\n"
        "  quorate runs show run-1 --events   everything that was recorded"
    )


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            RunIncomplete(run="run-1", seq=2, time=11, limit="steps", message="The agent met 3 steps."),
            "--limit seconds=600",
        ),
        (RunWaiting(run="run-1", seq=2, time=11, reason="interrupted"), "quorate runs resume run-1"),
        (RunCancelled(run="run-1", seq=2, time=11, reason="enough"), "enough"),
    ],
)
def test_half_an_answer_is_never_shown_as_a_whole_one(last: AnyEvent, said: str) -> None:
    """The reason comes first, then what was said until then, marked as such. row: C17"""
    result = build_result(last, text="I think that")
    shown = read(result)
    assert said in shown
    assert result.reason in shown
    assert shown.index("Until then it said:") < shown.index("I think that")
    document = build_document(result)
    assert document["output"] is None
    assert document["partial"] == "I think that"
    assert document["reason"] == result.reason


def test_the_document_has_what_a_program_needs() -> None:
    """Also why this agent was chosen, and no cost where none is known. row: C17"""
    result = build_result(RunCompleted(run="run-1", seq=9, time=10.4, output="hi"), value="hi")
    document = build_document(result)
    assert document["route"] == {"agent": "net", "reason": "`port` is a trigger"}
    assert document["output"] == "hi"
    assert document["elapsed_s"] == 0.4
    assert document["cost_usd"] is None
    assert document["events"] == 9


def test_answers_of_other_types_are_told() -> None:
    """Text as it is, values as JSON, and a recorded diagnosis as the diagnosis it is."""
    assert [words for _, words in render_output("two\nlines\n")] == ["", "two\nlines"]
    assert [words for _, words in render_output({"a": 1})] == ["", '{\n  "a": 1\n}']
    assert list(render_recorded(encode_text(DIAGNOSIS))) == list(render_output(DIAGNOSIS))
    assert [words for _, words in render_recorded("plain words")] == ["", "plain words"]


def test_delegates_are_no_tool_calls() -> None:
    """What they call is."""
    call = ToolCall(id="c", name="f")
    events = [
        ToolStarted(run="r", seq=1, time=0, key="1/tool/a", call=call),
        StepStarted(run="r", seq=2, time=0, key="1/tool/a/", name="net"),
        ToolStarted(run="r", seq=3, time=0, key="1/tool/a/1/tool/b", call=call),
    ]
    assert count_calls(events) == 1


def test_a_failure_is_one_line_and_a_document() -> None:
    """With the error's code, and where everything is recorded. row: C17"""
    error = UpstreamError("It is\ndown.", retryable=True, run="run-1")
    assert render_failure(error, agent="net") == (
        "net failed (upstream_error): It is down. Everything recorded: `quorate runs show run-1 --events`"
    )
    assert build_failure(error, agent="net")["error"] == {
        "code": "upstream_error", "message": "It is\ndown.", "retryable": True,
    }  # fmt: skip
