"""Is what was kept read again, whatever format it is in, and is nothing guessed?"""

import random

import pytest

from quorate.codec.formats import CODECS, find_codec
from quorate.codec.json import encode
from quorate.codec.schemas.agents import AgentMessage
from quorate.codec.stored import NUMBERS, read_stored, write_stored
from quorate.errors import InvalidInput, QuorateError, TooLarge, UnknownName
from quorate.messages import Text

LETTER = AgentMessage(id="m-1", sender="scout", recipient="lead", parts=(Text(text="hello"),))


@pytest.mark.parametrize("name", CODECS)
def test_every_format_is_read_without_being_told(name: str) -> None:
    """Also by whoever writes another one."""
    data = write_stored(LETTER, codec=find_codec(name))
    assert read_stored(data, AgentMessage) == LETTER
    assert (data[0] == 0xC1) is (name != "json")


def test_what_was_kept_before_there_were_formats_is_read() -> None:
    """JSON is kept as it is: older versions read it, too, and so does `jq`."""
    assert write_stored(LETTER) == encode(LETTER)
    assert read_stored(encode(LETTER), AgentMessage) == LETTER
    assert write_stored(LETTER, codec=find_codec("msgpack"))[:2] == b"\xc1\x02"


def test_another_format_is_a_typed_error() -> None:
    """The numbers of formats never change, and one that nobody knows is not guessed."""
    assert dict(NUMBERS) == {"msgpack": 2, "protobuf": 3}
    with pytest.raises(UnknownName, match=r"There is no format of stored values 'number 9'.*Upgrade Quorate to read x"):
        read_stored(b"\xc1\x09{}", AgentMessage, what="x")
    for data in (b"\xc1", b"", b"\xc1\x02", b"\xc1\x02\xff", b"\xc0"):
        with pytest.raises(InvalidInput):
            read_stored(data, AgentMessage)
    with pytest.raises(TooLarge):
        read_stored(write_stored(LETTER, codec=find_codec("msgpack")), AgentMessage, max_bytes=8)


def test_garbled_values_give_typed_errors_only() -> None:
    """Whatever the first two bytes promise."""
    chance = random.Random(5)
    for name in CODECS:
        whole = write_stored(LETTER, codec=find_codec(name))
        for _ in range(500):
            garbled = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                garbled[chance.randrange(len(garbled))] = chance.randrange(256)
            try:
                read_stored(bytes(garbled[: chance.randint(0, len(garbled))]), AgentMessage)
            except QuorateError:
                continue
