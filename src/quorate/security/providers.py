"""Where are secrets kept, and how is one read there?"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import Literal, Protocol, cast

from msgspec import Struct

from quorate.errors import InvalidInput, NotFound, Unavailable

MAX_BYTES = 64 << 10
"""How long a secret may be."""
Kind = Literal["file", "vault"]
_WHOLE = re.compile(r"\$\{(file|vault):(?!-)([^{}]+)\}")
_VAULT = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]{0,99})/([A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"
                    r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}){0,15})#([A-Za-z0-9_.-]{1,100})", re.ASCII)  # fmt: skip


class Place(Struct, frozen=True, kw_only=True):
    """Where a secret is kept: nothing of the secret itself."""

    kind: Kind
    name: str
    """The file's path, or `MOUNT/PATH#FIELD`."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class SecretProvider(Protocol):
    """Reads secrets of one kind of place; what it raises shows no value."""

    async def read(self, name: str) -> str:
        """Return what is kept there now.

        Raises:
            NotFound: Nothing is.
            Unauthenticated: We are not known there.
            Forbidden: We may not read it.
            Unavailable: The place cannot be reached or read at the moment.
            InvalidInput: What is there is no secret: empty, too long, or no text.
        """
        ...


class VaultPlace(Struct, frozen=True, kw_only=True):
    """A field of a secret in a key-value engine (version 2) of Vault."""

    mount: str
    path: str
    field: str


def find_place(text: str) -> Place | None:
    """Find where a secret is kept that a text refers to as a whole: `${file:/run/secrets/key}`, `${vault:…}`.

    Raises:
        InvalidInput: It names no place that can be.
    """
    found = _WHOLE.fullmatch(text)
    if found is None:
        return None
    place = Place(kind=cast("Kind", found[1]), name=found[2])
    if place.kind == "vault":
        read_vault_place(place.name)
    elif "\0" in place.name or not place.name.strip():
        raise InvalidInput(f"{place.name[:80]!r} is no path of a file; write one such as `${{file:/run/secrets/key}}`")
    return place


def read_vault_place(name: str) -> VaultPlace:
    """Read `MOUNT/PATH#FIELD`.

    Raises:
        InvalidInput: It is not written so.
    """
    found = _VAULT.fullmatch(name)
    if found is None:
        raise InvalidInput(
            f"{name[:80]!r} is no place in Vault; write `MOUNT/PATH#FIELD`, such as `${{vault:secret/quorate#pepper}}`"
        )
    return VaultPlace(mount=found[1], path=found[2], field=found[3])


class FileSecrets:
    """Secrets in files, one each, as Docker, systemd and Kubernetes mount them.

    A file is opened by its name each time, so that whatever the name leads to now is what is read: a file that was
    replaced, and the links that Kubernetes swaps for all secrets of a directory at once.
    """

    async def read(self, name: str) -> str:
        """Return what a file holds, without the line's end; see `SecretProvider`."""
        return await asyncio.to_thread(read_file, name)


def read_file(path: str) -> str:
    """Read a secret from a file; raises what `SecretProvider.read` raises."""
    try:
        # Without waiting: a pipe of that name must not hold anything up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            content = stream.read(MAX_BYTES + 1) or b""
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path!r}: create it with the secret in it, or name another.") from error
    except OSError as error:
        raise Unavailable(f"The secret's file {path!r} cannot be read: {error.strerror}.") from error
    return check_text(content, f"the file {path!r}")


def check_text(content: bytes, where: str) -> str:
    """Return the text of a secret without the line's end.

    Raises:
        InvalidInput: It is empty, too long, or no text; nothing of it is shown.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"{where} has more than {MAX_BYTES} bytes, which no secret has; name another.")
    try:
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        # The cause would show the bytes.
        raise InvalidInput(f"{where} is not UTF-8; write the secret as text.") from None
    if not text:
        raise InvalidInput(f"{where} is empty; write the secret into it.")
    return text


Providers = Mapping[Kind, SecretProvider]
"""Who reads secrets of which kind of place."""
