"""A model that plans first: all steps are checked before the first call, and later steps use earlier results.

Prints:

    plan: address (find_address), port (probe_port), certificate (read_certificate)
    find_address shop.internal
    probe_port 10.0.0.7:443
    read_certificate 10.0.0.7
    answer: The certificate of shop.internal ends in 12 days.
"""

import json

from quorate import Agent, ScriptedModel, tool
from quorate.models.planner import PlannerModel, find_plans

calls: list[str] = []


@tool(effect="idempotent")
async def find_address(host: str) -> dict[str, str]:
    """Find the address of a host."""
    calls.append(f"find_address {host}")
    return {"host": host, "address": "10.0.0.7"}


@tool(effect="idempotent")
async def probe_port(address: str, port: int) -> bool:
    """Say whether a port is open."""
    calls.append(f"probe_port {address}:{port}")
    return True


@tool(effect="idempotent")
async def read_certificate(address: str) -> dict[str, int]:
    """Read a certificate."""
    calls.append(f"read_certificate {address}")
    return {"days_left": 12}


PLAN = {
    "steps": [
        {"id": "address", "tool": "find_address", "arguments": {"host": "shop.internal"}},
        {"id": "port", "tool": "probe_port", "arguments": {"address": "{address.address}", "port": 443}},
        {
            "id": "certificate",
            "tool": "read_certificate",
            "arguments": {"address": "{address.address}"},
            "after": ["port"],
        },
    ]
}
# A language model writes the plan and the answer; here a script does, so that this runs without one.
inner = ScriptedModel([json.dumps(PLAN), "The certificate of shop.internal ends in 12 days."])
agent = Agent("checker", model=PlannerModel(inner), tools=[find_address, probe_port, read_certificate])

result = agent.run_sync("Is the certificate of shop.internal in order?")
plan = find_plans(result.messages)[-1]
print("plan:", ", ".join(f"{step.id} ({step.tool})" for step in plan.steps))
print(*calls, sep="\n")
print("answer:", result.output)
