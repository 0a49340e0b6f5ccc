"""Which certificates lie in a directory, and when does each of them expire?"""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from quorate.errors import MissingExtra, ToolError
from quorate.tools.builtin.files.walk import Walk
from quorate.tools.workspace import Workspace

# Only names for the checker: at run time the library is an extra and is imported where it is used.
if TYPE_CHECKING:
    from cryptography import x509 as types

SUFFIXES = (".pem", ".crt", ".cer", ".der")
MAX_FILES = 2000
MAX_FILE_BYTES = 2_000_000
MAX_NAMES = 20
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,100000}-----END CERTIFICATE-----")


class Certificate(Struct, frozen=True, kw_only=True):
    """A certificate in a file."""

    path: str
    position: int
    """Its place in the file, from 1; a chain or a bundle has several."""
    subject: str
    issuer: str
    names: tuple[str, ...]
    """The DNS names and addresses it is good for; the first of them, where there are many."""
    not_before: str
    not_after: str
    days_left: float
    """Negative when it has expired."""
    is_expired: bool
    is_self_signed: bool
    sha256: str


class CertificateReport(Struct, frozen=True, kw_only=True):
    """The certificates found, those that expire first at the head."""

    found: int
    files: int
    expired: int
    expiring: int
    """Not expired yet, but within the days that were asked for."""
    certificates: tuple[Certificate, ...]
    unreadable: tuple[str, ...] = ()
    """Files with the suffix of a certificate that hold none."""
    truncated: bool = False


def scan_certificates(
    workspace: Workspace, path: str, *, warn_days: int, most: int, now_s: float, seconds: float = 15.0
) -> CertificateReport:
    """Read every certificate in a file or below a directory.

    Raises:
        MissingExtra: `cryptography` is not installed.
        ToolError: The name is refused or missing.
    """
    entry = workspace.stat(workspace.name(workspace.parts(path)))
    walk = Walk(workspace, path, seconds=seconds)
    candidates = walk if entry.kind == "directory" else [entry]
    found: list[Certificate] = []
    unreadable: list[str] = []
    files = 0
    for candidate in candidates:
        if candidate.kind != "file" or not candidate.path.lower().endswith(SUFFIXES):
            continue
        if files >= MAX_FILES:
            walk.truncated = True
            break
        files += 1
        try:
            with workspace.open_file(candidate.path, max_bytes=MAX_FILE_BYTES) as stream:
                found.extend(read_certificates(stream.read(), path=candidate.path, now_s=now_s))
        except ToolError as error:
            unreadable.append(f"{candidate.path}: {error.message}")
    found.sort(key=lambda one: (one.days_left, one.path, one.position))
    return CertificateReport(
        found=len(found),
        files=files,
        expired=sum(one.is_expired for one in found),
        expiring=sum(not one.is_expired and one.days_left <= warn_days for one in found),
        certificates=tuple(found[:most]),
        unreadable=tuple(unreadable[:50]),
        truncated=walk.truncated,
    )


def read_certificates(data: bytes, *, path: str, now_s: float) -> list[Certificate]:
    """Read the certificates of one file, in PEM or DER; a private key beside them is not looked at.

    Raises:
        MissingExtra: `cryptography` is not installed.
        ToolError: There is no certificate in the data.
    """
    try:
        from cryptography import x509
    except ImportError as error:
        raise MissingExtra("Reading certificates", "ops") from error
    blocks = _PEM.findall(data) if b"-----BEGIN" in data else [data]
    load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
    found: list[Certificate] = []
    for position, block in enumerate(blocks, 1):
        try:
            with warnings.catch_warnings():
                # Old roots break rules that the library warns of; that is for their owners to mend.
                warnings.simplefilter("ignore")
                found.append(_describe(load(block), path=path, position=position, now_s=now_s))
        except ValueError:
            continue  # in a bundle, one that is broken does not hide the others
    if not found:
        raise ToolError("no certificate can be read")
    return found


def _describe(one: types.Certificate, *, path: str, position: int, now_s: float) -> Certificate:
    from cryptography.hazmat.primitives import hashes

    left_s = one.not_valid_after_utc.timestamp() - now_s
    return Certificate(
        path=path,
        position=position,
        subject=one.subject.rfc4514_string(),
        issuer=one.issuer.rfc4514_string(),
        names=_names(one),
        not_before=_format(one.not_valid_before_utc),
        not_after=_format(one.not_valid_after_utc),
        days_left=round(left_s / 86_400, 2),
        is_expired=left_s < 0,
        is_self_signed=one.subject == one.issuer,
        sha256=one.fingerprint(hashes.SHA256()).hex(),
    )


def _names(one: types.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))[:MAX_NAMES]


def _format(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
