"""What programs, the kernel and servers write is read rightly, and nonsense is told apart."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.tools.builtin.net.certificate import matches_name
from quorate.tools.builtin.net.compare import is_slow
from quorate.tools.builtin.net.dial import find_status
from quorate.tools.builtin.net.dns import find_system_status
from quorate.tools.builtin.net.icmp import build_echo, is_reply, sum_packet
from quorate.tools.builtin.net.ping import parse_ping
from quorate.tools.builtin.net.routes import parse_routes, parse_routes_six
from quorate.tools.builtin.net.trace import parse_hops, read_error
from quorate.tools.builtin.net.wire import Malformed, build_request, keep_headers, parse_head
from quorate.tools.targets import parse_host, parse_url

PING = """PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.045 ms
64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=12 ms
64 bytes from 127.0.0.1: seq=3 ttl=64 time<1 ms

3 packets transmitted, 3 received, 0% packet loss, time 2042ms
rtt min/avg/max/mdev = 0.045/0.045/0.045/0.000 ms
"""
TRACEROUTE = """traceroute to 192.0.2.9 (192.0.2.9), 15 hops max, 60 byte packets
 1  10.0.0.1  0.512 ms
 2  *
 3  192.0.2.9  9.1 ms
"""
TRACEPATH = """ 1?: [LOCALHOST]                      pmtu 1500
 1:  10.0.0.1                                              0.401ms
 1:  10.0.0.1                                              0.300ms
 2:  no reply
 3:  2001:db8::9                                           4.000ms reached
     Resume: pmtu 1500 hops 3 back 3
"""
ROUTES = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth1	0000000A	00000000	0000	0	0	0	000000FF	0	0	0
lo	0000010A	00000000	0201	0	0	0	0000FFFF	0	0	0
"""
ROUTES_SIX = """{net} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0
{zero} 00 {zero} 00 {gate} 00000400 00000002 00000000 00000003     eth0
{gate} 80 {zero} 00 {zero} 00000000 00000003 00000000 80200001     eth0
{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo
""".format(net="fd" + "0" * 30, zero="0" * 32, gate="fd" + "0" * 29 + "1")


def test_the_times_of_replies_are_read_and_the_summary_is_not() -> None:
    assert parse_ping(PING) == [0.045, 12.0, 1.0]
    assert parse_ping("ping: socket: Operation not permitted") == []


def test_hops_of_both_programs_are_read() -> None:
    assert [(hop.hop, hop.address, hop.elapsed_ms) for hop in parse_hops(TRACEROUTE)] == [
        (1, "10.0.0.1", 0.512),
        (2, "", None),
        (3, "192.0.2.9", 9.1),
    ]
    assert [(hop.hop, hop.address, hop.elapsed_ms) for hop in parse_hops(TRACEPATH)] == [
        (1, "10.0.0.1", 0.3),
        (2, "", None),
        (3, "2001:db8::9", 4.0),
    ]


@pytest.mark.skipif(struct.pack("=H", 1) != b"\x01\x00", reason="the sample is of a little-endian machine")
def test_routes_are_read_without_those_that_are_down_or_refuse() -> None:
    found = [(route.destination, route.gateway, route.interface, route.metric) for route in parse_routes(ROUTES)]
    assert found == [("0.0.0.0/0", "192.0.2.1", "eth0", 100), ("192.0.2.0/24", "", "eth0", 0)]


def test_routes_of_ipv6_are_read_without_this_machines_own_addresses() -> None:
    found = [(route.destination, route.gateway, route.interface) for route in parse_routes_six(ROUTES_SIX)]
    assert found == [("fd00::/64", "", "eth0"), ("::/0", "fd00::1", "eth0")]


def test_an_echo_request_has_a_checksum_that_sums_to_zero() -> None:
    assert sum_packet(build_echo(4, 7, 1, b"0123456789abcdef")) == 0


