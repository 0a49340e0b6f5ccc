"""Which databases are sessions tried on, and how is each opened?"""

from contextlib import AbstractAsyncContextManager

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.ports import Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store


def open_database(database: str, clock: Clock = SYSTEM_CLOCK) -> AbstractAsyncContextManager[Store]:
    """Open a file, or what is at the address of a server."""
    return open_postgres_store(database) if "://" in database else open_sqlite_store(database, clock=clock)
