"""Agents and a person deciding: a tie, a debate, a second vote, and a record that is counted again.

Prints:

    it waits for ada
    ballot 1    tied        ann: restart, bob: wait, person:ada: (abstains)
    ballot 2    decided     ann: wait, bob: wait, person:ada: wait
    decided     wait, by vote, against nobody
    verified    it holds, sealed by the council's secret
    changed     it does not hold: a ballot of "eve" does not count
"""

import asyncio
import json
import tempfile
from pathlib import Path

from msgspec import structs

from quorate import Agent, Person, Plan, ScriptedModel, Settings, open_runtime
from quorate.agent.agent import AnyAgent
from quorate.council.ballot import Ballot
from quorate.council.chair import describe_choice
from quorate.council.decide import Backing, council
from quorate.council.decision import Decision, verify_decision
from quorate.council.signing import Seal
from quorate.events import VoteCast
from quorate.runtime.ballots import cast_ballot, find_asked
from quorate.runtime.decisions import Decisions

SEAL = Seal(b"32 random bytes, in real life...")
ARGUED = {"position": "wait", "argument": "A restart loses the caches, and takes an hour.", "rebuts": []}
ABSTAINS, WAIT = Ballot(abstains=True, reason="I cannot tell."), Ballot(choice="wait", reason="They convinced me.")


def build(name: str, *said: object) -> Agent:
    return Agent(name, model=ScriptedModel([json.dumps(one) for one in said]))


def show(record: Decision) -> None:
    for one in record.rounds:
        ballots = ", ".join(f"{cast.voter}: {describe_choice(cast.ballot)}" for cast in one.ballots)
        print(f"ballot {one.number}    {one.status:<10}  {ballots}")
    against = ", ".join(record.last.dissent) or "nobody"
    print(f"decided     {record.winner}, by {record.by}, against {against}")


async def main() -> None:
    ann = build("ann", {"choice": "restart", "confidence": 0.6}, ARGUED, {"choice": "wait", "confidence": 0.7})
    bob = build("bob", {"choice": "wait", "confidence": 0.8}, ARGUED, {"choice": "wait", "confidence": 0.9})
    plan = Plan(options=("restart", "wait"), quorum=0.6, fallback=("debate:1",))
    board = council("shift", [ann, bob, Person("ada")], plan, backing=Backing(seal=SEAL))
    with tempfile.TemporaryDirectory() as folder:
        await hold(board, Settings(database=str(Path(folder, "quorate.db"))))


async def hold(board: AnyAgent, settings: Settings) -> None:
    async with open_runtime(settings) as runtime:
        run = await runtime.submit("What now?", agent=board)
        result = await run.wait()
        for ballot in (ABSTAINS, WAIT):
            (entry,) = await Decisions(runtime).list_entries()
            (asked,) = await find_asked(runtime, await Decisions(runtime).get(entry.id))
            if ballot is ABSTAINS:
                print(f"it waits for {getattr(asked.question, 'of', '')}")
            await cast_ballot(runtime, entry.id, ballot, by="ada")
            result = await (await runtime.resume(run.id, agent=board)).wait()
        events = await runtime.log.read(run.id)
    assert isinstance(result.output, Decision)
    show(result.output)
    verified = verify_decision(events, result.output.id, seal=SEAL)
    print(f"verified    {'it holds' if verified.holds else verified.faults}, sealed by the council's secret")
    changed = [structs.replace(one, voter="eve") if isinstance(one, VoteCast) else one for one in events]
    faults = verify_decision(changed, result.output.id, seal=SEAL).faults
    told = 'a ballot of "eve" does not count' if any("'eve' does not count" in fault for fault in faults) else faults
    print(f"changed     it does not hold: {told}")


if __name__ == "__main__":
    asyncio.run(main())
