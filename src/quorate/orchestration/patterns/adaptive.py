"""Which pattern fits a task, and why: by what the task is like, and by how patterns did before?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.team import TeamReport, build_team, read_contribution
from quorate.specs import Limits

Mode = Literal["pipeline", "broadcast", "leader_follower", "peers", "hierarchy", "cascade", "competitive", "collective"]
MODES: tuple[Mode, ...] = get_args(Mode)
Degree = Literal["low", "medium", "high"]
DEGREES: Mapping[Degree, float] = {"low": 0.0, "medium": 0.5, "high": 1.0}
WEIGHT = 0.5
"""How much the best or worst history can move a score."""
PRIOR = 5
"""How many runs it takes until half of what history says counts."""


class TaskProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a task is like."""

    parts: int = 1
    """Into how many parts it falls."""
    dependent: bool = False
    """Whether each part needs what the one before gives."""
    risk: Degree = "low"
    """How bad a wrong answer is."""
    urgency: Degree = "low"
    thrift: Degree = "low"
    """How much it matters to spend little."""
    openness: Degree = "low"
    """How many good answers there may be, as with ideas."""
    skills: int = 1
    """How many different things one must be good at."""


class Record(Struct, frozen=True, kw_only=True):
    """How a pattern did before on tasks of this kind."""

    runs: int = 0
    good: int = 0


class Choice(Struct, frozen=True, kw_only=True):
    """Which pattern was chosen."""

    mode: Mode
    why: str
    scores: dict[str, float]


def choose_mode(
    profile: TaskProfile, history: Mapping[str, Record] | None = None, *, modes: Sequence[Mode] = MODES
) -> Choice:
    """Choose a pattern; the same for the same arguments.

    A pattern's score is how well it fits what the task is like, moved by how often it did well before: by at most half
    a point, and little as long as there are few runs.

    Args:
        profile: What the task is like.
        history: How patterns did before, by name.
        modes: Which there are to choose from; of equals, the first.

    Raises:
        InvalidInput: There is nothing to choose from.
    """
    if not modes:
        raise InvalidInput("There is no pattern to choose from: give at least one.")
    known = history or {}
    fits = _fit(profile)
    scores: dict[str, float] = {}
    notes: dict[str, str] = {}
    for mode in modes:
        record = known.get(mode, Record())
        rate = record.good / record.runs if record.runs else 0.5
        moved = WEIGHT * 2 * (rate - 0.5) * record.runs / (record.runs + PRIOR)
        scores[mode] = round(fits[mode][0] + moved, 4)
        notes[mode] = fits[mode][1] + (f"; {record.good} of {record.runs} runs were good" if record.runs else "")
    best = max(modes, key=lambda mode: scores[mode])
    return Choice(mode=best, why=f"{best}: {notes[best]}", scores=scores)


def _fit(profile: TaskProfile) -> dict[Mode, tuple[float, str]]:
    """Say how well each pattern fits, and by what."""
    risk, urgency = DEGREES[profile.risk], DEGREES[profile.urgency]
    thrift, openness = DEGREES[profile.thrift], DEGREES[profile.openness]
    several = min(1.0, (profile.parts - 1) / 2) if profile.parts > 1 else 0.0
    many = min(1.0, (profile.parts - 1) / 5) if profile.parts > 1 else 0.0
    skilled = min(1.0, (profile.skills - 1) / 3) if profile.skills > 1 else 0.0
    chained, apart = several if profile.dependent else 0.0, 0.0 if profile.dependent else several
    return {
        "pipeline": (1.6 * chained, "each part needs the one before"),
        "hierarchy": (
            0.6 * apart + 0.5 * many * (not profile.dependent) + 0.5 * skilled,
            "many parts of different kinds",
        ),
        "leader_follower": (1.0 * apart - 0.3 * skilled, "parts that do not need one another"),
        "peers": (1.2 * risk - 0.4 * urgency - 0.3 * thrift, "a wrong answer is bad, so that several look at it twice"),
        "competitive": (1.2 * urgency - 0.3 * risk - 0.3 * thrift, "the first good answer is wanted soon"),
        "cascade": (1.2 * thrift - 0.3 * urgency - 0.2 * risk, "little is to be spent"),
        "collective": (1.2 * openness - 0.3 * urgency - 0.2 * thrift, "many good answers add up"),
        "broadcast": (0.3, "nothing speaks for more than asking all"),
    }


def adaptive(
    name: str,
    teams: Mapping[Mode, AnyAgent],
    *,
    profiler: AnyAgent | None = None,
    profile: TaskProfile | None = None,
    history: Mapping[str, Record] | None = None,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team that chooses, task by task, how it works.

    Args:
        name: Its name.
        teams: The teams to choose from, by the pattern that each works by.
        profiler: Who says what a task is like; without one, every task is like `profile`.
        profile: What tasks are like where nobody says; ordinary when not given.
        history: How patterns did before; it is fixed while the team lives.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: There is nothing to choose from, or two members have one name.
    """
    modes, given = tuple(teams), profile or TaskProfile()
    choose_mode(given, history, modes=modes)

    async def work(procedure: Work, task: str) -> TeamReport:
        asked = f"Say what this task is like, as JSON with any of {', '.join(TaskProfile.__struct_fields__)}:\n{task}"
        said = given
        if profiler is not None:
            said = await ask_for(procedure, "profile", profiler.name, asked, TaskProfile)
        choice = choose_mode(said, history, modes=modes)
        team = teams[choice.mode].name
        one = read_contribution(team, await procedure.ask("work", team, task))
        if one.status != "completed":
            raise TeamFailed(f"{team!r}, chosen as {choice.why}, failed: {one.reason}", mode=choice.mode)
        return TeamReport(pattern=choice.mode, answer=one.output, why=choice.why, contributions=(one,))

    members = [*teams.values(), *([profiler] if profiler is not None else [])]
    return build_team(name, work, members, description=description, limits=limits)
