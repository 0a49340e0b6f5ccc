"""Where is the secret that API keys are hashed with, and who keeps the keys?"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from quorate.errors import InvalidInput, Unavailable
from quorate.runtime.runtime import Runtime
from quorate.security.keys import SECRET_BYTES, KeyRing, check_pepper
from quorate.settings import Settings

FILE = "keys.secret"
"""The file beside a database file that holds the secret."""


def open_keys(runtime: Runtime) -> KeyRing:
    """Open the API keys of a runtime's store.

    Raises:
        InvalidInput: Their secret is missing, weak, or not in hexadecimal; its value is not shown.
        Unavailable: The file that holds it cannot be read or made.
    """
    return KeyRing(runtime.store.values, pepper=find_pepper(runtime.settings), clock=runtime.clock)


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
    except ValueError as error:
        raise InvalidInput(
            f"{where} is not in hexadecimal: write what `openssl rand -hex 32` writes. Keys made with another secret "
            "let nobody in."
        ) from error
