"""How are values kept that outlive a run, each for those who share it and for nobody else?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import CorruptState, Forbidden, InvalidInput
from quorate.events import StateChanged
from quorate.ports import KeyValue, RunContext, Sharing, StateEntry, StateScope
from quorate.state.layers import Layer, forget, look_through, see_all
from quorate.state.migrating import Migrated, Report, migrate_all
from quorate.state.places import ScopeRef, build_prefix, build_scope_prefix, read_key
from quorate.state.plain import MAX_BYTES, MOST_BYTES, Rules, SecretPolicy
from quorate.state.rows import Patience, Row, Rows, Sight
from quorate.state.schemas import ConflictPolicy, Schemas, StateSchema
from quorate.state.sweeps import clear, digest
from quorate.state.watching import POLL_S, StateWatch

MAX_LISTED = 1000
_PATIENCE = Patience()


class StateInfo(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a stored value without reading it."""

    name: str
    revision: int
    updated: float
    """The store's wall time of the last change."""
    expires: float | None = None
    size: int = 0
    """Bytes, as they are kept."""
    schema: str = ""
    version: int = 0
    fault: str = ""
    """Why it cannot be read, when it does not verify."""


class StateStore:
    """Values by scope, owner and name: whoever holds it may reach all of them.

    Runs get a `RunStateView` instead, which reaches as far as they may. Every change is atomic and durable, and has a
    revision; `update` counts right however many count at once.
    """

    def __init__(
        self,
        values: KeyValue,
        *,
        clock: Clock = SYSTEM_CLOCK,
        schemas: Iterable[StateSchema] = (),
        max_bytes: int = MAX_BYTES,
        secrets: SecretPolicy = "refuse",
        patience: Patience = _PATIENCE,
        tenant_writes: bool = True,
    ) -> None:
        """Build it over what an opened store keeps; cheap, and without I/O.

        Args:
            values: Where they are kept.
            clock: Our own time, which is only used to tell how far the store's is off.
            schemas: What values are, by their names.
            max_bytes: The most bytes of a value as JSON; 1 MiB at most.
            secrets: What becomes of a secret that somebody stores.
            patience: How often `update` is tried again when others are quicker.
            tenant_writes: Whether runs may change what their whole tenant shares.

        Raises:
            InvalidInput: Two schemas have one name, or the size is out of bounds.
        """
        if not 1 <= max_bytes <= MOST_BYTES:
            raise InvalidInput(f"`max_bytes` is {max_bytes!r}; a stored value has 1 to {MOST_BYTES} bytes.")
        self.tenant_writes = tenant_writes
        self.rows = Rows(
            values,
            clock=clock,
            schemas=Schemas(schemas),
            rules=Rules(max_bytes=max_bytes, secrets=secrets),
            patience=patience,
        )

    def with_schemas(self, schemas: Iterable[StateSchema]) -> StateStore:
        """Build another one over the same values that knows these schemas, too; of two with one name, the newer."""
        rows = self.rows
        known = {schema.name: schema for schema in (*rows.schemas, *schemas)}
        return StateStore(
            rows.values,
            clock=rows.clock,
            schemas=known.values(),
            max_bytes=rows.rules.max_bytes,
            secrets=rows.rules.secrets,
            patience=rows.patience,
            tenant_writes=self.tenant_writes,
        )

    async def get(self, ref: ScopeRef, name: str) -> StateEntry | None:
        """Return a value, migrated to its schema's version where it is older; `None` where nothing is.

        Raises:
            InvalidInput: The name is not one.
            CorruptState: It does not verify, cannot be migrated, or is of a newer version; it is left as it is.
        """
        row = (await self.rows.look(ref, name)).row
        return self.rows.open(row) if row is not None else None

    async def set(
        self,
        ref: ScopeRef,
        name: str,
        value: object,
        *,
        if_revision: int | None = None,
        ttl_s: float | None = None,
        conflict: ConflictPolicy | None = None,
    ) -> StateEntry:
        """Store a value and return it as it is read.

        Args:
            ref: Whose it is.
            name: What it is called.
            value: JSON data, structs, dataclasses, dates.
            if_revision: The revision it goes from; 0 for where nothing is. Without it, whatever is there is replaced.
            ttl_s: After how many seconds of the store's time it is gone.
            conflict: What happens when another revision is there: `refuse`, `last_write`, or a function that makes one
                value of the stored one and this one; its schema's own policy when not given.

        Raises:
            Conflict: Another revision is there, and that is refused; the message names both.
            InvalidInput: It is a secret, holds itself, does not fit its schema, or cannot be written.
            TooLarge: It is over its size.
            CorruptState: What is there is of a newer version of the schema.
        """
        return await self.rows.store(ref, name, value, if_revision=if_revision, ttl_s=ttl_s, conflict=conflict)

    async def update(self, ref: ScopeRef, name: str, change: Callable[[object], object]) -> StateEntry:
        """Store `change(value)`, `None` where nothing is, for as long as the value would have lasted.

        `change` is a plain function; it is called again when somebody else was quicker.

        Raises:
            Conflict: Others were quicker too often.
        """
        return await self.rows.update(ref, name, change)

    async def delete(self, ref: ScopeRef, name: str, *, if_revision: int | None = None) -> bool:
        """Forget a value and say whether it was there.

        Raises:
            Conflict: Another revision is there; the message names both.
        """
        return await self.rows.delete(ref, name, if_revision=if_revision)

    async def names(self, ref: ScopeRef, *, prefix: str = "", after: str = "", limit: int = MAX_LISTED) -> list[str]:
        """List names in order: those that begin with `prefix`, behind `after`, and at most `limit` of them."""
        return [row.name for row in await self.rows.scan(ref, prefix=prefix, after=after, limit=limit)]

    async def list_values(
        self, ref: ScopeRef, *, prefix: str = "", after: str = "", limit: int = MAX_LISTED
    ) -> list[StateInfo]:
        """List what is known of values, as `names` does."""
        return [_build_info(row) for row in await self.rows.scan(ref, prefix=prefix, after=after, limit=limit)]

    async def list_owners(self, scope: StateScope, *, tenant: str, after: str = "", limit: int = 100) -> list[str]:
        """List the ids of those in a tenant who have values: its users, sessions, agents, workflows or runs.

        Those behind `after` only, which is the last of a list before.
        """
        begin, found = build_scope_prefix(scope, tenant=tenant), list[str]()
        if after:
            after = f"{build_prefix(ScopeRef(scope=scope, tenant=tenant, id=after)).removesuffix('/')}0"
        while len(found) < limit:
            page = await self.rows.values.scan(begin, after=after, limit=1)
            if not page:
                break
            owner = page[0].key[len(begin) :].partition("/")[0]
            place = read_key(page[0].key)
            if place is not None:
                found.append(place.id)
            after = f"{begin}{owner}0"  # `0` comes right behind `/`: everything of this owner is skipped
        return found

    def watch(
        self,
        ref: ScopeRef,
        *,
        name: str = "",
        prefix: str = "",
        since: int | Mapping[str, int] | None = None,
        poll_s: float = POLL_S,
    ) -> StateWatch:
        """Follow the changes of one value, or of all whose names begin with `prefix`.

        Args:
            ref: Whose they are.
            name: Which value; all when it is empty.
            prefix: How the names begin.
            since: From which revision on, or the revisions by name that are known already, so that what was deleted
                since is noticed; from now on when not given.
            poll_s: How often the store is looked at.
        """
        return StateWatch(self.rows, ref, name=name, prefix=prefix, since=since, poll_s=poll_s)

    async def clear(self, ref: ScopeRef) -> int:
        """Forget all values of an owner, a run's delegates' among them, and say how many those were."""
        return await clear(self.rows.values, build_prefix(ref))

    async def migrate(self, *, tenant: str | None = None, report: Report = lambda seen, changed: None) -> Migrated:
        """Migrate every value that is older than its schema now, instead of when it is read; all of them, or none.

        Args:
            tenant: Whose; everybody's when it is `None`.
            report: Told after each page how many were looked at and how many migrated.

        Raises:
            Conflict: Somebody else is migrating.
            CorruptState: A value cannot be migrated; those that had been are as they were.
            InvalidInput: There is no migration for one of the steps.
        """
        return await migrate_all(self.rows, tenant=tenant, report=report)

    async def digest(self, *, tenant: str | None = None) -> str:
        """Return a SHA-256 over all values: what a backup brought back has the same."""
        return await digest(self.rows.values, tenant=tenant)


