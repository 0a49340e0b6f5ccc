"""Which cases do agent files carry?"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from msgspec import structs

from quorate.catalog.case import Case as AgentCase
from quorate.catalog.case import Expected, write_answer
from quorate.catalog.evaluation.case import Case, Contains, Fixture, Grader, Holds, Line, Matches, ScriptedCall
from quorate.catalog.load import Catalog

WRONG_TURNS = 12
"""How often a script insists on a wrong answer: whoever asks again is told the same until it gives up."""


def list_agent_cases(catalog: Catalog, agents: Collection[str] | None, *, scripted: bool = False) -> tuple[Case, ...]:
    """List the cases that agent files carry, as `<agent>.<number>`.

    Args:
        catalog: The agents there are.
        agents: Of which; of all when `None`.
        scripted: Whether to give answers that are wrong on purpose as well, which must be refused.

    Raises:
        UnknownName: There is no such agent.
    """
    names = catalog.names() if agents is None else agents
    return tuple(
        case
        for definition in map(catalog.get, names)
        for number, one in enumerate(definition.cases, 1)
        for case in build_cases(one, agent=definition.name, number=number, scripted=scripted)
    )


def build_cases(one: AgentCase, *, agent: str, number: int, scripted: bool) -> Iterator[Case]:
    """Build the case that an agent's file carries, and, where its model is scripted, the one that must be refused."""
    calls: tuple[Line, ...] = tuple(ScriptedCall(tool=call.tool, arguments=call.arguments) for call in one.script)
    fixture = Fixture(
        files=one.files,
        databases=one.databases,
        repository=one.repository,
        serves=one.serves,
        needs=one.needs,
    )
    case = Case(
        id=f"{agent}.{number}",
        request=one.request,
        agent=agent,
        expects=tuple(_build_graders(one.expect)),
        script=() if one.answer is None else (*calls, write_answer(one.answer)),
        fixture=None if fixture == Fixture() else fixture,
    )
    yield case
    wrong = one.counter_answer
    if scripted and wrong is not None:
        script = (*calls, *[write_answer(wrong)] * WRONG_TURNS)
        yield structs.replace(case, id=f"{case.id}.wrong", script=script, refused=True)


def _build_graders(expected: Expected) -> Iterator[Grader]:
    for condition in expected.holds:
        yield Holds(condition=condition)
    if expected.contains or expected.lacks:
        yield Contains(all=expected.contains, none=expected.lacks, ignore_case=False)
    for pattern in expected.matches:
        yield Matches(pattern=pattern)
    for tool in expected.calls:
        yield Holds(condition=f"{msgspec.json.encode(tool).decode()} in calls")
