"""A call that waits for a person: the run rests in the log, somebody answers, and it goes on with exactly that call.

The person may answer a day later and from another process; here everything happens in one.

Prints:

    waiting for approval of refund {"order":"A-7","amount":120.0}
    ann approves a smaller amount
    completed: Refunded.
    refunded: A-7 80.0
"""

import asyncio
import tempfile
from pathlib import Path

from quorate import Agent, Approved, ScriptedModel, Settings, open_runtime, tool
from quorate.events import ApprovalRequested
from quorate.models.scripted import call

refunded: list[str] = []


@tool(effect="unsafe")
async def refund(order: str, amount: float) -> str:
    """Give money back."""
    refunded.append(f"{order} {amount}")
    return f"{amount} given back"


agent = Agent(
    "cashier",
    model=ScriptedModel([call("refund", order="A-7", amount=120.0), "Refunded."]),
    tools=[Approved(refund)],
)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_runtime(Settings(database=str(Path(folder, "quorate.db")))) as runtime:
            run = await runtime.submit("Refund order A-7.", agent=agent)
            result = await run.wait()
            asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
            print(f"{result.status} for approval of {asked.call.name} {asked.call.arguments}")

            print("ann approves a smaller amount")
            edited = '{"order":"A-7","amount":80.0}'
            await runtime.decide(run.id, asked.key, approved=True, by="ann", arguments=edited)

            run = await runtime.resume(run.id, agent=agent)
            result = await run.wait()
            print(f"{result.status}: {result.output}")
    print("refunded:", *refunded)


asyncio.run(main())
