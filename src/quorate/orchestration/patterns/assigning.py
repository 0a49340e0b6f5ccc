"""Who of several gets a task: the first, the best, the next in turn, a random one, or whoever has least to do?

Who got it is recorded as the result of a tool, with the number that chance was drawn by, so that a run that goes on
after a crash, or is played again, gives the task to the same one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.work import Work
from quorate.council.earned import ReadWeights
from quorate.errors import InvalidInput, UnknownName
from quorate.orchestration.patterns.hierarchy import Part, choose_worker
from quorate.orchestration.patterns.team import Contribution, TeamReport, build_team, read_contribution
from quorate.ports import RunContext
from quorate.specs import Limits
from quorate.tools.define import AnyTool, tool

Strategy = Literal["first", "best", "round_robin", "random", "load"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
CHOOSE, RELEASE = "choose_member", "release_member"
MAX_HELD = 1_000
"""How many tasks that are under way are counted; older ones are forgotten."""
_BOARD = "assigned"
"""Under which name it is kept who has what, for all runs of a team."""


class Turn(Struct, frozen=True, kw_only=True):
    """What a choice goes by beside the members and the task."""

    number: int = 0
    """How many tasks were given before."""
    seed: int = 0
    """What chance is drawn by."""
    load: Mapping[str, int] = {}
    """How many tasks each has under way."""


FIRST_TURN = Turn()


class Assigned(Struct, frozen=True, kw_only=True):
    """Who got a task, and why."""

    agent: str
    why: str
    seed: int = 0
    """What chance was drawn by; 0 where it was not."""


class _Held(Struct, frozen=True, kw_only=True):
    agent: str
    until: float


class _Board(Struct, frozen=True, kw_only=True):
    """Who was given how much, and has what under way."""

    given: int = 0
    held: dict[str, _Held] = {}


def assign_to(
    strategy: Strategy,
    task: str,
    members: Sequence[AnyAgent],
    *,
    turn: Turn = FIRST_TURN,
    trust: Mapping[str, float] | None = None,
    without: Collection[str] = (),
) -> Assigned:
    """Choose who does a task; the same for the same arguments.

    Args:
        strategy: `first` of the members that are left; `best`: the highest capability x trust (see `choose_worker`);
            `round_robin`: each in turn; `random`; `load`: whoever has least under way, of equals the first.
        task: What is to be done.
        members: Who may do it.
        turn: What the choice goes by beside.
        trust: How much each is trusted, 0 to 1; wholly when not given.
        without: Who may not, as they failed at it.

    Raises:
        UnknownName: There is no such strategy.
        TeamFailed: Nobody is left.
    """
    if strategy not in STRATEGIES:
        raise UnknownName("strategy", strategy, STRATEGIES)
    left = [member for member in members if member.name not in without]
    if not left:
        raise TeamFailed(f"Nobody is left to do {task!r:.200}.")
    names = [member.name for member in left]
    if strategy == "best":
        known = {**dict.fromkeys(names, 1.0), **(trust or {})}
        best = choose_worker(Part(task=task), left, known, {})
        return Assigned(agent=best, why=f"{best} fits best")
    if strategy == "round_robin":
        # By their places among all members, so that whoever failed does not move the others' turns.
        order = [members[(turn.number + step) % len(members)].name for step in range(len(members))]
        chosen = next(name for name in order if name in names)
        return Assigned(agent=chosen, why=f"it is the turn of {chosen}, number {turn.number + 1}")
    if strategy == "random":
        chosen = random.Random(turn.seed).choice(names)
        return Assigned(agent=chosen, why=f"chance fell on {chosen}", seed=turn.seed)
    if strategy == "load":
        chosen = min(names, key=lambda name: turn.load.get(name, 0))
        return Assigned(agent=chosen, why=f"{chosen} has {turn.load.get(chosen, 0)} tasks under way")
    return Assigned(agent=names[0], why=f"{names[0]} is the first")


def draw_seed() -> int:
    """Draw a number that chance goes by."""
    return int.from_bytes(os.urandom(6), "big")


def assigned(
    name: str,
    members: Sequence[AnyAgent],
    *,
    strategy: Strategy = "best",
    trust: Mapping[str, float] | ReadWeights | None = None,
    topic: str = "",
    draw: Callable[[], int] = draw_seed,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team that gives each task to one member, and on to another one when that one fails.

    Whose turn it is and who has how much under way is known to all runs of the team, in whichever process they are, as
    far as these share a store.

    Args:
        name: Its name.
        members: Who may do it.
        strategy: By what it is chosen; see `assign_to`.
        trust: How much each is trusted, 0 to 1, or what reads how much each has earned; wholly when not given.
        topic: In which topic trust is read.
        draw: Draws the number that chance goes by.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, two of one name, or trust is out of bounds.
        UnknownName: There is no such strategy, or trust names somebody else.
    """
    if strategy not in STRATEGIES:
        raise UnknownName("strategy", strategy, STRATEGIES)
    given: Mapping[str, float] = {} if trust is None or callable(trust) else trust
    for member, value in given.items():
        if member not in {one.name for one in members}:
            raise UnknownName("member", member, [one.name for one in members])
        if not 0 <= value <= 1:
            raise InvalidInput(f"Team {name!r}: trust in {member!r} is {value!r}; give 0 to 1.")
    tools = _build_tools(members, strategy, _build_reader(trust, members, topic), draw=draw, held_s=limits.seconds)

    async def work(procedure: Work, task: str) -> TeamReport:
        tried: list[Contribution] = []
        while True:
            place = len(tried) + 1
            arguments = {"task": task[:2_000], "without": [one.agent for one in tried]}
            said = await procedure.call(f"choose-{place}", CHOOSE, arguments)
            if not said.is_good:
                raise TeamFailed(f"Nobody of {name!r} could be given the task: {said.text}"[:4_000])
            choice = msgspec.convert(said.value, Assigned)
            one = read_contribution(choice.agent, await procedure.ask(f"work-{place}", choice.agent, task))
            await procedure.call(f"release-{place}", RELEASE, {})
            tried.append(one)
            if one.status == "completed":
                return TeamReport(
                    pattern=f"assigned {strategy}", answer=one.output, why=choice.why, contributions=tuple(tried)
                )
            if place == len(members):
                reasons = "; ".join(f"{each.agent}: {each.reason}" for each in tried)
                raise TeamFailed(f"Nobody of {name!r} could do it: {reasons}"[:4_000])

    return build_team(name, work, members, tools=[*members, *tools], description=description, limits=limits)


