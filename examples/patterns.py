"""Teams that work in different ways, one inside the other: whoever asks sees one agent.

Prints:

    majority    blue: 2 of 3 members gave it
    cascade     42: large is the first of 2 whose answer is good enough
    round robin ann, bob, ann
    nested      A letter, signed by the boss.
    - drafts    completed
    - boss      completed
"""

import asyncio

from quorate import Agent, ScriptedModel
from quorate.orchestration.patterns.assigning import assigned
from quorate.orchestration.patterns.broadcast import broadcast
from quorate.orchestration.patterns.cascade import cascade
from quorate.orchestration.patterns.pipeline import pipeline


def build(name: str, said: str) -> Agent:
    return Agent(name, model=ScriptedModel([said] * 3))


async def main() -> None:
    voters = [build("a", "blue"), build("b", "red"), build("c", "blue")]
    report = (await broadcast("voters", voters, combine="majority").run("Which colour?")).output
    print(f"majority    {report.answer}: {report.why}")

    rungs = [build("small", "no idea"), build("large", "42")]
    report = (await cascade("rungs", rungs, accept=lambda answer: answer != "no idea").run("How much?")).output
    print(f"cascade     {report.answer}: {report.why}")

    desk = assigned("desk", [build("ann", "ann"), build("bob", "bob")], strategy="round_robin")
    answers = [(await desk.run("Who does it?")).output.answer for _ in range(3)]
    print(f"round robin {', '.join(answers)}")

    drafts = broadcast("drafts", [build("one", "Dear all"), build("two", "Hello")])
    report = (await pipeline("office", [drafts, build("boss", "A letter, signed by the boss.")]).run("Write.")).output
    print(f"nested      {report.answer}")
    for one in report.contributions:
        print(f"- {one.agent:<9} {one.status}")


asyncio.run(main())
