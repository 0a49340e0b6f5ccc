"""What is given to somebody who wants to know that something was erased?

It says how many things of each kind went, when, by whom and why, and has a salted hash of each of their ids: what was
erased cannot be read from it, and yet a store can be searched for all of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from quorate.errors import CorruptState, InvalidInput

Subject = Literal["run", "session", "principal"]
KINDS = ("run", "session", "artifact", "value", "blob")
FORMAT = 1
MAX_BYTES = 256 << 20
DIGITS = 32
"""How many hexadecimal digits of a hash are kept: 128 bits."""


class ErasureCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That something was erased, and was looked for afterwards and not found."""

    format: int
    id: str
    tenant: str
    subject: Subject
    """Of what everything was erased."""
    subject_hash: str
    """The salted hash of its id."""
    by: str
    reason: str
    began: float
    finished: float
    """When everything had been looked for again; wall time."""
    salt: str
    counts: dict[str, int]
    """How many runs, sessions, artifacts, values and blobs went."""
    events: int
    """How many events the runs had."""
    hashes: dict[str, tuple[str, ...]]
    """The salted hash of each of them, by kind."""
    kept_blobs: int = 0
    """How many blobs stay, because other artifacts have the same bytes."""

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, as the audit row has it."""
        return hashlib.sha256(encode_certificate(self)).hexdigest()


def hash_id(salt: str, kind: str, name: str) -> str:
    """Hash an id of a kind."""
    digest = hmac.new(salt.encode(), f"{kind}\0{name}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.hexdigest()[:DIGITS]


def hash_all(salt: str, names: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Hash the ids of all kinds; sorted, so that their order tells nothing."""
    return {kind: tuple(sorted(hash_id(salt, kind, name) for name in names.get(kind, ()))) for kind in KINDS}


def encode_certificate(certificate: ErasureCertificate) -> bytes:
    """Write a certificate as JSON."""
    return msgspec.json.encode(certificate, order="deterministic")


def read_certificate(data: bytes) -> ErasureCertificate:
    """Read a certificate.

    Raises:
        InvalidInput: It is not one.
        CorruptState: It is of a newer version.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"a certificate has at most {MAX_BYTES} bytes, not {len(data)}.")
    try:
        certificate = msgspec.json.decode(data, type=ErasureCertificate)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"this is no certificate of an erasure: {error}") from error
    if certificate.format > FORMAT:
        raise CorruptState(f"the certificate is of format {certificate.format}; this version reads up to {FORMAT}.")
    return certificate
