"""How do agent files travel from one who wrote them to one who can tell that nobody changed them on the way?

A pack is one file with all that a directory of agents holds, so that its SHA-256 names it for good: who pins that
digest needs to trust nobody else. Beside it there may be a signature (Ed25519, RFC 8032) by a key that a reader knows.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from quorate.catalog.collect import Rules, collect
from quorate.catalog.domains import DOMAINS
from quorate.catalog.files import MOST_BYTES, list_files
from quorate.catalog.shape import Fault
from quorate.errors import InvalidFiles, InvalidInput, MissingExtra, NotFound
from quorate.ids import check_id

MOST_PACK_BYTES = 32 * 1024 * 1024
MOST_FILES = 500
"""How many files a pack may have."""
SUFFIX = ".pack"
SIGNATURE_SUFFIX = ".sig"
_CONTEXT = b"quorate agent pack\0"
"""What is signed begins so, so that a signature of something else is none of a pack."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
_PART = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(?:\.md)?")
_REFERENCE = re.compile(r"([a-z0-9-]+)@([0-9A-Za-z.+-]+)(?:#sha256:([0-9a-f]{64}))?")
_encoder = msgspec.msgpack.Encoder(order="deterministic")
Read = Callable[[str], bytes]
"""Reads a file of an index of packs by its path, such as `acme/1.0.pack`; `NotFound` where there is none."""


class Pack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pack holds."""

    name: str
    version: str
    files: dict[str, bytes]
    """Agent files by their paths."""


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who vouches for a pack."""

    key: str
    """The public key, in base64."""
    signature: str
    """In base64."""


def build_pack(directory: Path, *, name: str, version: str) -> bytes:
    """Put the agent files of a directory into a pack; the same files always give the same bytes.

    Raises:
        InvalidFiles: They do not hold together; names of other agents may stay open.
        InvalidInput: The name or the version is none, or it is too large.
    """
    check_id(name, "pack name")
    _check_version(version)
    root = os.path.realpath(directory)
    faults: list[Fault] = []
    listed = list_files(root, faults, most=MOST_FILES)
    found = collect({root: True}, Rules(is_whole=True, most_files=MOST_FILES))
    if faults or found.faults:
        raise InvalidFiles("agent files", map(str, sorted({*faults, *found.faults})))
    files = {os.path.relpath(entry.path, root): Path(entry.path).read_bytes() for entry in listed}
    own = Path(root) / DOMAINS
    if own.is_file():
        files[DOMAINS] = own.read_bytes()
    content = _encoder.encode(Pack(name=name, version=version, files=files))
    open_pack(content, digest=name_digest(content))  # what could not be read again is not given out
    return content


def name_digest(content: bytes) -> str:
    """Return the digest that names a pack for good: SHA-256, in hexadecimal."""
    return sha256(content).hexdigest()


