"""What does a workflow look like, for a person and as a diagram?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quorate.orchestration.workflow.plan import list_needs
from quorate.orchestration.workflow.spec import Step, StepReport, Workflow

MARKS = {"completed": "✓", "failed": "✗", "incomplete": "!", "skipped": "–"}
SHAPES = {
    "agent": ('["', '"]'),
    "tool": ('[/"', '"/]'),
    "workflow": ('[["', '"]]'),
    "ask": ('{{"', '"}}'),
    "wait": ('(["', '"])'),
    "decide": ('(("', '"))'),
    "choose": ('{"', '"}'),
}


def draw_levels(workflow: Workflow, reports: Mapping[str, StepReport] | None = None) -> Iterator[str]:
    """Draw a workflow as text: what can go on side by side stands at one level, what needs it below.

    Args:
        workflow: The graph.
        reports: What came of its steps, where it was run.
    """
    known = reports or {}
    for number, level in enumerate(list_levels(workflow), 1):
        for place, step in enumerate(level):
            head = f"{number:>2}" if place == 0 else "  "
            needs = sorted(list_needs(step))
            behind = f"  ← {', '.join(needs)}" if needs else ""
            report = known.get(step.id)
            mark = f"{MARKS[report.status]} " if report is not None else ""
            why = f"  ({report.reason})" if report is not None and report.reason else ""
            yield f"{head}  {mark}{step.id}  {describe_step(step)}{behind}{why}"


def draw_mermaid(workflow: Workflow) -> Iterator[str]:
    """Draw a workflow as a Mermaid flowchart."""
    yield "flowchart TD"
    for step in workflow.steps:
        left, right = SHAPES[step.kind]
        yield f"    {step.id}{left}{_escape(f'{step.id}: {describe_step(step)}')}{right}"
    for step in workflow.steps:
        for name in sorted(list_needs(step)):
            arrow = f"-- {_quote(step.when)} -->" if step.when else "-->"
            yield f"    {name} {arrow} {step.id}"


def list_levels(workflow: Workflow) -> list[list[Step]]:
    """List the steps by how many stand before them at least; those in a circle are left out."""
    needs = {step.id: list_needs(step) & {one.id for one in workflow.steps} for step in workflow.steps}
    levels: list[list[Step]] = []
    done: set[str] = set()
    while level := [step for step in workflow.steps if step.id not in done and needs[step.id] <= done]:
        levels.append(level)
        done |= {step.id for step in level}
    return levels


def describe_step(step: Step) -> str:
    """Say in a few words what a step does."""
    named = {
        "agent": f"agent {step.agent}",
        "tool": f"tool {step.tool}",
        "workflow": f"workflow {step.workflow}",
        "decide": f"{len(step.decide.voters)} agents vote" if step.decide is not None else "",
        "ask": "asks a person",
        "wait": f"waits {step.wait_s:g} s" if step.wait_s is not None else "",
        "choose": f"one of {', '.join(step.choose)}",
    }[step.kind]
    notes = [
        "for each" if step.for_each else "",
        f"up to {step.repeat.most} rounds" if step.repeat is not None else "",
        f"{step.retries} retries" if step.retries else "",
        "optional" if step.optional else "",
        f"if {step.when}" if step.when else "",
    ]
    return ", ".join([named, *(note for note in notes if note)])


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'


def _escape(text: str) -> str:
    """Write text so that it cannot end the label it stands in."""
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
