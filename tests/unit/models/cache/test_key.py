"""Do only the same questions of the same people have the same key?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from quorate.messages import Image, Message, Text, build_user_message
from quorate.models.cache.key import CacheKey, Scope, build_key, new_secret
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

SECRET = b"0123456789abcdef0123456789abcdef"
BASE = Request(
    messages=(build_user_message("hi"),),
    instructions="be brief",
    tools=(ToolSpec(name="f"),),
    output=OutputSpec(name="o", json_schema={"type": "object"}),
    caller=Caller(tenant="acme", principal="ann", session="s1"),
)


def key(request: Request = BASE, **changes: object) -> bytes | None:
    return build_key(request, **({"model": "m", "secret": SECRET} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        structs.replace(BASE, caller=Caller(tenant="other", principal="ann", session="s1")),
        structs.replace(BASE, caller=Caller(tenant="acme", principal="bob", session="s1")),
        structs.replace(BASE, instructions="be long"),
        structs.replace(BASE, tools=(ToolSpec(name="f", description="x"),)),
        structs.replace(BASE, tools=()),
        structs.replace(BASE, output=None),
        structs.replace(BASE, settings=ModelSettings(temperature=0.0)),
        structs.replace(BASE, settings=ModelSettings(extra={"a": 1})),
        structs.replace(BASE, messages=(build_user_message("hi"), build_user_message(""))),
        structs.replace(BASE, messages=(Message(role="assistant", parts=(Text(text="hi"),)),)),
        structs.replace(BASE, messages=(Message(role="user", parts=(Image(data=b"hi"),)),)),
        structs.replace(BASE, instructions="", messages=(build_user_message("be briefhi"),)),
    ],
)
def test_whatever_changes_the_answer_or_its_reader_changes_the_key(other: Request) -> None:
    """Tenant and user, instructions, tools, schema, sampling, messages. row: A11"""
    assert key(other) != key()


def test_model_policy_scope_and_secret_change_the_key() -> None:
    """Another model, another version of the rules, and another secret see nothing of each other's."""
    keys = {key(), key(model="n"), key(policy="2"), key(scope="tenant"), key(scope="session"), key(secret=new_secret())}
    assert len(keys) == 6
    assert all(one is not None and len(one) == 32 for one in keys)


def test_the_step_the_run_and_the_agent_do_not() -> None:
    """Two runs that ask the same are given the same."""
    other = structs.replace(BASE, key="7", caller=structs.replace(BASE.caller, run="r2", agent="x", session="s2"))
    assert key(other) == key()


@pytest.mark.parametrize(
    ("scope", "same"), [("tenant", (True, True)), ("user", (False, True)), ("session", (False, False))]
)
def test_a_scope_says_who_shares(scope: Scope, same: tuple[bool, bool]) -> None:
    """All of a tenant, one user, one session."""
    user = structs.replace(BASE, caller=structs.replace(BASE.caller, principal="bob"))
    session = structs.replace(BASE, caller=structs.replace(BASE.caller, session="s2"))
    assert (key(user, scope=scope) == key(scope=scope), key(session, scope=scope) == key(scope=scope)) == same


@given(one=st.lists(st.text(max_size=3), max_size=4), other=st.lists(st.text(max_size=3), max_size=4))
def test_texts_cannot_be_moved_across_borders(one: list[str], other: list[str]) -> None:
    """Where one text ends and the next begins is part of the key."""
    first, second = (Request(messages=tuple(map(build_user_message, texts))) for texts in (one, other))
    assert (key(first) == key(second)) == (one == other)


@pytest.mark.parametrize("extra", [{"a": object()}, {"a": 1 << 70}])
def test_what_cannot_be_written_down_has_no_key(extra: dict[str, object]) -> None:
    """Nothing is shared then."""
    assert key(structs.replace(BASE, settings=ModelSettings(extra=extra))) is None
    assert key(structs.replace(BASE, instructions="\ud800")) is None


def test_layers_share_the_work() -> None:
    """The same request gives the same key, and its own again after another one."""
    keys = CacheKey(SECRET, model="m")
    other = structs.replace(BASE, instructions="x")
    assert keys(BASE) == keys(BASE) == key()
    assert keys(other) == key(other)
    assert keys(BASE) == key()
