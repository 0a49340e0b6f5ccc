"""Which certificate does a server show, and does it hold?"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from quorate.clock import Clock
from quorate.errors import MissingExtra, ToolError
from quorate.tools.builtin.net.reach import classify_failure
from quorate.tools.targets import ProbePolicy, check_host, check_port, resolve_target

if TYPE_CHECKING:
    from cryptography import x509

HANDSHAKE_S = 5.0
DAY_S = 86_400

TlsStatus = Literal["ok", "refused", "timeout", "unreachable", "reset", "error", "tls_error"]


class Certificate(Struct, frozen=True, kw_only=True):
    """One certificate of a chain."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    """The hosts it is for."""
    not_before: str
    not_after: str
    days_left: float
    """Negative when it has expired."""
    self_signed: bool


class TlsReport(Struct, frozen=True, kw_only=True):
    """What a TLS handshake showed."""

    host: str
    port: int
    address: str
    status: TlsStatus
    reason: str = ""
    protocol: str = ""
    cipher: str = ""
    verified: bool = False
    """Whether the chain leads to an authority this machine trusts, in time, for this host."""
    verify_error: str = ""
    days_left: float | None = None
    """Of the server's own certificate."""
    chain: tuple[Certificate, ...] = ()
    handshake_ms: float | None = None


async def inspect_tls(host: str, port: int, server_name: str, policy: ProbePolicy, clock: Clock) -> TlsReport:
    """Shake hands twice where need be: once as a careful client, and once only to look."""
    name, number = check_host(host), check_port(port)
    shown = check_host(server_name) if server_name else name
    address = (await resolve_target(name, policy))[0]
    verify_error = ""
    try:
        seen = await _shake_hands(address, number, shown, ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        verify_error = error.verify_message or str(error)
        seen = await _look(address, number, shown)
    except (OSError, TimeoutError) as error:
        seen = _describe_failure(error)
    if isinstance(seen, tuple):
        status, reason = seen
        return TlsReport(host=name, port=number, address=address, status=status, reason=reason)
    chain = tuple(_read_certificate(data, clock) for data in seen.chain)
    return TlsReport(
        host=name,
        port=number,
        address=address,
        status="ok",
        protocol=seen.protocol,
        cipher=seen.cipher,
        verified=not verify_error,
        verify_error=verify_error,
        days_left=chain[0].days_left if chain else None,
        chain=chain,
        handshake_ms=seen.handshake_ms,
    )


class _Seen(Struct):
    protocol: str
    cipher: str
    chain: list[bytes]
    handshake_ms: float


async def _look(address: str, port: int, server_name: str) -> _Seen | tuple[TlsStatus, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: the certificate that did not hold is only looked at
    try:
        return await _shake_hands(address, port, server_name, context)
    except (OSError, TimeoutError) as error:
        return _describe_failure(error)


async def _shake_hands(address: str, port: int, server_name: str, context: ssl.SSLContext) -> _Seen:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANDSHAKE_S):
        began = loop.time()
        _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=server_name)
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        cipher = tls.cipher()
        return _Seen(
            protocol=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            chain=_get_chain(tls),
            handshake_ms=round((loop.time() - began) * 1000, 3),
        )
    finally:
        writer.transport.abort()


def _get_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The whole chain where this Python tells it (3.13 and later), else the server's own certificate."""
    tell = getattr(tls, "get_unverified_chain", None)
    if tell is not None:
        return list(tell())
    own = tls.getpeercert(binary_form=True)
    return [own] if own else []


def _describe_failure(error: OSError | TimeoutError) -> tuple[TlsStatus, str]:
    if isinstance(error, TimeoutError):
        return "timeout", f"no handshake within {HANDSHAKE_S:g} s"
    if isinstance(error, ssl.SSLError):
        return "tls_error", error.reason or str(error)
    return classify_failure(error), error.strerror or str(error)


def _read_certificate(data: bytes, clock: Clock) -> Certificate:
    try:
        from cryptography import x509
    except ModuleNotFoundError as error:
        raise MissingExtra("Reading certificates", "ops") from error
    try:
        certificate = x509.load_der_x509_certificate(data)
        left_s = certificate.not_valid_after_utc.timestamp() - clock.now()
        return Certificate(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            names=_read_names(certificate),
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            days_left=round(left_s / DAY_S, 2),
            self_signed=certificate.subject == certificate.issuer,
        )
    except ValueError as error:
        raise ToolError(f"The server's certificate cannot be read: {error}") from error


def _read_names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return (*names, *(str(address) for address in addresses))
