"""Is every address known for what it is, whatever it is dressed as?"""

import pytest

from quorate.errors import Forbidden, InvalidInput
from quorate.models.addresses import Guard, check_base_url, classify, find_literal, is_loopback_name


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("1.1.1.1", "public"),
        ("2606:4700::1111", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", "public"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12::1", "private"),
        ("169.254.169.254", "link-local"),
        ("169.254.170.2", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("0.0.0.0", "reserved"),
        ("0.1.2.3", "reserved"),
        ("::", "reserved"),
        ("198.18.0.1", "reserved"),
        ("203.0.113.9", "reserved"),
        ("224.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("ff02::1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("100::1", "reserved"),
        ("::127.0.0.1", "reserved"),
        # An IPv4 address inside an IPv6 one:
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:8.8.8.8", "public"),
        ("::ffff:0:10.0.0.1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b::8.8.8.8", "public"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("2002:808:808::", "public"),
        ("2001:0:808:808:0:0:5601:5601", "link-local"),
        ("2001:0:a9fe:a9fe:0:0:f7f7:f7f7", "link-local"),
        ("2606::5efe:10.0.0.1", "private"),
        ("2606::200:5efe:127.0.0.1", "loopback"),
    ],
)
def test_an_address_is_of_its_least_trusted_kind(address: str, kind: str) -> None:
    assert classify(address) == kind


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "0.0.0.0", "::ffff:169.254.169.254"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_metadata_and_reserved_addresses_are_never_reached(address: str, scheme: str) -> None:
    """Not even when the operator named the place."""
    with pytest.raises(Forbidden, match="never reached"):
        Guard(scheme=scheme, private=True).check(address, "name.test")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "fd12::1", "::ffff:192.168.0.1"])
def test_private_addresses_need_an_operator(address: str) -> None:
    with pytest.raises(Forbidden, match="no operator named it"):
        Guard().check(address, "name.test")
    Guard(private=True).check(address, "name.test")


def test_plain_http_never_goes_to_the_public() -> None:
    """The key would be shown to everybody on the way."""
    with pytest.raises(Forbidden, match="use `https`"):
        Guard(scheme="http", private=True).check("8.8.8.8", "name.test")
    Guard(scheme="https").check("8.8.8.8", "name.test")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x.test", "https://"),
        ("file:///etc/passwd", "https://"),
        ("x.test/v1", "https://"),
        ("https://", "names no host"),
        ("https://user:pass@x.test", "no user"),
        ("https://x.test/v1?key=1", "query"),
        ("https://x.test/#a", "fragment"),
        ("https://x.test/a b", "space"),
        ("https://x.test\r\nX: y", "space"),
        ("https://ex\u0430mple.test", "character no address has"),
        ("https://x.test:99999", "not a URL"),
        ("https://[::1", "not a URL"),
    ],
)
def test_a_base_url_is_a_plain_address(url: str, said: str) -> None:
    """The message names the setting and never the value."""
    with pytest.raises(InvalidInput, match=said) as caught:
        check_base_url(url, what="`OPENAI_BASE_URL`")
    assert "pass" not in str(caught.value).replace("password", "")
    assert str(caught.value).startswith("`OPENAI_BASE_URL`")


def test_a_host_may_be_written_as_an_address() -> None:
    assert find_literal("[::1]") == "::1"
    assert find_literal("2130706433") is None
    assert is_loopback_name("LOCALHOST.")
    assert is_loopback_name("[::1]")
    assert not is_loopback_name("localhost.evil.test")