def sign_pack(content: bytes, private_key: bytes) -> Signature:
    """Sign a pack.

    Args:
        content: The pack.
        private_key: An Ed25519 key, as its 32 bytes.

    Raises:
        MissingExtra: The extra `encryption` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingExtra("Signing packs", "encryption") from error
    key = Ed25519PrivateKey.from_private_bytes(private_key)
    signed = key.sign(_CONTEXT + sha256(content).digest())
    public = key.public_key().public_bytes_raw()
    return Signature(key=base64.b64encode(public).decode(), signature=base64.b64encode(signed).decode())


def open_pack(
    content: bytes, *, digest: str = "", signature: Signature | None = None, keys: Sequence[str] = ()
) -> Pack:
    """Open a pack that is known to be the one that was meant.

    Args:
        content: The pack.
        digest: What `name_digest` must give; not looked at when empty.
        signature: Who vouches for it.
        keys: The public keys that are trusted, in base64.

    Raises:
        InvalidInput: Neither a digest nor a trusted key speaks for it, one of them speaks against it, or it is no pack.
        MissingExtra: There is a signature to check, and the extra `encryption` is not installed.
    """
    if len(content) > MOST_PACK_BYTES:
        raise InvalidInput(f"The pack has {len(content)} bytes; at most {MOST_PACK_BYTES} are read.")
    if digest and not secrets.compare_digest(name_digest(content), digest):
        raise InvalidInput(f"The pack is not the one that was meant: its SHA-256 is {name_digest(content)}.")
    if keys:
        _check_signature(content, signature, keys)
    elif not digest:
        raise InvalidInput("Nothing speaks for this pack: pin its SHA-256, or name the keys that you trust.")
    try:
        pack = msgspec.msgpack.decode(content, type=Pack)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"This is no pack of agents: {error}") from error
    check_id(pack.name, "pack name")
    _check_version(pack.version)
    if len(pack.files) > MOST_FILES:
        raise InvalidInput(f"The pack has {len(pack.files)} files; at most {MOST_FILES} are read.")
    for path, text in pack.files.items():
        parts = path.split("/")
        plain = path == DOMAINS or (path.endswith(".md") and all(_PART.fullmatch(part) for part in parts))
        if not plain or len(parts) > 5 or any(part.endswith(".md") for part in parts[:-1]):
            raise InvalidInput(f"The pack has a file {path[:80]!r}, which is none of agents: it is not opened.")
        if len(text) > MOST_BYTES:
            raise InvalidInput(f"The file {path!r} of the pack has more than {MOST_BYTES} bytes.")
    return pack


def install_pack(pack: Pack, directory: Path) -> Path:
    """Put the files of a pack into a directory `<name>@<version>`, whole or not at all; load it as an overlay.

    Raises:
        InvalidInput: It is there already with other files.
    """
    place = directory / f"{pack.name}@{pack.version}"
    part = directory / f".{place.name}.{secrets.token_hex(6)}"
    try:
        for path, text in pack.files.items():
            file = part / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        try:
            part.rename(place)
        except OSError as error:
            if not place.is_dir() or _read_files(place) != pack.files:
                raise InvalidInput(f"There is {str(place)!r} already, with other files: take it away first.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return place


def publish_pack(content: bytes, index: Path, *, signature: Signature | None = None) -> str:
    """Put a pack into a directory that is an index of packs, and return the reference that pins it.

    Raises:
        InvalidInput: There is another pack of that name and version: a version is given out once.
    """
    digest = name_digest(content)
    pack = open_pack(content, digest=digest)
    place = index / pack.name / f"{pack.version}{SUFFIX}"
    place.parent.mkdir(parents=True, exist_ok=True)
    _write_once(place, content)
    if signature is not None:  # last, so that a pack which is refused leaves no signature beside the one that is there
        _write_once(place.with_name(f"{pack.version}{SIGNATURE_SUFFIX}"), msgspec.json.encode(signature))
    return f"{pack.name}@{pack.version}#sha256:{digest}"


def pull_pack(reference: str, read: Read, *, keys: Sequence[str] = ()) -> Pack:
    """Get a pack out of an index.

    Args:
        reference: Such as `acme@1.0#sha256:…`; without a digest, a trusted key must have signed it.
        read: Reads the files of the index: those of a directory with `read_directory`, or of whatever serves one.
        keys: The public keys that are trusted, in base64.

    Raises:
        InvalidInput: It is no reference, or the pack is not the one that was meant.
        NotFound: There is no such pack.
        MissingExtra: There is a signature to check, and the extra `encryption` is not installed.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise InvalidInput(f"{reference[:120]!r} names no pack: write `name@version#sha256:…`.")
    name, version, digest = check_id(found[1], "pack name"), found[2], found[3] or ""
    _check_version(version)
    signature = None
    if keys:
        try:
            signature = msgspec.json.decode(read(f"{name}/{version}{SIGNATURE_SUFFIX}"), type=Signature)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"The signature of {name}@{version} cannot be read: {error}") from error
    pack = open_pack(read(f"{name}/{version}{SUFFIX}"), digest=digest, signature=signature, keys=keys)
    if (pack.name, pack.version) != (name, version):
        raise InvalidInput(f"The index gave {pack.name}@{pack.version} for {name}@{version}.")
    return pack


def read_directory(index: Path) -> Read:
    """Return what reads the files of an index that is a directory."""

    def read(path: str) -> bytes:
        try:
            with (index / path).open("rb") as opened:
                return opened.read(MOST_PACK_BYTES + 1)
        except OSError as error:
            raise NotFound(f"There is no {path!r} in the index of packs: {error.strerror}.") from error

    return read


def _check_signature(content: bytes, signature: Signature | None, keys: Sequence[str]) -> None:
    if signature is None:
        raise InvalidInput("The pack is not signed, and a trusted key must have signed it.")
    if signature.key not in keys:
        raise InvalidInput(f"The pack is signed by the key {signature.key[:60]!r}, which is not one of those trusted.")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingExtra("Signatures of packs", "encryption") from error
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.key, validate=True))
        key.verify(base64.b64decode(signature.signature, validate=True), _CONTEXT + sha256(content).digest())
    except (InvalidSignature, ValueError) as error:
        raise InvalidInput("The signature of the pack does not fit it: it was changed, or signed otherwise.") from error


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise InvalidInput(f"{version[:40]!r} is no version of a pack: use letters, digits, `.`, `+` and `-`.")


def _write_once(place: Path, content: bytes) -> None:
    part = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
    part.write_bytes(content)
    try:
        os.link(part, place)  # unlike a rename, it does not put itself in the place of what is there
    except FileExistsError as error:
        if place.read_bytes() != content:
            raise InvalidInput(
                f"There is {place.name!r} already, and it is another: give this one a new version."
            ) from error
    finally:
        part.unlink()


def _read_files(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
