"""Are the spans of a run those that its log tells of?"""

import json

import pytest
from msgspec import structs

from quorate import Agent, ScriptedModel, tool
from quorate.errors import InvalidInput
from quorate.events import AnyEvent, ModelReplied, ModelRequested, RunResumed, ToolFailed, ToolStarted
from quorate.messages import Image, Text, Usage
from quorate.models.scripted import call
from quorate.state.backends.memory import MemoryLog
from quorate.telemetry.describe import OTHER, Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.spans import LOST, Span, build_spans, find_parent_key

NAMES = load_names()
ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def build(events: list[AnyEvent], *, content: bool = False) -> list[Span]:
    return build_spans(events, Describer(NAMES, find_provider=lambda model: "scripted", content=content))


@tool(effect="idempotent")
async def probe(port: int) -> str:
    """Try to connect."""
    if port == 1:
        raise InvalidInput("port 1 is secret")
    return f"port {port} refuses connections"


def build_team() -> Agent:
    network = Agent(
        "network",
        description="Finds out what the network does.",
        model=ScriptedModel([[call("probe", port=8080), call("probe", port=1)], "Port 8080 refuses connections."]),
        tools=[probe],
    )
    return Agent("lead", model=ScriptedModel([call("network", task="Is port 8080 open?"), "No."]), tools=[network])


