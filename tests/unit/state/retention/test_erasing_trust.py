"""Is what was said of somebody, and by them, gone with them?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.unit.state.backup.filling import build_run

from quorate.council.ballot import Ballot, Vote
from quorate.council.evidence import Judged
from quorate.council.ledger import TrustLedger
from quorate.council.outcomes import OutcomeBook, record_outcome
from quorate.council.trust import Source
from quorate.errors import NotFound
from quorate.ports import Store
from quorate.state.audit import AuditTrail
from quorate.state.backends._postgres_tenants import ROOMS
from quorate.state.backends.memory import open_memory_store
from quorate.state.erasure import Eraser, verify_erasure
from quorate.state.services import ROOMS as OPENED
from quorate.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    """Two decisions: of one Ada says what was true, in the other she voted; and another tenant's."""
    async with open_memory_store(clock=clock) as opened:
        for tenant in ("acme", "zeta"):
            place = f"trust/{tenant}/"
            for number, who in enumerate(("ada", "bob")):
                run = f"run-{tenant}-{number}"
                head, *more = build_run(run, tenant=tenant)
                await opened.log.append(run, [msgspec.structs.replace(head, principal="eve"), *more], expected=0)
                votes = tuple(
                    Vote(voter=name, ballot=Ballot(choice="x")) for name in ("person:ada", "person:ada-2", "net")
                )
                await record_outcome(
                    Judged(
                        id=f"dec-{number}", options=("x", "y"), votes=votes, winner="x", closed=clock.now(), run=run
                    ),
                    "x",
                    source=Source(principal=who),
                    book=OutcomeBook(opened.values, place),
                    ledger=TrustLedger(opened.values, place, clock=clock),
                    clock=clock,
                    reason="I saw it",
                )  # fmt: skip
        yield opened


async def list_keys(store: Store) -> list[str]:
    return [entry.key for entry in await store.values.scan("trust/", limit=1000)]


async def test_trust_in_a_person_goes_with_the_person(store: Store, clock: ManualClock) -> None:
    """And what they said was true; not what others said, nor anybody whose name begins alike."""
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    before = await list_keys(store)
    certificate = await Eraser(store, tenant="acme", clock=clock, audit=trail).erase_principal("ada", by="dpo")
    gone = set(before) - set(await list_keys(store))
    assert {key.rpartition("/")[0] for key in gone} == {"trust/acme/member/person:ada", "trust/acme/outcome"}
    assert "trust/acme/outcome/dec-0" in gone
    assert len(gone) == 2
    assert all(b"ada" not in entry.value for entry in await store.values.scan("trust/acme/", limit=1000))
    assert (await verify_erasure(store, certificate, audit=trail)).ok


async def test_what_was_true_of_a_decision_goes_with_its_run(store: Store, clock: ManualClock) -> None:
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    eraser = Eraser(store, tenant="acme", clock=clock, audit=trail)
    await eraser.erase_run("run-acme-1", by="dpo")
    keys = await list_keys(store)
    assert "trust/acme/outcome/dec-1" not in keys
    assert {"trust/acme/outcome/dec-0", "trust/zeta/outcome/dec-1"} <= set(keys)
    with pytest.raises(NotFound):
        await eraser.erase_run("run-zeta-0", by="dpo")


def test_what_runs_share_is_bound_to_their_tenant_by_the_database_too() -> None:
    """Each room that a run may open is one whose rows PostgreSQL shows to their tenant alone."""
    assert set(OPENED) <= set(ROOMS)
