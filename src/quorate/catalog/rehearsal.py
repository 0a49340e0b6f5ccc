"""Do the cases of an agent file tell a good answer from a bad one, before any model is asked?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import cast

import msgspec
from msgspec import structs

from quorate.agent.output import Output
from quorate.catalog.build import find_output_type
from quorate.catalog.case import (
    FIXTURE_NEEDS,
    MOST_FIXTURE_CHARACTERS,
    Answered,
    Case,
    count_expectations,
    write_answer,
)
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.evaluation.agent_cases import build_cases
from quorate.catalog.evaluation.answer import NAMES, Answer
from quorate.catalog.evaluation.grade import grade
from quorate.catalog.outputs import FIELD_TYPES, OutputField, load_outputs
from quorate.conditions import compile_condition
from quorate.errors import InvalidInput, QuorateError
from quorate.tools.builtin.files.regex import LinearPattern

LEAST_EXPECTATIONS = 2
MOST_EXPECTATIONS = 30
_EMPTY: Mapping[str, object] = {
    "string": "", "integer": 0, "number": 0.0, "boolean": False, "strings": [], "numbers": [], "records": [],
}  # fmt: skip


def rehearse(definition: AgentDefinition) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with the cases of an agent, each with the case's number.

    A case's own answer must fit the type, pass the gates and meet its expectations; its wrong answer, and an empty
    one, must not.
    """
    try:
        output = Output(find_output_type(definition))
    except QuorateError:
        return  # what is wrong with the type or the gates is told already
    offered = {tool for tool in definition.tools if not tool.startswith("agent:")}
    offered |= {agent.replace("-", "_") for agent in definition.delegates}
    for number, case in enumerate(definition.cases):
        faults = [*_check_case(case, offered)]
        if case.answer is not None:
            faults += [] if faults else _check_answers(definition, case, output)
        elif not definition.has_playbook:
            faults.append("there is no `answer`; write what a good one is, so that it can be tried without a model")
        yield from ((number, what) for what in faults)


def _check_case(case: Case, offered: Collection[str]) -> Iterator[str]:
    if not case.request.strip():
        yield "`request` is empty; write what a user asks"
    if count_expectations(case.expect) < LEAST_EXPECTATIONS:
        yield f"it expects too little; write at least {LEAST_EXPECTATIONS} things into `[expect]`"
    if count_expectations(case.expect) > MOST_EXPECTATIONS:
        yield f"it expects {count_expectations(case.expect)} things; at most {MOST_EXPECTATIONS}, so choose"
    for tool in dict.fromkeys((*(call.tool for call in case.script), *case.expect.calls)):
        if tool not in offered:
            yield f"it calls {tool!r}, which is not one of the agent's `tools`; take it out, or add it there"
    for need in case.needs:
        if need not in FIXTURE_NEEDS:
            yield f"`needs`: there is no {need!r}; known: {', '.join(FIXTURE_NEEDS)}"
    size = sum(map(len, (*case.files.values(), *case.databases.values())))
    if size > MOST_FIXTURE_CHARACTERS:
        yield f"its fixture has {size} characters; at most {MOST_FIXTURE_CHARACTERS}, so make it smaller"
    for path in (*case.files, *case.databases):
        if path.startswith(("/", "~")) or ".." in path.split("/") or not path.strip():
            yield f"its file {path!r} is not inside the workspace; name it by a relative path"
    for condition in case.expect.holds:
        try:
            compile_condition(condition, names=NAMES)
        except QuorateError as error:
            yield f"`expect.holds`: {error.message}"
    for pattern in case.expect.matches:
        try:
            LinearPattern(pattern)
        except QuorateError as error:
            yield f"`expect.matches`: {pattern!r}: {error.message}"


def _check_answers(definition: AgentDefinition, case: Case, output: Output) -> Iterator[str]:
    assert case.answer is not None
    missed = _find_missed(definition, case, case.answer, output)
    if missed:
        yield f"its own `answer` is refused: {missed}"
        return
    wrong = case.counter_answer
    if wrong is None:
        yield "there is no `wrong`; write the fields of a plausible bad answer, to see that it is refused"
    elif not _find_missed(definition, case, wrong, output):
        yield "its `wrong` answer passes; expect more, or write a gate that refuses it"
    empty = _build_empty(definition)
    if empty is not None and not _find_missed(definition, case, empty, output):
        yield "an empty answer passes; expect what only a good one has"


def _find_missed(definition: AgentDefinition, case: Case, answer: Answered, output: Output) -> str:
    """Say why an answer is refused; empty when it is not."""
    text = write_answer(answer)
    try:
        value = output.read(text)
    except InvalidInput as error:
        return error.message
    said = Answer(
        agent=definition.name,
        text=output.write(value),
        value=cast("object", msgspec.to_builtins(value)),
        calls=tuple(call.tool for call in case.script),
    )
    (asked,) = build_cases(structs.replace(case, wrong=None), agent=definition.name, number=1, scripted=False)
    return "; ".join(one.why for one in grade(asked, said) if not one.passed)


def _build_empty(definition: AgentDefinition) -> Answered | None:
    if definition.output == "text":
        return ""
    if definition.output == "diagnosis":
        return {"applies": True, "summary": ""}
    fields = definition.fields if definition.output == "fields" else load_outputs()[definition.output].fields
    return {name: _empty(field) for name, field in fields.items() if not field.optional}


def _empty(field: OutputField) -> object:
    return _EMPTY[field.type] if field.type in {*FIELD_TYPES, "records"} else field.type.split("|")[0].strip()
