"""How are tenants made, suspended, bounded and ended, so that the audit trail says who did it?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from quorate.errors import Conflict
from quorate.events import Status
from quorate.runtime.acts import noted
from quorate.runtime.quotas import Quotas
from quorate.runtime.runtime import Runtime
from quorate.security.quotas import TENANT, Quota, QuotaTable, write_amount
from quorate.security.tenants import StoredTenant, build_absence, check_project

UNDER_WAY: tuple[Status, ...] = ("queued", "running", "waiting")
MAX_REASON = 200


class TenantActs:
    """What somebody does to tenants and their quotas; every act is a row in the trail of the tenant it is about.

    Args:
        runtime: Of any tenant.
        by: Who does it.
        own: The tenant of whoever does it, which they cannot shut themselves out of; empty at the machine itself.
    """

    def __init__(self, runtime: Runtime, *, by: str, own: str = "") -> None:
        self._runtime = runtime
        self._quotas: Quotas = find_quotas(runtime)
        self._by = by
        self._own = own

    async def create(self, tenant: str, *, name: str = "") -> StoredTenant:
        """Register a tenant; see `quorate.security.tenants.TenantBook.create`."""
        async with self.noting("tenant.create", tenant):
            made = await self._quotas.tenants.create(tenant, name=name, by=self._by)
        self._quotas.forget(tenant)
        return made

    async def rename(self, tenant: str, *, name: str, if_revision: int | None = None) -> StoredTenant:
        """Call a tenant something else; raises what `TenantBook.rename` raises."""
        await self._quotas.tenants.show(tenant)
        async with self.noting("tenant.rename", tenant):
            return await self._quotas.tenants.rename(tenant, name=name, if_revision=if_revision)

    async def suspend(self, tenant: str, *, reason: str = "", if_revision: int | None = None) -> StoredTenant:
        """Let nobody of a tenant in; what is under way for it goes on until it ends or rests.

        Raises:
            NotFound: There is no such tenant.
            Conflict: It is one's own, or was changed meanwhile.
        """
        await self._quotas.tenants.show(tenant)
        async with self.noting("tenant.suspend", tenant, reason=reason):
            self._check_other(tenant, "suspended")
            found = await self._quotas.tenants.suspend(tenant, reason=reason, if_revision=if_revision)
        self._quotas.forget(tenant)
        return found

    async def resume(self, tenant: str, *, if_revision: int | None = None) -> StoredTenant:
        """Let a tenant in again; raises what `TenantBook.resume` raises."""
        await self._quotas.tenants.show(tenant)
        async with self.noting("tenant.resume", tenant):
            found = await self._quotas.tenants.resume(tenant, if_revision=if_revision)
        self._quotas.forget(tenant)
        return found

    async def delete(self, tenant: str, *, if_revision: int | None = None) -> StoredTenant:
        """End a tenant of which nothing is under way; what it recorded stays until it is pruned.

        Raises:
            NotFound: There is no such tenant.
            Conflict: Runs of it are under way or rest, it is one's own, or it was changed meanwhile.
        """
        await self._quotas.tenants.show(tenant)
        async with self.noting("tenant.delete", tenant):
            self._check_other(tenant, "deleted")
            for status in UNDER_WAY:
                live = await self._runtime.whole.log.list_runs(status=status, tenant=tenant, limit=1)
                if live:
                    raise Conflict(
                        f"Run {live[0].run!r} of the tenant {tenant!r} is {status}: suspend the tenant, and let its "
                        "runs end or cancel them first.",
                        run=live[0].run,
                    )
            found = await self._quotas.tenants.delete(tenant, if_revision=if_revision)
        self._quotas.forget(tenant)
        return found

    async def add_project(self, tenant: str, project: str, *, name: str = "") -> StoredTenant:
        """Add a project to a tenant; raises what `TenantBook.add_project` raises."""
        await self._quotas.tenants.show(tenant)
        async with self.noting("project.create", tenant) as facts:
            facts["project"] = project[:63]
            return await self._quotas.tenants.add_project(tenant, project, name=name, by=self._by)

    async def remove_project(self, tenant: str, project: str) -> StoredTenant:
        """Take a project away from a tenant; raises what `TenantBook.remove_project` raises."""
        await self._quotas.tenants.show(tenant)
        async with self.noting("project.delete", tenant) as facts:
            facts["project"] = project[:63]
            return await self._quotas.tenants.remove_project(tenant, project)

    async def set_quotas(
        self, tenant: str, subject: str, quotas: Sequence[Quota], *, if_revision: int | None = None
    ) -> QuotaTable:
        """Let these be all quotas of a tenant, a project or a key of it.

        Raises:
            InvalidInput: One makes no sense.
            NotFound: The tenant has no such project.
            Conflict: They were changed meanwhile.
        """
        async with self.noting("quota.set", tenant, subject=subject) as facts:
            facts["quotas"] = _describe(quotas)
            await self._check_subject(tenant, subject)
            return await self._quotas.set(tenant, subject, quotas, if_revision=if_revision)

    async def change_quotas(
        self, tenant: str, subject: str, *, add: Sequence[Quota] = (), drop: Sequence[str] = ()
    ) -> QuotaTable:
        """Set some quotas and drop others by name; raises what `set_quotas` raises."""
        async with self.noting("quota.set", tenant, subject=subject) as facts:
            facts["quotas"] = _describe(add)
            facts["dropped"] = ", ".join(drop)
            await self._check_subject(tenant, subject)
            return await self._quotas.change(tenant, subject, add=add, drop=drop)

    async def _check_subject(self, tenant: str, subject: str) -> None:
        kind, _, name = subject.partition("/")
        if kind == "project":
            await check_project_of(self._runtime, tenant, name)

    def _check_other(self, tenant: str, what: str) -> None:
        if tenant == self._own:
            raise Conflict(f"The tenant {tenant!r} is your own, and you would be shut out: it cannot be {what} by you.")

    def noting(
        self, action: str, tenant: str, *, subject: str = TENANT, reason: str = ""
    ) -> AbstractAsyncContextManager[dict[str, str]]:
        """Add a row to the trail of a tenant when the block is done, or was refused."""
        runtime = self._runtime.for_tenant(tenant)
        return noted(
            runtime.audit,
            action,
            principal=self._by,
            object=subject or f"tenant/{tenant}",
            reason=reason[:MAX_REASON],
            clock=runtime.clock,
            max_wait_s=runtime.settings.worker.patience_s,
        )


def find_quotas(runtime: Runtime) -> Quotas:
    """Return the quotas of a runtime; one that was not opened in the usual way has some of its own."""
    if runtime.quotas is None:
        runtime.quotas = Quotas(runtime.whole, clock=runtime.clock, patience_s=runtime.settings.worker.patience_s)
    return runtime.quotas


async def check_project_of(runtime: Runtime, tenant: str, project: str) -> None:
    """Return if a tenant has a project.

    Raises:
        NotFound: It has none, or is not registered.
    """
    found = await find_quotas(runtime).tenants.find(tenant)
    if found is None:
        raise build_absence(tenant)
    check_project(found.tenant, project)


async def pass_on_quotas(runtime: Runtime, tenant: str, *, old: str, new: str) -> None:
    """Bound a key by what bounds the one that it takes the place of: to replace a key raises nothing."""
    quotas = find_quotas(runtime)
    held = (await quotas.book.read(tenant)).subjects.get(f"key/{old}", ())
    if held:
        await quotas.change(tenant, f"key/{new}", add=held)


def _describe(quotas: Sequence[Quota]) -> str:
    return ", ".join(f"{quota.name}={write_amount(quota)}" for quota in quotas) or "none"
