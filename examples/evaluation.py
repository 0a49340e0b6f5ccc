"""An evaluation: cases that are recorded runs, graded, with how sure the figures are, and compared with another agent.

Prints:

    careful  5 of 6, 43.6 to 97.0 %
    hasty    2 of 6, 9.7 to 70.0 %
    difference  -50.0 %, p = 0.125: no difference shown
    why hasty failed on 23*3: exact: it is the text 'about 70', not 69
"""

import asyncio
import tempfile

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.catalog.evaluation.case import Case, Exact
from quorate.catalog.evaluation.compare import compare
from quorate.catalog.evaluation.report import Configuration, Report, build_report
from quorate.runtime import Runtime
from quorate.runtime.evaluation.running import Evaluation, Options

SUMS = {"1+1": 2, "7*8": 56, "23*3": 69, "90/6": 15, "12-30": -18, "2**10": 1024}


def know_all_but_one(request):
    asked = request.messages[0].text
    return "-18.0" if asked == "90/6" else str(SUMS[asked])


def guess(request):
    asked = request.messages[0].text
    return str(SUMS[asked]) if asked in ("1+1", "7*8") else f"about {round(SUMS[asked], -1)}"


async def evaluate(runtime: Runtime, agent: str) -> Report:
    cases = [
        Case(id=f"sum.{place}", agent=agent, request=asked, expects=(Exact(equals=right),))
        for place, (asked, right) in enumerate(SUMS.items())
    ]
    records = await Evaluation(runtime, Options(id=f"eval-{agent}")).run(cases)
    return build_report(f"eval-{agent}", records, planned=len(cases), configuration=Configuration())


async def main() -> None:
    agents = [Agent("careful", model=ScriptedModel(know_all_but_one)), Agent("hasty", model=ScriptedModel(guess))]
    with tempfile.TemporaryDirectory() as folder:
        async with open_runtime(Settings(database=f"{folder}/runs.db"), agents=agents) as runtime:
            careful, hasty = await evaluate(runtime, "careful"), await evaluate(runtime, "hasty")
    for name, report in (("careful", careful), ("hasty", hasty)):
        figures, sure = report.figures, report.figures.rate_interval
        print(f"{name:8} {figures.passed} of {figures.runs}, {sure.low * 100:.1f} to {sure.high * 100:.1f} %")
    found = compare(careful.records, hasty.records)
    print(f"difference  {found.rate.mean * 100:+.1f} %, p = {found.p_value:.3f}: {found.verdict}")
    print(f"why hasty failed on 23*3: {hasty.records[2].why}")


asyncio.run(main())
