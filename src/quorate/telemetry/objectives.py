"""What is promised, was it kept, and how much of what may go wrong is left?"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.telemetry.facts import WAITING, Fact, Kind
from quorate.telemetry.quantiles import Quantiles

FILE = "objectives.toml"
DAY_S = 86_400.0
MAX_AGENTS = 1_000
"""How many agents are told apart; those above are one."""
OTHER = "other"

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,40}\Z")]
AlertName = Annotated[str, Meta(pattern=r"\A[A-Z][A-Za-z0-9]{0,60}\Z")]
Length = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,3}[smhd]\Z")]
"""A time as Prometheus writes it."""
Severity = Literal["page", "ticket"]


class Objective(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is promised."""

    title: str
    of: Kind
    """What of runs it is about."""
    target: Annotated[float, Meta(gt=0, lt=1)]
    """The share that must be as it should be."""
    within_s: Annotated[float, Meta(gt=0)] | None = None
    """How long it may take; no matter for outcomes."""
    ignore: tuple[str, ...] = ()
    """Codes of errors that break no promise."""
    agents: tuple[str, ...] = ("*",)
    """Of which agents it is promised, by name or glob."""


class Burn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a budget must be spent, for how long, for somebody to be told."""

    rate: Annotated[float, Meta(gt=0)]
    """How many times as fast as would just last for the window."""
    long: Length
    short: Length
    """Over which time it must still be so: who is told of what is over already stops listening."""
    severity: Severity


class AlertRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    """Something else that somebody is told."""

    title: str
    expression: str
    for_: Annotated[str, Meta(pattern=r"\A[0-9]{1,4}[smhd]\Z")]
    severity: Severity


class Objectives(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is promised."""

    window_days: Annotated[int, Meta(ge=1, le=90)]
    runbooks: str
    objective: dict[Name, Objective]
    burn: tuple[Burn, ...]
    alert: dict[AlertName, AlertRule] = {}


class Budget(Struct, frozen=True, kw_only=True):
    """How an objective stands."""

    objective: str
    title: str
    target: float
    total: int
    """How much there was of what it is about."""
    bad: int
    """How much of that was not as it should be."""
    share: float | None
    """The share that was as it should be; nothing where there was nothing."""
    left: float
    """The share of the budget that is left: 1 for all of it, below 0 when more was spent than there was."""

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0 and self.bad > 0


class AgentFigures(Struct, frozen=True, kw_only=True):
    """How long runs of an agent took, and how many failed."""

    agent: str
    runs: int
    failed: int
    p50_s: float
    p95_s: float
    p99_s: float


class Score:
    """Adds up facts, within bounds: counters for each objective, some hundred buckets for each agent.

    Args:
        objectives: What is promised.
    """

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives.objective
        self._total = dict.fromkeys(self._objectives, 0)
        self._bad = dict.fromkeys(self._objectives, 0)
        self._agents: dict[str, Quantiles] = {}
        self._failed: dict[str, int] = {}

    def add(self, facts: Iterable[Fact]) -> None:
        """Take facts."""
        for fact in facts:
            for name, is_good in judge(self._objectives, fact):
                self._total[name] += 1
                self._bad[name] += not is_good
            if fact.kind == "duration":
                agent = fact.agent if fact.agent in self._agents or len(self._agents) < MAX_AGENTS else OTHER
                self._agents.setdefault(agent, Quantiles()).add(fact.seconds)
                self._failed[agent] = self._failed.get(agent, 0) + bool(fact.error)

    def list_budgets(self) -> list[Budget]:
        """List how all objectives stand."""
        return [
            build_budget(name, one, total=self._total[name], bad=self._bad[name])
            for name, one in self._objectives.items()
        ]

    def list_agents(self) -> list[AgentFigures]:
        """List the figures of all agents, by name."""
        return [
            AgentFigures(
                agent=name,
                runs=one.count,
                failed=self._failed[name],
                p50_s=one.find(0.5),
                p95_s=one.find(0.95),
                p99_s=one.find(0.99),
            )
            for name, one in sorted(self._agents.items())
        ]


def judge(objectives: Mapping[str, Objective], fact: Fact) -> list[tuple[str, bool]]:
    """Say of which objectives something is, and whether it is as it should be."""
    found: list[tuple[str, bool]] = []
    for name, one in objectives.items():
        if one.of != fact.kind or not any(fnmatchcase(fact.agent, glob) for glob in one.agents):
            continue
        is_late = one.within_s is not None and fact.seconds > one.within_s
        if fact.error == WAITING and not is_late:
            continue  # nobody knows yet
        if one.of == "outcome":
            found.append((name, not fact.error or fact.error in one.ignore))
        elif one.of == "start" and fact.error:
            found.append((name, fact.error in one.ignore))
        else:
            found.append((name, not is_late))
    return found


def build_budget(name: str, objective: Objective, *, total: int, bad: int) -> Budget:
    """Build how an objective stands."""
    allowed = (1 - objective.target) * total
    return Budget(
        objective=name,
        title=objective.title,
        target=objective.target,
        total=total,
        bad=bad,
        share=(total - bad) / total if total else None,
        left=round(1 - bad / allowed, 9) if allowed else 1.0,  # a share such as 0.999 is no exact number
    )


def load_objectives(path: str = "") -> Objectives:
    """Load what is promised: from a file, or what comes with the package.

    Raises:
        InvalidInput: The file cannot be read or does not hold together.
    """
    if not path:
        text = files(__package__ or "").joinpath(FILE).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), Objectives)
    try:
        found = msgspec.convert(tomllib.loads(Path(path).read_text(encoding="utf-8")), Objectives)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(f"the objectives in {path!r} cannot be read: {error}") from error
    faults = [
        f"`objective.{name}` is of the kind {one.of!r} and needs `within_s`"
        for name, one in found.objective.items()
        if one.of != "outcome" and one.within_s is None
    ]
    if faults:
        raise InvalidInput(f"the objectives in {path!r} do not hold together: {'; '.join(faults)}.")
    return found
