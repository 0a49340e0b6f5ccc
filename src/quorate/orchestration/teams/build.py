"""How does a team's file become an agent, with everything that it names?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import cast

import msgspec

from quorate.agent.agent import AnyAgent
from quorate.agent.compile import build_toolset
from quorate.agent.procedure.build import ProcedureTool, build_agent
from quorate.agent.procedure.together import AT_ONCE
from quorate.agent.procedure.work import Work
from quorate.conditions import compile_condition
from quorate.council.decide import Backing, list_faults, read_seat
from quorate.council.plan import Plan
from quorate.errors import Incompatible, InvalidFiles, InvalidInput, QuorateError
from quorate.orchestration.handoff import MAX_HOPS, Transfer, handoff
from quorate.orchestration.patterns.adaptive import Mode, adaptive
from quorate.orchestration.patterns.assigning import assigned
from quorate.orchestration.patterns.broadcast import broadcast
from quorate.orchestration.patterns.cascade import cascade
from quorate.orchestration.patterns.collective import collective
from quorate.orchestration.patterns.competitive import Accept, accept_all, competitive
from quorate.orchestration.patterns.deciding import deciding
from quorate.orchestration.patterns.hierarchy import hierarchy
from quorate.orchestration.patterns.hybrid import hybrid
from quorate.orchestration.patterns.leader import leader_follower
from quorate.orchestration.patterns.peers import peers
from quorate.orchestration.patterns.pipeline import pipeline
from quorate.orchestration.patterns.team import TeamReport
from quorate.orchestration.teams.spec import NEEDS, TAKES, Pattern, Team, list_parts
from quorate.orchestration.workflow.check import Fault
from quorate.orchestration.workflow.own import FindModel, build_own, check_limits, check_own, suggest

Members = Mapping[str, AnyAgent]
_EVERYWHERE = frozenset({"name", "description", "version", "pattern", "members", "agents", "limits"})


def build_team_agent(
    team: Team,
    *,
    agents: Mapping[str, AnyAgent] | None = None,
    tools: Mapping[str, object] | None = None,
    find_model: FindModel | None = None,
    backing: Backing = Backing(),
    source: str = "",
) -> AnyAgent:
    """Build the agent that a team's file describes; what it answers is a `TeamReport`.

    Each run keeps the team as it was when it began, and ends by that also where the file has changed meanwhile.

    Args:
        team: What the file says.
        agents: The agents that it may name, workflows and other teams among them.
        tools: The tools that agents which it brings along may name.
        find_model: Finds the models of these, by name; the usual one where that is empty.
        backing: What vouches for decisions and tells trust.
        source: Where it was read from, for messages.

    Raises:
        InvalidFiles: It does not hold together; every fault is listed with its place.
        InvalidInput: It brings agents along, and there is no model for them.
    """
    agents = agents or {}
    toolsets = [build_toolset(item) for item in (tools or {}).values()]
    owners = {spec.name: toolset for toolset in toolsets for spec in toolset.specs()}
    faults = [str(fault) for fault in check_team(team, agents=agents, tools=owners)]
    if faults:
        raise InvalidFiles(f"team {team.name!r}", [f"{source or team.name}: {fault}" for fault in faults])
    members: dict[str, AnyAgent] = {}
    for name in list_parts(team):
        own = team.agents.get(name)
        members[name] = agents[name] if own is None else build_own(name, own, tools=owners, find_model=find_model)
    built, definition = _build(team, members, backing), msgspec.json.encode(team).decode()
    current = _find_procedure(built)

    async def run(work: Work, task: str) -> str:
        chosen = current
        if work.definition != definition:
            chosen = _find_procedure(_build_older(work, members, backing))
        return await chosen.procedure(work, task)

    return build_agent(
        team.name,
        run,
        tools=[item for item in built.tools if item is not current],
        definition=definition,
        output_type=TeamReport,
        description=team.description,
        limits=team.limits,
        version=team.version,
    )


def check_team(team: Team, *, agents: Collection[str], tools: Collection[str]) -> Iterator[Fault]:
    """Yield everything that is wrong with a team, before it is asked anything."""
    known = {*agents, *team.agents} - {team.name}
    for place, what in check_own(team.agents, used=list_parts(team), tools=tools):
        yield Fault(place=place, what=what)
    for field, what in check_limits(team.limits):
        yield Fault(place=("limits", field), what=what)
    for field in ("lead", "validator", "closer", "profiler"):
        name = cast("str", getattr(team, field))
        if name and name not in known:
            yield Fault(place=(field,), what=f"there is no agent {name!r}{suggest(name, known)}")
    listed = [(("members", place), name) for place, name in enumerate(team.members)]
    listed += [(("modes", str(mode)), name) for mode, name in team.modes.items()]
    for where, name in listed:
        if name not in known:
            yield Fault(place=where, what=f"there is no agent {name!r}{suggest(name, known)}")
    if not team.members and team.pattern != "adaptive":
        yield Fault(place=("members",), what="a team has at least one member")
    for name in sorted({name for name in team.members if team.members.count(name) > 1}):
        yield Fault(place=("members",), what=f"{name!r} is there twice: name each once")
    for name in team.arbiters:
        if name not in known:
            yield Fault(place=("plan", "fallback"), what=f"there is no agent {name!r}{suggest(name, known)}")
    if team.pattern == "council":
        seats = [read_seat(name) for name in team.members]
        for what in list_faults(seats, team.plan or Plan(), agents=[*known]):
            yield Fault(place=("plan",), what=what)
    yield from _check_options(team)


def _check_options(team: Team) -> Iterator[Fault]:
    takes = TAKES[team.pattern]
    for field in msgspec.structs.fields(Team):
        value = cast("object", getattr(team, field.name))
        default = (
            field.default_factory() if field.default is msgspec.NODEFAULT and not field.required else field.default
        )
        if field.name not in _EVERYWHERE | takes and value != default:
            listed = ", ".join(f"`{name}`" for name in sorted(takes)) or "nothing beside its members"
            yield Fault(place=(field.name,), what=f"the pattern {team.pattern!r} does not take it; it takes {listed}")
    for name in NEEDS.get(team.pattern, ()):
        if not getattr(team, name):
            yield Fault(place=(name,), what=f"the pattern {team.pattern!r} needs it")
    if team.trust and team.by_trust:
        yield Fault(place=("by_trust",), what="`trust` says how far members are trusted: leave one of both out")
    if team.lead and team.lead in team.members:
        yield Fault(place=("lead",), what=f"{team.lead!r} leads and is a member: name it once")
    names = {("trust", name) for name in team.trust}
    names |= {("transfers", name) for rule in team.transfers for name in (rule.source, rule.target)}
    for field_name, name in sorted(names):
        if name not in team.members:
            yield Fault(place=(field_name,), what=f"there is no member {name!r}{suggest(name, team.members)}")
    if team.accept:
        try:
            compile_condition(team.accept, names=("answer",))
        except QuorateError as error:
            yield Fault(place=("accept",), what=error.message)


def _build(team: Team, known: Members, backing: Backing) -> AnyAgent:
    members, limits = [known[name] for name in team.members], team.limits
    trust = backing.read_weights if team.by_trust else team.trust
    if team.by_trust and trust is None:
        raise InvalidInput(f"Team {team.name!r} goes `by_trust`, which needs a runtime that keeps trust.")
    if team.pattern == "council":
        arbiters = [known[name] for name in team.arbiters]
        return deciding(team.name, members, team.plan or Plan(), arbiters=arbiters, backing=backing, limits=limits)
    if team.pattern == "hierarchy":
        return hierarchy(team.name, known[team.lead], members, trust=trust, topic=team.topic, limits=limits)
    if team.pattern == "assigned":
        strategy = team.strategy or "best"
        return assigned(team.name, members, strategy=strategy, trust=trust, topic=team.topic, limits=limits)
    return _BUILDERS[team.pattern](team, members, known)


def _build_older(work: Work, members: Members, backing: Backing) -> AnyAgent:
    """Build the team as it was when a run of it began, which then ends by it.

    Raises:
        Incompatible: It needs somebody who does not take part any more.
    """
    try:
        older = msgspec.json.decode(work.definition, type=Team)
    except msgspec.DecodeError as error:
        raise Incompatible(f"Run {work.info.run!r} is of a team that this version cannot read: {error}") from error
    missing = [name for name in list_parts(older) if name not in members]
    if not missing:
        built = _build(older, members, backing)
        toolsets = [build_toolset(item) for item in built.tools if not isinstance(item, ProcedureTool)]
        missing = sorted({spec.name for toolset in toolsets for spec in toolset.specs()} - work.names)
        if not missing:
            return built
    raise Incompatible(
        f"Run {work.info.run!r} is of version {older.version!r} of team {older.name!r}, which needs "
        f"{', '.join(missing)}: bring these back and resume the run, or cancel it.",
        run=work.info.run,
    )


def _find_procedure(agent: AnyAgent) -> ProcedureTool:
    return next(item for item in agent.tools if isinstance(item, ProcedureTool))


def _read_accept(team: Team) -> Accept:
    if not team.accept:
        return accept_all
    condition = compile_condition(team.accept, names=("answer",))

    def accept(answer: object) -> bool:
        try:
            return condition.holds({"answer": answer})
        except QuorateError:  # an answer of another form than it reads will not do
            return False

    return accept


def _build_adaptive(team: Team, _: list[AnyAgent], known: Members) -> AnyAgent:
    teams: dict[Mode, AnyAgent] = {mode: known[name] for mode, name in team.modes.items()}
    profiler = known[team.profiler] if team.profiler else None
    return adaptive(team.name, teams, profiler=profiler, limits=team.limits)


def _build_handoff(team: Team, members: list[AnyAgent], _: Members) -> AnyAgent:
    transfers = [Transfer(source=rule.source, target=rule.target) for rule in team.transfers]
    return handoff(team.name, members, transfers, hops=team.hops or MAX_HOPS, limits=team.limits)


_BUILDERS: Mapping[Pattern, Callable[[Team, list[AnyAgent], Members], AnyAgent]] = {
    "pipeline": lambda team, members, _: pipeline(team.name, members, limits=team.limits),
    "broadcast": lambda team, members, _: broadcast(
        team.name, members, combine=team.combine or "concat", at_once=team.at_once or AT_ONCE, limits=team.limits
    ),
    "leader_follower": lambda team, members, known: leader_follower(
        team.name, known[team.lead], members, limits=team.limits
    ),
    "peers": lambda team, members, _: peers(
        team.name, members, combine=team.combine or "majority", rounds=team.rounds or 2, limits=team.limits
    ),
    "cascade": lambda team, members, _: cascade(
        team.name, members, accept=_read_accept(team), shows=team.shows, limits=team.limits
    ),
    "competitive": lambda team, members, _: competitive(
        team.name, members, accept=_read_accept(team), limits=team.limits
    ),
    "collective": lambda team, members, known: collective(
        team.name,
        members,
        closer=known[team.closer] if team.closer else None,
        rounds=team.rounds or 3,
        limits=team.limits,
    ),
    "hybrid": lambda team, members, known: hybrid(
        team.name,
        known[team.lead],
        members,
        known[team.validator],
        rework=2 if team.rework is None else team.rework,
        limits=team.limits,
    ),
    "adaptive": _build_adaptive,
    "handoff": _build_handoff,
}
