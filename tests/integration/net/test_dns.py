"""Names are looked up by the system and by a name server that these tests run on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from quorate.tools.builtin.net.dns import DnsAnswer, NameServer, RecordType, look_up
from quorate.tools.targets import InvalidTarget, ProbePolicy, TargetBlocked

OPERATOR = ProbePolicy.operator()
ZONE = {
    ("app.test.", "A"): ["192.0.2.7", "192.0.2.8"],
    ("app.test.", "AAAA"): ["2001:db8::7"],
    ("app.test.", "MX"): ["10 mail.app.test."],
    ("app.test.", "NS"): ["ns.app.test."],
    ("app.test.", "TXT"): ['"v=spf1 -all" "x"'],
    ("app.test.", "SOA"): ["ns.app.test. admin.app.test. 1 2 3 4 5"],
    ("www.app.test.", "CNAME"): ["app.test."],
    ("7.2.0.192.in-addr.arpa.", "PTR"): ["app.test."],
    ("many.test.", "TXT"): [f'"{number}"' for number in range(150)],
}


class Zone(asyncio.DatagramProtocol):
    """A name server that knows the table above; `silent.test` is never answered."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = build_reply(data, most_bytes=1232)
        if reply is not None:
            self.transport.sendto(reply, addr)


def build_reply(data: bytes, *, most_bytes: int = 65_535) -> bytes | None:
    query = dns.message.from_wire(data)
    question = query.question[0]
    name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    if name == "silent.test.":
        return None
    if name == "garbled.test.":
        return reply.to_wire()[:-4] + b"\xff\xff\xff\xff\xff"
    codes = {"broken.test.": dns.rcode.SERVFAIL, "closed.test.": dns.rcode.REFUSED}
    if name == "www.app.test." and kind == "A":
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "app.test."))
        name = "app.test."
    if values := ZONE.get((name, kind)):
        reply.answer.append(dns.rrset.from_text(name, 300, "IN", kind, *values))
    elif name in codes:
        reply.set_rcode(codes[name])
    elif not any(known == name for known, _ in ZONE):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    wire = reply.to_wire()
    if len(wire) > most_bytes:
        short = dns.message.make_response(query)
        short.flags |= dns.flags.TC
        return short.to_wire()
    return wire


async def answer_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = int.from_bytes(await reader.readexactly(2), "big")
    reply = build_reply(await reader.readexactly(size))
    if reply is not None:
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    while True:  # a port that is free for both kinds
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Zone, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            stream = await asyncio.start_server(answer_stream, "127.0.0.1", port)
            break
        except OSError:
            transport.close()
    async with stream:
        yield NameServer(address="127.0.0.1", port=port)
    transport.close()


async def ask(server: NameServer, host: str, record: RecordType, *, timeout_s: float = 3) -> DnsAnswer:
    return await look_up(host, record, OPERATOR, nameserver=server, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("host", "record", "values"),
    [
        ("app.test", "A", ("192.0.2.7", "192.0.2.8")),
        ("app.test", "AAAA", ("2001:db8::7",)),
        ("app.test", "MX", ("10 mail.app.test.",)),
        ("app.test", "NS", ("ns.app.test.",)),
        ("app.test", "TXT", ('"v=spf1 -all" "x"',)),
        ("app.test", "SOA", ("ns.app.test. admin.app.test. 1 2 3 4 5",)),
        ("www.app.test", "CNAME", ("app.test.",)),
        ("192.0.2.7", "PTR", ("app.test.",)),
    ],
)
async def test_every_type_of_record_is_read(
    server: NameServer, host: str, record: RecordType, values: tuple[str, ...]
) -> None:
    """A name server's records come back as they are, with a measured time. row: B1"""
    answer = await ask(server, host, record)
    assert (answer.status, answer.method, tuple(sorted(answer.values))) == ("ok", "dns", values)
    assert answer.is_authoritative
    assert answer.records[0].ttl_s == 300
    assert answer.nameserver == f"127.0.0.1 port {server.port}"
    assert 0 < answer.elapsed_ms < 30_000


async def test_an_alias_on_the_way_is_among_the_records(server: NameServer) -> None:
    answer = await ask(server, "www.app.test", "A")
    assert set(answer.values) == {"192.0.2.7", "192.0.2.8"}
    assert [record.type for record in answer.records] == ["CNAME", "A", "A"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("nothing.test", "nxdomain"), ("broken.test", "servfail"), ("closed.test", "refused"), ("garbled.test", "error")],
)
async def test_what_a_server_cannot_say_is_a_status(server: NameServer, host: str, status: str) -> None:
    answer = await ask(server, host, "A", timeout_s=30)
    assert (answer.status, answer.values) == (status, ())
    assert answer.detail


async def test_a_name_without_this_type_is_no_data(server: NameServer) -> None:
    assert (await ask(server, "www.app.test", "MX")).status == "no_data"


async def test_a_silent_server_ends_in_time(server: NameServer) -> None:
    answer = await ask(server, "silent.test", "A", timeout_s=0.2)
    assert answer.status == "timeout"
    assert answer.elapsed_ms < 30_000


async def test_a_server_that_is_not_there_is_a_status() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    answer = await ask(NameServer(address="127.0.0.1", port=port), "app.test", "A", timeout_s=0.3)
    assert answer.status in ("timeout", "error")


async def test_a_long_answer_comes_by_stream_and_is_cut(server: NameServer) -> None:
    answer = await ask(server, "many.test", "TXT")
    assert answer.status == "ok"
    assert len(answer.values) == 100
    assert answer.truncated


async def test_localhost_is_found_without_any_name_server() -> None:
    """The hosts file is enough. row: B1"""
    answer = await look_up("localhost", "A", OPERATOR, timeout_s=30)
    assert (answer.status, answer.method, answer.values) == ("ok", "system", ("127.0.0.1",))


async def test_a_name_server_is_a_target_too() -> None:
    with pytest.raises(TargetBlocked, match="loopback"):
        await look_up("app.test", "A", ProbePolicy.served(), nameserver=NameServer(address="127.0.0.1"), timeout_s=1)
    with pytest.raises(InvalidTarget, match="is no address"):
        await ask(NameServer(address="ns.app.test"), "app.test", "A")
    with pytest.raises(InvalidTarget, match="from 1 to 65535"):
        await ask(NameServer(address="127.0.0.1", port=0), "app.test", "A")


async def test_an_address_is_asked_for_its_name_alone(server: NameServer) -> None:
    with pytest.raises(InvalidTarget, match="ask for the record `PTR`"):
        await ask(server, "192.0.2.7", "A")
    with pytest.raises(InvalidTarget, match="has no MX record"):
        await ask(server, "192.0.2.7", "MX")
