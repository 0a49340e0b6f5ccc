"""How does a workflow become an agent, with everything that its steps name?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from quorate.agent.agent import AnyAgent
from quorate.agent.compile import build_toolset
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.council.decide import Backing, council
from quorate.council.plan import PERSON, Person
from quorate.errors import Incompatible, InvalidFiles
from quorate.orchestration.workflow.check import Known, check_workflow, read_task
from quorate.orchestration.workflow.own import FindModel, build_own
from quorate.orchestration.workflow.run import Prepared, WorkflowRun
from quorate.orchestration.workflow.spec import Workflow, WorkflowReport
from quorate.ports import Toolset
from quorate.specs import Limits, ToolSpec
from quorate.tools.waits import AskPerson, Timers


class FoundAgents(Mapping[str, AnyAgent]):
    """Agents by name, each put together when it is first wanted.

    Args:
        names: Which there are.
        find: Puts one together.
    """

    def __init__(self, names: Sequence[str], find: Callable[[str], AnyAgent]) -> None:
        self._names = dict.fromkeys(names)
        self._find = find

    def __getitem__(self, name: str) -> AnyAgent:
        if name not in self._names:
            raise KeyError(name)
        return self._find(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def build_workflow(
    workflow: Workflow,
    *,
    agents: Mapping[str, AnyAgent] | None = None,
    tools: Mapping[str, object] | None = None,
    workflows: Mapping[str, Workflow] | None = None,
    find_model: FindModel | None = None,
    backing: Backing = Backing(),
    source: str = "",
) -> AnyAgent:
    """Build an agent that runs a workflow: what it is asked are the inputs, what it answers a `WorkflowReport`.

    To whoever asks it, it is an agent like any other: it is submitted, resumed, replayed and handed on like one, and
    one definition serves any number of runs at once.

    Args:
        workflow: The graph.
        agents: The agents that its steps may name.
        tools: The tools that its steps may name: functions, tools, or toolsets that have one of that name.
        workflows: Those that its steps may name.
        find_model: Finds the models of the agents that it brings along, by name; the usual one where that is empty.
        backing: What vouches for decisions and tells trust.
        source: Where it was read from, for messages.

    Raises:
        InvalidFiles: It does not hold together; every fault is listed with its place.
        InvalidInput: It brings agents along, and there is no model for them.
    """
    agents, tools, workflows = agents or {}, tools or {}, workflows or {}
    toolsets = {name: build_toolset(item) for name, item in tools.items()}
    owners = {spec.name: toolset for toolset in toolsets.values() for spec in toolset.specs()}
    specs = {spec.name: spec for toolset in toolsets.values() for spec in toolset.specs()}
    faults = list_faults(workflow, agents=agents, tools=specs, workflows=workflows)
    if faults:
        where = f"{source or workflow.name}: "
        raise InvalidFiles(f"workflow {workflow.name!r}", [f"{where}{fault}" for fault in faults])
    names = {step.agent for step in workflow.steps if step.agent} | list_voters(workflow)
    inner = {step.workflow for step in workflow.steps if step.workflow}
    members = {name: agents[name] for name in names if name not in workflow.agents}
    for name, own in workflow.agents.items():
        members[name] = build_own(name, own, tools=owners, find_model=find_model)
    for name in inner:
        members[name] = build_workflow(
            workflows[name], agents=agents, tools=tools, workflows=workflows, find_model=find_model, backing=backing
        )
    members |= build_councils(workflow, members, backing)
    called = {name: agent.as_tool().specs()[0].name for name, agent in members.items()}
    prepared = Prepared(workflow, tools=called)
    definition = msgspec.json.encode(workflow).decode()

    async def run(work: Work, task: str) -> str:
        begun = prepared if work.definition == definition else _prepare_older(work, called)
        report = await WorkflowRun(begun, work, read_task(begun.workflow, task)).run()
        return msgspec.json.encode(report).decode()

    return build_agent(
        workflow.name,
        run,
        tools=[*members.values(), *_choose_tools(workflow, toolsets)],
        definition=definition,
        output_type=WorkflowReport,
        description=workflow.description,
        # Each step may be waited for, and taken back.
        limits=Limits(seconds=workflow.timeout_s, tool_calls=3 * workflow.max_steps),
        version=workflow.version,
    )


def list_voters(workflow: Workflow) -> set[str]:
    """List the agents that a workflow's decisions ask."""
    decisions = [step.decide for step in workflow.steps if step.decide is not None]
    named = {name for one in decisions for name in (*one.voters, *one.plan.arbiters)}
    return {name for name in named if not name.startswith(PERSON)}


