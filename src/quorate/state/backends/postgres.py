"""How is everything kept in a PostgreSQL database, by any number of processes at once?

Appends that wait at the same time are one statement and one commit; each is right or refused by itself, since a run
moves on only from where its writer knows it to be.
All times are the database's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import structs

from quorate.errors import InvalidInput
from quorate.ports import Store
from quorate.state.backends._postgres_blobs import PostgresBlobs
from quorate.state.backends._postgres_commit import Committer
from quorate.state.backends._postgres_leases import PostgresLeases
from quorate.state.backends._postgres_lines import Lines, Target
from quorate.state.backends._postgres_log import PostgresLog
from quorate.state.backends._postgres_queue import open_queue
from quorate.state.backends._postgres_schema import check_migrated, check_schema, load_statements, migrate
from quorate.state.backends._postgres_tenants import Tenants, check_role, lay_policies
from quorate.state.backends._postgres_values import PostgresOutbox, PostgresValues

_MAX_QUEUED_BYTES = 128 << 20
_MAX_PENDING = 10_000


@asynccontextmanager
async def open_postgres_store(
    dsn: str,
    *,
    outbox: bool = False,
    schema: str = "quorate",
    tenant_role: str = "",
    max_connections: int = 10,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float = 30.0,
    lock_timeout_s: float = 5.0,
    queue_timeout_s: float = 30.0,
) -> AsyncGenerator[Store]:
    """Open the store in a PostgreSQL database (15 or later); schema and tables are made where they are missing.

    Args:
        dsn: The address, such as `postgresql://user:password@host:5432/database`.
        outbox: Whether to keep notices of what others want to hear of.
        schema: Where in the database the tables are.
        tenant_role: A role of the database under which reads for one tenant run, so that the database itself keeps
            tenants apart; without one, only our own statements do.
        max_connections: How many connections this store may have, one of which only appends.
        connect_timeout_s: How long to wait for a connection to be made.
        statement_timeout_s: How long one statement may take.
        lock_timeout_s: How long to wait for another session that holds what is needed.
        queue_timeout_s: How long a call waits for its turn before it is `Unavailable`.

    Raises:
        MissingExtra: The driver is not installed.
        InvalidInput: It is no such address or database, somebody else's schema, or a newer version of Quorate's.
        Unauthenticated: User and password are not let in.
        Forbidden: This user may not do what is needed there.
        Unavailable: It cannot be reached.
    """
    least = 3 if tenant_role else 2
    if max_connections < least:
        raise InvalidInput(
            f"`max_connections` is {max_connections!r}; one appends, one reads, and one more reads for tenants where "
            f"they have a role, so it is {least} or more."
        )
    target = Target(
        dsn=dsn,
        schema=check_schema(schema),
        connect_timeout_s=connect_timeout_s,
        statement_timeout_s=statement_timeout_s,
        lock_timeout_s=lock_timeout_s,
    )
    statements = load_statements()
    for_tenants = (max_connections - 1) // 2 if tenant_role else 0
    lines = Lines(target, statements, limit=max_connections - 1 - for_tenants, wait_s=queue_timeout_s)
    writer = Lines(target, statements, limit=1, wait_s=queue_timeout_s)
    bound: Lines | None = None
    try:
        await migrate(lines, schema)
        if tenant_role:
            await lay_policies(lines, schema=schema, role=check_role(tenant_role))
            as_tenants = structs.replace(target, role=tenant_role)
            bound = Lines(as_tenants, statements, limit=for_tenants, wait_s=queue_timeout_s)
        committer = Committer(writer, outbox=outbox)
        async with open_queue(
            committer.commit,
            name=target.name,
            max_pending=_MAX_PENDING,
            max_bytes=_MAX_QUEUED_BYTES,
            wait_s=queue_timeout_s,
        ) as queue:
            yield Store(
                name=target.name,
                log=PostgresLog(lines, queue, committer),
                values=PostgresValues(lines),
                blobs=PostgresBlobs(lines),
                leases=PostgresLeases(lines),
                outbox=PostgresOutbox(lines),
                check=partial(check_migrated, lines, schema),
                bind=None if bound is None else Tenants(bound, queue, committer).bind,
            )
    finally:
        if bound is not None:
            await bound.close()
        await writer.close()
        await lines.close()
