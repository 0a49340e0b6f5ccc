"""What does `quorate workflow` do?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import UNSET, UnsetType

from quorate.assembly import Parts, load_gateway_plan
from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, LimitOptions, Model, Quiet
from quorate.cli.results import say_failed, say_result
from quorate.cli.run import Order, do_task
from quorate.cli.words import align, clean, clean_line
from quorate.errors import InvalidFiles, InvalidInput, QuorateError, UnknownName
from quorate.models.cost import Price
from quorate.models.facts import load_facts
from quorate.models.plan import GatewayPlan
from quorate.orchestration.teams.build import check_team
from quorate.orchestration.workflow.build import list_faults
from quorate.orchestration.workflow.check import read_inputs
from quorate.orchestration.workflow.estimate import estimate_workflow
from quorate.orchestration.workflow.load import load_definitions
from quorate.orchestration.workflow.show import describe_step, draw_levels, draw_mermaid
from quorate.orchestration.workflow.spec import Input, Workflow
from quorate.runtime import Runtime
from quorate.settings import load_settings

Name = Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about workflows."""
    group = typer.Typer(help="Run, list, show and check workflows.", rich_markup_mode=None, no_args_is_help=True)
    group.command("run")(run_workflow)
    group.command("list")(list_workflows)
    group.command("show")(show_workflow)
    group.command("check")(check_workflows)
    app.add_typer(group, name="workflow")


def run_workflow(
    name: Name,
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="NAME=VALUE", help="An input: text, or JSON where it is no text; several times."
        ),
    ] = None,
    model: Model = None,
    limit: LimitOptions = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would cost, and run nothing; `--json` says by what.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run a workflow, show each step as it goes, and print what came of it.

    The run is one like any other: `quorate runs resume` goes on with it after a crash, and no step is made again.
    """
    if estimate:
        return _say_estimate(name, inputs or [], model=model, json=json)

    async def work(runtime: Runtime) -> int:
        definitions = runtime.find_definitions()
        workflow = find_workflow({} if definitions is None else definitions.workflows, name)
        given = read_options(workflow, inputs or [])
        order = Order(agent=name, model=model, limits=limit or (), quiet=quiet)
        task = msgspec.json.encode(given).decode()
        try:
            result, code = await do_task(runtime, task, order)
        except QuorateError as error:
            return say_failed(error, agent=name, json=json)
        say_result(result, json=json)
        return code

    return run_with_runtime(work)


def _say_estimate(name: str, options: list[str], *, model: str | None, json: bool) -> int:
    settings = load_settings()
    parts = Parts(settings, {})
    workflow = find_workflow(parts.workflows, name)
    tools = {spec.name: spec for tool in parts.toolbox.values() for spec in tool.specs()}
    faults = list_faults(workflow, agents=parts.list_agents(), tools=tools, workflows=parts.workflows)
    if faults:
        raise InvalidFiles(f"workflow {name!r}", faults)
    inputs = read_options(workflow, options)
    chosen = model or settings.model
    plan = load_gateway_plan(settings)
    found = estimate_workflow(
        workflow,
        inputs,
        tools=parts.toolbox,
        workflows=parts.workflows,
        price=find_price(plan, chosen),
        model=plan.aliases.get(chosen, chosen),
    )
    if json:
        say_json(found)
        return 0
    rows = [("step", "times", "tokens read", "written", "cost")]
    rows += [
        (one.step, str(one.times), str(one.usage.input_tokens), str(one.usage.output_tokens), _show_cost(one.cost_usd))
        for one in found.steps
        if one.usage.requests
    ]
    total = found.usage
    rows.append(("in all", "", str(total.input_tokens), str(total.output_tokens), _show_cost(found.cost_usd)))
    say_all(align(rows))
    say()
    if found.cost_usd is None:
        say(f"No price is known for {chosen!r}: name a model, such as `--model openai:gpt-5.2`.")
    say_all(f"  - {line}" for line in found.assumptions)
    return 0


def _show_cost(cost: float | None) -> str:
    return "?" if cost is None else f"${cost:.4f}"


def find_price(plan: GatewayPlan, name: str) -> Price | None:
    """Find what tokens of a model cost, by its name or an alias of it; `None` when nobody knows."""
    full = plan.aliases.get(name, name)
    provider, colon, _ = full.partition(":")
    return load_facts(provider, own=plan.build_table()).find_price(full) if colon else None


def list_workflows(*, json: Json = False) -> None:
    """List the workflows there are."""
    found = [one for _, one in sorted(Parts(load_settings(), {}).workflows.items())]
    if json:
        say_json([_summarize(workflow) for workflow in found])
        return
    rows = [(one.name, f"{len(one.steps)} steps", clean_line(one.description, most=90)) for one in found]
    say_all(align(rows) or ["There are no workflows."])


def show_workflow(
    name: Name,
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw it as a Mermaid flowchart.")] = False,
    json: Json = False,
) -> None:
    """Draw a workflow: its steps, what each needs, and the inputs it takes."""
    workflow = find_workflow(Parts(load_settings(), {}).workflows, name)
    if json:
        say_json(workflow)
        return
    if mermaid:
        say_all(draw_mermaid(workflow))
        return
    say(f"{workflow.name} {workflow.version}: {clean_line(workflow.description, most=200)}")
    if workflow.inputs:
        say()
        say_all(align([(f"  {one}", rule.type, _describe_input(rule)) for one, rule in workflow.inputs.items()]))
    say()
    say_all(clean(line) for line in draw_levels(workflow))


def check_workflows(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Workflow files, or directories of them; else all there are."),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Check workflows and teams: every fault of every one is named with its place."""
    parts = Parts(load_settings(), {})
    known, chosen = parts.definitions, load_definitions(paths) if paths else parts.definitions
    workflows, names = {**known.workflows, **chosen.workflows}, {*parts.list_agents(), *chosen.teams, *chosen.workflows}
    tools = {spec.name: spec for tool in parts.toolbox.values() for spec in tool.specs()}
    faults: list[str] = []
    for name, workflow in chosen.workflows.items():
        found = list_faults(workflow, agents=names, tools=tools, workflows=workflows)
        faults += [f"{name}: {fault}" for fault in found]
    for name, team in chosen.teams.items():
        faults += [f"{name}: {fault}" for fault in check_team(team, agents=names, tools=tools)]
    if json:
        say_json({"workflows": sorted(chosen.workflows), "teams": sorted(chosen.teams), "faults": faults})
    if faults:
        raise InvalidFiles("workflows", faults)
    if not json:
        teams = f", {len(chosen.teams)} teams" if chosen.teams else ""
        say(f"{len(chosen.workflows)} workflows{teams}, no faults.")


