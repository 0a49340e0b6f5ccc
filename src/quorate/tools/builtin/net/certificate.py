"""Which certificates does a server show, until when are they good, and would a browser trust them?"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from quorate.addresses import Address
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import MissingExtra, ToolError
from quorate.tools.builtin.infra.certificates import Certificate, read_certificates
from quorate.tools.builtin.net.dial import Dialled, DialStatus, Stopwatch, dial_first, find_status
from quorate.tools.builtin.net.http import build_tls, find_tls_reason
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.targets import Host, ProbePolicy, parse_host, parse_port
from quorate.tools.threads import run_in_thread

MAX_CHAIN = 10
TlsStatus = Literal["ok", "unresolved", "tls_failed"] | DialStatus


class TlsReport(Struct, frozen=True, kw_only=True):
    """What a server shows in its handshake; `status` is `ok` also for a certificate nobody should trust."""

    host: str
    port: int
    status: TlsStatus
    address: str = ""
    verified: bool = False
    """Whether the chain ends at a root this machine trusts, is in date, and names the host."""
    verify_error: str = ""
    """Why it is not, in OpenSSL's words or ours."""
    hostname_matches: bool = False
    protocol: str = ""
    cipher: str = ""
    cipher_bits: int = 0
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    not_before: str = ""
    not_after: str = ""
    days_left: float = 0.0
    """Negative when it has expired."""
    is_expired: bool = False
    is_self_signed: bool = False
    chain: tuple[Certificate, ...] = ()
    """As the server sent it, its own certificate first; that one alone where Python cannot say more."""
    dns_ms: float = 0.0
    connect_ms: float = 0.0
    handshake_ms: float = 0.0
    detail: str = ""
    """Why there is no report, or no details of the certificate."""


class _Shown(Struct, frozen=True, kw_only=True):
    """What one handshake gave."""

    protocol: str
    cipher: str
    cipher_bits: int
    chain: tuple[bytes, ...]
    elapsed_ms: float


async def inspect_tls(
    host: str,
    port: int,
    policy: ProbePolicy,
    *,
    server_name: str = "",
    timeout_s: float,
    clock: Clock = SYSTEM_CLOCK,
    lookup: Lookup | None = None,
) -> TlsReport:
    """Shake hands, first as a careful client does, then, where that fails, to see what is there.

    Raises:
        InvalidTarget: The host, port or server name is not well formed.
        TargetBlocked: The policy does not allow the host.
    """
    target, name = parse_host(host), parse_host(server_name or host)
    parse_port(port)
    watch = Stopwatch()
    addresses: Sequence[Address] = ()

    def fail(status: TlsStatus, detail: str) -> TlsReport:
        spent = {phase: watch.spent_ms.get(phase, 0.0) for phase in ("dns", "connect", "handshake")}
        return TlsReport(
            host=target.text,
            port=port,
            status=status,
            address=str(addresses[0]) if addresses else "",
            dns_ms=spent["dns"],
            connect_ms=spent["connect"],
            handshake_ms=spent["handshake"],
            detail=detail,
        )

    try:
        async with asyncio.timeout(timeout_s):
            with watch.phase("dns"):
                addresses = await resolve_target(target, policy, timeout_s=timeout_s, lookup=lookup)
            outcome, shown, error = await _see(addresses, port, name=name, timeout_s=timeout_s, watch=watch)
    except Unresolved as failure:
        return fail("unresolved", failure.message)
    except ssl.SSLError as failure:
        return fail("tls_failed", find_tls_reason(failure))
    except TimeoutError:
        return fail("timeout", f"no answer within {timeout_s:g} s; the time ended in the phase `{watch.current}`")
    except OSError as failure:
        return fail(find_status(failure), str(failure.strerror or failure))
    if shown is None:
        return fail(outcome.status, outcome.detail)
    report = TlsReport(
        host=target.text,
        port=port,
        status="ok",
        address=outcome.address,
        verify_error=error,
        protocol=shown.protocol,
        cipher=shown.cipher,
        cipher_bits=shown.cipher_bits,
        dns_ms=watch.spent_ms["dns"],
        connect_ms=outcome.elapsed_ms,
        handshake_ms=shown.elapsed_ms,
    )
    return await run_in_thread(lambda: _report(report, shown, name, clock.now()))


