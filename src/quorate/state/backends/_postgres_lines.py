"""How are connections to PostgreSQL opened, shared and renewed, so that nobody waits for ever?"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from msgspec import Struct

from quorate.errors import InvalidInput, MissingExtra, QuorateError, Unavailable
from quorate.state.backends._postgres_errors import build_name, is_lost, map_error

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

R = TypeVar("R")

_GRACE_S = 2.0
"""How much longer than the server's own limit we wait for it to say that a statement was stopped."""

_PLANNING = {
    # Plans are cached, some of them since the tables were empty: without these the planner may then have chosen to
    # read a whole table, and would go on doing so when it has grown. Every statement of ours is meant for an index.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


class Connection(Protocol):
    """What we need of a driver's connection."""

    async def fetch(self, query: str, *values: object) -> Sequence[object]:
        """Run a statement and return its rows."""
        ...

    async def execute(self, query: str, *values: object) -> str:
        """Run a statement and return its tag, such as `DELETE 1`."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Open a transaction for a block."""
        ...

    def is_closed(self) -> bool:
        """Whether it is gone."""
        ...

    def terminate(self) -> None:
        """Close it at once, without a word."""
        ...

    async def close(self, *, timeout: float | None = None) -> None:
        """Close it in order."""
        ...


class Target(Struct, frozen=True, kw_only=True):
    """Where a database is, and how long its answers may take."""

    dsn: str
    schema: str
    connect_timeout_s: float
    statement_timeout_s: float
    lock_timeout_s: float
    role: str = ""
    """As whom statements run, where that is not who logs in."""

    @property
    def name(self) -> str:
        """Its name for people, without user and password."""
        return build_name(self.dsn)

    def __repr__(self) -> str:
        return f"Target({self.name!r}, schema={self.schema!r})"


async def connect(target: Target, statements: Mapping[str, str]) -> Connection:
    """Open a connection with our settings.

    Raises:
        MissingExtra: The driver is not installed.
        InvalidInput: The address is not one, or there is no such database.
        Unauthenticated: User and password are not let in.
        Unavailable: It cannot be reached.
    """
    try:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("The PostgreSQL store", "postgres") from error
    settings = {
        "application_name": "quorate",
        "search_path": '"' + target.schema.replace('"', '""') + '"',
        "statement_timeout": str(round(target.statement_timeout_s * 1000)),
        "lock_timeout": str(round(target.lock_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": str(round(target.statement_timeout_s * 1000)),
        **_PLANNING,
    }
    if target.role:
        settings["role"] = target.role
    # The driver has no types; its connections have the methods of our protocol.
    dial = cast("Callable[..., Awaitable[Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
    try:
        connection = await dial(
            target.dsn,
            timeout=target.connect_timeout_s,
            command_timeout=target.statement_timeout_s + _GRACE_S,
            server_settings=settings,
        )
    except (asyncpg.PostgresError, OSError) as error:
        raise map_error(error, target.name, is_sent=False) from error
    except (asyncpg.InterfaceError, ValueError):
        # What the driver says of an address may hold the password, so it is neither shown nor kept as the cause.
        raise InvalidInput(
            f"the address of database {target.name!r} is not one; write "
            "`postgresql://user:password@host:port/database`, special characters of the password as `%` and two "
            "hexadecimal digits.",
        ) from None
    try:
        await connection.execute(statements["keep_commits"])
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        connection.terminate()
        raise map_error(error, target.name, is_sent=False) from error
    except BaseException:
        connection.terminate()
        raise
    return connection


class Lines:
    """A bounded number of connections, opened when needed; one that broke is replaced at the next use."""

    def __init__(self, target: Target, statements: Mapping[str, str], *, limit: int, wait_s: float) -> None:
        self.name = target.name
        self.statements = statements
        self._target = target
        self._limit = limit
        self._wait_s = wait_s
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(limit)
        self._closing = asyncio.Event()
        self._tenant = ""
        self._whose: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        """For which tenant a connection speaks."""

    def bind(self, tenant: str) -> Lines:
        """Return the same connections, which speak for one tenant while these lines use them."""
        bound = copy.copy(self)
        bound._tenant = tenant
        return bound

    async def read(self, row: type[R], statement: str, *values: object) -> list[R]:
        """Return the rows of a statement that changes nothing; asked again once where the connection was lost.

        Args:
            row: The type of a row: a tuple of the types of its columns.
            statement: The statement's name, or, with a blank in it, the statement itself.
            values: Its parameters.
        """
        try:
            return await self._fetch(row, statement, values, is_write=False)
        except Unavailable as error:
            if error.__cause__ is None or not is_lost(error.__cause__) or isinstance(error.__cause__, TimeoutError):
                raise
        return await self._fetch(row, statement, values, is_write=False)

    async def write(self, row: type[R], statement: str, *values: object) -> list[R]:
        """Return the rows of a statement that changes something, and is committed by itself."""
        return await self._fetch(row, statement, values, is_write=True)

    async def _fetch(self, row: type[R], statement: str, values: Sequence[object], *, is_write: bool) -> list[R]:
        async with self.borrow(is_write=is_write) as connection:
            text = statement if " " in statement else self.statements[statement]
            # The statement's columns are of these types, which the tests see to.
            return cast("list[R]", await connection.fetch(text, *values))

    @asynccontextmanager
    async def borrow(self, *, is_write: bool) -> AsyncGenerator[Connection]:
        """Lend a connection for a block; what the driver raises in it becomes an error of ours.

        Raises:
            Unavailable: None was free in time, or it cannot be reached.
        """
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]

        await self._wait_for_place()
        connection: Connection | None = None
        try:
            connection = self._take() or await connect(self._target, self.statements)
            try:
                if self._tenant and self._whose.get(connection) != self._tenant:
                    await self._speak_for_tenant(connection)
                yield connection
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                if is_lost(error):
                    connection.terminate()
                    self._forget_idle()
                raise map_error(error, self.name, is_sent=is_write) from error
            except QuorateError:
                raise
            except BaseException:
                # Left in the middle of an answer, by a cancellation: it would have to be read to its end first.
                connection.terminate()
                raise
        finally:
            self._places.release()
            if connection is not None:
                self._give_back(connection)

    async def _speak_for_tenant(self, connection: Connection) -> None:
        self._whose.pop(connection, None)
        await connection.fetch(self.statements["speak_for"], self._tenant)
        self._whose[connection] = self._tenant

    async def _wait_for_place(self) -> None:
        if self._closing.is_set():
            raise Unavailable(f"database {self.name!r} is closed; open it again.", name=self.name)
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable(
                f"all {self._limit} connections to database {self.name!r} were busy for {self._wait_s:g} s. "
                "Nothing was written; try again later, or raise `max_connections`.",
                name=self.name,
            ) from error

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if self._closing.is_set():
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append(connection)

    def _forget_idle(self) -> None:
        """Let go of those that wait: what cut one connection has most likely cut them all."""
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """Close what waits; what is in use is closed when it is given back."""
        self._closing.set()
        async with asyncio.TaskGroup() as group:
            for connection in self._idle:
                group.create_task(_close(connection))
        self._idle.clear()


async def _close(connection: Connection) -> None:
    import asyncpg  # pyright: ignore[reportMissingTypeStubs]

    try:
        await connection.close(timeout=_GRACE_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        connection.terminate()
