"""Hostile targets are refused with what to give instead, and the policy holds for every way to write an address."""

import contextlib
import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput, ToolError
from quorate.tools.targets import (
    InvalidTarget,
    ProbePolicy,
    TargetBlocked,
    parse_host,
    parse_port,
    parse_redirect,
    parse_url,
)

OPERATOR, SERVED = ProbePolicy.operator(), ProbePolicy.served()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("; rm -rf /", "white space"),
        (";rm", "is no host name"),
        ("$(id)", "is no host name"),
        ("a|b", "is no host name"),
        ("-oProxyCommand=x", "begins like an option"),
        ("--help", "begins like an option"),
        ("example.com\nHost: x", "white space or a control"),
        ("example.com\r", "white space or a control"),
        ("example.com\0", "white space or a control"),
        ("exa mple.com", "white space"),
        ("\texample.com", "white space"),
        ("еxample.com", "`xn--` form"),
        ("１２７.0.0.1", "`xn--` form"),
        ("exa\u200bmple.com", "`xn--` form"),
        ("example。com", "`xn--` form"),
        ("2130706433", "four decimal numbers"),
        ("0177.0.0.1", "four decimal numbers"),
        ("0x7f.1", "four decimal numbers"),
        ("0x7f000001", "four decimal numbers"),
        ("127.1", "four decimal numbers"),
        ("127.0.0.1.", "four decimal numbers"),
        ("127.0.0.256", "four decimal numbers"),
        ("127.0.0.0x1", "four decimal numbers"),
        ("fe80::1%eth0", "without `%`"),
        ("%31", "without `%`"),
        ("user@example.com", "user name"),
        ("http://example.com", "without scheme"),
        ("10.0.0.0/8", "without scheme or path"),
        ("example.com:80", "port apart"),
        ("[::1", "neither a host nor"),
        ("a" * 64 + ".com", "at most 63"),
        ("a." * 128, "253"),
        ("a" * 300, "253"),
        ("a..b", "is no host name"),
        (".", "253"),
        ("a-.com", "is no host name"),
        ("xn--99999999.com", "is no `xn--` name"),
        ("xn--.com", "is no host name"),
    ],
)
def test_a_hostile_host_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(InvalidTarget, match=r".") as caught:
        parse_host(text)
    assert said in caught.value.message
    assert isinstance(caught.value, ToolError)
    assert caught.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Example.COM.", "example.com"),
        ("localhost", "localhost"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("3com.com", "3com.com"),
    ],
)
def test_a_host_has_one_spelling(text: str, canonical: str) -> None:
    assert parse_host(text).text == canonical


@given(st.text(max_size=80) | st.text(alphabet=string.printable, max_size=40))
def test_what_passes_is_harmless_and_reads_the_same_again(text: str) -> None:
    """Whatever is accepted has only the characters of names and addresses and cannot be taken for an option."""
    try:
        host = parse_host(text)
    except InvalidTarget:
        return
    assert set(host.text) <= set(string.ascii_lowercase + string.digits + "-_.:")
    assert not host.text.startswith("-")
    assert parse_host(host.text) == host


@given(st.text(max_size=60).map("http://{}".format) | st.text(alphabet=string.printable, max_size=60))
def test_a_url_that_passes_fits_on_one_request_line(text: str) -> None:
    try:
        target = parse_url(text)
    except InvalidTarget:
        return
    assert all(32 < ord(char) < 127 for char in target.url)
    assert parse_url(target.url) == target


