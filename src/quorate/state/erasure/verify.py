"""Is what a certificate says was erased really in a store no more?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from quorate.errors import CorruptState
from quorate.ports import Store
from quorate.state.archive.lines import Advance, ignore_progress
from quorate.state.archive.reading import scan_runs
from quorate.state.audit import AuditFilter, AuditTrail
from quorate.state.erasure.certificate import ErasureCertificate, hash_id
from quorate.state.erasure.inventory import scan_keys

MOST_FOUND = 100
ROOMS = ("state", "session", "artifact", "submit", "memory", "trust")


class ErasureReport(Struct, frozen=True, kw_only=True):
    """What came of looking for what was erased."""

    searched: int
    """How many things there are in the tenant's part of the store."""
    found: tuple[str, ...] = ()
    """What is there although it was erased, the first hundred."""
    recorded: bool = False
    """Whether the audit trail has the certificate, unchanged."""

    @property
    def ok(self) -> bool:
        """Whether nothing is there, and the certificate is the one that was given."""
        return self.recorded and not self.found


async def verify_erasure(
    store: Store, certificate: ErasureCertificate, *, audit: AuditTrail, progress: Advance = ignore_progress
) -> ErasureReport:
    """Look at everything a tenant has in a store for what a certificate says was erased.

    Args:
        store: Where to look; a restored backup from before brings things back, and this finds them.
        certificate: What was given when it was erased.
        audit: The tenant's trail, which has the certificate's digest.
        progress: Is told how much was looked at.

    Raises:
        CorruptState: The audit trail cannot be read.
    """
    if audit.tenant != certificate.tenant:
        raise CorruptState("The certificate is another tenant's: give the trail of that tenant.")
    hashes = {kind: frozenset(ids) for kind, ids in certificate.hashes.items()}
    searched, found = 0, list[str]()
    async with aclosing(_list_everything(store, certificate.tenant)) as things:
        async for kind, name in things:
            searched += 1
            if hash_id(certificate.salt, kind, name) in hashes.get(kind, ()) and len(found) < MOST_FOUND:
                found.append(f"{kind} {name}")
            if not searched % 1000:
                progress("things looked at", searched, 0)
    return ErasureReport(searched=searched, found=tuple(found), recorded=await _is_recorded(audit, certificate))


async def _list_everything(store: Store, tenant: str) -> AsyncGenerator[tuple[str, str]]:
    async with aclosing(scan_runs(store.log, tenant=tenant)) as pages:
        async for page in pages:
            for summary in page:
                yield "run", summary.run
    for room in ROOMS:
        async with aclosing(scan_keys(store, f"{room}/{tenant}/")) as keys:
            async for key in keys:
                yield "value", key
                parts = key.split("/")
                if room == "session":
                    yield "session", parts[2]
                elif room == "artifact" and parts[2] == "id":
                    yield "artifact", parts[3]
    after = ""
    while blobs := await store.blobs.list_blobs(f"{tenant}/", after=after):
        for blob in blobs:
            yield "blob", blob.name
        after = blobs[-1].name


async def _is_recorded(audit: AuditTrail, certificate: ErasureCertificate) -> bool:
    match = AuditFilter(object=f"erasure/{certificate.id}", outcome="done")
    rows = await audit.read_last(limit=1, match=match)
    return bool(rows) and rows[0].facts.get("certificate") == certificate.digest
