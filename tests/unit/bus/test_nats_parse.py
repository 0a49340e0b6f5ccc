"""Are the bytes of a NATS server read as they are meant, wherever they are cut, and is garbage refused?"""

import random
import sys
from collections import Counter

import pytest
from nats.errors import Error

from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends._nats_wire import Fault, Wire, build_bare, raise_fault, read_count, read_place, read_status
from quorate.errors import InvalidInput, QuorateError, RateLimited, StorageFull, Unavailable

Heard = list[tuple[bytes, bytes, bytes, bytes | None]]
STREAM = (
    b"MSG a.b 1 5\r\nhello\r\n"
    b"MSG a.b 1 _INBOX.x 2\r\n\r\n\r\n"
    b"+OK\r\n"
    b"HMSG a.c 1 20 25\r\nNATS/1.0\r\na: b\r\n\r\nworld\r\n"
    b"PONG\r\n"
    b"HMSG a.c 1 _INBOX.y 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"MSG a.b 1 0\r\n\r\n"
    b"MSG a.b 1 14\r\nMSG a 1 5\r\nxyz\r\n"
)
WANTED: Heard = [
    (b"a.b", b"", b"hello", None),
    (b"a.b", b"_INBOX.x", b"\r\n", None),
    (b"a.c", b"", b"world", b"NATS/1.0\r\na: b\r\n\r\n"),
    (b"a.c", b"_INBOX.y", b"", b"NATS/1.0 503\r\n\r\n"),
    (b"a.b", b"", b"", None),
    (b"a.b", b"", b"MSG a 1 5\r\nxyz", None),
]


def build_connection() -> tuple[Connection, Heard]:
    connection = Connection(window_bytes=1000, wait_s=0.1, longest_wait_s=1.0, regroup_s=1.0, is_secure=False)
    heard: Heard = []
    connection.sinks[b"1"] = lambda *message: heard.append(message)
    return connection, heard


async def feed(connection: Connection, *pieces: bytes) -> None:
    for piece in pieces:
        await connection._ps.parse(piece)  # pyright: ignore[reportPrivateUsage]


def fix(stream: bytes) -> bytes:
    return stream.replace(b"HMSG a.c 1 20 25", b"HMSG a.c 1 18 23")


async def test_a_stream_cut_anywhere_is_the_same_stream() -> None:
    """In two at every byte, and byte by byte."""
    stream = fix(STREAM)
    for place in range(len(stream) + 1):
        connection, heard = build_connection()
        await feed(connection, stream[:place], stream[place:])
        assert heard == WANTED, place
    connection, heard = build_connection()
    await feed(connection, *(stream[i : i + 1] for i in range(len(stream))))
    assert heard == WANTED


async def test_a_large_message_is_joined_once() -> None:
    """A megabyte in pieces of a kilobyte, with others around it."""
    body = random.Random(1).randbytes(1 << 20)
    stream = b"MSG a.b 1 1\r\nx\r\n" + b"MSG a.b 1 %d\r\n" % len(body) + body + b"\r\nMSG a.b 1 1\r\ny\r\n"
    connection, heard = build_connection()
    pieces = [stream[i : i + 1024] for i in range(0, len(stream), 1024)]
    done: Counter[str] = Counter()
    before = sys.getprofile()
    sys.setprofile(lambda _, event, what: done.update([what.__name__] if event == "c_call" else []))
    try:
        await feed(connection, *pieces)
    finally:
        sys.setprofile(before)
    assert [message[2] for message in heard] == [b"x", body, b"y"]
    assert done["append"] >= len(pieces) - 2, "nothing was counted"
    assert done["join"] <= 3
    assert done["find"] <= 9, "what came was searched again with each piece"


async def test_garbage_is_a_protocol_error() -> None:
    """Never another exception: ten thousand times a good stream with something wrong in it."""
    chance, stream = random.Random(2), fix(STREAM)
    for _ in range(10_000):
        broken = bytearray(stream)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(broken))
            match chance.randrange(3):
                case 0:
                    broken[place] = chance.randrange(256)
                case 1:
                    del broken[place : place + chance.randint(1, 9)]
                case _:
                    broken[place:place] = chance.randbytes(chance.randint(1, 9))
        if b"INFO" in broken or b"ERR" in broken or b"PING" in broken:
            continue
        connection, _ = build_connection()
        cut = chance.randrange(len(broken))
        try:
            await feed(connection, bytes(broken[:cut]), bytes(broken[cut:]))
        except Error:
            continue


async def test_nonsense_lines_are_refused() -> None:
    """Sizes that are none, too few words, a line without an end."""
    for bad in (b"MSG a 1 x\r\n", b"MSG a 1 -5\r\n", b"MSG 5\r\n", b"HMSG a 1 9 5\r\n", b"MSG a 1 99999999999\r\n"):
        connection, _ = build_connection()
        with pytest.raises(Error):
            await feed(connection, bad)
    connection, _ = build_connection()
    with pytest.raises(Error):
        await feed(connection, b"MSG " + b"a" * 9000)