@given(st.ip_addresses(v=6))
def test_every_address_is_judged(address: ipaddress.IPv6Address) -> None:
    """Whatever the number, the policy accepts or refuses; it never breaks."""
    host = parse_host(str(address))
    assert host.address is not None
    with contextlib.suppress(TargetBlocked):
        OPERATOR.check(host, (host.address,))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/", "is no URL"),
        ("file:///etc/passwd", "is no URL"),
        ("example.com", "is no URL"),
        ("http://user:secret@example.com/", "without `user@`"),
        ("http://example.com@127.0.0.1/", "without `user@`"),
        ("http://example.com/a b", "white space"),
        ("http://example.com/\r\nX: y", "white space"),
        ("http://example.com\\@127.0.0.1/", "`%` and two hex"),
        ("http://example.com/é", "not ASCII"),
        ("http://example.com:0/", "no port"),
        ("http://example.com:99999/", "no port"),
        ("http://example.com:x/", "is no URL"),
        ("http:///path", "empty"),
        ("http://[::1%25eth0]/", "without `%`"),
        ("http://2130706433/", "four decimal"),
        ("http://" + "a" * 3000, "at most 2048"),
        ("-http://example.com", "begins like an option"),
    ],
)
def test_a_hostile_url_is_refused_with_a_reason(url: str, said: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse_url(url)
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_a_url_is_read_into_its_parts() -> None:
    target = parse_url("HTTPS://Example.com:8443/a?b=c#part")
    assert (target.scheme, target.host.text, target.port, target.path) == ("https", "example.com", 8443, "/a?b=c")
    assert target.url == "https://example.com:8443/a?b=c"
    assert parse_url("http://[::1]").authority == "[::1]"
    assert parse_url("http://example.com?x=1").path == "/?x=1"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "http://example.com/b"),
        ("//other.example/x", "http://other.example/x"),
        ("https://other.example", "https://other.example/"),
        ("?q", "http://example.com/a?q"),
    ],
)
def test_a_redirect_is_seen_from_its_page(location: str, url: str) -> None:
    assert parse_redirect(parse_url("http://example.com/a"), location).url == url


@pytest.mark.parametrize("location", ["javascript:x", "file:///etc/passwd", "http://[", "http://a b/", "\n"])
def test_a_redirect_elsewhere_is_refused(location: str) -> None:
    base = parse_url("http://example.com/a")
    try:
        assert parse_redirect(base, location).host == base.host
    except InvalidTarget:
        return


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**9])
def test_a_port_outside_the_range_is_refused(port: int) -> None:
    with pytest.raises(InvalidTarget, match="from 1 to 65535"):
        parse_port(port)


NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001:db8::5efe:a9fe:a9fe",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
]


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_are_refused_even_to_operators_and_when_listed(address: str) -> None:
    host = parse_host(address)
    assert host.address is not None
    for policy in (OPERATOR, ProbePolicy.operator(["0.0.0.0/0", "::/0", "loopback", "private"])):
        with pytest.raises(TargetBlocked) as caught:
            policy.check(host, (host.address,))
        assert caught.value.code == "blocked_by_policy"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"),
        *("::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "::127.0.0.1", "198.18.0.1"),
    ],
)
def test_inner_addresses_are_for_operators_alone(address: str) -> None:
    host = parse_host(address)
    assert host.address is not None
    OPERATOR.check(host, (host.address,))
    with pytest.raises(TargetBlocked, match=r"this principal may not probe; an operator can list it in `probe.allow`"):
        SERVED.check(host, (host.address,))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_for_all(address: str) -> None:
    host = parse_host(address)
    assert host.address is not None
    SERVED.check(host, (host.address,))


def test_every_address_of_a_name_is_checked() -> None:
    """One inner address among public ones is enough to refuse the name."""
    addresses = tuple(ipaddress.ip_address(text) for text in ("8.8.8.8", "127.0.0.1"))
    with pytest.raises(TargetBlocked, match=r"'rebind.example' resolves to 127\.0\.0\.1, which is a loopback address"):
        SERVED.check(parse_host("rebind.example"), addresses)


@pytest.mark.parametrize("item", ["loopback", "127.0.0.0/8", "127.0.0.1", "app.internal", "*.internal"])
def test_what_settings_list_may_be_probed(item: str) -> None:
    ProbePolicy.served([item]).check(parse_host("app.internal"), (ipaddress.ip_address("127.0.0.1"),))


def test_a_pattern_covers_what_is_below_it_alone() -> None:
    policy = ProbePolicy.served(["*.internal"])
    for name in ("internal", "app.internal.example", "appinternal"):
        with pytest.raises(TargetBlocked):
            policy.check(parse_host(name), (ipaddress.ip_address("10.0.0.1"),))


@pytest.mark.parametrize("item", ["169.254.169.254", "fe80::/10", "-x", "*.", "", "0177.0.0.1"])
def test_an_allow_list_with_nonsense_is_refused(item: str) -> None:
    with pytest.raises(InvalidInput):
        ProbePolicy.served([item])
