"""Do a run's events become the tree and the lines that people watch?"""

import io
import re

from rich.console import Console

from quorate.cli.facts import render_events
from quorate.cli.live import build_tree
from quorate.cli.progress import ProgressTree, describe_call
from quorate.events import (
    AnyEvent,
    ApprovalRequested,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCompleted,
    RunCreated,
    RunResumed,
    RunStarted,
    StepFinished,
    StepStarted,
    ToolFailed,
    ToolFinished,
    ToolStarted,
)
from quorate.messages import (
    Message,
    Progress,
    Reply,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    build_user_message,
)
from quorate.models.scripted import ScriptedModel
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.spec import OwnAgent, Step, Workflow

PING = ToolCall(id="c1", name="ping", arguments='{"host":"localhost"}')
ASK = ToolCall(id="c2", name="net_agent", arguments='{"task":"look"}')


def build_log() -> list[AnyEvent]:
    """A lead that calls a tool and a delegate, which calls a tool that fails."""
    reply = Reply(message=Message(role="assistant", parts=(PING, ASK)))
    said = Reply(message=Message(role="assistant", parts=(Text(text="It is \x1b[31mfine."),)))
    facts = [
        (RunCreated, 0.0, "", {"agent": "lead", "messages": (build_user_message("why?"),)}),
        (RunStarted, 0.0, "", {}),
        (ModelRequested, 0.0, "1/model", {"model": "playbook"}),
        (ModelReplied, 2.0, "1/model", {"reply": reply}),
        (ToolStarted, 2.0, "1/tool/c1", {"call": PING}),
        (ToolStarted, 2.0, "1/tool/c2", {"call": ASK}),
        (StepStarted, 2.0, "1/tool/c2/", {"name": "net"}),
        (ToolStarted, 2.1, "1/tool/c2/1/tool/c1", {"call": PING}),
        (ToolFinished, 2.25, "1/tool/c1", {"result": ToolResult(call_id="c1", name="ping", content='{"ms":0.2}')}),
        (ToolFailed, 2.3, "1/tool/c2/1/tool/c1",
         {"result": ToolResult(call_id="c1", name="ping", content="no\nroute", is_error=True)}),
        (StepFinished, 2.5, "1/tool/c2/", {"name": "net", "status": "incomplete"}),
        (ToolFinished, 2.5, "1/tool/c2", {"result": ToolResult(call_id="c2", name="net_agent", content="x")}),
        (ModelRequested, 2.5, "2/model", {"model": "playbook"}),
        (ModelFailed, 2.6, "2/model", {"code": "rate_limited", "message": "later"}),
        (ModelReplied, 2.7, "2/model", {"reply": said}),
        (RunCompleted, 3.0, "", {"output": "It is fine."}),
    ]  # fmt: skip
    return [kind(run="run-1", seq=n, time=t, key=k, **more) for n, (kind, t, k, more) in enumerate(facts, 1)]


def test_each_step_is_told_as_it_happens() -> None:
    """Calls below the agent that makes them, with what they took; a quick model turn is worth no line. row: C17"""
    tree = ProgressTree()
    lines = [line for event in build_log() if (line := tree.add(event))]
    assert lines == [
        "lead  run-1",
        "  ✓ playbook  2.0 s",
        '  → ping(host="localhost")',
        '  → net_agent(task="look")',
        '    → ping(host="localhost")',
        '  ✓ ping(host="localhost")  250 ms',
        '    ✗ ping(host="localhost")  200 ms  no route',
        "  ✓ net  500 ms",
        "  ✗ playbook  100 ms  later",
        "✓ lead  3.0 s",
    ]


def test_the_tree_shows_agents_and_calls_with_their_times() -> None:
    """The same facts as a terminal shows them, also while something is under way. row: C17"""
    tree = ProgressTree()
    for event in build_log()[:10]:
        tree.add(event)
    assert tree.root is not None
    console = Console(width=80, record=True, color_system=None, file=io.StringIO())
    console.print(build_tree(tree.root, now=4.0))
    assert [line.rstrip() for line in console.export_text().splitlines()] == [
        "… lead  4.0 s",
        '├── ✓ ping(host="localhost")  250 ms',
        "└── … net  2.0 s",
        '    └── ✗ ping(host="localhost")  200 ms  no route',
    ]


