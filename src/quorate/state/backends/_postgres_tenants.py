"""How does PostgreSQL itself keep whoever reads for one tenant from the rows of all others?

Reads for a tenant run under a role of their own, on which policies are laid that compare each row with the tenant that
the connection speaks for. A query that forgot its filter then finds nothing of others. Who owns the tables is bound by
no policy, so that appends, leases and the outbox, which serve all tenants at once, cost what they did.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

from msgspec import structs

from quorate.errors import InvalidInput
from quorate.events import AnyEvent
from quorate.ids import check_id
from quorate.ports import BlobInfo, Blobs, Entry, KeyValue, Log, Store
from quorate.state.around import LogAround
from quorate.state.backends._postgres_blobs import PostgresBlobs
from quorate.state.backends._postgres_commit import Committer
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_log import PostgresLog
from quorate.state.backends._postgres_queue import Queue
from quorate.state.backends._postgres_values import PostgresValues

ROOMS = (
    "artifact", "audit", "decision", "errand", "feedback", "learning", "mail", "memory", "responses", "schedule",
    "session", "state", "submit", "trust", "webhook", "webhook-done", "webhook-due", "webhook-health",
)  # fmt: skip
"""What the keys of values begin with behind which their tenant stands. What is not here is read for all alone."""
INNER_ROOMS = ("costs", "http", "quotas")
"""The same where one more part stands before the tenant, such as a day."""
KEYS = "access/keys/"
"""Which API keys are whose; the keys themselves are looked up by nobody but who checks them."""
SHARED = ("state/_/", "worker/")
"""What all tenants read: values of everybody, and which workers there are."""
POLICY = "quorate_one_tenant_2"
"""The policies' name; another number for another wording, so that an older one is replaced."""
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_MINE = "current_setting('quorate.tenant', true)"

Look = tuple[bool, bool, bool, bool, int]


def check_role(role: str) -> str:
    """Return the name of a role, or raise `InvalidInput` when it cannot be one."""
    if _ROLE.fullmatch(role) is None or role.startswith("pg_"):
        raise InvalidInput(
            f"role {role[:80]!r} cannot be that of tenants: use 1 to 63 of `a-z`, `0-9` and `_`, not beginning with a "
            "digit or `pg_`."
        )
    return role


def build_policies() -> dict[str, str]:
    """Build what a row must be to be seen, by table."""
    rooms = ", ".join(f"'{room}'" for room in ROOMS)
    inner = ", ".join(f"'{room}'" for room in INNER_ROOMS)
    shared = " OR ".join(f"starts_with(key, '{prefix}')" for prefix in SHARED)
    first, second, third = (f"split_part(key, '/', {number})" for number in (1, 2, 3))
    return {
        "runs": f"tenant = {_MINE}",
        # Not `EXISTS`, nor `IN`: the planner would gather all runs of the tenant first, for each statement.
        "events": "(SELECT true FROM runs WHERE runs.run = events.run)",
        "entries": (
            f"({first} IN ({rooms}) AND {second} = {_MINE})"
            f" OR (({first} IN ({inner}) OR starts_with(key, '{KEYS}')) AND {third} = {_MINE}) OR {shared}"
        ),
        "blobs": f"split_part(name, '/', 1) = {_MINE}",
        "blob_strays": f"split_part(name, '/', 1) = {_MINE}",
        "blob_pieces": (
            "(SELECT true FROM blobs WHERE blobs.version = blob_pieces.version LIMIT 1)"
            " OR (SELECT true FROM blob_strays WHERE blob_strays.version = blob_pieces.version)"
        ),
    }


async def lay_policies(lines: Lines, *, schema: str, role: str) -> None:
    """Bind a role by policies, unless it is already; several processes may try at the same time.

    Raises:
        InvalidInput: There is no such role, we may not use it, it is bound by no policy, or the tables are not ours.
        Unavailable: The database cannot be reached.
    """
    policies = build_policies()
    if await _look(lines, schema=schema, role=role) == len(policies):
        return
    async with lines.borrow(is_write=True) as connection, connection.transaction():
        await connection.fetch(lines.statements["lock_schema"], schema)
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        # Where blobs lead to their pieces; nothing else looks for them by version.
        await connection.execute("CREATE INDEX IF NOT EXISTS blobs_by_version ON blobs (version)")
        for table, condition in policies.items():
            await connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            await connection.execute(f"DROP POLICY IF EXISTS {POLICY} ON {table}")
            await connection.execute(f"CREATE POLICY {POLICY} ON {table} FOR SELECT TO {role} USING ({condition})")
            await connection.execute(f"GRANT SELECT ON {table} TO {role}")


