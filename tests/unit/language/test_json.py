"""Is JSON read within bounds, and refused with the place of the fault?"""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.language.strategies import build_values

from quorate.codec.json import MAX_DEPTH, check_depth, decode, encode, encode_text, is_bounded
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import InvalidInput, TooLarge
from quorate.specs import Limits

JSON = build_values(object)


@given(JSON)
def test_json_is_what_the_standard_library_reads(value: object) -> None:
    assert json.loads(encode(value)) == value
    assert encode_text(value) == encode(value).decode()


@given(JSON)
def test_a_round_trip_is_the_identity(value: object) -> None:
    """Bytes and text are read alike."""
    assert decode(encode(value), object) == value
    assert decode(encode_text(value), object) == value


@pytest.mark.parametrize("size", [10, 11])
def test_the_size_is_bounded_exactly(size: int) -> None:
    """One byte more than allowed is refused before it is read."""
    data = b'"' + b"x" * (size - 2) + b'"'
    if size <= 10:
        assert decode(data, str, max_bytes=10) == "x" * 8
        return
    with pytest.raises(TooLarge, match="arguments has 11 bytes; at most 10 are read"):
        decode(data, str, what="arguments", max_bytes=10)


@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ('{"a":', "}")])
def test_the_depth_is_bounded_exactly(opener: str, closer: str) -> None:
    """64 levels are read, 65 are refused by name."""
    fits = opener * MAX_DEPTH + "1" + closer * MAX_DEPTH
    assert decode(fits, object) is not None
    deeper = opener * (MAX_DEPTH + 1) + "1" + closer * (MAX_DEPTH + 1)
    for data in (deeper, deeper.encode()):
        with pytest.raises(InvalidInput, match="arguments nests deeper than 64 levels"):
            decode(data, object, what="arguments")


def test_a_bomb_of_brackets_is_refused_and_not_followed() -> None:
    for bomb in ("[" * 500_000, '{"a":' * 100_000, "[{" * 200_000):
        with pytest.raises(InvalidInput, match="nests deeper"):
            decode(bomb, object)


def test_width_is_not_depth() -> None:
    wide = json.dumps([[index, {"a": []}] for index in range(1000)])
    assert decode(wide, object) == json.loads(wide)


def test_brackets_in_strings_do_not_count() -> None:
    text = json.dumps({"a": '[{"' * 200 + "\\", "b": "]]]" * 10, 'c"[': "\\" * 9 + '"'})
    assert decode(text, object) == json.loads(text)
    assert decode(text.encode(), object) == json.loads(text)


@given(JSON)
def test_the_depth_check_agrees_with_the_value(value: object) -> None:
    def depth(inner: object) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    text = json.dumps(value)
    for bound in range(4):
        if depth(value) <= bound:
            check_depth(text, max_depth=bound)
        else:
            with pytest.raises(InvalidInput):
                check_depth(text, max_depth=bound)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"{}x", "malformed"),
        (b"NaN", "malformed"),
        (b'{"steps":1,}', "trailing comma"),
        (b"\xff", "malformed"),
        (b'{"steps":"many"}', r"Expected `int`, got `str` - at `\$\.steps`"),
        (b"[]", "Expected `object`, got `array`"),
    ],
)
def test_a_fault_is_named_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"(?i)settings is not valid: .*{said}"):
        decode(data, Limits, what="settings")


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"'])
def test_text_that_is_not_unicode_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="name is not valid"):
        decode(data, str, what="name")


@given(st.binary(max_size=300))
def test_no_bytes_bring_about_another_error(data: bytes) -> None:
    """Garbage is a value or a typed error, never anything else."""
    try:
        decode(data, Limits, max_bytes=200)
    except (InvalidInput, TooLarge):
        return


class Tree(msgspec.Struct):
    """A value that may hold values like itself."""

    inner: "Tree | None" = None


@pytest.mark.parametrize(
    ("type_", "is_known"),
    [
        (Limits, True),
        (list[dict[str, tuple[int, ...]]], True),
        (Limits | None, True),
        (AgentMessage, True),
        (object, False),
        (msgspec.Raw, False),
        (dict[str, object], False),
        (tuple[int, object], False),
        (Tree, False),
        (list[Tree], False),
    ],
)
def test_a_type_says_how_deep_its_values_nest(type_: object, is_known: bool) -> None:
    """Only what may hold anything, or itself again, is looked through for brackets."""
    assert is_bounded(type_) is is_known


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_what_a_type_does_not_know_harms_nothing_however_deep_it_is(depth: int) -> None:
    """It is passed over, or refused with a typed error."""
    data = b'{"steps":3,"more":' + b"[" * depth + b"]" * depth + b"}"
    try:
        assert decode(data, Limits) == Limits(steps=3)
    except InvalidInput:
        assert depth > MAX_DEPTH + 1
    with pytest.raises(InvalidInput, match=f"nests deeper than {MAX_DEPTH} levels"):
        decode(data, object)
