"""Where does an agent work in a case that brings its own files?"""

from __future__ import annotations

import asyncio
import http.server
import sqlite3
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct, structs

from quorate.agent.agent import AnyAgent
from quorate.catalog.evaluation.case import Case, Fixture, Line
from quorate.catalog.evaluation.check import is_inside
from quorate.errors import InvalidInput
from quorate.ports import Model
from quorate.runtime.evaluation.scripts import NAME, build_scripted_model
from quorate.tools.process import run_command

FindAgent = Callable[[str, str | None], AnyAgent]
"""Finds an agent by its name, and the name of a model."""


class Furnish(Protocol):
    """Gives what finds agents for one case alone."""

    def __call__(self, folder: Path | None, models: Mapping[str, Model], /) -> FindAgent:
        """Give what finds agents that work in a folder, or where they do otherwise, with models by name."""
        ...


GIT_S = 30.0
MOST_VALUE_BYTES = 16 << 20
SQL_STEPS, MOST_SQL_LOOKS = 10_000, 1_000
"""How often SQL is looked at, in steps of its machine, and after how many looks it is stopped: some seconds."""
MOST_PAGES, PAGE_BYTES = 16_384, 4096
"""How large a database of a case may be."""
_REFUSED = frozenset(
    (
        *(sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_CREATE_TEMP_TABLE),
        *(sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_CREATE_TEMP_TRIGGER),
    )
)
_GIT = ("git", "-c", "user.name=Fixture", "-c", "user.email=fixture@example.invalid", "-c", "commit.gpgsign=false")


class Place(Struct, frozen=True, kw_only=True):
    """A workspace that was made for a case."""

    case: Case
    """The case, with what its words in braces stand for."""
    find: FindAgent


class _Words(Struct, frozen=True, kw_only=True):
    request: str
    script: tuple[Line, ...]
    scripts: dict[str, tuple[Line, ...]]


@asynccontextmanager
async def open_place(
    case: Case, fixture: Fixture, *, furnish: Furnish, offers: Mapping[str, str]
) -> AsyncGenerator[Place]:
    """Make a workspace with what a case brings, which is gone at the end of the block.

    Args:
        case: What is asked.
        fixture: What it brings.
        furnish: Gives what finds agents that work in a folder.
        offers: What else there is, by what cases call it: the names of databases.

    Raises:
        InvalidInput: The fixture cannot be made.
    """
    folder = await asyncio.to_thread(
        partial(tempfile.TemporaryDirectory, prefix="quorate-eval-", ignore_cleanup_errors=True)
    )
    try:
        root = Path(folder.name)
        await asyncio.to_thread(_write, root, fixture)
        if fixture.repository:
            await _commit(root)
        async with serve_files(root) if fixture.serves else nullcontext("") as url:
            words = {"url": url, **{name: offers[name] for name in fixture.needs if name in offers}}
            filled = _fill(case, words)
            yield Place(case=filled, find=await asyncio.to_thread(furnish, root, build_models(filled)))
    finally:
        await asyncio.to_thread(folder.cleanup)


def build_models(case: Case) -> dict[str, Model]:
    """Build the model that says what the scripts of a case say, and of no other one."""
    return {NAME: build_scripted_model([case])} if case.script or case.scripts else {}


@asynccontextmanager
async def serve_files(root: Path) -> AsyncGenerator[str]:
    """Serve a folder over HTTP on loopback while the block lasts, and give the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: whoever asks is under evaluation, and what it asked is in its record."""


def _write(root: Path, fixture: Fixture) -> None:
    for name in (*fixture.files, *fixture.databases):
        if not is_inside(name):
            raise InvalidInput(f"{name!r:.80} is no path in the workspace.")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    for name, text in fixture.files.items():
        (root / name).write_text(text, encoding="utf-8")
    for name, sql in fixture.databases.items():
        try:
            with closing(sqlite3.connect(root / name)) as database:
                _bound(database)
                database.executescript(sql)
        except sqlite3.Error as error:
            raise InvalidInput(f"The database {name!r} cannot be made: {error}.") from error


def _bound(database: sqlite3.Connection) -> None:
    """Let SQL that came with a case reach its own file alone, fill no disk, and end."""
    looks = count(1)

    def allow(action: int, first: str | None, *_: str | None) -> int:
        is_bound = action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in ("max_page_count", "page_size")
        return sqlite3.SQLITE_DENY if is_bound or action in _REFUSED else sqlite3.SQLITE_OK

    database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    database.execute(f"PRAGMA max_page_count = {MOST_PAGES}")
    database.set_authorizer(allow)
    database.set_progress_handler(lambda: next(looks) > MOST_SQL_LOOKS, SQL_STEPS)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES)


async def _commit(root: Path) -> None:
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "--allow-empty", "-m", "Fixture")):
        done = await run_command([*_GIT, "-C", str(root), *words], timeout_s=GIT_S)
        if done.returncode != 0:
            raise InvalidInput(f"`git {words[0]}` failed for the fixture: {done.stderr.strip()[:200]}")


def _fill(case: Case, words: Mapping[str, str]) -> Case:
    """Put what words in braces stand for into a request and its scripts, once, and nothing else."""
    used = {f"{{{name}}}": word for name, word in words.items() if word}
    if not used:
        return case
    text = msgspec.json.encode(_Words(request=case.request, script=case.script, scripts=case.scripts)).decode()
    for mark, word in used.items():
        text = text.replace(mark, msgspec.json.encode(word).decode()[1:-1])
    filled = msgspec.json.decode(text, type=_Words)
    return structs.replace(case, request=filled.request, script=filled.script, scripts=filled.scripts)
