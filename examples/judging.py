"""Judging answers by a rubric, comparing them in pairs, asking one agent several times, and merging what several know.

Prints:

    judged      0.875 of 1, 0.6 passes, by 2 of 3 judges: passed
                marta: "the log partition is full"
                nils: "the log partition is full"
                olga is absent
    compared    terse wins; 0 of 3 pairs turned with their order
    asked       17, by 3 of 3 samples; 2 more would not have changed it
    merged      1. The shop is down since 03:12. (ann, bob)
                2. The disk holds 40 GB. (ann; contradicts 3)
                3. The disk holds 80 GB. (bob; contradicts 2)
"""

import asyncio
import json
import re

from quorate import Agent, ScriptedModel
from quorate.council.compare import compare
from quorate.council.consistency import Sampling, consistent
from quorate.council.judge import judge, write_case
from quorate.council.merge import merge
from quorate.council.rubric import Criterion, Rubric
from quorate.errors import UpstreamError
from quorate.specs import Request

RUBRIC = Rubric(
    criteria=(
        Criterion(name="cause", question="Does it name the cause?", weight=3, least=3),
        Criterion(name="action", question="Does it say what to do?"),
    )
)
ANSWER = "The shop is down because the log partition is full. Delete old logs."


def build(name: str, *said: str) -> Agent:
    return Agent(name, model=ScriptedModel(list(said)))


def write_marks(cause: int, action: int) -> str:
    def mark(quote: str, score: int) -> dict[str, object]:
        return {"reason": "It says so.", "evidence": [quote], "score": score}

    return json.dumps({"marks": {"cause": mark("the log partition is full", cause), "action": mark("Delete", action)}})


def prefer_short(request: Request) -> str:
    """A judge that reads the two answers it is shown, and likes the shorter one."""
    shown = re.findall(r"^<(?:first|second)-\w+>\n(.*?)\n</", request.messages[-1].text, re.MULTILINE | re.DOTALL)
    better = "first" if len(shown[0]) < len(shown[1]) else "second"
    return json.dumps({"reason": "It says the same in fewer words.", "better": better})


def write_items(*items: dict[str, object]) -> str:
    return json.dumps({"items": items})


async def judge_one() -> None:
    away = Agent("olga", model=ScriptedModel([UpstreamError("The provider is down.")]))
    judges = [build("marta", write_marks(5, 4)), build("nils", write_marks(4, 5)), away]
    report = (await judge("judges", judges, RUBRIC).run(write_case("Why is the shop down?", ANSWER))).output
    print(f"judged      {report.why}: {'passed' if report.passed else 'failed'}")
    for one in report.judges:
        said = f'{one.judge}: "{one.marks["cause"].evidence[0]}"' if one.marks else f"{one.judge} is absent"
        print(f"            {said}")


async def compare_three() -> None:
    writers = [
        build("wordy", "Well, I think it is full."),
        build("terse", "Full."),
        build("mid", "It is full."),
    ]
    umpire = Agent("umpire", model=ScriptedModel(prefer_short))
    report = (await compare("best", [umpire], members=writers).run("Is the disk full?")).output
    turned = sum(one.swayed for one in report.pairs)
    print(f"compared    {report.winner} wins; {turned} of {len(report.pairs)} pairs turned with their order")


async def ask_often() -> None:
    solver = build("solver", "17", "17.0", " 17. ")
    report = (await consistent("sure", solver, sampling=Sampling(same="number")).run("How many orders failed?")).output
    asked = len(report.samples)
    print(f"asked       {report.answer:g}, by {asked} of {asked} samples; ", end="")
    print(f"{report.planned - asked} more would not have changed it")


async def merge_two() -> None:
    down = {"text": "The shop is down since 03:12.", "evidence": ["probe"]}
    sizes = [{"text": f"The disk holds {n} GB.", "about": "size of the disk", "value": n} for n in (40, 80)]
    members = [build("ann", write_items(down, sizes[0])), build("bob", write_items(down, sizes[1]))]
    report = (await merge("known", members).run("What is known?")).output
    for one in report.items:
        against = f"; contradicts {one.conflicts[0]}" if one.conflicts else ""
        print(f"{'merged' if one.number == 1 else '':<12}{one.number}. {one.text} ({', '.join(one.by)}{against})")


async def main() -> None:
    await judge_one()
    await compare_three()
    await ask_often()
    await merge_two()


asyncio.run(main())
