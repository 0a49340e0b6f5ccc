"""Hooks that hold an agent's calls to rules: one changes them, three vote on them, and one of the three is broken.

Prints:

    called: ('A-7', 50.0)
    refused: hook `rules` denied it: reviewers: 1 allow, 1 deny, 0 abstain, 1 absent; 2/3 decides nothing, and the \
tie rule is `deny`
    broken did not answer within 0.01 s
    answer: One refund was made.
"""

import asyncio
import json

from msgspec import structs

from quorate import Agent, ScriptedModel, tool
from quorate.hooks.composite import sequential, voting
from quorate.hooks.hook import Heard, Hook, HookFunction, Moment, Verdict
from quorate.hooks.hooked_tools import HookedTools
from quorate.messages import ToolResult
from quorate.models.scripted import call

refunded: list[tuple[str, float]] = []
failures: set[str] = set()


@tool(effect="unsafe")
async def refund(order: str, amount: float) -> str:
    """Give money back."""
    refunded.append((order, amount))
    return f"{amount} given back"


def read(moment: Moment) -> dict[str, object]:
    assert moment.call is not None
    return json.loads(moment.call.arguments)


async def cap(moment: Moment) -> Verdict | None:
    """Nobody gets back more than 50 at once."""
    arguments = read(moment)
    if float(str(arguments["amount"])) <= 50:
        return None
    assert moment.call is not None
    changed = structs.replace(moment.call, arguments=json.dumps({**arguments, "amount": 50.0}))
    return Verdict(decision="replace", value=changed, reason="more than 50")


async def trust(moment: Moment) -> Verdict:
    """Everybody is honest."""
    return Verdict(decision="allow")


async def suspect(moment: Moment) -> Verdict:
    """Orders of series B are not."""
    return Verdict(decision="deny" if str(read(moment)["order"]).startswith("B") else "allow")


async def hang(moment: Moment) -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


def build(name: str, function: HookFunction, *, timeout_s: float = 5.0, replaces: bool = False) -> Hook:
    return Hook(
        name=name,
        function=function,
        points=("tool.before",),
        on_failure="fail_closed",
        decisions=("replace",) if replaces else ("allow", "deny"),
        timeout_s=timeout_s,
    )


def note(moment: Moment, heard: Heard) -> None:
    if heard.failure:
        failures.add(f"{heard.hook} {heard.failure}")


reviewers = voting(
    [build("trusting", trust), build("careful", suspect), build("broken", hang, timeout_s=0.01)],
    name="reviewers",
    threshold="2/3",
    on_failure="fail_closed",
)
rules = sequential([build("cap", cap, replaces=True), reviewers], name="rules")
script = [[call("refund", order="A-7", amount=120.0), call("refund", order="B-1", amount=5.0)], "One refund was made."]
agent = Agent("cashier", model=ScriptedModel(script), tools=[HookedTools(refund, rules, report=note)])


async def main() -> None:
    result = await agent.run("Refund both orders.")
    print("called:", *refunded)
    for message in result.messages:
        for part in message.parts:
            if isinstance(part, ToolResult) and part.is_error:
                print("refused:", str(part.content).partition(": ")[2])
    print(*sorted(failures))
    print("answer:", result.output)


asyncio.run(main())
