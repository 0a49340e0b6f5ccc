"""A workflow as data: typed inputs, an agent of its own, a list gone over, a condition, and what it will cost.

Prints:

    estimate: 3 model calls
    completed: all of 3 signs are polite
    look      completed
    verdict   completed
    complain  skipped: `steps.verdict.output == 'rude'` does not hold
"""

import asyncio
import json

from quorate import ScriptedModel
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.check import read_inputs
from quorate.orchestration.workflow.estimate import estimate_workflow
from quorate.orchestration.workflow.load import parse_workflow

FLOW = """
name = "signs"
description = "Judges the signs of a park."
output = "all of {steps.look.output.0.of} signs are {steps.verdict.output}"

[inputs.signs]
type = "list"
description = "What stands on each."

[agents.judge]
instructions = "You say whether a sign is polite."
fields = { polite = "boolean", of = "integer" }
answer_tokens = 10

[agents.writer]
instructions = "You write letters to the park."

[[steps]]
id = "look"
agent = "judge"
for_each = "inputs.signs"
task = "The sign: {item}"

[[steps]]
id = "verdict"
choose = { polite = "steps.look.output.all(one, one.polite)" }
otherwise = "rude"

[[steps]]
id = "complain"
agent = "writer"
task = "Complain about {signs}."
when = "steps.verdict.output == 'rude'"
optional = true
"""
SIGNS = ["Please stay on the path", "Thank you for not feeding the ducks", "Welcome"]


async def main() -> None:
    workflow = parse_workflow(FLOW)
    inputs = read_inputs(workflow, {"signs": SIGNS})
    estimate = estimate_workflow(workflow, inputs, tools={})
    print(f"estimate: {estimate.usage.requests} model calls")
    model = ScriptedModel(['{"polite": true, "of": 3}'] * 3)
    agent = build_workflow(workflow, find_model=lambda name: model)
    report = (await agent.run(json.dumps(inputs))).output
    print(f"{report.status}: {report.output}")
    for name, step in report.steps.items():
        print(f"{name:<9} {step.status}{': ' + step.reason if step.reason else ''}")


asyncio.run(main())