def build_councils(workflow: Workflow, members: Mapping[str, AnyAgent], backing: Backing) -> dict[str, AnyAgent]:
    """Build the agents that have others decide, one for each decision."""
    return {
        step.council: council(
            step.council,
            [
                Person(name.removeprefix(PERSON)) if name.startswith(PERSON) else members[name]
                for name in step.decide.voters
            ],
            step.decide.plan,
            arbiters=[members[name] for name in step.decide.plan.arbiters if name not in step.decide.voters],
            backing=backing,
            description=step.about,
        )
        for step in workflow.steps
        if step.decide is not None
    }


def list_faults(
    workflow: Workflow, *, agents: Collection[str], tools: Mapping[str, ToolSpec], workflows: Mapping[str, Workflow]
) -> list[str]:
    """List everything that is wrong with a workflow, each with its place; nothing that it names is put together.

    Args:
        workflow: The graph.
        agents: The names of the agents that its steps may name.
        tools: What is known of the tools that its steps may name.
        workflows: Those that its steps may name.
    """
    known = Known(agents={*agents, *workflow.agents}, tools=tools, workflows=workflows)
    return [*(str(fault) for fault in check_workflow(workflow, known)), *_check_nesting(workflow, workflows)]


def _prepare_older(work: Work, called: Mapping[str, str]) -> Prepared:
    """Prepare the workflow as it was when a run of it began, which then ends by it.

    Raises:
        Incompatible: It needs what is not there any more.
    """
    try:
        older = msgspec.json.decode(work.definition, type=Workflow)
    except msgspec.DecodeError as error:
        raise Incompatible(f"Run {work.info.run!r} is of a workflow that this version cannot read: {error}") from error
    named = {name for step in older.steps for name in (step.agent, step.workflow, step.council) if name}
    tools = {step.tool for step in older.steps if step.tool}
    tools |= {step.undo.tool for step in older.steps if step.undo is not None}
    missing = sorted((named - called.keys()) | (tools - work.names))
    if missing:
        raise Incompatible(
            f"Run {work.info.run!r} is of version {older.version!r} of workflow {older.name!r}, which needs "
            f"{', '.join(missing)}: bring these back and resume the run, or cancel it.",
            run=work.info.run,
        )
    return Prepared(older, tools=called)


def _choose_tools(workflow: Workflow, toolsets: Mapping[str, Toolset]) -> list[Toolset]:
    """Choose the toolsets that steps use; asking and waiting are always there."""
    wanted = {step.tool for step in workflow.steps} | {
        step.undo.tool for step in workflow.steps if step.undo is not None
    }
    chosen: list[Toolset] = []
    for toolset in toolsets.values():
        if not wanted.isdisjoint(spec.name for spec in toolset.specs()) and toolset not in chosen:
            chosen.append(toolset)
    offered = {spec.name for toolset in chosen for spec in toolset.specs()}
    own: tuple[Toolset, ...] = (AskPerson(), Timers())
    return [*chosen, *(toolset for toolset in own if offered.isdisjoint(spec.name for spec in toolset.specs()))]


def _check_nesting(workflow: Workflow, workflows: Mapping[str, Workflow]) -> list[str]:
    """Find a workflow that would run itself, however far down."""
    waiting, seen = [(workflow.name, step.workflow) for step in workflow.steps if step.workflow], set[str]()
    while waiting:
        path, name = waiting.pop()
        if name == workflow.name:
            return [f"it would run itself: {path} > {name}"]
        if name in seen or name not in workflows:
            continue
        seen.add(name)
        waiting += [(f"{path} > {name}", step.workflow) for step in workflows[name].steps if step.workflow]
    return []
