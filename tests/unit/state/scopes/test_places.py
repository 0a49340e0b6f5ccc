"""Can a name or an id lead to somebody else's values?"""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quorate.errors import InvalidInput, UnknownName
from quorate.ids import PATTERN
from quorate.ports import StateScope
from quorate.state.places import ScopeRef, build_key, build_prefix, read_key

HOSTILE_NAMES = [
    "", ".", "..", "../x", "a/../b", "a/..", "/a", "a/", "a//b", "a\0b", "\0", "a b", "a\nb", "a%2Fb", "~x", "~", "a~",
    "ä", "a\\b", "-a", "a/.b", "a/~b", "x" * 129, "\ud800", "a*", "a?", "a'--", "a" + "\u200b", "Ａ", "a/ b",
]  # fmt: skip
HOSTILE_IDS = ["a\0b", "\0", "a\nb", "\x7f", "\ud800", "x" * 241, "ü" * 60]
TENANTS = st.from_regex(PATTERN, fullmatch=True)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20) | st.sampled_from(
    ["..", ".", "/", "a/b", "_", "~", "%2F", "%", "a%2Fb", "default", "s-1", "s-10", "ann@example.org", "~copied", "*"]
)
PATHS = st.just("") | st.text(max_size=30)


@st.composite
def refs(draw: st.DrawFn) -> ScopeRef:
    scope: StateScope = draw(st.sampled_from(["global", "tenant", "user", "session", "agent", "workflow", "run"]))
    return ScopeRef(
        scope=scope,
        tenant="" if scope == "global" else draw(TENANTS),
        id="" if scope in ("global", "tenant") else draw(IDS),
        path=draw(PATHS) if scope == "run" else "",
    )


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,9}(/[A-Za-z0-9_]{1,5}){0,2}", fullmatch=True)


@given(refs(), NAMES, refs(), NAMES)
def test_two_owners_never_share_a_key(first: ScopeRef, name: str, second: ScopeRef, other: str) -> None:
    """Whatever ids and paths are, and no owner's keys begin like another's, but for a run and its delegates. row: E5"""
    assume(first != second)
    assert build_key(first, name) != build_key(second, other)
    key, begin = build_key(second, other), build_prefix(first)
    if not (first.scope == second.scope == "run" and (first.tenant, first.id) == (second.tenant, second.id)):
        assert not key.startswith(begin)


@given(refs(), NAMES)
def test_a_key_is_read_back(ref: ScopeRef, name: str) -> None:
    """As whose it is; keys fit into what stores take, and their tenant stands second."""
    key = build_key(ref, name)
    place = read_key(key)
    assert place is not None
    assert (place.scope, place.tenant, place.id, place.name) == (ref.scope, ref.tenant, ref.id, name)
    assert place.is_layer == bool(ref.path)
    assert len(key.encode()) <= 512
    assert key.split("/")[:3] == ["state", ref.tenant or "_", ref.scope]


def test_the_longest_parts_fit_into_a_key() -> None:
    """A store takes 512 bytes."""
    ref = ScopeRef(scope="workflow", tenant="t" * 63, id="i" * 240)
    assert len(build_key(ref, "n" * 128)) <= 512
    ref = ScopeRef(scope="run", tenant="t" * 63, id="i" * 240, path="p" * 10_000)
    assert len(build_key(ref, "n" * 128)) <= 512


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_names_are_refused(name: str) -> None:
    """Before anything is read or written, with the grammar. row: E5"""
    with pytest.raises(InvalidInput, match="is not one: use 1 to 128 of letters, digits"):
        build_key(ScopeRef(scope="tenant", tenant="default"), name)


@pytest.mark.parametrize("id_", HOSTILE_IDS, ids=ascii)
def test_hostile_ids_are_refused(id_: str) -> None:
    """NUL, controls, what is no UTF-8, and what is too long."""
    with pytest.raises(InvalidInput, match="session id "):
        ScopeRef(scope="session", tenant="default", id=id_)


@pytest.mark.parametrize("tenant", ["", "_", "A", "a/b", "..", "a\0", "a b", "ä", "-a", "a" * 64])
def test_a_tenant_is_an_identifier(tenant: str) -> None:
    """So that it cannot be written like another one."""
    with pytest.raises(InvalidInput, match="is not an identifier"):
        ScopeRef(scope="tenant", tenant=tenant)


def test_a_ref_names_somebody() -> None:
    """What is missing or too much is said."""
    with pytest.raises(InvalidInput, match=r"scope `session` needs an id: say which one \(id ''\)"):
        ScopeRef(scope="session", tenant="default")
    with pytest.raises(InvalidInput, match=r"scope `tenant` takes no id: leave it out \(id 'x'\)"):
        ScopeRef(scope="tenant", tenant="default", id="x")
    with pytest.raises(InvalidInput, match="scope `global` belongs to no tenant"):
        ScopeRef(scope="global", tenant="default")
    with pytest.raises(InvalidInput, match="scope `user` has no delegates"):
        ScopeRef(scope="user", tenant="default", id="ann", path="1/tool/a")
    with pytest.raises(UnknownName, match=r"There is no scope 'sesion'\. Did you mean `session`\?"):
        ScopeRef(scope="sesion", tenant="default", id="x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key",
    ["", "state", "state/", "state/a/b", "other/a/tenant/_/x", "state/a/nobody/_/x", "state/A B/tenant/_/x",
     "state/a/tenant/_/", "state/a/run/r/~0123/~copied", "state/_/migrated/0/x"],
)  # fmt: skip
def test_other_keys_are_not_read(key: str) -> None:
    """What the store keeps for itself, and what nobody wrote."""
    assert read_key(key) is None
