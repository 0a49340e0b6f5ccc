"""Does a playbook ask for the right measurements, and say only what they gave?"""

import msgspec
import pytest
from tests.unit.models.playbook.samples import build_playbook, build_request, converse

from quorate.errors import InvalidInput
from quorate.messages import Message, ReplyDone, TextDelta, ToolCall, ToolCallDelta, ToolResult, build_user_message
from quorate.models.playbook import Diagnosis, Evidence, Finding, Playbook, PlaybookModel
from quorate.specs import OutputSpec

ASK = "is db:5432 up, and db:6379?"


def answer(call: ToolCall) -> object:
    """The port 5432 is open, the other is refused; everything else is well."""
    if call.name == "connect":
        return {"status": "open" if "5432" in call.arguments else "refused", "ms": 0.21}
    return {"up_s": 5000.0, "hops": 1}


async def test_steps_that_need_nothing_of_each_other_are_made_at_once() -> None:
    """What reads a result waits for it. row: B1"""
    _, turns = await converse(build_playbook(), ASK, answer)
    assert [[call.id for call in turn] for turn in turns] == [["probe-1", "probe-2", "machine"], ["trace-1"]]


async def test_arguments_are_values_templates_and_expressions() -> None:
    """An expression that gives null leaves its argument out."""
    _, turns = await converse(build_playbook(), ASK, answer)
    assert [msgspec.json.decode(call.arguments) for call in turns[0]] == [
        {"host": "db", "ports": [5432], "note": "to db"},
        {"host": "db", "ports": [6379], "note": "to db"},
        {},
    ]
    assert msgspec.json.decode(turns[1][0].arguments) == {"host": "db"}


async def test_findings_rest_on_measurements() -> None:
    """Title, detail and evidence are filled from results, and the evidence names the call. row: B1"""
    diagnosis, _ = await converse(build_playbook(), ASK, answer)
    assert diagnosis == Diagnosis(
        applies=True,
        summary="1 problem found: Connection refused: db:6379.",
        findings=(
            Finding(
                title="Connection refused: db:6379",
                severity="high",
                detail="Nothing listens on port 6379; it took 0.210 ms.",
                evidence=(
                    Evidence(
                        tool="connect",
                        call_id="probe-2",
                        fact="connect db:6379 refused after 0.210 ms",
                        value=0.21,
                    ),
                ),
            ),
        ),
        checked=("5432 is open",),
        next_steps=("Start what should listen on db:6379.",),
    )


async def test_nothing_wrong_is_said_as_such() -> None:
    """The playbook's own words, and how much was measured."""
    diagnosis, turns = await converse(build_playbook(), "is db:5432 up?", answer)
    assert diagnosis.summary == "All is well. 1 measurement is fine."
    assert len(turns) == 1


async def test_something_worth_knowing_is_no_problem() -> None:
    """A finding of severity `info` does not make a system ill."""
    diagnosis, _ = await converse(
        build_playbook(), "is db:5432 up?", lambda call: answer(call) if call.name == "connect" else {"up_s": 3.0}
    )
    assert diagnosis.summary.startswith("All is well.")
    assert [finding.title for finding in diagnosis.findings] == ["Restarted 3 s ago"]


async def test_a_request_it_cannot_serve_is_refused_without_a_call() -> None:
    """It says what it would need. row: B1"""
    diagnosis, turns = await converse(build_playbook(), "write me a poem", answer)
    assert turns == []
    assert diagnosis == Diagnosis(
        applies=False,
        summary="This request does not apply: it needs a `host:port`. Nothing was measured.",
        next_steps=("Ask again, naming a `host:port`.",),
    )


async def test_a_failed_measurement_is_stated() -> None:
    """Never skipped in silence, and no finding comes of it. row: B1"""

    def fail(call: ToolCall) -> object:
        if call.id == "probe-2":
            raise LookupError("it did not answer within 5 s")
        return answer(call)

    diagnosis, _ = await converse(build_playbook(), ASK, fail)
    assert diagnosis.findings == ()
    assert diagnosis.unavailable == ("`connect` (connections: db:6379): it did not answer within 5 s",)
    assert diagnosis.summary == (
        "No fault was found in what could be measured. 1 measurement is fine. 1 could not be measured."
    )


async def test_when_nothing_could_be_measured_nothing_is_said() -> None:
    """No measurement is no health."""

    def fail(call: ToolCall) -> object:
        raise LookupError("no")

    diagnosis, _ = await converse(build_playbook(), "is db:5432 up?", fail)
    assert diagnosis.summary == "Nothing could be measured, so nothing can be said. 2 could not be measured."
    assert diagnosis.checked == ()


