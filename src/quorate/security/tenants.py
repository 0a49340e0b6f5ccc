"""Which tenants are there, which projects have they, and may they work at the moment?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal

import msgspec
from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Conflict, CorruptState, Forbidden, InvalidInput, NotFound
from quorate.ids import check_id
from quorate.ports import Entry, KeyValue
from quorate.security.keys import refuse

TenantState = Literal["active", "suspended", "deleted"]
PREFIX = "access/tenant/"
PAGE = 200
MAX_NAME = 100
MAX_REASON = 200
MAX_PROJECTS = 500
"""How many projects one tenant may have."""
TRIES = 20


class Project(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a tenant that keys are given out for, with quotas of its own."""

    id: str
    name: str = ""
    created: float
    by: str = ""


class Tenant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An organisation, whose things nobody else sees."""

    id: str
    name: str = ""
    """What it is called, in somebody's words."""
    state: TenantState = "active"
    reason: str = ""
    """Why it is suspended."""
    created: float
    by: str = ""
    changed: float = 0.0
    projects: tuple[Project, ...] = ()

    def check(self) -> None:
        """Return if work may be done for it.

        Raises:
            Forbidden: It is suspended.
            Unauthenticated: It is gone, and with it all of its keys.
        """
        if self.state == "suspended":
            raise Forbidden(
                f"The tenant {self.id!r} is suspended, so that nothing is done for it: ask whoever operates this "
                "to resume it.",
                tenant=self.id,
            )
        if self.state == "deleted":
            raise refuse()


class StoredTenant(Struct, frozen=True, kw_only=True):
    """A tenant, and the revision at which it is in the store."""

    tenant: Tenant
    revision: int


