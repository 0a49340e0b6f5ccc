"""What does the name system say about a name?"""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from quorate.tools.builtin.net.dial import Stopwatch
from quorate.tools.builtin.net.resolve import lookup_system
from quorate.tools.targets import InvalidTarget, ProbePolicy, parse_host, parse_port
from quorate.tools.threads import run_in_thread

# Only a name for the checker: at run time the library is an extra and is imported where it is used.
if TYPE_CHECKING:
    from dns.message import Message
    from dns.rdata import Rdata

RecordType = Literal["A", "AAAA", "MX", "NS", "PTR", "TXT", "CNAME", "SOA"]
DnsStatus = Literal["ok", "nxdomain", "no_data", "servfail", "refused", "timeout", "error", "unavailable"]
MAX_RECORDS = 100
MAX_VALUE_CHARS = 1000
MAX_NAMESERVERS = 3
_RCODES: dict[str, DnsStatus] = {"NXDOMAIN": "nxdomain", "SERVFAIL": "servfail", "REFUSED": "refused"}


class DnsRecord(Struct, frozen=True, kw_only=True):
    """One record of an answer."""

    name: str
    type: str
    value: str
    ttl_s: int | None = None
    """Absent when the system's resolver answered, which does not say."""


class DnsAnswer(Struct, frozen=True, kw_only=True):
    """What a name stands for, or why nobody can say; a name that does not exist is an answer, not an error."""

    host: str
    record: RecordType
    status: DnsStatus
    method: Literal["system", "dns"]
    """`system` asks as every program on this machine does, hosts file included; `dns` asks a name server."""
    values: tuple[str, ...] = ()
    """The values of the type asked for; aliases on the way are among `records`."""
    records: tuple[DnsRecord, ...] = ()
    nameserver: str = ""
    is_authoritative: bool = False
    truncated: bool = False
    elapsed_ms: float = 0.0
    detail: str = ""


class NameServer(Struct, frozen=True, kw_only=True):
    """Whom to ask."""

    address: str
    port: int = 53


async def look_up(
    host: str, record: RecordType, policy: ProbePolicy, *, nameserver: NameServer | None = None, timeout_s: float
) -> DnsAnswer:
    """Look a name up; addresses through the system's resolver unless a name server is given.

    Raises:
        InvalidTarget: The name or the name server is not well formed.
        TargetBlocked: The policy does not allow the name server.
    """
    name = _find_question(host, record)
    servers = (nameserver,) if nameserver else ()
    for server in servers:
        asked = parse_host(server.address)
        parse_port(server.port)
        if asked.address is None:
            raise InvalidTarget(f"The name server {server.address!r} is no address; give one such as `192.0.2.53`.")
        policy.check(asked, (asked.address,))
    if not servers and record in ("A", "AAAA"):
        return await _ask_system(name, record, timeout_s)
    if importlib.util.find_spec("dns") is None:
        reason = f"Records of type {record} need the extra `ops`: pip install 'quorate[ops]'"
        return DnsAnswer(host=name, record=record, status="unavailable", method="dns", detail=reason)
    servers = servers or await run_in_thread(_find_servers)
    if not servers:
        reason = "This machine has no name server configured; give one as `nameserver`."
        return DnsAnswer(host=name, record=record, status="unavailable", method="dns", detail=reason)
    return await _ask_servers(name, record, servers, timeout_s)


def _find_question(host: str, record: RecordType) -> str:
    parsed = parse_host(host)
    if parsed.address is None:
        return parsed.text
    if record == "PTR":
        return parsed.address.reverse_pointer
    if record in ("A", "AAAA"):
        raise InvalidTarget(f"{host!r} is an address already; give a name, or ask for the record `PTR`.")
    raise InvalidTarget(f"{host!r} is an address, which has no {record} record; give a name.")


