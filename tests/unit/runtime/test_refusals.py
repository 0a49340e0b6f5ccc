"""Do refusals come into the trails they belong in, whatever is wrong with another one?"""

from __future__ import annotations

from quorate.runtime.refusals import Refusal, Refusals
from quorate.state.audit import AuditTrail
from quorate.state.backends.memory import MemoryValues
from quorate.testing.clock import ManualClock


def build_refusal(tenant: str) -> Refusal:
    return Refusal(tenant=tenant, action="http.refuse", principal="-", object="peer/192.0.2.1", reason="forbidden")


async def test_a_damaged_trail_keeps_nothing_out_of_others() -> None:
    clock = ManualClock()
    values = MemoryValues(clock)
    trails = {name: AuditTrail(values, clock=clock, tenant=name) for name in ("acme", "globex")}
    refusals = Refusals(trails.__getitem__, spawn=lambda work: work.close())
    await trails["acme"].append("key.create", principal="boss", object="tenant/acme")
    for entry in await values.scan("audit/acme/"):
        await values.put(entry.key, b"no row")
    trails["acme"] = AuditTrail(values, clock=clock, tenant="acme")
    refusals.note(build_refusal("acme"))
    for _ in range(3):
        refusals.note(build_refusal("globex"))
    await refusals.flush()
    assert [row.facts["count"] for row in await trails["globex"].read(limit=10)] == [3]