def test_what_is_written_is_read_again() -> None:
    """By the one it belongs to; others count it."""
    ours, theirs = Wire("acme"), Wire("beta")
    command = ours.build("a.b", b"data", headers={"note": "größer", "Nats-Rollup": "all"}, reply="_INBOX.x")
    line, _, rest = command.partition(b"\r\n")
    words = line.split()
    assert words[:3] == [b"HPUB", b"a.b", b"_INBOX.x"]
    head, size = int(words[3]), int(words[4])
    block, data = rest[:head], rest[head:size]
    assert rest[size:] == b"\r\n"
    message = ours.read(b"a.b", b"_INBOX.x", data, block)
    assert message is not None
    assert (message.data, dict(message.headers), message.reply) == (b"data", {"note": "größer"}, "_INBOX.x")
    assert theirs.read(b"a.b", b"", data, block) is None
    assert ours.read(b"a.b", b"", data, None) is None
    assert (ours.foreign, theirs.foreign) == (1, 1)
    assert build_bare("a", b"+ACK") == b"PUB a 4\r\n+ACK\r\n"


def test_what_a_server_says_of_itself_is_read() -> None:
    """Status lines and places, with and without a domain; nonsense is none."""
    assert read_status(b"NATS/1.0 503\r\n\r\n") == (503, "")
    assert read_status(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n") == (408, "Request Timeout")
    assert read_status(b"NATS/1.0\r\na: b\r\n\r\n") == (0, "")
    assert read_status(None) == (0, "")
    place = read_place(b"$JS.ACK.s.c.2.7.9.1700000000000000000.3")
    assert place is not None
    assert (place.attempt, place.seq, place.time) == (2, 7, 1.7e9)
    assert read_place(b"$JS.ACK.domain.hash.s.c.2.7.9.1700000000000000000.3.x") == place
    for bad in (b"", b"$JS.ACK", b"$JS.ACK.s.c.x.7.9.1.3", b"_INBOX.a.b.c.d.e.f.g.h"):
        assert read_place(bad) is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(503, 10077, "maximum messages exceeded"), RateLimited),
        (Fault(503, 10077, "maximum bytes exceeded"), RateLimited),
        (Fault(500, 10023, "insufficient resources"), StorageFull),
        (Fault(503, 10039, "JetStream not enabled for account"), Unavailable),
        (Fault(400, 10052, "bad configuration"), InvalidInput),
    ],
)
def test_what_a_server_complains_of_is_typed(fault: Fault, kind: type[QuorateError]) -> None:
    """Each complaint is an error that a program can act on, with the server's own words."""
    with pytest.raises(kind, match=fault.description):
        raise_fault(fault, "it")


def test_ten_thousand_blocks_of_headers_are_read_or_passed_over() -> None:
    """Cut, doubled, swollen or random: a message is this tenant's and clean, or none; no other error comes of it."""
    chance, wire, ours = random.Random(8), Wire("acme"), 0
    lines = (
        b"NATS/1.0\r\n", b"Quorate-Tenant: acme\r\n", b"Quorate-Tenant: beta\r\n", b"quorate-tenant: beta\r\n",
        b"Nats-Msg-Id: m1\r\n", b"Nats-Msg-Id: \xff\x00\r\n", b"Nats-Rollup: all\r\n", b": x\r\n", b"note: y\r\n",
        b"no\xc3\xb6: y\r\n", b"a" * 40_000, b"\r\n\r\n", b"\r", b" 503\r\n", b" " + b"9" * 6000 + b" x\r\n",
    )  # fmt: skip
    replies = (
        b"",
        b"_INBOX_a.b.1",
        b"ai.agent.tasks.acme",
        b"$JS.ACK.s.c.1.2.3.4.5",
        b"_INBOX.*",
        b"\xff",
        b"_INBOX..",
    )
    for _ in range(10_000):
        first = lines[0] if chance.random() < 0.8 else b""
        block = first + b"".join(chance.choice(lines) for _ in range(chance.randint(0, 6)))
        block = block[: chance.randint(0, len(block))] if chance.random() < 0.2 else block
        read_status(block)
        read_count(block, "Nats-Pending-Messages")
        message = wire.read(b"a.b", chance.choice(replies), b"data", block or None)
        if message is None:
            continue
        ours += 1
        said = [line for line in block.split(b"\r\n")[1:] if line.strip().lower().startswith(b"quorate-tenant:")]
        assert {line.partition(b":")[2].strip() for line in said} == {b"acme"}
        assert message.reply in ("", "_INBOX_a.b.1")
        for name, value in message.headers.items():
            assert not name.lower().startswith(("nats-", "quorate-tenant"))
            assert (name + value).isprintable()
    assert ours > 100, "the cases are all the same"
    assert wire.foreign + ours == 10_000


def test_ten_thousand_places_are_read_or_none() -> None:
    """Numbers that are too long, signs, other digits, too few words: none of them is a place, or an error."""
    chance = random.Random(9)
    words = (b"$JS", b"ACK", b"s", b"1", b"-1", b"1_0", "١".encode(), b"9" * 400, b"9" * 5000, b"", b"\xff", b"1e9")
    for _ in range(10_000):
        reply = b".".join([b"$JS", b"ACK", *(chance.choice(words) for _ in range(chance.randint(0, 12)))])
        place = read_place(reply)
        assert place is None or min(place.attempt, place.seq, place.time) >= 0