def _build_info(row: Row) -> StateInfo:
    info = StateInfo(name=row.name, revision=row.revision, updated=row.updated, expires=row.expires, size=len(row.data))
    try:
        envelope = row.envelope
    except CorruptState as error:
        return structs.replace(info, fault=error.message)
    return structs.replace(info, schema=envelope.schema, version=envelope.version)


class Record(Protocol):
    """Notes that a value changed, in the log of the run that changed it."""

    def __call__(self, scope: StateScope, name: str, revision: int) -> None:
        """Note it; revision 0 is a value that was deleted."""
        ...


class RunStateView:
    """Stored values as far as one run may reach; a `quorate.ports.RunState`.

    It reads and writes what its own user, session, agent, workflow and run have, reads what everybody shares, and
    writes what its tenant shares unless the store says no. Nothing it is asked leads to another tenant.
    """

    __slots__ = ("_ids", "_layer", "_record", "_store", "_tenant")

    def __init__(
        self,
        store: StateStore,
        *,
        tenant: str,
        run: str,
        ids: Mapping[StateScope, str | None],
        record: Record,
        layer: Layer | None = None,
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._ids: Mapping[StateScope, str | None] = {**ids, "global": "", "tenant": "", "run": run}
        self._record = record
        self._layer = layer or Layer(ref=ScopeRef(scope="run", tenant=tenant, id=run))

    @classmethod
    def of(cls, store: StateStore, context: RunContext[object], *, workflow: str | None = None) -> RunStateView:
        """Open a store for a call, with the rights of its run."""
        info = context.info

        def record(scope: StateScope, name: str, revision: int) -> None:
            key = f"{context.key}/state/{scope}/{name}@{revision}"
            context.owner.record(StateChanged, key, scope=scope, name=name, revision=revision)

        ids: dict[StateScope, str | None] = {
            "user": info.principal,
            "session": info.session,
            "agent": info.agent,
            "workflow": workflow,
        }
        return cls(store, tenant=info.tenant, run=info.run, ids=ids, record=record)

    def open_child(self, sharing: Sharing, path: str) -> RunStateView:
        """Build what a delegate at `path` sees: of the run-scoped values as declared, of all others the same."""
        layer = self._layer.open_child(sharing, path)
        run = self._layer.ref.id
        return RunStateView(self._store, tenant=self._tenant, run=run, ids=self._ids, record=self._record, layer=layer)

    async def get(self, name: str, *, scope: StateScope = "run") -> StateEntry | None:
        """Return a value, or `None`; see `quorate.ports.RunState`."""
        if scope != "run":
            return await self._store.get(self._find(scope), name)
        row = (await self._look(name)).row
        return self._store.rows.open(row) if row is not None else None

    async def set(
        self,
        name: str,
        value: object,
        *,
        scope: StateScope = "run",
        if_revision: int | None = None,
        ttl_s: float | None = None,
    ) -> StateEntry:
        """Store a value; see `quorate.ports.RunState`."""
        ref, look = self._find_writable(scope), self._look if scope == "run" else None
        entry = await self._store.rows.store(ref, name, value, if_revision=if_revision, ttl_s=ttl_s, look=look)
        self._record(scope, name, entry.revision)
        return entry

    async def update(self, name: str, change: Callable[[object], object], *, scope: StateScope = "run") -> StateEntry:
        """Store `change(value)`; see `quorate.ports.RunState`."""
        ref, look = self._find_writable(scope), self._look if scope == "run" else None
        entry = await self._store.rows.update(ref, name, change, look=look)
        self._record(scope, name, entry.revision)
        return entry

    async def delete(self, name: str, *, scope: StateScope = "run") -> bool:
        """Forget a value; see `quorate.ports.RunState`."""
        ref = self._find_writable(scope)
        if scope == "run":
            found = await forget(self._store.rows, self._layer, name)
        else:
            found = await self._store.delete(ref, name)
        if found:
            self._record(scope, name, 0)
        return found

    async def names(self, *, scope: StateScope = "run") -> list[str]:
        """List the names there are; see `quorate.ports.RunState`."""
        if scope == "run":
            return sorted(await see_all(self._store.rows, self._layer))
        return [row.name for row in await self._store.rows.scan_all(self._find(scope))]

    async def _look(self, name: str) -> Sight:
        return await look_through(self._store.rows, self._layer, name)

    def _find(self, scope: StateScope) -> ScopeRef:
        if scope == "run":
            return self._layer.ref
        owner = self._ids.get(scope)
        if owner is None and scope in self._ids:
            raise InvalidInput(f"This run has no {scope}, so it has no state of scope `{scope}`: use another scope.")
        return ScopeRef(scope=scope, tenant="" if scope == "global" else self._tenant, id=owner or "")

    def _find_writable(self, scope: StateScope) -> ScopeRef:
        if scope == "global":
            raise Forbidden("A run reads what everybody shares, and never changes it: that is an operator's to do.")
        if scope == "tenant" and not self._store.tenant_writes:
            raise Forbidden("Runs may not change what their tenant shares: use the scope `user`, `session` or `run`.")
        return self._find(scope)