async def _look(lines: Lines, *, schema: str, role: str) -> int:
    """Check role and tables, and count the policies that are laid."""
    ((is_there, is_member, is_free, is_ours, laid),) = await lines.read(Look, "look_at_tenants", role, schema, POLICY)
    if not is_there or not is_member:
        raise InvalidInput(
            f"`database_tenant_role`: database {lines.name!r} has no role {role!r} that this user may take: let an "
            f"administrator say `CREATE ROLE {role} NOLOGIN` and `GRANT {role} TO` this user."
        )
    if is_free:
        raise InvalidInput(
            f"`database_tenant_role`: role {role!r} of database {lines.name!r} sees all rows whatever policies say: "
            "give a role that is no superuser, has no BYPASSRLS, and does not own the tables."
        )
    if not is_ours:
        raise InvalidInput(
            f"`database_tenant_role`: the tables in schema {schema!r} of database {lines.name!r} belong to another "
            "user, who alone can lay policies on them: connect as that user."
        )
    return laid


class Tenants:
    """Makes a store read for one tenant alone.

    Args:
        lines: Connections under the role that policies bind.
        queue: What appends wait in.
        committer: What makes them.
    """

    def __init__(self, lines: Lines, queue: Queue, committer: Committer) -> None:
        self._lines = lines
        self._queue = queue
        self._committer = committer

    def bind(self, store: Store, tenant: str) -> Store:
        """Return a store whose reads find rows of one tenant alone; it writes as the one that was given.

        Raises:
            InvalidInput: It is no tenant's id.
        """
        lines = self._lines.bind(check_id(tenant, "tenant"))
        blobs = store.blobs
        return structs.replace(
            store,
            log=BoundLog(PostgresLog(lines, self._queue, self._committer), store.log),
            values=BoundValues(PostgresValues(lines), store.values),
            # Bytes that are elsewhere are kept apart there.
            blobs=BoundBlobs(PostgresBlobs(lines), blobs) if isinstance(blobs, PostgresBlobs) else blobs,
            bind=self._bind_again(store),
        )

    def _bind_again(self, store: Store) -> Callable[[Store, str], Store]:
        """Bind another tenant from the whole, not from what one of them may read."""
        return lambda bound, tenant: self.bind(store, tenant)


class BoundLog(LogAround):
    """A `Log` that reads for one tenant."""

    def __init__(self, reads: PostgresLog, writes: Log) -> None:
        super().__init__(reads)
        self._writes = writes

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events."""
        await self._writes.append(run, events, expected=expected)

    async def delete(self, run: str) -> bool:
        """Forget a run of this tenant."""
        return await self.last(run) > 0 and await self._writes.delete(run)


class BoundValues:
    """A `KeyValue` that reads for one tenant."""

    def __init__(self, reads: PostgresValues, writes: KeyValue) -> None:
        self._reads = reads
        self._writes = writes

    async def get(self, key: str) -> Entry | None:
        """Return an entry; see `quorate.ports.KeyValue`."""
        return await self._reads.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value; see `quorate.ports.KeyValue`."""
        return await self._writes.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key; see `quorate.ports.KeyValue`."""
        return await self._writes.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries in order; see `quorate.ports.KeyValue`."""
        return await self._reads.scan(prefix, after=after, limit=limit)


class BoundBlobs:
    """A `Blobs` that reads for one tenant."""

    def __init__(self, reads: PostgresBlobs, writes: Blobs) -> None:
        self._reads = reads
        self._writes = writes

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        return await self._writes.put(name, chunks)

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob; see `quorate.ports.Blobs`."""
        return self._reads.get(name)

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        return await self._writes.delete(name)

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        return await self._reads.list_blobs(prefix, after=after, limit=limit)