async def test_a_step_whose_need_failed_says_so() -> None:
    """What would have followed is stated too."""

    def fail(call: ToolCall) -> object:
        if call.name == "uptime":
            raise LookupError("no /proc here")
        return answer(call)

    steps = [
        {"id": "machine", "tool": "uptime"},
        {"id": "follow", "tool": "trace", "when": "results.machine.up_s > 1.0", "about": "the way"},
    ]
    diagnosis, turns = await converse(build_playbook(steps=steps, findings=[], checks=[]), "is db:5432 up?", fail)
    assert len(turns) == 1
    assert diagnosis.unavailable == (
        "`uptime` (machine): no /proc here",
        "`trace` (the way): it needs what `machine` would have given",
    )


async def test_a_tool_that_the_agent_does_not_have_is_not_called() -> None:
    """The allow-list of an agent holds for its playbook. row: B7"""
    diagnosis, turns = await converse(build_playbook(), "is db:5432 up?", answer, tools=("connect",))
    assert [call.name for call in turns[0]] == ["connect"]
    assert diagnosis.unavailable == ("`uptime` (machine): this agent does not have that tool",)


async def test_what_is_left_out_of_a_long_list_is_stated() -> None:
    """A limit that cuts is never silent; equal items are asked once."""
    step = {"id": "probe", "tool": "connect", "for_each": "[1, 2, 2, 3, 4]", "limit": 2, "arguments": {"port": "=item"}}
    diagnosis, turns = await converse(
        build_playbook(steps=[step], findings=[], checks=[]), "is db:5432 up?", lambda _: {"status": "open"}
    )
    assert [call.arguments for call in turns[0]] == ['{"port":1}', '{"port":2}']
    assert diagnosis.unavailable == ("`connect` (probe): only the first 2 of 4 were asked",)


async def test_an_expression_that_fails_on_the_results_is_a_gap() -> None:
    """A rule that cannot be judged does not count as well."""
    rules = [{"title": "Odd", "severity": "high", "when": "results.machine.nope > 1"}]
    diagnosis, _ = await converse(build_playbook(findings=rules), "is db:5432 up?", answer)
    assert diagnosis.findings == ()
    assert "'Odd' could not be judged: 'results.machine.nope > 1' reads the field 'nope'" in diagnosis.unavailable[0]


async def test_the_next_calls_follow_from_the_messages_alone() -> None:
    """A new model in another process goes on where the log ends, with the same call ids."""
    first = await PlaybookModel(build_playbook()).complete(build_request(build_user_message(ASK)))
    results = tuple(
        ToolResult(call_id=call.id, name=call.name, content=msgspec.json.encode(answer(call)).decode())
        for call in first.message.tool_calls
    )
    history = (build_user_message(ASK), first.message, Message(role="tool", parts=results))
    again = [await PlaybookModel(build_playbook()).complete(build_request(*history)) for _ in range(2)]
    assert again[0] == again[1]
    assert [call.id for call in again[0].message.tool_calls] == ["trace-1"]


async def test_only_what_was_asked_last_counts() -> None:
    """Earlier turns of a conversation, their calls included, are another question."""
    model = PlaybookModel(build_playbook())
    first = await model.complete(build_request(build_user_message("is a:1 up?")))
    results = tuple(
        ToolResult(call_id=call.id, name=call.name, content='{"status":"open","ms":1}')
        for call in first.message.tool_calls
    )
    history = (build_user_message("is a:1 up?"), first.message, Message(role="tool", parts=results))
    reply = await model.complete(build_request(*history, build_user_message("and b:2?")))
    assert [msgspec.json.decode(call.arguments).get("host") for call in reply.message.tool_calls] == ["b", None]


async def test_without_a_schema_the_answer_is_markdown() -> None:
    """For agents whose output is text."""
    reply = await PlaybookModel(build_playbook()).complete(
        build_request(build_user_message("write me a poem"), output=None)
    )
    assert reply.message.text == (
        "This request does not apply: it needs a `host:port`. Nothing was measured.\n\n"
        "## Next steps\n\n- Ask again, naming a `host:port`."
    )


async def test_another_schema_is_refused() -> None:
    """A playbook cannot answer in a shape that it does not know."""
    request = build_request(build_user_message(ASK), output=OutputSpec(name="Poem", json_schema={}))
    with pytest.raises(InvalidInput, match="answers with a `Diagnosis`, not with a 'Poem'"):
        await PlaybookModel(build_playbook()).complete(request)


async def test_a_stream_gives_the_same_in_pieces() -> None:
    """Calls first or words in pieces, and the whole reply last."""
    model = PlaybookModel(build_playbook())
    for text in (ASK, "write me a poem"):
        request = build_request(build_user_message(text))
        items = [item async for item in model.stream(request)]
        reply = await model.complete(request)
        assert items[-1] == ReplyDone(reply)
        assert "".join(item.text for item in items if isinstance(item, TextDelta)) == reply.message.text
        called = [item.call_id for item in items if isinstance(item, ToolCallDelta)]
        assert called == [call.id for call in reply.message.tool_calls]
    assert sum(isinstance(item, TextDelta) for item in items) > 1


