"""Is it written down once, and for good, who a tenant is and what it may use?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import Conflict, CorruptState, Forbidden, InvalidInput, NotFound, Unauthenticated
from quorate.security.identity import Identity, Need
from quorate.security.keys import ApiKey
from quorate.security.quotas import MAX_SUBJECTS, Quota, QuotaBook, list_subjects
from quorate.security.tenants import MAX_PROJECTS, TenantBook
from quorate.state.backends.memory import MemoryValues

REQUESTS = Quota(kind="requests", most=10, per="minute")


async def fails(work: Awaitable[object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        await work


async def test_a_tenant_lives_and_ends() -> None:
    """Its id is its own for good; what is suspended or gone is let in nowhere."""
    book = TenantBook(MemoryValues(SYSTEM_CLOCK))
    made = await book.create("acme", name="Acme", by="ann")
    made.tenant.check()
    await fails(book.create("acme"), Conflict, "registered already")
    await fails(book.create("Acme!"), InvalidInput, "not an identifier")
    await fails(book.create("globex", name="a\nb"), InvalidInput, "printable")
    await fails(book.show("globex"), NotFound, "no tenant 'globex'")
    assert (await book.rename("acme", name="Acme Ltd")).tenant.name == "Acme Ltd"
    await fails(book.rename("acme", name="x", if_revision=made.revision), Conflict, "changed since")
    suspended = await book.suspend("acme", reason="unpaid")
    with pytest.raises(Forbidden, match="'acme' is suspended"):
        suspended.tenant.check()
    (await book.resume("acme")).tenant.check()
    with pytest.raises(Unauthenticated):
        (await book.delete("acme")).tenant.check()
    await fails(book.resume("acme"), NotFound, "no tenant")
    await fails(book.create("acme"), Conflict, "or was")
    assert [one async for one in book.iterate()] == []


async def test_tenants_are_listed_in_order_a_page_at_a_time() -> None:
    """Those that are gone are left out, and cost no page its length."""
    book = TenantBook(MemoryValues(SYSTEM_CLOCK))
    for number in range(9):
        await book.create(f"t{number}")
    await book.delete("t2")
    page = await book.list_tenants(limit=3)
    assert [one.tenant.id for one in page] == ["t0", "t1", "t3"]
    assert [one.tenant.id for one in await book.list_tenants(after="t3", limit=3)] == ["t4", "t5", "t6"]


async def test_projects_are_added_once_however_many_do_so() -> None:
    book = TenantBook(MemoryValues(SYSTEM_CLOCK))
    await book.create("acme")
    added = await asyncio.gather(*(book.add_project("acme", "web") for _ in range(9)), return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in added) == 8
    await book.add_project("acme", "api", name="The API")
    assert [one.id for one in (await book.show("acme")).tenant.projects] == ["api", "web"]
    await book.remove_project("acme", "web")
    await fails(book.remove_project("acme", "web"), NotFound, "no project 'web'")
    assert MAX_PROJECTS * 300 < 1 << 20  # they fit into one value


async def test_quotas_are_whole_and_make_sense() -> None:
    """All faults are told at once; a change from what somebody else changed is none."""
    book = QuotaBook(MemoryValues(SYSTEM_CLOCK))
    table = await book.set("acme", "project/web", (REQUESTS,))
    assert (await book.read("acme")).subjects == {"project/web": (REQUESTS,)}
    await fails(book.set("acme", "", (), if_revision=table.revision - 1), Conflict, "changed since")
    assert (await book.set("acme", "project/web", ())).subjects == {}
    assert (await book.read("globex")).subjects == {}
    wrong = (
        Quota(kind="requests", most=1.5, per="month"), Quota(kind="bytes", most=1, per="now"),
        Quota(kind="usd", most=float("nan"), per="day"), Quota(kind="runs", most=9_999, per="now"), REQUESTS, REQUESTS,
    )  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        await book.set("acme", "key/0123456789abcdef", wrong)
    for words in ("not per month", "no whole number", "whole tenant", "no amount", "above 5000", "there twice"):
        assert words in caught.value.message
    for subject in ("user/ann", "project/", "key/../../x", "project/A", "tenant"):
        await fails(book.set("acme", subject, ()), InvalidInput, "has no quotas|not an identifier")
    assert MAX_SUBJECTS * 400 < 1 << 20


async def test_quotas_that_do_not_read_bound_everything() -> None:
    values = MemoryValues(SYSTEM_CLOCK)
    await values.put("quotas/table/acme", b"[")
    await fails(QuotaBook(values).read("acme"), CorruptState, "nothing may be used")
    await values.put("access/tenant/acme", b"[")
    await fails(TenantBook(values).show("acme"), CorruptState, "nobody of it is let in")


def test_a_right_to_the_platform_is_nobodys_by_role() -> None:
    """Only whom the doorkeeper says so has it, and only within its role and scopes."""
    wanted = Need("tenants", "admin", platform=True)
    admin = Identity(tenant="acme", principal="ann", role="admin")
    assert admin.may(Need("tenants", "admin"))
    assert not admin.may(wanted)
    assert Identity(tenant="ops", principal="ann", role="admin", platform=True).may(wanted)
    assert not Identity(tenant="ops", principal="ann", role="operator", platform=True).may(wanted)
    assert not Identity(tenant="ops", principal="ann", role="admin", scopes=("runs:*",), platform=True).may(wanted)
    assert str(wanted) == "tenants:admin of the platform"


def test_a_key_counts_in_its_project() -> None:
    """A key from before there were projects is of none."""
    key = ApiKey(id="0123456789abcdef", tenant="acme", principal="ann", role="viewer", created=0.0)
    assert key.build_identity().payer == "/0123456789abcdef"
    assert Identity(tenant="acme", principal="ann", role="viewer").payer == ""
    assert list_subjects("web", "k1") == ("key/k1", "project/web", "")
    assert list_subjects("", "") == ("",)
