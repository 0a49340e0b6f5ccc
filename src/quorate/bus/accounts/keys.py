"""Which key has each principal, where is its secret half, and how is it replaced by another one?

A key is an NKEY pair. The seed is in `NAME.nk`, which whoever is that principal gets and the server never sees; the
public half is in `NAME.pub`, so that a configuration can be built when the seeds were moved to where they are used.
While a key is being replaced, the public half of the old one is in `NAME.old.pub`, and both let in.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from quorate.bus.accounts.facts import SYSTEM, SYSTEM_USER
from quorate.bus.accounts.files import is_private, make_folder, read_file, write_new, write_over
from quorate.errors import Conflict, InvalidFiles, InvalidInput, MissingExtra

Who = tuple[str, str]
"""A tenant, and one of its principals."""
SYSTEM_WHO: Who = (SYSTEM, SYSTEM_USER)
_PUBLIC = re.compile(rb"U[A-Z2-7]{55}")


class Key(Struct, frozen=True, kw_only=True):
    """The key of a principal, without what is secret of it."""

    public: str
    seed_file: str
    """Where its seed is, or was before it was moved to where it is used."""
    has_seed: bool
    previous: str = ""
    """The public half of the key before, which lets in until it is retired."""
    is_new: bool = False
    """Whether it was made just now."""


class KeyFolder:
    """The keys of a bus, in a folder that only its owner may enter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, principals: Iterable[Who]) -> dict[Who, Key]:
        """Make the keys that are missing, and return all of them; no key that is there is changed.

        Raises:
            InvalidFiles: Some cannot be used; every fault is listed.
            InvalidInput: The folder cannot be written to.
            MissingExtra: `nkeys` is not installed.
        """
        wanted = list(principals)
        new: set[Who] = set()
        check_faults(self.find_faults(wanted, is_whole=False))
        for who in wanted:
            seed_file, public_file, _ = self._name(who)
            make_folder(seed_file.parent)
            is_there = read_file(public_file) is not None or read_file(seed_file) is not None
            if not is_there and write_new(seed_file, make_seed() + b"\n"):
                new.add(who)
            seed = read_file(seed_file)
            if seed is not None:
                public = read_public(seed)
                if read_file(public_file) != public + b"\n":  # what a process that died, or a person, left behind
                    write_over(public_file, public + b"\n")
        return {who: self._load(who, is_new=who in new) for who in wanted}

    def load(self, principals: Iterable[Who]) -> dict[Who, Key]:
        """Load the keys that are there; call `find_faults` first."""
        return {who: self._load(who) for who in principals if self._find_public(who) is not None}

    def rotate(self, who: Who) -> None:
        """Make another key; the one before lets in until it is retired.

        Raises:
            Conflict: The key before that one was not retired yet, and would be locked out.
            InvalidInput: It has no key yet, or the folder cannot be written to.
        """
        seed_file, public_file, old_file = self._name(who)
        public = self._find_public(who)
        if public is None:
            raise InvalidInput(
                f"{name_who(who)} has no key yet, so that there is none to rotate: leave `--rotate` out."
            )
        old = read_file(old_file)
        if old is not None and old.strip() != public:
            raise Conflict(
                f"the key of {name_who(who)} was rotated before, and the one before still lets in: retire that one "
                f"first with `--retire {name_who(who)}`, once everybody has the new one."
            )
        write_over(old_file, public + b"\n")
        seed = make_seed()
        write_over(seed_file, seed + b"\n")
        write_over(public_file, read_public(seed) + b"\n")

    def retire(self, who: Who) -> bool:
        """Let the key before the last rotation in no more; say whether there was one."""
        old_file = self._name(who)[2]
        try:
            old_file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InvalidInput(f"{str(old_file)!r} cannot be removed: {error.strerror}.") from error
        return True

    def find_faults(self, principals: Iterable[Who], *, is_whole: bool = True) -> Iterator[str]:
        """Find what is wrong with the keys.

        Args:
            principals: Whose.
            is_whole: Whether a key that is missing is a fault.
        """
        for folder in {self.folder, *(self._name(who)[0].parent for who in principals)}:
            if not is_private(folder):
                yield f"{folder}: others may look into it: chmod 700 it"
        for who in principals:
            yield from self._find_key_faults(who, is_whole=is_whole)

    def _find_key_faults(self, who: Who, *, is_whole: bool) -> Iterator[str]:
        seed_file, public_file, old_file = self._name(who)
        seed, public = read_file(seed_file), read_file(public_file)
        found = b""
        if seed is not None:
            try:
                found = read_public(seed)
            except InvalidInput as error:
                yield f"{seed_file}: {error.message}"
            if not is_private(seed_file):
                yield f"{seed_file}: others may read it: chmod 600 it, and then `--rotate {name_who(who)}`"
            if is_whole and found and public != found + b"\n":
                yield f"{public_file}: it is not the public half of the seed beside it: run `quorate nats config` again"
        elif public is None and is_whole:
            yield f"{seed_file}: {name_who(who)} has no key: run `quorate nats config`"
        for file, content in ((public_file, public if seed is None else None), (old_file, read_file(old_file))):
            if content is not None and _PUBLIC.fullmatch(content.strip()) is None:
                yield f"{file}: it holds no public key of a user; put the right one there, or remove it with its seed"

    def _load(self, who: Who, *, is_new: bool = False) -> Key:
        seed_file, _, old_file = self._name(who)
        public, old = self._find_public(who) or b"", (read_file(old_file) or b"").strip()
        return Key(
            public=public.decode(),
            seed_file=str(seed_file),
            has_seed=read_file(seed_file) is not None,
            previous="" if old == public else old.decode(),
            is_new=is_new,
        )

    def _find_public(self, who: Who) -> bytes | None:
        seed_file, public_file, _ = self._name(who)
        seed = read_file(seed_file)
        if seed is not None:
            return read_public(seed)
        public = read_file(public_file)
        return None if public is None else public.strip()

    def _name(self, who: Who) -> tuple[Path, Path, Path]:
        tenant, name = who
        folder = self.folder if tenant == SYSTEM else self.folder / tenant
        return folder / f"{name}.nk", folder / f"{name}.pub", folder / f"{name}.old.pub"