def _build_tools(
    members: Sequence[AnyAgent],
    strategy: Strategy,
    read_trust: Callable[[RunContext[object]], Awaitable[Mapping[str, float]]],
    *,
    draw: Callable[[], int],
    held_s: float,
) -> list[AnyTool]:
    kept = [_Board()]
    """What is known where there is no store."""

    async def change(context: RunContext[object], alter: Callable[[_Board], _Board]) -> None:
        if context.services is None:
            kept[0] = alter(kept[0])
            return

        def rewrite(value: object) -> object:
            known = msgspec.convert(value, _Board) if value is not None else _Board()
            return msgspec.to_builtins(alter(known))

        await context.state.update(_BOARD, rewrite, scope="agent")

    @tool(effect="idempotent", name=CHOOSE)
    async def choose_member(
        context: RunContext[object], task: str, without: Annotated[list[str], Meta(max_length=1_000)]
    ) -> Assigned:
        """Choose who gets a task."""
        now, place, seed = context.clock.now(), _name_place(context), draw()
        trust = await read_trust(context)
        choices: list[Assigned] = []

        def alter(board: _Board) -> _Board:
            held = {key: one for key, one in board.held.items() if one.until > now and key != place}
            turn = Turn(number=board.given, seed=seed, load=Counter(one.agent for one in held.values()))
            choice = assign_to(strategy, task, members, turn=turn, trust=trust, without=without)
            choices.append(choice)
            held[place] = _Held(agent=choice.agent, until=now + held_s)
            return _Board(given=board.given + 1, held=dict(list(held.items())[-MAX_HELD:]))

        await change(context, alter)
        return choices[-1]

    @tool(effect="idempotent", name=RELEASE)
    async def release_member(context: RunContext[object]) -> str:
        """Note that a task is under way no more."""
        place = _name_place(context)

        def alter(board: _Board) -> _Board:
            return msgspec.structs.replace(board, held={key: one for key, one in board.held.items() if key != place})

        await change(context, alter)
        return "released"

    return [choose_member, release_member]


def _build_reader(
    trust: Mapping[str, float] | ReadWeights | None, members: Sequence[AnyAgent], topic: str
) -> Callable[[RunContext[object]], Awaitable[Mapping[str, float]]]:
    """Build what tells trust when a task is given out."""

    async def read_trust(context: RunContext[object]) -> Mapping[str, float]:
        if trust is None or not callable(trust):
            return trust or {}
        return await trust(context, [member.name for member in members], topic)

    return read_trust


def _name_place(context: RunContext[object]) -> str:
    """Name a task in a run: one is under way at a time."""
    return f"{context.run}/{context.key.rpartition('/1/tool/')[0]}"
