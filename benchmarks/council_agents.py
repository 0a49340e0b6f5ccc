"""Do real agents come to what the simulation says, and what does their council cost beside their own work?"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import msgspec

from benchmarks.council_members import Setting, draw_team, draw_views
from benchmarks.council_trials import write_ballot
from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.council.ballot import Ballot, Vote
from quorate.council.decide import NoDecision, decide
from quorate.council.plan import Plan
from quorate.council.tally import tally
from quorate.council.terms import Seat, Terms

RULES = ("majority", "plurality", "borda", "schulze", "instant_runoff", "score")
QUESTION = "Which one?"


@dataclass
class Held:
    """What came of real decisions by a rule."""

    decisions: int = 0
    right: int = 0
    alike: int = 0
    """How many had the winner that the simulation has."""
    added_ms: list[float] = field(default_factory=list[float])
    """How much more CPU each took than its members' own runs, side by side."""


def build_members(ballots: list[Ballot]) -> list[AnyAgent]:
    """Build agents each of which answers with its ballot."""
    texts = [msgspec.json.encode(ballot).decode() for ballot in ballots]
    return [Agent(f"member-{place}", model=ScriptedModel([text])) for place, text in enumerate(texts)]


async def hold_decisions(setting: Setting, *, tasks: int, seed: int) -> dict[str, Held]:
    """Have agents decide tasks, by several rules each."""
    chance = random.Random(f"agents {seed} {setting}")
    options = tuple(f"option {place}" for place in range(setting.options))
    found = {rule: Held() for rule in RULES}
    for number in range(tasks):
        views = draw_views(setting, draw_team(setting, chance), chance)
        for rule, held in found.items():
            ballots = [write_ballot(rule, view, options) for view in views]
            began = time.process_time()
            async with asyncio.TaskGroup() as group:
                for member in build_members(ballots):
                    group.create_task(run(member))
            alone = time.process_time() - began
            plan = Plan(tie="random", seed=number)
            began = time.process_time()
            try:
                record = await decide(QUESTION, voters=build_members(ballots), options=options, rule=rule, plan=plan)
                winner = record.winner
            except NoDecision:
                winner = None
            held.added_ms.append((time.process_time() - began - alone) * 1_000)
            held.decisions += 1
            held.right += winner == options[0]
            held.alike += winner == count(ballots, options, rule, number)
    return found


async def run(member: AnyAgent) -> None:
    await member.run(QUESTION)


def count(ballots: list[Ballot], options: tuple[str, ...], rule: str, seed: int) -> str | None:
    """Count the same ballots without any agent."""
    roll = tuple(Seat(voter=f"member-{place}") for place in range(len(ballots)))
    terms = Terms(question=QUESTION, options=options, roll=roll, rule=rule, tie="random", seed=seed)
    votes = [Vote(voter=seat.voter, ballot=ballot) for seat, ballot in zip(roll, ballots, strict=True)]
    return tally(terms, votes).winner