def check_faults(faults: Iterable[str]) -> None:
    """Raise if something is wrong with the keys.

    Raises:
        InvalidFiles: Something is.
    """
    found = sorted(set(faults))
    if found:
        raise InvalidFiles("the keys of the bus", found)


def name_who(who: Who) -> str:
    """Name a principal as commands do: `acme/worker`, and `system`."""
    tenant, name = who
    return name if tenant == SYSTEM else f"{tenant}/{name}"


def make_seed() -> bytes:
    """Make the seed of a user's key, from 256 random bits of the system.

    Raises:
        MissingExtra: `nkeys` is not installed.
    """
    try:
        import nkeys  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("making keys for NATS", "nats") from error
    return nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)  # pyright: ignore[reportUnknownMemberType]


def read_public(seed: bytes) -> bytes:
    """Read the public half of a seed.

    Raises:
        InvalidInput: It is no seed of a user; the message does not repeat it.
        MissingExtra: `nkeys` is not installed.
    """
    try:
        import nkeys  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("reading keys for NATS", "nats") from error
    seed = seed.strip()
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
        checksum = nkeys.crc16_checksum(raw[:-2])  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if len(raw) != 36 or checksum != raw[-2:]:
            raise ValueError("the checksum is another one")
        if nkeys.decode_seed(seed)[0] != nkeys.PREFIX_BYTE_USER:  # pyright: ignore[reportUnknownMemberType]
            raise ValueError("it is nobody's who connects")
        return bytes(nkeys.from_seed(bytearray(seed)).public_key)  # pyright: ignore[reportUnknownMemberType]
    except (ValueError, binascii.Error, nkeys.NkeysError):
        raise InvalidInput("it holds no NKEY seed of a user: put the right one there, or remove it") from None
