"""Does a credential give the rights that it says, and no others?"""

import itertools

import pytest

from quorate.errors import Forbidden, InvalidInput
from quorate.security.identity import AREAS, VERBS, Identity, Need, Role, Verb, check_role, check_scopes


def build(role: Role = "operator", *scopes: str) -> Identity:
    return Identity(tenant="acme", principal="ann", role=role, scopes=scopes)


@pytest.mark.parametrize("role", VERBS)
def test_a_role_may_what_it_says(role: Role) -> None:
    for area, verb in itertools.product(AREAS, VERBS["admin"]):
        assert build(role).may(Need(area, verb)) is (verb in VERBS[role])


def test_roles_contain_each_other() -> None:
    assert VERBS["viewer"] < VERBS["operator"] < VERBS["admin"]


@pytest.mark.parametrize(
    ("scopes", "verb", "allowed"),
    [
        (["runs:read"], "read", {"runs"}),
        (["runs:*"], "write", {"runs"}),
        (["*:read"], "write", set[str]()),
        (["*:read", "state:write"], "write", {"state"}),
        (["*:*"], "admin", set[str]()),
        (["keys:admin"], "admin", set[str]()),
        ([], "write", set(AREAS)),
    ],
)
def test_scopes_narrow_and_never_widen(scopes: list[str], verb: Verb, allowed: set[str]) -> None:
    identity = build("operator", *check_scopes(scopes))
    assert {area for area in AREAS if identity.may(Need(area, verb))} == allowed


def test_a_refusal_says_what_is_missing() -> None:
    with pytest.raises(Forbidden, match="`runs:write`") as refused:
        build("viewer").check(Need("runs", "write"))
    assert refused.value.context["need"] == "runs:write"
    build("viewer").check(Need("runs", "read"))


def test_all_wrong_scopes_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_scopes(["runs:read", "runs", "cars:read", "runs:drive", ":", "x" * 500])
    assert all(repr(one) in refused.value.message for one in ("runs", "cars:read", "runs:drive", ":"))
    assert len(refused.value.message) < 700
    assert check_scopes(["state:read", "runs:read", "runs:read"]) == ("runs:read", "state:read")
    with pytest.raises(InvalidInput, match="`viewer`"):
        check_role("root")