async def test_braces_in_measured_text_are_not_filled() -> None:
    """Substitution is one pass: what a tool returns is never a template."""
    rules = [{"title": "Said {word}", "severity": "low", "when": "true", "values": {"word": "results.machine.up_s"}}]
    diagnosis, _ = await converse(
        build_playbook(findings=rules),
        "is db:5432 up?",
        lambda call: {"up_s": "{endpoints} {word}"} if call.name == "uptime" else answer(call),
    )
    assert diagnosis.findings[0].title == "Said {endpoints} {word}"


async def test_a_severity_may_come_from_the_measurement() -> None:
    """Only a known one; else the rule's own."""
    rule = {
        "title": "{name}",
        "severity": "low",
        "severity_from": "item.how_bad",
        "each": "results.probe",
        "inside": "all",
    }
    found = [{"name": "a", "how_bad": "critical"}, {"name": "b", "how_bad": "whatever"}]
    diagnosis, _ = await converse(
        build_playbook(findings=[rule], checks=[]),
        "is db:5432 up?",
        lambda call: {"status": "open", "all": found} if call.name == "connect" else {"up_s": 1},
    )
    assert [(f.title, f.severity) for f in diagnosis.findings] == [("a", "critical"), ("b", "low")]


LEAD = {
    "needs": "a `host:port`",
    "targets": {
        "endpoints": {"kind": "endpoint", "many": True},
        "logged": {"kind": "route", "many": True, "source": "results.logs.findings.map(f, f.detail)"},
    },
    "steps": [
        {"id": "network", "tool": "network_diagnostics", "arguments": {"task": "check"}, "merge": True},
        {"id": "logs", "tool": "log_analysis", "arguments": {"task": "read"}, "merge": True},
        {
            "id": "paths",
            "tool": "network_diagnostics",
            "for_each": "targets.logged",
            "arguments": {"task": "compare {item}"},
            "merge": True,
        },
    ],
}


def report(*findings: Finding, **more: object) -> Diagnosis:
    """What another agent answers."""
    return msgspec.structs.replace(Diagnosis(applies=True, summary="found", findings=findings), **more)


async def test_a_lead_takes_over_what_others_found() -> None:
    """Findings are joined, ranked, and bear the name of the agent and the way to its call."""
    refused = Finding(
        title="Refused: db:1",
        severity="critical",
        evidence=(Evidence(tool="tcp_connect", call_id="tcp-1", fact="refused"),),
    )
    logged = Finding(title="Errors", severity="high", detail="GET /slow failed")

    def ask(call: ToolCall) -> object:
        if call.name == "log_analysis":
            return report(logged, unavailable=("the journal",), checked=("b.log",), next_steps=("read it",))
        if "compare" in call.arguments:
            return report(Finding(title="slow /slow", severity="medium"), refused)
        return report(refused)

    diagnosis, turns = await converse(
        msgspec.convert(LEAD, Playbook), "is db:1 up?", ask, tools=("network_diagnostics", "log_analysis")
    )
    assert [[call.id for call in turn] for turn in turns] == [["network", "logs"], ["paths-1"]]
    assert msgspec.json.decode(turns[1][0].arguments) == {"task": "compare /slow"}
    assert [(f.title, f.severity, f.source) for f in diagnosis.findings] == [
        ("Refused: db:1", "critical", "network-diagnostics"),
        ("Errors", "high", "log-analysis"),
        ("slow /slow", "medium", "network-diagnostics"),
    ]
    assert [fact.call_id for fact in diagnosis.findings[0].evidence] == ["network/tcp-1", "paths-1/tcp-1"]
    assert diagnosis.unavailable == ("log-analysis: the journal",)
    assert diagnosis.checked == ("b.log",)
    assert diagnosis.next_steps == ("read it",)


async def test_an_agent_that_does_not_apply_or_fails_is_a_gap() -> None:
    """The lead says who could not help, and goes on with the others."""

    def ask(call: ToolCall) -> object:
        if call.name == "log_analysis":
            raise LookupError("the agent met its limit (seconds)")
        return report(applies=False, summary="This request does not apply.")

    diagnosis, _ = await converse(
        msgspec.convert(LEAD, Playbook), "is db:1 up?", ask, tools=("network_diagnostics", "log_analysis")
    )
    assert diagnosis.unavailable == (
        "`log_analysis` (logs): the agent met its limit (seconds)",
        "network-diagnostics: This request does not apply.",
    )


async def test_an_agent_that_answers_in_words_is_quoted() -> None:
    """Its words are worth knowing, and are no measurement."""
    diagnosis, _ = await converse(
        msgspec.convert({**LEAD, "steps": LEAD["steps"][:1], "targets": {}}, Playbook),  # type: ignore[index]
        "is db:1 up?",
        lambda _: "I think it is the cable.",
        tools=("network_diagnostics",),
    )
    (said,) = diagnosis.findings
    assert (said.severity, said.detail, said.confidence) == ("info", "I think it is the cable.", 0.5)