async def test_a_team_is_one_tree() -> None:
    """Run, model, tool, delegate, its model, its tools: each under what it happened in. part of row A8"""
    result = await build_team().run("Why is the shop down?")
    spans = build(list(result.events))
    by_id = {span.context.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    assert len({span.context.trace_id for span in spans}) == 1

    def path(span: Span) -> str:
        above = by_id.get(span.parent.span_id) if span.parent is not None else None
        return span.name if above is None else f"{path(above)} > {span.name}"

    top, delegate = "invoke_agent lead", "invoke_agent lead > execute_tool network > invoke_agent network"
    assert sorted(map(path, spans)) == sorted(
        [
            top,
            *[f"{top} > chat scripted"] * 2,
            f"{top} > execute_tool network",
            delegate,
            *[f"{delegate} > chat scripted"] * 2,
            *[f"{delegate} > execute_tool probe"] * 2,
        ]
    )
    for span in spans:
        above = by_id.get(span.parent.span_id) if span.parent is not None else None
        assert above is None or above.began <= span.began <= span.ended <= above.ended


async def test_an_error_is_a_code_and_never_its_words() -> None:
    """part of row A8"""
    result = await build_team().run("Why is the shop down?")
    failed = [span for span in build(list(result.events)) if span.error]
    assert [(span.name, span.attributes["error.type"]) for span in failed] == [("execute_tool probe", "invalid_input")]
    assert "secret" not in repr(build(list(result.events)))


async def test_content_is_shown_only_where_that_was_chosen() -> None:
    result = await build_team().run("Why is the shop down?")
    assert "shop" not in repr(build(list(result.events)))
    shown = repr(build(list(result.events), content=True))
    assert all(words in shown for words in ("shop", "8080", "refuses connections", "No."))


async def test_content_is_written_as_the_conventions_have_it() -> None:
    """Roles and parts of messages; pictures are named, never copied."""
    result = await build_team().run([Text("Why is the shop down?"), Image(data=b"secret")])
    spans = build(list(result.events), content=True)
    root = next(span for span in spans if span.kind == "run")
    assert json.loads(str(root.attributes["gen_ai.input.messages"])) == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "Why is the shop down?"},
                {"type": "blob", "mime_type": "image/png", "uri": None},
            ],
        }
    ]
    assert json.loads(str(root.attributes["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}], "finish_reason": "stop"}
    ]
    asked = next(span for span in spans if span.kind == "model" and "tool_call" in repr(span.attributes))
    [message] = json.loads(str(asked.attributes["gen_ai.output.messages"]))
    assert message["finish_reason"] == "tool_call"
    assert {part["name"] for part in message["parts"]} <= {"probe", "network"}


async def test_facts_have_the_conventions_names() -> None:
    result = await build_team().run("Why is the shop down?")
    used = Usage(input_tokens=30, output_tokens=4, cached_tokens=20)
    events = [
        structs.replace(event, reply=structs.replace(event.reply, usage=used, cost_usd=0.25, attempts=2))
        if isinstance(event, ModelReplied)
        else event
        for event in result.events
    ]
    spans = build(events)
    model = next(span for span in spans if span.kind == "model")
    assert model.attributes["gen_ai.operation.name"] == "chat"
    assert model.attributes["gen_ai.provider.name"] == "scripted"
    assert model.attributes["gen_ai.request.model"] == "scripted"
    assert model.attributes["gen_ai.usage.input_tokens"] == 30
    assert model.attributes["gen_ai.usage.output_tokens"] == 4
    assert model.attributes["gen_ai.usage.cache_read.input_tokens"] == 20
    assert model.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)
    assert model.attributes["operation.cost"] == 0.25
    assert model.attributes["quorate.upstream.attempts"] == 2
    run = spans[-1]
    assert run.attributes["gen_ai.agent.name"] == "lead"
    assert run.attributes["quorate.outcome"] == "completed"
    assert run.parent is None


async def test_a_run_that_another_process_went_on_with_is_one_trace() -> None:
    """What was under way when the first one died is shown as lost; nothing of it is shown twice. part of row A8"""
    log = MemoryLog()
    result = await build_team().run("Why is the shop down?", log=log)
    events = list(result.events)
    cut = next(place for place, event in enumerate(events) if isinstance(event, ModelRequested)) + 1
    resumed = RunResumed(run=events[0].run, seq=cut + 1, time=events[cut].time, attempt="try-2", number=2)
    again = [structs.replace(event, seq=event.seq + 2, attempt="try-2") for event in events[cut - 1 :]]
    spans = build([*events[:cut], resumed, *again])
    models = [span for span in spans if span.kind == "model"]
    assert [span.error for span in models].count(LOST) == 1
    assert len({span.context.span_id for span in spans}) == len(spans)
    assert [mark.name for mark in spans[-1].marks] == ["run.resumed"]


async def test_who_asked_is_above_the_run() -> None:
    result = await build_team().run("Why is the shop down?")
    head, *rest = result.events
    spans = build([structs.replace(head, trace=ASKED), *rest])
    assert {span.context.trace_id for span in spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert spans[-1].parent is not None
    assert spans[-1].parent.span_id == "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("key", "parent"),
    [
        ("1/model", ""),
        ("1/tool/call-1", ""),
        ("1/tool/call-1/", "1/tool/call-1"),
        ("1/tool/call-1/2/model", "1/tool/call-1/"),
        ("1/tool/call-1/2/tool/b", "1/tool/call-1/"),
        ("step", ""),
        ("", ""),
    ],
)
def test_where_a_step_happens_is_in_its_key(key: str, parent: str) -> None:
    assert find_parent_key(key) == parent


async def test_what_a_model_made_up_is_in_no_span() -> None:
    """Neither as the name of a tool that there is not, nor as the code of an error, where words are not shown."""
    made_up = "my name is bob"
    agent = Agent("net", model=ScriptedModel([call("probe", port=1), "No."]), tools=[probe])
    events = [
        structs.replace(event, call=structs.replace(event.call, name=made_up))
        if isinstance(event, ToolStarted)
        else structs.replace(event, result=structs.replace(event.result, name=made_up, code=made_up))
        if isinstance(event, ToolFailed)
        else event
        for event in (await agent.run("Is port 1 open?")).events
    ]
    spans = [span for span in build(events) if span.kind == "tool"]
    assert [(span.error, span.attributes[NAMES.attribute["tool"]]) for span in spans] == [(OTHER, OTHER)]
    assert made_up not in repr(spans)