class TenantBook:
    """The tenants that are registered, in the store that all processes share.

    A tenant that is not registered works all the same, as it did before there was a register: what it lacks is a name,
    projects, and somebody who can suspend it.

    Args:
        values: Where they are kept.
        clock: Where time comes from.
    """

    def __init__(self, values: KeyValue, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._values = values
        self._clock = clock

    async def create(self, tenant: str, *, name: str = "", by: str = "") -> StoredTenant:
        """Register a tenant; its id is its for good, also when it is deleted.

        Raises:
            Conflict: There is, or was, one with that id.
            InvalidInput: The id or the name is not one.
        """
        now = self._clock.now()
        made = Tenant(id=check_id(tenant, "tenant"), name=check_name(name), created=now, by=by, changed=now)
        try:
            entry = await self._values.put(_build_place(tenant), msgspec.json.encode(made), if_revision=0)
        except Conflict as error:
            raise Conflict(
                f"The tenant {tenant!r} is registered already, or was: choose another id.", tenant=tenant
            ) from error
        return StoredTenant(tenant=made, revision=entry.revision)

    async def find(self, tenant: str) -> StoredTenant | None:
        """Find what is registered of a tenant, deleted ones too; `None` for one that never was."""
        entry = await self._values.get(_build_place(check_id(tenant, "tenant")))
        return None if entry is None else _read(entry)

    async def show(self, tenant: str) -> StoredTenant:
        """Return a registered tenant.

        Raises:
            NotFound: There is none, or it is deleted.
        """
        found = await self.find(tenant)
        if found is None or found.tenant.state == "deleted":
            raise build_absence(tenant)
        return found

    async def list_tenants(self, *, after: str = "", limit: int = PAGE) -> list[StoredTenant]:
        """List registered tenants behind an id, in order of their ids; deleted ones are left out."""
        found = list[StoredTenant]()
        place = _build_place(after) if after else ""
        while len(found) < limit:
            page = await self._values.scan(PREFIX, after=place, limit=PAGE)
            found += [one for one in map(_read, page) if one.tenant.state != "deleted"]
            if len(page) < PAGE:
                break
            place = page[-1].key
        return found[:limit]

    async def iterate(self) -> AsyncGenerator[Tenant]:
        """Yield all registered tenants in order of their ids."""
        after = ""
        while page := await self.list_tenants(after=after):
            for one in page:
                yield one.tenant
            after = page[-1].tenant.id

    async def rename(self, tenant: str, *, name: str, if_revision: int | None = None) -> StoredTenant:
        """Call a tenant something else.

        Raises:
            NotFound: There is none.
            Conflict: It is not what it was at that revision.
        """
        check_name(name)
        return await self._change(tenant, lambda one: structs.replace(one, name=name), if_revision=if_revision)

    async def suspend(self, tenant: str, *, reason: str = "", if_revision: int | None = None) -> StoredTenant:
        """Let nobody of a tenant in, within five seconds everywhere; its keys and data stay.

        Raises:
            NotFound: There is none.
        """
        _check_text(reason, "reason", MAX_REASON)

        def change(one: Tenant) -> Tenant:
            return structs.replace(one, state="suspended", reason=reason)

        return await self._change(tenant, change, if_revision=if_revision)

    async def resume(self, tenant: str, *, if_revision: int | None = None) -> StoredTenant:
        """Let a tenant in again.

        Raises:
            NotFound: There is none.
        """
        return await self._change(
            tenant, lambda one: structs.replace(one, state="active", reason=""), if_revision=if_revision
        )

    async def delete(self, tenant: str, *, if_revision: int | None = None) -> StoredTenant:
        """End a tenant for good: all of its keys are refused, and its id is never given to another one.

        What it recorded stays until it is pruned.

        Raises:
            NotFound: There is none.
        """

        def change(one: Tenant) -> Tenant:
            return structs.replace(one, state="deleted", reason="", projects=())

        return await self._change(tenant, change, if_revision=if_revision)

    async def add_project(self, tenant: str, project: str, *, name: str = "", by: str = "") -> StoredTenant:
        """Add a project to a tenant.

        Raises:
            NotFound: There is no such tenant.
            Conflict: It has such a project, or as many as it may.
        """
        made = Project(id=check_id(project, "project"), name=check_name(name), created=self._clock.now(), by=by)

        def change(one: Tenant) -> Tenant:
            if any(known.id == project for known in one.projects):
                raise Conflict(f"The tenant {tenant!r} has a project {project!r} already: choose another id.")
            if len(one.projects) >= MAX_PROJECTS:
                raise Conflict(f"The tenant {tenant!r} has {MAX_PROJECTS} projects, and may not have more.")
            return structs.replace(one, projects=tuple(sorted((*one.projects, made), key=lambda each: each.id)))

        return await self._change(tenant, change)

    async def remove_project(self, tenant: str, project: str) -> StoredTenant:
        """Take a project away from a tenant; keys of it go on working, and its quotas on counting.

        Raises:
            NotFound: There is no such tenant, or it has no such project.
        """

        def change(one: Tenant) -> Tenant:
            check_project(one, project)
            return structs.replace(one, projects=tuple(each for each in one.projects if each.id != project))

        return await self._change(tenant, change)

    async def _change(
        self, tenant: str, change: Callable[[Tenant], Tenant], *, if_revision: int | None = None
    ) -> StoredTenant:
        for _ in range(TRIES):
            found = await self.show(tenant)
            if if_revision is not None and found.revision != if_revision:
                raise Conflict(f"The tenant {tenant!r} was changed since it was read: read it again.")
            changed = structs.replace(change(found.tenant), changed=self._clock.now())
            try:
                entry = await self._values.put(
                    _build_place(tenant), msgspec.json.encode(changed), if_revision=found.revision
                )
            except Conflict:
                continue
            return StoredTenant(tenant=changed, revision=entry.revision)
        raise Conflict(f"The tenant {tenant!r} changes too fast: others were quicker {TRIES} times.")


def check_project(tenant: Tenant, project: str) -> None:
    """Return if a tenant has a project.

    Raises:
        NotFound: It has none.
    """
    if all(known.id != project for known in tenant.projects):
        raise NotFound(
            f"There is no project {project[:80]!r}: add it with `quorate tenants add-project {tenant.id} NAME`."
        )


def check_name(name: str) -> str:
    """Return what something is called if it can be shown anywhere.

    Raises:
        InvalidInput: It cannot.
    """
    return _check_text(name, "name", MAX_NAME)


def build_absence(tenant: str) -> NotFound:
    """Build what is said of a tenant that is not there, or is none of whoever asks."""
    return NotFound(f"There is no tenant {tenant[:80]!r}: list them with `quorate tenants list`.")


def _check_text(text: str, what: str, most: int) -> str:
    if len(text) > most or not (text.isprintable() or not text):
        raise InvalidInput(f"the {what} of a tenant or project is at most {most} printable characters.")
    return text


def _read(entry: Entry) -> StoredTenant:
    try:
        return StoredTenant(tenant=msgspec.json.decode(entry.value, type=Tenant), revision=entry.revision)
    except msgspec.DecodeError as error:
        raise CorruptState(
            f"What is kept of a tenant under {entry.key!r} does not read; nobody of it is let in."
        ) from error


def _build_place(tenant: str) -> str:
    return f"{PREFIX}{tenant}"