async def _see(
    addresses: Sequence[Address], port: int, *, name: Host, timeout_s: float, watch: Stopwatch
) -> tuple[Dialled, _Shown | None, str]:
    """Connect and shake hands once or twice; give what was seen and why the careful handshake failed."""
    error = ""
    for verify in (True, False):
        context = await run_in_thread(lambda verify=verify: build_tls(verify=verify))
        # The name is compared by us, so that a chain and a name that are both wrong are both reported.
        context.check_hostname = False
        with watch.phase("connect"):
            outcome, sock = await dial_first(addresses, port, timeout_s=timeout_s)
        if sock is None:
            return outcome, None, error
        _, writer = await asyncio.open_connection(sock=sock)
        try:
            with watch.phase("handshake"):
                return outcome, await _shake_hands(writer, context, name), error
        except ssl.SSLCertVerificationError as failure:
            error = failure.verify_message
        finally:
            writer.transport.abort()
    raise ssl.SSLError(error)


async def _shake_hands(writer: asyncio.StreamWriter, context: ssl.SSLContext, name: Host) -> _Shown:
    watch = Stopwatch()
    await writer.start_tls(context, server_hostname=name.text)
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    cipher = shown.cipher() or ("", "", 0)
    return _Shown(
        protocol=shown.version() or "",
        cipher=cipher[0],
        cipher_bits=cipher[2],
        chain=_read_chain(shown),
        elapsed_ms=watch.total_ms,
    )


def _read_chain(shown: ssl.SSLObject) -> tuple[bytes, ...]:
    """Public since Python 3.13; before, the same method is there on the object inside."""
    read = getattr(shown, "get_unverified_chain", None)
    if read is not None:
        return tuple(bytes(one) for one in read())[:MAX_CHAIN]
    inside = getattr(getattr(shown, "_sslobj", None), "get_unverified_chain", None)
    if inside is not None:
        return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inside() or ())[:MAX_CHAIN]
    leaf = shown.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


def _report(seen: TlsReport, shown: _Shown, name: Host, now_s: float) -> TlsReport:
    """Add what the certificates say to what the handshake showed."""
    chain: list[Certificate] = []
    try:
        for der in shown.chain:
            chain.extend(read_certificates(der, path=f"{seen.host}:{seen.port}", now_s=now_s))
    except (MissingExtra, ToolError) as error:
        return structs.replace(seen, detail=error.message)
    if not chain:
        return structs.replace(seen, detail="the server showed no certificate")
    leaf = chain[0]
    matches = any(matches_name(one, name) for one in leaf.names)
    error = seen.verify_error or ("" if matches else f"the certificate is not for {name.text!r}")
    return structs.replace(
        seen,
        verified=not error,
        verify_error=error,
        hostname_matches=matches,
        subject=leaf.subject,
        issuer=leaf.issuer,
        names=leaf.names,
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        days_left=leaf.days_left,
        is_expired=leaf.is_expired,
        is_self_signed=leaf.is_self_signed,
        chain=tuple(chain),
    )


def matches_name(pattern: str, host: Host) -> bool:
    """Whether a name in a certificate covers a host; `*` stands for one whole first label and nothing else."""
    if host.address is not None:
        try:
            return ipaddress.ip_address(pattern) == host.address
        except ValueError:
            return False
    wanted, known = host.text.split("."), pattern.lower().removesuffix(".").split(".")
    if known[0] == "*" and len(known) > 2:
        return len(wanted) == len(known) and wanted[1:] == known[1:]
    return wanted == known
