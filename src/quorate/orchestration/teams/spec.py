"""What is a team, as a file says it: a pattern, who takes part, and what the pattern can be told?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from quorate.council.plan import Plan
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.adaptive import Mode
from quorate.orchestration.patterns.assigning import Strategy
from quorate.orchestration.patterns.broadcast import Aggregation
from quorate.orchestration.workflow.spec import Name, OwnAgent, StrictLimits

Pattern = Literal[
    "pipeline", "broadcast", "leader_follower", "peers", "hierarchy", "cascade", "competitive", "collective",
    "hybrid", "adaptive", "assigned", "handoff", "council",
]  # fmt: skip
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
TAKES: Mapping[Pattern, frozenset[str]] = {
    "pipeline": frozenset(),
    "broadcast": frozenset({"combine", "at_once"}),
    "leader_follower": frozenset({"lead"}),
    "peers": frozenset({"combine", "rounds"}),
    "hierarchy": frozenset({"lead", "trust", "by_trust", "topic"}),
    "cascade": frozenset({"accept", "shows"}),
    "competitive": frozenset({"accept"}),
    "collective": frozenset({"closer", "rounds"}),
    "hybrid": frozenset({"lead", "validator", "rework"}),
    "adaptive": frozenset({"modes", "profiler"}),
    "assigned": frozenset({"strategy", "trust", "by_trust", "topic"}),
    "handoff": frozenset({"transfers", "hops"}),
    "council": frozenset({"plan"}),
}
"""What each pattern can be told beside its members."""
NEEDS: Mapping[Pattern, tuple[str, ...]] = {
    "leader_follower": ("lead",),
    "hierarchy": ("lead",),
    "hybrid": ("lead", "validator"),
    "adaptive": ("modes",),
    "handoff": ("transfers",),
}
"""What of it there must be."""


class TransferRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That one member may hand the conversation to another."""

    source: Name
    """Who hands on."""
    target: Name
    """To whom."""


class Team(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents that work together in one way."""

    name: Name
    """How it is found and asked; no agent and no workflow has that name."""
    description: str = ""
    """What it is for, in a sentence."""
    version: str = "1"
    """Which version of it this is; runs that are under way end by the one they began with."""
    pattern: Pattern
    """In which way they work together."""
    members: tuple[Name, ...] = ()
    """Who works, in this order: agents, workflows and other teams, by name."""
    agents: dict[Name, OwnAgent] = {}
    """Agents that the team brings along, by name; each stands before one of the catalog with its name."""
    lead: str = ""
    """Who parts the task; in `hybrid`, who plans it."""
    validator: str = ""
    """Who looks at what each step gave."""
    closer: str = ""
    """Who makes one answer of the board."""
    profiler: str = ""
    """Who says what a task is like."""
    modes: dict[Mode, Name] = {}
    """The teams to choose from, by the pattern that each works by."""
    combine: Aggregation | None = None
    """What is made of several answers."""
    strategy: Strategy | None = None
    """By what it is chosen who gets the task."""
    accept: str = ""
    """CEL over `answer`: whether an answer will do."""
    shows: bool = False
    """Whether those asked later see what was not good enough."""
    rounds: Annotated[int, Meta(ge=1, le=5)] | None = None
    """How many rounds there are at most."""
    rework: Annotated[int, Meta(ge=0, le=5)] | None = None
    """How often a step may be done again."""
    at_once: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """How many work at a time."""
    hops: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """How often the conversation may be handed on."""
    trust: dict[Name, Annotated[float, Meta(ge=0, le=1)]] = {}
    """How much each member is trusted, 0 to 1."""
    by_trust: bool = False
    """Whether members are trusted as far as they have earned it, where trust is kept."""
    topic: str = ""
    """In which topic that is."""
    transfers: tuple[TransferRule, ...] = ()
    """Who may hand to whom."""
    plan: Plan | None = None
    """How a council decides: `options`, `rule`, `quorum`, `debate`, `fallback` and so on."""
    limits: StrictLimits = StrictLimits()
    """The bounds of each of its runs, for all members together."""

    @property
    def arbiters(self) -> tuple[str, ...]:
        """The agents that a council's fallbacks name and that are no members."""
        try:
            named = self.plan.arbiters if self.plan is not None else ()
        except InvalidInput:  # it is told with everything else that is wrong
            return ()
        return tuple(name for name in named if name not in self.members)


def list_parts(team: Team) -> list[str]:
    """List everybody who takes part, each once."""
    named = [*team.members, team.lead, team.validator, team.closer, team.profiler, *team.modes.values(), *team.arbiters]
    return [name for name in dict.fromkeys(named) if name]
