"""How do agents decide between options, so that silence, ties and strays never pass for a yes?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput, QuorateError, UnknownName
from quorate.events import VoteCast, VoteClosed, VoteOpened
from quorate.specs import Limits

Rule = Literal["plurality", "majority", "unanimous"]
"""Most votes; more than half of all that were cast; all that were cast."""
MAX_OPTIONS = 50


class NoDecision(QuorateError):
    """A vote came to no decision."""

    code = "no_decision"


class Ballot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a voter answers."""

    choice: str
    reason: str = ""


class CastBallot(Struct, frozen=True, kw_only=True):
    """A vote as it was cast; a voter who gave none is not among them."""

    voter: str
    choice: str
    reason: str = ""


class VoteReport(Struct, frozen=True, kw_only=True):
    """What was decided."""

    winner: str
    why: str
    turnout: float
    """The share of those on the roll who voted, 0 to 1."""
    votes: dict[str, int]
    """How many each option got, in the order of the options."""
    ballots: tuple[CastBallot, ...]


def vote(
    name: str,
    voters: Sequence[AnyAgent],
    options: Sequence[str],
    *,
    rule: Rule = "majority",
    quorum: float = 0.5,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build an agent that has others vote on what it is asked; what it answers is a `VoteReport`.

    Voters do not see each other's votes. One who fails, or who answers none of the options, is absent.

    Args:
        name: Its name.
        voters: Who may vote: the roll.
        options: What there is to choose from.
        rule: Which option wins; a tie is no decision.
        quorum: Which share of the roll must vote, 0 to 1.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: There are no voters, fewer than two options, or a quorum that is none.
        UnknownName: There is no such rule.
    """
    if rule not in get_args(Rule):
        raise UnknownName("rule", rule, get_args(Rule))
    names = [voter.name for voter in voters]
    if not names or len(set(names)) < len(names):
        raise InvalidInput(
            f"Vote {name!r} has the voters {', '.join(names) or '(none)'}: give at least one, each once."
        )
    if not 2 <= len(options) <= MAX_OPTIONS or len(set(options)) < len(options) or not all(options):
        raise InvalidInput(f"Vote {name!r} has {len(options)} options: give 2 to {MAX_OPTIONS} different ones.")
    if not 0 <= quorum <= 1:
        raise InvalidInput(f"Vote {name!r} has a quorum of {quorum!r}: give a share of the roll, 0 to 1.")

    async def work(procedure: Work, task: str) -> str:
        facts = {"question": task[:4_000], "options": tuple(options), "roll": tuple(names)}
        await procedure.note("opened", VoteOpened, rule=rule, quorum=quorum, **facts)
        jobs = [_cast(procedure, place, voter, task, options) for place, voter in enumerate(voters, 1)]
        ballots = [one for one in await side_by_side(jobs) if one is not None]
        for one in ballots:
            await procedure.note(
                f"cast/{one.voter}", VoteCast, voter=one.voter, choice=one.choice, reason=one.reason[:2_000]
            )
        turnout = len(ballots) / len(voters)
        winner, why = count_votes(ballots, options, roll=len(voters), rule=rule, quorum=quorum)
        await procedure.note("closed", VoteClosed, winner=winner, turnout=turnout)
        if winner is None:
            raise NoDecision(f"{name!r} came to no decision: {why}.")
        counted = Counter(one.choice for one in ballots)
        report = VoteReport(
            winner=winner,
            why=why,
            turnout=turnout,
            votes={option: counted[option] for option in options},
            ballots=tuple(ballots),
        )
        return msgspec.json.encode(report).decode()

    return build_agent(name, work, tools=voters, output_type=VoteReport, description=description, limits=limits)


def count_votes(
    ballots: Sequence[CastBallot], options: Sequence[str], *, roll: int, rule: Rule, quorum: float
) -> tuple[str | None, str]:
    """Count votes; return what won, or `None`, and why.

    Args:
        ballots: What was cast; of a voter, one.
        options: What there was to choose from; a vote for anything else is none.
        roll: How many might have voted.
        rule: Which option wins.
        quorum: Which share of the roll must have voted.
    """
    counted = Counter(one.choice for one in ballots if one.choice in options)
    cast = counted.total()
    if not cast:
        return None, "nobody voted"
    if cast < quorum * roll:
        return None, f"{cast} of {roll} voted, and the quorum is {quorum:g}"
    (best, most), *others = counted.most_common()
    tied = sorted(option for option, number in others if number == most)
    if tied:
        return None, f"{', '.join([best, *tied])} have {most} votes each"
    needed = {"plurality": 1, "majority": cast // 2 + 1, "unanimous": cast}[rule]
    if most < needed:
        return None, f"{best} has {most} of {cast} votes, and {rule} needs {needed}"
    return best, f"{best} has {most} of {cast} votes"


async def _cast(procedure: Work, place: int, voter: AnyAgent, task: str, options: Sequence[str]) -> CastBallot | None:
    listed = "\n".join(f"- {option}" for option in options)
    schema = '{"choice": "<one of the options, to the letter>", "reason": "<why>"}'
    asked = f"{task}\n\nVote for one of these options, and answer with JSON alone: {schema}\n{listed}"

    def check(found: Ballot) -> None:
        if found.choice not in options:
            raise InvalidInput(f"{found.choice!r:.200} is none of the options: {', '.join(options)}")

    try:
        ballot = await ask_for(procedure, f"voter-{place}", voter.name, asked, Ballot, check=check)
    except TeamFailed:  # an error is not a vote
        return None
    return CastBallot(voter=voter.name, choice=ballot.choice, reason=ballot.reason)
