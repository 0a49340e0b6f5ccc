"""A call that waits for a person, and a question that only a person can answer: the run rests in the log for both.

The person may answer a day later and from another process; here everything happens in one.

Prints:

    waiting
      may refund {"order":"A-7","amount":120.0} be called?
      Was it our fault?
    ann approves a smaller amount, and tells
    completed: Refunded.
    refunded: A-7 80.0
"""

import asyncio
import tempfile
from pathlib import Path

from quorate import Agent, Approved, ScriptedModel, Settings, open_runtime, tool
from quorate.events import InputRequested
from quorate.models.scripted import call
from quorate.tools.waits import AskPerson

refunded: list[str] = []


@tool(effect="unsafe")
async def refund(order: str, amount: float) -> str:
    """Give money back."""
    refunded.append(f"{order} {amount}")
    return f"{amount} given back"


ask = call("ask", question="Was it our fault?", choices=["yes", "no"])
agent = Agent(
    "cashier",
    model=ScriptedModel([[call("refund", order="A-7", amount=120.0), ask], "Refunded."]),
    tools=[Approved(refund, editable=["amount"], by_other=True), AskPerson()],
)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_runtime(Settings(database=str(Path(folder, "quorate.db")))) as runtime:
            run = await runtime.submit("Refund order A-7.", agent=agent, principal="pat")
            print((await run.wait()).status)

            for asked in await runtime.questions():
                question = asked.question
                if isinstance(question, InputRequested):
                    print(f"  {question.question}")
                    await runtime.answer(run.id, asked.key, text="no", by="ann")
                else:
                    print(f"  may {question.call.name} {question.call.arguments} be called?")
                    edited = '{"order":"A-7","amount":80.0}'
                    await runtime.decide(run.id, asked.key, approved=True, by="ann", arguments=edited)
            print("ann approves a smaller amount, and tells")

            run = await runtime.resume(run.id, agent=agent)
            result = await run.wait()
            print(f"{result.status}: {result.output}")
    print("refunded:", *refunded)


asyncio.run(main())
