"""Which calls does a rule count, and which rules do not hold together?"""

import pytest
from msgspec import ValidationError, convert

from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import LimitRule, build_claim, find_faults, find_value, get_name
from quorate.specs import Caller

CALLER = Caller(tenant="acme", principal="ada", agent="net", session="s-1", run="run-1")


def value(rule: LimitRule, caller: Caller = CALLER) -> str | None:
    return find_value(rule, model="openai:gpt-5.2", credential="first", caller=caller)


@pytest.mark.parametrize(
    ("scope", "whose"),
    [
        ("global", ""),
        ("model", "openai:gpt-5.2"),
        ("credential", "first"),
        ("tenant", "acme"),
        ("agent", "acme/net"),
        ("key", "acme/ada"),
        ("session", "acme/s-1"),
    ],
)
def test_each_scope_has_windows_of_its_own(scope: str, whose: str) -> None:
    """Two tenants' agents of the same name do not share one. part of row C4"""
    rule = LimitRule(scope=scope, requests=1)  # type: ignore[arg-type]
    assert value(rule) == whose
    assert build_claim(rule, whose).key.endswith(f"/{whose}")


def test_a_rule_may_be_for_some_of_them() -> None:
    assert value(LimitRule(scope="tenant", match="ac*", requests=1)) == "acme"
    assert value(LimitRule(scope="tenant", match="b*", requests=1)) is None
    assert value(LimitRule(model="openai:gpt-4o", requests=1)) is None
    assert value(LimitRule(model="openai:gpt-5.2", requests=1)) == ""
    assert value(LimitRule(scope="session", requests=1), Caller()) is None


def test_a_changed_amount_keeps_what_was_counted() -> None:
    """The window's name does not hold the amount."""
    assert get_name(LimitRule(scope="tenant", requests=1)) == get_name(LimitRule(scope="tenant", requests=2))
    assert get_name(LimitRule(scope="tenant", requests=1)) != get_name(LimitRule(scope="tenant", tokens=1))
    assert len(build_claim(LimitRule(name="n", scope="session", requests=1), "x" * 500).key) < 100


def test_all_faults_are_told() -> None:
    rules = [LimitRule(), LimitRule(requests=1, match="x"), LimitRule(requests=1), LimitRule(requests=2)]
    faults = find_faults(rules)
    assert [place for place, _ in faults] == [0, 1, 3]
    assert "set `requests`, `tokens`, or both" in faults[0][1]
    assert "choose a `scope`" in faults[1][1]
    assert "counts what rule 3 counts" in faults[2][1]


@pytest.mark.parametrize("bad", [{"requests": 0}, {"per_s": 0}, {"scope": "planet"}, {"policy": "hope"}, {"other": 1}])
def test_what_is_no_rule_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        convert(bad, LimitRule)


def test_the_windows_of_a_caller_are_found_once() -> None:
    """The same caller costs a look into a table; callers are told apart by what the rules go by."""
    limiter = Limiter([LimitRule(scope="tenant", requests=1), LimitRule(scope="key", match="a*", requests=1)])
    found = limiter.find_claims(CALLER, model="m")
    assert [claim.value for claim in found] == ["acme/ada", "acme"]
    assert limiter.find_claims(Caller(tenant="acme", principal="ada"), model="m") is found
    assert [claim.value for claim in limiter.find_claims(Caller(), model="m")] == ["default"]
    for number in range(20_000):
        limiter.find_claims(Caller(tenant=f"t-{number}"), model="m")
    assert len(limiter._known) <= 8192
