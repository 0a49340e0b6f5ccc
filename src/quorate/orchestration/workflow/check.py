"""Does a workflow hold together: one kind a step, names that exist, no circles, and values of the right type?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import cast

import msgspec
from msgspec import Struct

from quorate.conditions import compile_condition
from quorate.council.decide import list_faults as list_council_faults
from quorate.council.decide import read_seat
from quorate.council.plan import PERSON
from quorate.errors import InvalidInput, QuorateError
from quorate.orchestration.workflow.own import check_fields, check_own, suggest
from quorate.orchestration.workflow.plan import list_needs
from quorate.orchestration.workflow.spec import Decision, Input, InputType, Step, Workflow
from quorate.orchestration.workflow.values import NAMES, find_inputs, find_steps, iterate_texts
from quorate.specs import ToolSpec

TYPES: Mapping[InputType, type[object]] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "list": list, "object": dict,
}  # fmt: skip
SAVE = "save_artifact"
"""The tool that keeps an artifact."""
JSON_TYPES: Mapping[str, InputType] = {"array": "list"}
"""What JSON Schema calls types otherwise."""


class Fault(Struct, frozen=True, kw_only=True):
    """One thing wrong with a workflow."""

    place: tuple[str | int, ...]
    """Where: keys and indexes from the workflow down."""
    what: str
    """What is wrong, and what to do."""

    def __str__(self) -> str:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place).lstrip(".")
        return f"{where}: {self.what}" if where else self.what


class Known(Struct, frozen=True, kw_only=True):
    """What steps may name."""

    agents: Collection[str]
    tools: Mapping[str, ToolSpec]
    workflows: Mapping[str, Workflow]


def check_workflow(workflow: Workflow, known: Known) -> list[Fault]:
    """List everything that is wrong with a workflow, before any of it is run."""
    faults = [*_check_names(workflow), *_check_own(workflow, known), *_check_artifacts(workflow)]
    for place, step in enumerate(workflow.steps):
        faults += [
            Fault(place=("steps", place, *fault.place), what=fault.what) for fault in _check_step(step, workflow, known)
        ]
    faults += _check_texts(workflow.output, workflow, (), place=("output",))
    return faults + list(_check_circles(workflow))


def read_inputs(workflow: Workflow, given: Mapping[str, object]) -> dict[str, object]:
    """Return a workflow's inputs, defaults put in.

    Raises:
        InvalidInput: One is missing, unknown, or of another type; all faults are told, each with its name.
    """
    faults = [
        f"there is no input {name!r}{suggest(name, workflow.inputs)}" for name in given.keys() - workflow.inputs.keys()
    ]
    found: dict[str, object] = {}
    for name, rule in workflow.inputs.items():
        if name not in given:
            if rule.default is None:
                faults.append(f"{name!r} is missing: {(rule.description or f'give a {rule.type}').rstrip('.')}")
            found[name] = rule.default
            continue
        value = given[name]
        fault = _check_value(value, rule)
        if fault:
            faults.append(f"{name!r} {fault}")
        found[name] = value
    if faults:
        raise InvalidInput(f"The inputs of workflow {workflow.name!r} do not fit: {'; '.join(sorted(faults))}.")
    return found


def read_task(workflow: Workflow, task: str) -> dict[str, object]:
    """Read a workflow's inputs out of a task: a JSON object, or the text itself where it has one text input.

    Raises:
        InvalidInput: It is neither.
    """
    texts = [name for name, rule in workflow.inputs.items() if rule.type == "string"]
    needed = [name for name, rule in workflow.inputs.items() if rule.default is None]
    if task.lstrip().startswith("{"):
        try:
            found = msgspec.json.decode(task, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise InvalidInput(f"The inputs of workflow {workflow.name!r} are not JSON: {error}") from error
        return read_inputs(workflow, found)
    names = needed or texts[:1]
    if len(names) == 1 and names[0] in texts and task.strip():
        return read_inputs(workflow, {names[0]: task})
    if not needed and not task.strip():
        return read_inputs(workflow, {})
    listed = ", ".join(f"{name} ({rule.type})" for name, rule in workflow.inputs.items()) or "none"
    raise InvalidInput(f"Workflow {workflow.name!r} takes a JSON object with its inputs: {listed}.")


def _check_value(value: object, rule: Input) -> str:
    kind = TYPES[rule.type]
    fits = isinstance(value, kind) and (rule.type == "boolean" or not isinstance(value, bool))
    if rule.type == "number":
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits:
        return f"is {value!r:.80}, which is no {rule.type}"
    if rule.choices and value not in rule.choices:
        return f"is {value!r:.80}; choose one of {', '.join(map(repr, rule.choices))}"
    return ""


def _check_names(workflow: Workflow) -> Iterator[Fault]:
    if not workflow.steps:
        yield Fault(place=("steps",), what="a workflow has at least one step")
    seen: set[str] = set()
    for place, step in enumerate(workflow.steps):
        if step.id in seen:
            yield Fault(place=("steps", place, "id"), what=f"{step.id!r} is there twice: give each step its own name")
        seen.add(step.id)
    for name, rule in workflow.inputs.items():
        if name in NAMES:
            yield Fault(place=("inputs", name), what=f"{name!r} means something else in texts: choose another name")
        if rule.default is not None and (fault := _check_value(rule.default, rule)):
            yield Fault(place=("inputs", name, "default"), what=f"it {fault}")


def _check_own(workflow: Workflow, known: Known) -> Iterator[Fault]:
    asked = {step.agent for step in workflow.steps if step.agent}
    called = {step.tool for step in workflow.steps if step.tool}
    for place, what in check_own(workflow.agents, used=asked, tools=known.tools):
        yield Fault(place=place, what=what)
    for name in workflow.agents:
        if name.replace("-", "_") in called:
            yield Fault(place=("agents", name), what="a tool that a step calls has that name: choose another one")


def _check_artifacts(workflow: Workflow) -> Iterator[Fault]:
    saved = {step.arguments.get("name") for step in workflow.steps if step.tool == SAVE and not step.optional}
    for place, name in enumerate(workflow.artifacts):
        if name not in saved:
            what = f"no step that is needed saves {name!r}: call the tool `{SAVE}` with that very `name`"
            yield Fault(place=("artifacts", place), what=what)


def _check_step(step: Step, workflow: Workflow, known: Known) -> Iterator[Fault]:
    given = {
        "agent": step.agent, "tool": step.tool, "workflow": step.workflow, "decide": step.decide,
        "ask": step.ask, "wait_s": step.wait_s, "choose": step.choose,
    }  # fmt: skip
    kinds = [name for name, value in given.items() if value]
    if len(kinds) != 1:
        said = f"it has {' and '.join(f'`{kind}`' for kind in kinds)}" if kinds else "it has none of them"
        yield Fault(place=(), what=f"a step has exactly one of {', '.join(f'`{name}`' for name in given)}; {said}")
        return
    yield from _check_target(step, known)
    if step.kind in ("agent", "decide") and not step.task:
        yield Fault(place=("task",), what="say what is to be done or decided")
    if step.for_each and step.repeat is not None:
        yield Fault(place=("repeat",), what="a step goes over a list or is repeated, not both: nest a workflow")
    for name in sorted(step.after):
        if name == step.id:
            yield Fault(place=("after",), what="a step cannot come after itself")
    names = {one.id for one in workflow.steps}
    for name in sorted({*list_needs(step), *step.after} - names):
        yield Fault(place=(), what=f"it needs step {name!r}, which is not there{suggest(name, names)}")
    item = ("item", "index") if step.for_each else ("last", "index") if step.repeat is not None else ()
    for field, value in (("task", step.task), ("ask", step.ask), ("arguments", step.arguments)):
        yield from _check_texts(value, workflow, item, place=(field,))
    conditions: dict[str, tuple[str, tuple[str, ...]]] = {"when": (step.when, ()), "for_each": (step.for_each, ())}
    if step.repeat is not None:
        conditions["repeat.until"] = (step.repeat.until, ("last", "index"))
    for name, text in step.choose.items():
        conditions[f"choose.{name}"] = (text, item)
    for field, (text, more) in conditions.items():
        if text:
            yield from _check_texts(f"={text}", workflow, more, place=(field,))
    if step.undo is not None:
        if step.undo.tool not in known.tools:
            yield Fault(place=("undo", "tool"), what=_unknown("tool", step.undo.tool, known.tools))
        yield from _check_texts(step.undo.arguments, workflow, ("output",), place=("undo", "arguments"))


def _check_target(step: Step, known: Known) -> Iterator[Fault]:
    if step.kind == "agent" and step.agent not in known.agents:
        yield Fault(place=("agent",), what=_unknown("agent", step.agent, known.agents))
    elif step.decide is not None:
        yield from _check_decision(step.decide, known)
    elif step.kind == "workflow":
        inner = known.workflows.get(step.workflow)
        if inner is None:
            yield Fault(place=("workflow",), what=_unknown("workflow", step.workflow, known.workflows))
            return
        for name in sorted(step.arguments.keys() - inner.inputs.keys()):
            yield Fault(
                place=("arguments", name), what=f"{step.workflow!r} has no input {name!r}{suggest(name, inner.inputs)}"
            )
        for name, rule in inner.inputs.items():
            if rule.default is None and name not in step.arguments:
                yield Fault(place=("arguments",), what=f"{step.workflow!r} needs the input {name!r}")
    elif step.kind == "tool":
        spec = known.tools.get(step.tool)
        if spec is None:
            yield Fault(place=("tool",), what=_unknown("tool", step.tool, known.tools))
        else:
            yield from _check_arguments(step, spec)


def _check_decision(decision: Decision, known: Known) -> Iterator[Fault]:
    for place, name in enumerate(decision.voters):
        if name not in known.agents and not name.startswith(PERSON):
            yield Fault(place=("decide", "voters", place), what=_unknown("agent", name, known.agents))
    members = [read_seat(name) for name in decision.voters]
    for what in list_council_faults(members, decision.plan, agents=[*known.agents]):
        yield Fault(place=("decide",), what=what)


def _check_arguments(step: Step, spec: ToolSpec) -> Iterator[Fault]:
    properties = cast("dict[str, dict[str, object]]", spec.parameters.get("properties", {}))
    is_open = spec.parameters.get("additionalProperties", False) is not False
    for name, value in step.arguments.items():
        if name not in properties:
            if not is_open:
                what = f"tool {spec.name!r} has no argument {name!r}{suggest(name, properties)}"
                yield Fault(place=("arguments", name), what=what)
            continue
        wanted = properties[name].get("type")
        kind = JSON_TYPES.get(str(wanted), wanted)
        if not isinstance(value, str) and kind in TYPES and value is not None:
            fault = _check_value(value, Input(type=cast("InputType", kind)))
            if fault:
                yield Fault(place=("arguments", name), what=f"it {fault}")
        elif isinstance(value, str) and not value.startswith("=") and kind in TYPES and kind != "string":
            yield Fault(place=("arguments", name), what=f"it is text, and tool {spec.name!r} wants {kind}: write `=…`")
    for name in cast("list[str]", spec.parameters.get("required", [])):
        if name not in step.arguments:
            yield Fault(place=("arguments",), what=f"tool {spec.name!r} needs the argument {name!r}")


def _check_texts(
    value: object, workflow: Workflow, more: Collection[str], *, place: tuple[str | int, ...]
) -> Iterator[Fault]:
    steps = {step.id for step in workflow.steps}
    for text in iterate_texts(value):
        for name in sorted(find_inputs(text) - workflow.inputs.keys()):
            yield Fault(place=place, what=f"there is no input {name!r}{suggest(name, workflow.inputs)}")
        for what in check_fields(text, workflow):
            yield Fault(place=place, what=what)
        if place[0] in ("output", "undo"):
            for name in sorted(find_steps(text) - steps):
                yield Fault(place=place, what=f"there is no step {name!r}{suggest(name, steps)}")
        if text.startswith("="):
            try:
                compile_condition(text[1:], names=("inputs", "steps", *more))
            except QuorateError as error:
                yield Fault(place=place, what=error.message)


def _check_circles(workflow: Workflow) -> Iterator[Fault]:
    needs = {step.id: list_needs(step) & {one.id for one in workflow.steps} for step in workflow.steps}
    done: set[str] = set()
    while ready := {name for name, needed in needs.items() if name not in done and needed <= done}:
        done |= ready
    stuck = [step.id for step in workflow.steps if step.id not in done]
    if stuck:
        yield Fault(place=("steps",), what=f"steps {', '.join(stuck)} wait for one another: break the circle")


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    return f"there is no {what} {name!r}{suggest(name, known)}"