async def _ask_system(name: str, record: RecordType, timeout_s: float) -> DnsAnswer:
    watch = Stopwatch()
    status: DnsStatus = "ok"
    detail = ""
    values: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(timeout_s):
            found = await lookup_system(name)
    except TimeoutError:
        status, detail = "timeout", f"the system's resolver did not answer within {timeout_s:g} s"
    except socket.gaierror as error:
        status, detail = find_system_status(error), str(error.strerror or error)
    else:
        wanted = 4 if record == "A" else 6
        values = tuple(str(address) for address in found if address.version == wanted)
        status = "ok" if values else "no_data"
    return DnsAnswer(
        host=name,
        record=record,
        status=status,
        method="system",
        values=values,
        records=tuple(DnsRecord(name=name, type=record, value=value) for value in values),
        elapsed_ms=watch.total_ms,
        detail=detail,
    )


def find_system_status(error: socket.gaierror) -> DnsStatus:
    """Put the errors of the system's resolver into the words of name servers."""
    if error.errno == socket.EAI_NONAME:
        return "nxdomain"
    if error.errno == getattr(socket, "EAI_NODATA", None):
        return "no_data"
    return "servfail" if error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL) else "error"


def _find_servers() -> tuple[NameServer, ...]:
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return ()
    return tuple(NameServer(address=str(one), port=resolver.port) for one in resolver.nameservers[:MAX_NAMESERVERS])


async def _ask_servers(name: str, record: RecordType, servers: tuple[NameServer, ...], timeout_s: float) -> DnsAnswer:
    watch = Stopwatch()
    answer: DnsAnswer | None = None
    for server in servers:
        share = max(0.05, timeout_s - watch.total_ms / 1000) / (len(servers) - servers.index(server))
        answer = await _ask_server(name, record, server, share)
        if answer.status not in ("timeout", "error", "servfail", "refused"):
            break
    assert answer is not None
    return answer


async def _ask_server(name: str, record: RecordType, server: NameServer, timeout_s: float) -> DnsAnswer:
    import dns.asyncquery
    import dns.exception
    import dns.message

    watch = Stopwatch()
    where = f"{ipaddress.ip_address(server.address)} port {server.port}"

    def fail(status: DnsStatus, detail: str) -> DnsAnswer:
        return DnsAnswer(
            host=name,
            record=record,
            status=status,
            method="dns",
            nameserver=where,
            elapsed_ms=watch.total_ms,
            detail=detail,
        )

    try:
        query = dns.message.make_query(name, record)
        async with asyncio.timeout(timeout_s + 0.1):
            reply, _ = await dns.asyncquery.udp_with_fallback(
                query, server.address, timeout=timeout_s, port=server.port, ignore_unexpected=True
            )
    except (dns.exception.Timeout, TimeoutError):
        return fail("timeout", f"no answer within {timeout_s:.3g} s")
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return fail("error", f"{type(error).__name__}: {error}"[:300])
    return _read_reply(reply, name, record, where=where, elapsed_ms=watch.total_ms)


def _read_reply(reply: Message, name: str, record: RecordType, *, where: str, elapsed_ms: float) -> DnsAnswer:
    import dns.flags
    import dns.rcode
    import dns.rdatatype

    code = dns.rcode.to_text(reply.rcode())
    records: list[DnsRecord] = []
    for rows in reply.answer:
        kind = dns.rdatatype.to_text(rows.rdtype)
        for row in cast("Iterable[Rdata]", rows):  # the library leaves the items of its sets untyped
            value = row.to_text()[:MAX_VALUE_CHARS]
            records.append(DnsRecord(name=rows.name.to_text(True), type=kind, value=value, ttl_s=rows.ttl))
    values = tuple(one.value for one in records if one.type == record)
    status: DnsStatus = _RCODES.get(code, "error") if code != "NOERROR" else "ok" if values else "no_data"
    return DnsAnswer(
        host=name,
        record=record,
        status=status,
        method="dns",
        values=values[:MAX_RECORDS],
        records=tuple(records[:MAX_RECORDS]),
        nameserver=where,
        is_authoritative=bool(reply.flags & dns.flags.AA),
        truncated=len(records) > MAX_RECORDS,
        elapsed_ms=elapsed_ms,
        detail="" if status == "ok" else f"the name server answered {code}",
    )
