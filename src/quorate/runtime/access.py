"""Where is the secret that API keys are hashed with, who keeps the keys, and whose tokens are believed?"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, MissingExtra, Unavailable
from quorate.runtime.documents import Documents
from quorate.runtime.runtime import Runtime
from quorate.security.keys import SECRET_BYTES, KeyRing, Peppers, check_pepper
from quorate.settings import Settings

if TYPE_CHECKING:
    from quorate.security.tokens import TokenVerifier

FILE = "keys.secret"
"""The file beside a database file that holds the secret."""


def open_keys(runtime: Runtime) -> KeyRing:
    """Open the API keys of a runtime's store.

    Raises:
        InvalidInput: Their secret is missing, weak, or not in hexadecimal; its value is not shown.
        Unavailable: The file that holds it cannot be read or made.
    """
    return KeyRing(runtime.whole.values, pepper=find_peppers(runtime.settings), clock=runtime.clock)


@asynccontextmanager
async def open_tokens(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> AsyncGenerator[TokenVerifier | None]:
    """Open what checks the tokens of the issuers in the settings; `None` where there are none.

    Raises:
        MissingExtra: There are some, and what checks signatures is not installed.
        InvalidInput: Their settings do not hold together.
    """
    if not settings.server.issuers:
        yield None
        return
    try:
        from quorate.security.tokens import TokenVerifier
    except ImportError as error:
        raise MissingExtra("Checking signed tokens", "server") from error
    documents = Documents()
    try:
        yield TokenVerifier(settings.server.issuers, fetch=documents.get, clock=clock)
    finally:
        await documents.aclose()


def find_peppers(settings: Settings) -> Peppers:
    """Find what keys are hashed with now, and what they were hashed with before; asked anew at each use.

    Raises:
        InvalidInput: One is missing, weak, or not in hexadecimal; its value is not shown.
        Unavailable: The file cannot be read or made.
    """
    first, given, former = find_pepper(settings), settings.server.secret, settings.server.former_secret

    def list_peppers() -> tuple[bytes, ...]:
        newest = first if given is None else _read(given.reveal(), where="`server.secret`")
        if former is None:
            return (newest,)
        return newest, _read(former.reveal(), where="`server.former_secret`")

    list_peppers()
    return list_peppers


def find_pepper(settings: Settings) -> bytes:
    """Find the secret that keys are hashed with; beside a database file it is made where there is none.

    Raises:
        InvalidInput: It is missing, weak, or not in hexadecimal; its value is not shown.
        Unavailable: The file cannot be read or made.
    """
    given = settings.server.secret
    if given is not None:
        return _read(given.reveal(), where="`server.secret`")
    if settings.is_server:
        raise InvalidInput(
            "Several servers may share this database, and API keys need a secret that all of them know: set "
            "`server.secret` (`QUORATE_SERVER__SECRET`) to what `openssl rand -hex 32` writes."
        )
    path = Path(settings.database).parent / FILE
    try:
        _make(path)
        return _read(path.read_text(encoding="ascii").strip(), where=str(path))
    except OSError as error:
        raise Unavailable(f"The secret of API keys at {path} cannot be read or made: {error.strerror}.") from error


def _make(path: Path) -> None:
    """Make the file, readable by nobody else, unless it is there; of several who do so at once one wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _read(text: str, *, where: str) -> bytes:
    try:
        return check_pepper(bytes.fromhex(text))
    except ValueError:
        # The cause would show the value.
        raise InvalidInput(
            f"{where} is not in hexadecimal: write what `openssl rand -hex 32` writes. Keys made with another secret "
            "let nobody in."
        ) from None
