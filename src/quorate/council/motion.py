"""How is something put to a vote whose voters are named only then?"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.members import AnyMember
from quorate.agent.procedure.work import Work
from quorate.codec.json import check_depth
from quorate.council.decide import Backing, Charter, check_council, hold, read_seat
from quorate.council.decision import Decision
from quorate.council.plan import Plan
from quorate.council.registrar import DECIDER, build_registrar
from quorate.council.voter import answer_in_words
from quorate.errors import InvalidInput
from quorate.specs import Limits


class Motion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is put to the vote, to whom, and how it is decided."""

    question: str
    voters: tuple[str, ...]
    """Agents by name; people as `person:<principal>`."""
    plan: Plan = Plan()


def build_decider(
    find_agent: Callable[[str], AnyAgent], *, backing: Backing = Backing(), limits: Limits = Limits()
) -> AnyAgent:
    """Build the agent that puts motions to the vote: its task is a `Motion` as JSON, its answer a `Decision`.

    Args:
        find_agent: Finds the agents that motions name.
        backing: What vouches for ballots and tells trust.
        limits: The bounds of each of its runs, for all voters together.
    """

    async def work(procedure: Work, task: str) -> str:
        motion = read_motion(task)
        plan = check_motion(motion, find_agent, backing=backing)
        charter = Charter(plan=plan, roll=motion.voters)
        record = await hold(procedure, motion.question, charter, is_sealing=backing.seal is not None)
        return msgspec.json.encode(record).decode()

    return build_agent(
        DECIDER,
        work,
        tools=[
            AnyMember(lambda name: answer_in_words(find_agent(name)), timeout_s=limits.seconds),
            *build_registrar(backing.seal, backing.read_weights),
        ],
        output_type=Decision,
        description="Puts a motion to the vote among the agents and people that it names.",
        limits=limits,
    )


def write_motion(motion: Motion) -> str:
    """Write a motion as the task of the agent that puts it to the vote."""
    return msgspec.json.encode(motion).decode()


def read_motion(text: str) -> Motion:
    """Read a motion.

    Raises:
        InvalidInput: It is none.
    """
    try:
        check_depth(text)
        return msgspec.json.decode(text, type=Motion)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(
            f"What agent {DECIDER!r} was given is no motion: {error}. Give JSON with `question`, `voters` and `plan`."
        ) from error


def check_motion(motion: Motion, find_agent: Callable[[str], AnyAgent], *, backing: Backing = Backing()) -> Plan:
    """Check a motion before anybody is asked; return its plan with the rule under its own name.

    Raises:
        InvalidInput: It does not hold together; all that is wrong is told at once.
        UnknownName: It names an agent that is not there.
    """
    members = [read_seat(seat) for seat in motion.voters]
    agents = [member.agent for member in members if member.agent]
    arbiters = [name for name in _read_arbiters(motion.plan) if name not in agents]
    for name in (*agents, *arbiters):
        find_agent(name)
    return check_council(DECIDER, members, motion.plan, agents=[*agents, *arbiters], backing=backing)


def _read_arbiters(plan: Plan) -> tuple[str, ...]:
    try:
        return plan.arbiters
    except InvalidInput:  # it is told with everything else that is wrong
        return ()