def test_words_and_progress_are_shown_while_they_come() -> None:
    """The last words of an agent that speaks, and what a tool says of itself."""
    tree = ProgressTree()
    for event in build_log()[:8]:
        tree.add(event)
    assert tree.add(TextDelta(text="It is ")) is None
    assert tree.add(TextDelta(text="slow\x1b[2J")) is None
    assert tree.root is not None
    assert tree.root.describe(4.0) == "… lead  4.0 s  It is slow\\x1b[2J"
    assert tree.add(Progress("half", 0.5, "1/tool/c1")) == "    ping: half"
    assert tree.add(Progress("lost", None, "9/tool/none")) is None


def test_a_run_that_goes_on_has_its_history_in_the_tree() -> None:
    """What happened before has its place; what follows is told below it. row: C17"""
    tree = ProgressTree()
    for event in build_log()[:9]:
        tree.add(event)
    assert tree.add(RunResumed(run="run-1", seq=10, time=9.0)) == "lead  run-1  goes on"
    assert tree.root is not None
    assert tree.root.status == "running"
    assert [child.status for child in tree.root.children] == ["completed", "completed", "running"]


def test_nothing_is_assumed_about_what_came_before() -> None:
    """A watcher that comes late sees no more than it can place."""
    tree = ProgressTree()
    assert [tree.add(event) for event in build_log()[1:]] == [None] * 15


def test_calls_are_written_as_in_a_program() -> None:
    """Long arguments are cut, malformed ones are shown as they are."""
    assert describe_call(ToolCall(id="1", name="f", arguments='{"a":1,"b":"x"}')) == 'f(a=1, b="x")'
    assert describe_call(ToolCall(id="1", name="f", arguments="")) == "f()"
    assert describe_call(ToolCall(id="1", name="f", arguments="{oops")) == "f({oops)"
    assert len(describe_call(ToolCall(id="1", name="f", arguments='{"a":"' + "x" * 999 + '"}'))) < 70


def test_a_question_is_told_with_its_key() -> None:
    """Whoever watches knows what to answer under."""
    asked = ApprovalRequested(run="run-1", seq=2, time=0, key="1/tool/c1", call=PING, digest="d")
    assert ProgressTree().add(asked) == '? ping(host="localhost") waits for an answer under 1/tool/c1'


def test_the_log_reads_as_facts() -> None:
    """One line for each event: place, time since the first, kind, key, and what was measured. row: C17"""
    lines = render_events(build_log())
    assert lines[0] == "   1      0.000 s  run.created         lead: why?"
    assert lines[1] == "   2      0.000 s  run.started"
    assert lines[3] == (
        '   4      2.000 s  model.replied       1/model  calls ping(host="localhost"), net_agent(task="look")'
    )
    assert lines[4] == '   5      2.000 s  tool.started        1/tool/c1  ping(host="localhost")'
    assert lines[8] == '   9      2.250 s  tool.finished       1/tool/c1  ping → {"ms":0.2}'
    assert lines[10].endswith('1/tool/c2/  name="net", status="incomplete"')
    assert lines[14].endswith("2/model  It is \\x1b[31mfine.")
    assert lines[15] == "  16      3.000 s  run.completed       It is fine. (0 tokens, no cost)"


async def test_a_workflow_is_shown_by_its_steps_with_what_they_came_to() -> None:
    """The call that stands for all of it is not shown; what is skipped is told with its reason."""
    writer = OwnAgent(instructions="You write.")
    steps = (
        Step(id="draft", agent="writer", task="x"),
        Step(id="mend", agent="writer", task="{steps.draft.output}", when="false"),
    )
    said = Message(role="assistant", parts=(Text(text="done"),))
    reply = Reply(message=said, usage=Usage(input_tokens=90, output_tokens=10, requests=1), cost_usd=0.002)
    flow = build_workflow(
        Workflow(name="flow", agents={"writer": writer}, steps=steps), find_model=lambda _: ScriptedModel([reply])
    )
    tree = ProgressTree()
    lines = [line for event in (await flow.run("")).events if (line := tree.add(event))]
    told = [re.sub(r"  \d+ ms", "  0 ms", line) for line in lines][1:]
    assert told == [
        '  → draft: writer(task="x")',
        "  ✓ draft: writer  0 ms  100 tokens, $0.0020",
        "  – mend: `false` does not hold",
        "✓ flow  0 ms  100 tokens, $0.0020",
    ]
