"""Does every kind of message come back in every format, and is bad input a typed error?"""

import random
import sys
from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.language.strategies import build_structs

from quorate.codec.formats import CODECS, choose_codec, find_codec
from quorate.codec.schemas import KINDS, find_schema, name_kind
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import InvalidInput, MissingExtra, QuorateError, TooLarge, UnknownName
from quorate.events import AnyEvent
from quorate.messages import Reply, Text, ToolResult
from quorate.testing.samples import build_every_event

FORMATS = sorted(CODECS)
LETTER = AgentMessage(
    id="m-1",
    sender="scout",
    recipient="lead",
    parts=(Text(text="It is slow. \u2014 \U0001f600"), ToolResult(call_id="c", name="n", content=(Text(text="x"),))),
    labels={"a": "b"},
    deadline=1.5,
)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=12)
@given(data=st.data())
def test_every_kind_comes_back_in_every_format(kind: str, format_: str, data: st.DataObject) -> None:
    """All 13 kinds, with whatever their types allow. row: A6"""
    schema, codec = find_schema(kind), find_codec(format_)
    value = data.draw(build_structs(schema))
    assert codec.decode(codec.encode(value), schema) == value
    assert name_kind(value) == kind


@pytest.mark.parametrize("format_", FORMATS)
def test_every_event_comes_back_in_every_format(format_: str) -> None:
    codec = find_codec(format_)
    for event in build_every_event("run-1"):
        assert codec.decode(codec.encode(event), type(event)) == event


def test_there_are_thirteen_kinds() -> None:
    assert len(KINDS) == 13


@pytest.mark.parametrize(("format_", "begins"), [("json", b'{"id":'), ("msgpack", b"\x86"), ("protobuf", b"\x0a\x03")])
def test_binary_is_really_binary(format_: str, begins: bytes) -> None:
    """The first bytes say so. row: A6"""
    assert find_codec(format_).encode(LETTER).startswith(begins)


@contextmanager
def without(name: str, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with monkeypatch.context() as patched:
        for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
            patched.delitem(sys.modules, module)
        patched.setitem(sys.modules, name, None)  # type: ignore[arg-type]
        yield


def test_a_format_that_is_not_installed_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for it raises, and says what to install. row: A6"""
    from quorate.codec.protobuf import build_classes

    build_classes.cache_clear()
    try:
        with without("google.protobuf", monkeypatch), pytest.raises(MissingExtra, match=r"quorate\[protobuf\]"):
            find_codec("protobuf")
    finally:
        build_classes.cache_clear()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("json", "json"),
        ("application/json; charset=utf-8", "json"),
        ("application/x-msgpack", "msgpack"),
        ("APPLICATION/PROTOBUF", "protobuf"),
    ],
)
def test_a_codec_is_found_by_name_or_content_type(name: str, found: str) -> None:
    assert find_codec(name).name == found


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"There is no format 'msgpac'. Did you mean `msgpack`"):
        find_codec("msgpac")


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/msgpack, application/json;q=0.9", "msgpack"),
        ("application/json;q=0.2, application/protobuf;q=0.8", "protobuf"),
        ("text/html, application/*;q=0.1", "json"),
        ("application/msgpack;q=0, */*;q=0.5", "json"),
    ],
)
def test_the_format_that_is_wanted_most_is_chosen(accept: str, found: str) -> None:
    """As RFC 9110 weighs them."""
    assert choose_codec(accept).name == found


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/xml;q=x"])
def test_what_cannot_be_written_is_refused(accept: str) -> None:
    with pytest.raises(InvalidInput, match="None of the formats"):
        choose_codec(accept)


@pytest.mark.parametrize("format_", FORMATS)
def test_too_many_bytes_are_not_read(format_: str) -> None:
    codec = find_codec(format_)
    with pytest.raises(TooLarge, match="a letter has 200 bytes; at most 100 are read"):
        codec.decode(b"x" * 200, AgentMessage, what="a letter", max_bytes=100)


@pytest.mark.parametrize("format_", FORMATS)
def test_what_no_format_holds_is_refused(format_: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        find_codec(format_).encode(AgentMessage(id="m", sender="\ud800"))


def test_extension_types_are_refused() -> None:
    """An unknown type of MessagePack never becomes a value."""
    data = msgspec.msgpack.encode({"id": msgspec.msgpack.Ext(5, b"x")})
    with pytest.raises(InvalidInput, match="extension type 5 is not known"):
        find_codec("msgpack").decode(data, object)


def test_a_message_of_no_kind_has_no_place_in_protobuf() -> None:
    with pytest.raises(InvalidInput, match="list has no place in Protobuf"):
        find_codec("protobuf").encode([1])


def damage(data: bytes, dice: random.Random) -> bytes:
    """Change, cut, repeat or make up bytes."""
    broken = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        place = dice.randrange(len(broken) + 1)
        match dice.randrange(5):
            case 0:
                broken[place : place + 1] = bytes([dice.randrange(256)])
            case 1:
                del broken[place:]
            case 2:
                broken[place:place] = broken[: dice.randrange(40)]
            case 3:
                broken[place:place] = dice.randbytes(dice.randrange(20))
            case _:
                broken[place:place] = dice.choice([b"[" * 5000, b"{" * 90, b"\xff" * 9, b"\x0a" * 300, b"9" * 400])
    return bytes(broken)


@pytest.mark.parametrize("format_", FORMATS)
def test_ten_thousand_damaged_messages_are_typed_errors(format_: str) -> None:
    """Whatever comes in, it is a value of the type or one of our errors. row: A7"""
    dice, codec = random.Random(f"codec {format_}"), find_codec(format_)
    reply = next(event for event in build_every_event("run-1") if type(event).__name__ == "ModelReplied")
    samples: list[tuple[bytes, type]] = [
        (codec.encode(LETTER), AgentMessage),
        (codec.encode(reply), type(reply)),
        (codec.encode(reply.reply), Reply),  # type: ignore[attr-defined]
    ]
    refused = 0
    for _ in range(10_000):
        data, type_ = dice.choice(samples)
        try:
            assert isinstance(codec.decode(damage(data, dice), type_, max_bytes=1 << 16), type_)
        except QuorateError:
            refused += 1
    assert refused > 3_000


def test_all_events_together_are_one_message_of_protobuf() -> None:
    """Whoever reads a run's events need not know which comes."""
    codec = find_codec("protobuf")
    from quorate.codec.protobuf import build_classes

    event = build_every_event("run-1")[0]
    holder = build_classes()["Event"]()
    holder.run_created.ParseFromString(codec.encode(event))
    assert codec.decode(holder.SerializeToString(), AnyEvent) == event  # type: ignore[arg-type]
