"""Do messages, replies and what is asked keep their meaning through the codec?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.language.strategies import build_structs, build_values

from quorate import messages as m
from quorate import specs
from quorate.codec.json import decode, encode
from quorate.errors import InvalidInput

VALUES = [
    m.Message, m.Usage, m.Reply, specs.ModelSettings, specs.ToolSpec, specs.OutputSpec, specs.Request, specs.Limits,
    specs.ModelProfile,
]  # fmt: skip


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_value_survives_the_codec(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    """What is written is what is read."""
    value = data.draw(build_structs(kind))
    assert decode(encode(value), kind) == value


@pytest.mark.parametrize("union", [m.AnyPart, m.Delta, m.StreamItem], ids=["part", "delta", "stream"])
@given(data=st.data())
def test_members_of_unions_are_told_apart(union: object, data: st.DataObject) -> None:
    """The tag says which member it is; nothing is guessed from the fields."""
    value = data.draw(build_values(union))
    read = msgspec.json.decode(encode(value), type=union)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_unknown_fields_are_passed_over(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    """A newer version's additions do not stop an older one."""
    value = data.draw(build_structs(kind))
    newer = {**msgspec.json.decode(encode(value)), "added_later": [1]}
    assert decode(encode(newer), kind) == value


def test_text_and_calls_of_a_message() -> None:
    call = m.ToolCall(id="c1", name="ping")
    message = m.Message(role="assistant", parts=(m.Thinking(text="hm"), m.Text(text="a"), call, m.Text(text="b")))
    assert message.text == "ab"
    assert message.tool_calls == (call,)
    empty = m.Message(role="user", parts=())
    assert (empty.text, empty.tool_calls) == ("", ())


def test_a_user_message_is_made_of_text_parts_or_itself() -> None:
    parts = (m.Text(text="look"), m.Image(data=b"\0"))
    assert m.build_user_message("hi") == m.Message(role="user", parts=(m.Text(text="hi"),))
    assert m.build_user_message(parts) == m.Message(role="user", parts=parts)
    message = m.Message(role="assistant", parts=parts)
    assert m.build_user_message(message) is message


def test_bytes_travel_as_base64() -> None:
    data = encode(m.Image(data=b"\x89PNG\0"))
    assert b'"iVBORwA="' in data
    assert decode(data, m.Image).data == b"\x89PNG\0"


def test_an_unknown_role_names_the_path() -> None:
    with pytest.raises(InvalidInput, match=r"at `\$\.role`"):
        decode(b'{"role":"king","parts":[]}', m.Message)


@given(st.lists(build_structs(m.Usage), min_size=1, max_size=5))
def test_usage_sums_by_field(usages: list[m.Usage]) -> None:
    """The sum does not depend on order, and nothing used is its neutral element."""
    total = sum(usages, m.Usage())
    assert total == sum(reversed(usages), m.Usage())
    assert total.total_tokens == sum(usage.total_tokens for usage in usages)
    for field in m.Usage.__struct_fields__:
        assert getattr(total, field) == sum(getattr(usage, field) for usage in usages)


def test_defaults_are_the_promised_ones() -> None:
    """Every run is bounded without anyone asking for it. row: B5"""
    limits = specs.Limits()
    assert (limits.steps, limits.repeated_calls, limits.depth) == (25, 3, 5)
    assert limits.seconds == 3600
    assert specs.ToolSpec(name="x").effect == "unsafe"
    assert specs.ToolSpec(name="x").timeout_s == 60


def test_structs_with_mutable_defaults_do_not_share_them() -> None:
    one, two = specs.ToolSpec(name="a"), specs.ToolSpec(name="b")
    one.parameters["x"] = 1
    assert "x" not in two.parameters


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_are_frozen_and_named(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    with pytest.raises(TypeError, match="positional"):
        kind("by position")
