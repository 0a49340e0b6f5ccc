"""A conversation that is handed on: whoever takes over goes on with it as its own, in the same run.

Prints:

    desk > billing: the invoice of May is paid
    desk handed to billing: it is about an invoice
    billing read: "Is my invoice of May paid?"
"""

import asyncio

from quorate import Agent, ScriptedModel
from quorate.events import HandoffRequested
from quorate.models.scripted import call
from quorate.orchestration.handoff import Transfer, handoff


async def main() -> None:
    knows = ScriptedModel(["the invoice of May is paid"])
    desk = Agent("desk", model=ScriptedModel([call("transfer_to_billing", reason="it is about an invoice")]))
    billing = Agent("billing", description="Knows invoices.", model=knows)
    team = handoff("help-desk", [desk, billing], [Transfer(source="desk", target="billing")])
    result = await team.run("Is my invoice of May paid?")
    print(f"{result.output.why}: {result.output.answer}")
    for event in result.events:
        if isinstance(event, HandoffRequested):
            print(f"{event.source} handed to {event.target}: {event.reason}")
    print(f'billing read: "{knows.requests[0].messages[0].text}"')


asyncio.run(main())