def test_a_reply_is_told_from_the_request_and_from_others() -> None:
    mark = b"0123456789abcdef"
    reply = b"\x00\x00\x00\x00\x00\x07\x00\x01" + mark
    header = b"\x45" + b"\x00" * 19
    assert is_reply(4, reply, 1, mark, raw=False)
    assert is_reply(4, header + reply, 1, mark, raw=True)
    assert not is_reply(4, header + build_echo(4, 7, 1, mark), 1, mark, raw=True)
    assert not is_reply(4, reply, 2, mark, raw=False)
    assert not is_reply(4, reply, 1, b"another mark 123", raw=False)
    assert is_reply(6, b"\x81" + reply[1:], 1, mark, raw=True)


@given(st.binary(max_size=80), st.booleans(), st.sampled_from((4, 6)))
def test_any_packet_can_be_looked_at(packet: bytes, raw: bool, version: int) -> None:
    assert is_reply(version, packet, 0, b"m" * 16, raw=raw) in (True, False)


def test_the_error_queue_tells_who_threw_a_packet_away() -> None:
    error = struct.pack("=IBBBBII", 113, 2, 11, 0, 0, 0, 0)
    offender = struct.pack("=HH4s8x", socket.AF_INET, 0, ipaddress.ip_address("10.0.0.1").packed)
    address = ipaddress.ip_address("192.0.2.9")
    assert read_error([(0, 11, error + offender)], address, option=11) == ("10.0.0.1", 11)
    assert read_error([(0, 11, error)], address, option=11) == ("", 0)
    assert read_error([], address, option=11) == ("", 0)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionRefusedError(111, "x"), "refused"),
        (ConnectionResetError(104, "x"), "reset"),
        (TimeoutError(), "timeout"),
        (OSError(110, "x"), "timeout"),
        (OSError(113, "x"), "unreachable"),
        (OSError(101, "x"), "unreachable"),
    ],
)
def test_an_error_of_connecting_has_a_word(error: OSError, status: str) -> None:
    assert find_status(error) == status


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (socket.EAI_NONAME, "nxdomain"),
        (socket.EAI_AGAIN, "servfail"),
        (socket.EAI_FAIL, "servfail"),
        (socket.EAI_MEMORY, "error"),
    ],
)
def test_an_error_of_the_resolver_has_a_word(number: int, status: str) -> None:
    assert find_system_status(socket.gaierror(number, "x")) == status


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("example.com", "EXAMPLE.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.com", "example.com", False),
        ("a*.example.com", "ab.example.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("*.0.0.1", "127.0.0.1", False),
    ],
)
def test_a_name_in_a_certificate_covers_a_host_or_not(pattern: str, host: str, matches: bool) -> None:
    assert matches_name(pattern, parse_host(host)) is matches


def test_a_request_is_a_few_lines_and_names_the_port_only_where_it_is_unusual() -> None:
    lines = build_request(parse_url("http://[::1]:8080/a?b"), "HEAD").decode().split("\r\n")
    assert lines[:2] == ["HEAD /a?b HTTP/1.1", "Host: [::1]:8080"]
    assert lines[-2:] == ["", ""]
    assert b"Host: example.com\r\n" in build_request(parse_url("https://example.com:443/"), "GET")


def test_a_head_is_read_and_cookies_stay_out_of_reports() -> None:
    head = parse_head(b"HTTP/1.1 503 Not now\r\nServer: x\r\nSet-Cookie: s=1\r\nVia: a\r\nvia:  b \r\n\r\n")
    assert (head.status_code, head.reason) == (503, "Not now")
    assert keep_headers(head) == {"server": "x", "via": "a, b"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
    ],
)
def test_what_is_no_http_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_malformed(data: bytes) -> None:
    try:
        parse_head(b"HTTP/1.1 200 OK\r\n" + data)
    except Malformed:
        return


def test_slow_is_far_slower_than_the_fastest_and_noticeably_so() -> None:
    assert is_slow(500, 10)
    assert not is_slow(50, 1)
    assert not is_slow(500, 200)
