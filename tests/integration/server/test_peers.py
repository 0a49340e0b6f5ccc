"""From which address does a request come, whatever its headers say?"""

from __future__ import annotations

import pytest

from quorate.errors import InvalidInput, RateLimited
from quorate.server.peers import MAX_PEERS, Guesses, Proxies


def said(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("client", "headers", "peer"),
    [
        ("203.0.113.9", said("198.51.100.7"), "203.0.113.9"),  # nobody's word but a proxy's
        ("10.0.0.5", said(), "10.0.0.5"),
        ("10.0.0.5", said("198.51.100.7"), "198.51.100.7"),
        ("10.0.0.5", said("1.1.1.1, 198.51.100.7"), "198.51.100.7"),  # the first was there before
        ("10.0.0.5", said("1.1.1.1", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.5", said("198.51.100.7, 10.1.2.3"), "198.51.100.7"),
        ("10.0.0.5", said("10.1.2.3, 10.1.2.4"), "10.1.2.3"),
        ("10.0.0.5", said("198.51.100.7:4711"), "198.51.100.7"),
        ("10.0.0.5", said("[2001:db8:1:2::3]:4711"), "20010db800010002/64"),
        ("10.0.0.5", said("2001:db8:1:2:ffff::3"), "20010db800010002/64"),
        ("::ffff:10.0.0.5", said("198.51.100.7"), "198.51.100.7"),
        ("10.0.0.5", said("1.1.1.1, unknown"), "10.0.0.5"),
        ("10.0.0.5", said("1.1.1.1, \xff\x00"), "10.0.0.5"),
        ("10.0.0.5", said(",".join(["10.1.2.3"] * 5_000)), "10.1.2.3"),
        ("", said("198.51.100.7"), ""),
        ("not-an-address", said("198.51.100.7"), "not-an-address"),
    ],
)
def test_only_proxies_of_ours_are_believed(client: str, headers: list[tuple[bytes, bytes]], peer: str) -> None:
    """Read from its end, as far as our own proxies wrote it. part of row C12"""
    proxies = Proxies(["10.0.0.5", "10.1.0.0/16"])
    assert proxies.find_peer(client, headers) == peer
    assert Proxies().find_peer("203.0.113.9", said("198.51.100.7")) == "203.0.113.9"


def test_what_is_no_proxy_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"'proxy.internal' is no address of a proxy"):
        Proxies(["proxy.internal"])


def test_an_address_may_be_wrong_so_often() -> None:
    """And again when the minute is over; others are not kept from it."""
    now = [100.0]
    guesses = Guesses(3, monotonic=lambda: now[0])
    for _ in range(3):
        guesses.check("a")
        guesses.note("a")
    now[0] += 20
    with pytest.raises(RateLimited) as caught:
        guesses.check("a")
    assert caught.value.retry_after_s == 40.0
    guesses.check("b")
    now[0] += 40
    guesses.check("a")


def test_addresses_are_counted_in_bounded_room() -> None:
    """Whoever has very many is counted as one, for a minute. part of row C12"""
    now = [100.0]
    guesses = Guesses(5, monotonic=lambda: now[0])
    for number in range(MAX_PEERS + 50):
        guesses.note(f"peer-{number}")
    assert len(guesses) <= MAX_PEERS + 1
    with pytest.raises(RateLimited):
        guesses.check("somebody-new")
    guesses.check("peer-1")
    now[0] += 61
    guesses.check("somebody-new")
    guesses.note("somebody-new")
    assert len(guesses) <= 2
    assert not guesses.is_quiet
    now[0] += 61
    assert guesses.is_quiet
    assert not len(guesses)
