"""What is killed while a run of it waits: a clerk that pays, asks and lets time go by, on a database.

`waiter.py submit DB JOURNAL [hold]` begins a run, says what is recorded and at last how it stands; it must be killed.
With `hold` a call beside the questions never ends. `waiter.py resume DB JOURNAL` goes on with the run and ends.
"""

import asyncio
import sys
from pathlib import Path

from quorate import Agent, Approved, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime
from quorate.events import get_kind
from quorate.models.scripted import call
from quorate.settings.values import AgentSettings
from quorate.tools.waits import AskPerson, Timers

MODE, DATABASE, JOURNAL, *HOLD = sys.argv[1:]
TURNS = (
    [call("pay", amount=5), call("ask", question="Which shelf?", choices=["1", "2"]), call("work")],
    call("wait", seconds=30),
    "done",
)


def note(words: str) -> None:
    with Path(JOURNAL).open("a", encoding="utf-8") as file:
        file.write(f"{words}\n")


@tool(effect="idempotent")
async def work() -> str:
    """Work beside the questions."""
    if HOLD:
        await asyncio.Event().wait()
    return "worked"


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    note(f"pay {amount}")
    return f"paid {amount}"


def build() -> Agent[None, str]:
    model = ScriptedModel(lambda request: TURNS[sum(one.role == "assistant" for one in request.messages)])  # type: ignore[arg-type, return-value]
    guarded = Approved(pay, editable=["amount"], by_other=True, policy="refunds-1")
    return Agent("clerk-at-work", model=model, tools=[guarded, AskPerson(), Timers(rest_above_s=0), work])


async def main() -> None:
    settings = Settings(database=DATABASE, agents=AgentSettings())
    async with open_runtime(settings) as runtime:
        if MODE == "submit":
            run = await runtime.submit("pay", agent=build(), principal="pat")  # type: ignore[arg-type]
            async for event in run.events():
                print(get_kind(event), flush=True)
        else:
            (summary,) = await runtime.list_runs()
            run = await runtime.resume(summary.run, agent=build())  # type: ignore[arg-type]
        result = await run.wait()
        print(f"{result.status} {result.text}", flush=True)
        if MODE == "submit":
            await asyncio.Event().wait()


asyncio.run(main())
