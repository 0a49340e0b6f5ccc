"""A council whose process is killed again and again, and what its log and its index must say in the end."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import cast

from quorate import Agent, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.run import RunOptions
from quorate.council.decide import Backing, council
from quorate.council.decision import Decision, read_decisions, verify_decision
from quorate.council.plan import Plan
from quorate.council.signing import Seal
from quorate.errors import NotFound, UpstreamError
from quorate.events import ENDINGS, AnyEvent, RunCompleted, ToolFailed, ToolFinished, VoteCast, VoteClosed, VoteDecided
from quorate.models.scripted import Answer, call
from quorate.specs import Request
from quorate.state.backends.sqlite import open_sqlite_store

RUN = "run-killed"
SEAL = Seal(b"the secret of a council that dies")
MINDS = {
    "v1": ("a", "a"), "v2": ("a", "a"), "v3": ("b", "b"), "v4": ("b", "a"), "v5": ("c", "a"), "v6": ("c", "c"),
    "v7": ("", "b"),
}  # fmt: skip
"""What each member votes for before the debate and behind it; who says nothing fails."""


def build(effects: Path) -> AnyAgent:
    """Seven members, each of whom looks something up before it votes; a majority is found behind a debate only."""

    def build_member(name: str, first: str, second: str) -> AnyAgent:
        @tool(effect="idempotent")
        async def look(what: str) -> str:
            """Write down that somebody looked."""
            with effects.open("a") as file:  # one short write, whole or not at all
                file.write(f"{name}-{what}\n")
            return "seen"

        def answer(request: Request) -> Answer:
            asked = next(message.text for message in request.messages if message.role == "user")
            if "Argue for" in asked:
                return f'{{"position": "{second}", "argument": "look at it"}}'
            is_second = "speaker" in asked
            if request.messages[-1].role != "tool":
                return call("look", what="second" if is_second else "first")
            choice = second if is_second else first
            return f'{{"choice": "{choice}"}}' if choice else UpstreamError("The provider is down.")

        return Agent(name, model=ScriptedModel(answer), tools=[look])

    members = [build_member(name, *minds) for name, minds in MINDS.items()]
    plan = Plan(options=("a", "b", "c"), fallback=("debate:1",), seed=7)
    return council("board", members, plan, backing=Backing(seal=SEAL))


async def go_on(database: Path, effects: Path) -> None:
    """Begin the run, or go on with what is recorded of it."""
    board = build(effects)
    async with open_sqlite_store(str(database)) as store:
        try:
            await board.resume(RUN, log=store.log)
        except NotFound:
            await board.run("Which?", log=store.log, options=RunOptions(run_id=RUN))


async def read(database: Path) -> list[AnyEvent]:
    """Read the whole log."""
    async with open_sqlite_store(str(database)) as store:
        return list(await store.log.read(RUN))


async def decide_faultless(folder: Path) -> Decision:
    """What is decided when nothing happens to anybody."""
    (folder / "faultless").touch()
    return cast("Decision", (await build(folder / "faultless").run("Which?", options=RunOptions(run_id=RUN))).output)


def describe(record: Decision) -> object:
    """What must be the same wherever a chair died."""
    rounds = [
        (one.terms, [(vote.voter, vote.ballot) for vote in one.ballots], one.refused, one.status, one.points)
        for one in record.rounds
    ]
    return record.id, record.winner, record.by, record.why, rounds


def check(events: list[AnyEvent], folder: Path, *, kills: int) -> None:
    """The decision is the one that is made when nobody dies; nobody's ballot is counted or asked for twice."""
    (record,) = read_decisions(events)
    expected = asyncio.run(decide_faultless(folder))
    assert describe(record) == describe(expected)
    assert (record.winner, len(record.rounds)) == ("a", 2)
    verified = verify_decision(events, record.id, seal=SEAL)
    assert (verified.holds, verified.is_sealed) == (True, True), verified
    votes = Counter(event.key for event in events if isinstance(event, (VoteCast, VoteClosed, VoteDecided)))
    assert (len(votes), set(votes.values())) == (6 + 7 + 2 + 1, {1})
    settled = Counter(event.key for event in events if isinstance(event, (ToolFinished, ToolFailed)))
    assert set(settled.values()) == {1}
    assert [type(event) for event in events if isinstance(event, ENDINGS)] == [RunCompleted]
    made = Counter((folder / "effects.txt").read_text().split())
    assert set(made) == {f"{name}-{what}" for name in MINDS for what in ("first", "second")}
    assert max(made.values()) <= kills + 1


if __name__ == "__main__":
    asyncio.run(go_on(Path(sys.argv[1]), Path(sys.argv[2])))