def find_workflow(workflows: Mapping[str, Workflow], name: str) -> Workflow:
    """Find a workflow by name.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in workflows:
        raise UnknownName("workflow", name, workflows)
    return workflows[name]


def read_options(workflow: Workflow, options: list[str]) -> dict[str, object]:
    """Read inputs as they stand on the command line.

    Raises:
        InvalidInput: One is not `name=value`, is no JSON where it must be, or does not fit.
    """
    given: dict[str, object] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise InvalidInput(f"--input {option[:80]!r} is not `name=value`: write for example `--input url=…`.")
        rule = workflow.inputs.get(name, Input())
        value = text if rule.type == "string" else _read_json(text)
        if isinstance(value, UnsetType):
            raise InvalidInput(f"--input {name}={text[:80]!r} is no JSON, and the input is no text but a {rule.type}.")
        given[name] = value
    return read_inputs(workflow, given)


def _read_json(text: str) -> object | UnsetType:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return UNSET


def _describe_input(rule: Input) -> str:
    needed = "" if rule.default is None else f"  (default {msgspec.json.encode(rule.default).decode()})"
    return clean_line(rule.description, most=90) + needed


def _summarize(workflow: Workflow) -> dict[str, object]:
    return {
        "name": workflow.name,
        "version": workflow.version,
        "description": workflow.description,
        "inputs": {name: rule.type for name, rule in workflow.inputs.items()},
        "steps": [{"id": step.id, "what": describe_step(step)} for step in workflow.steps],
    }
