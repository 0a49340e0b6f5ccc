"""Is it known, without asking anybody, whether a model can be asked and where it is?"""

import pytest

from quorate.errors import UnknownName
from quorate.models.facts import Provider, Table
from quorate.models.plan import check_plan
from quorate.models.pooled import PoolRule
from quorate.models.readiness import find_lack, list_variables
from quorate.models.target import find_target

KEY = "a-key-0123456789"
OWN = check_plan(
    """
[[provider]]
name = "shop"
base_url = "http://10.0.0.5:8000/v1"
key_env = "SHOP_KEY"

[[model]]
name = "openai:gpt-5.2"
price = { input = 1, output = 2 }
"""
).build_table()


def find_lack_of(name: str, credentials: dict[str, str], *, pool: PoolRule | None = None) -> str:
    target = find_target(name, credentials=credentials.get, base_urls={}, table=OWN)
    return find_lack(target, credentials.get, now=0.0, pool=pool)


def test_a_provider_of_ones_own_may_be_private() -> None:
    """As the operator wrote its address; its facts stand above the shipped ones."""
    target = find_target("shop:llama", credentials={"SHOP_KEY": KEY}.get, base_urls={}, table=OWN)
    assert (target.base_url, target.guard.private, target.guard.scheme) == ("http://10.0.0.5:8000/v1", True, "http")
    target = find_target("openai:gpt-5.2", credentials={}.get, base_urls={}, table=OWN)
    assert target.price is not None
    assert (target.price.input, target.guard.private) == (1, False)
    assert target.facts is not None
    assert target.facts.context_tokens == 400_000


def test_what_is_not_trusted_is_never_private() -> None:
    """Not by a provider's row, not by a stated address, not by the shipped address of a local server."""
    for name, urls in (("shop:llama", {}), ("openai:x", {"openai": "https://10.0.0.1/v1"}), ("ollama:x", {})):
        target = find_target(name, credentials={}.get, base_urls=urls, table=OWN, is_trusted=False)
        assert not target.guard.private


def test_an_unknown_provider_is_told_with_ones_own() -> None:
    """The nearest name may be one of one's own."""
    with pytest.raises(UnknownName, match="Did you mean `shop`"):
        find_target("shp:llama", credentials={}.get, base_urls={}, table=OWN)


@pytest.mark.parametrize(
    ("name", "credentials", "said"),
    [
        ("openai:gpt-5.2", {}, "set `OPENAI_API_KEY`"),
        ("openai:gpt-5.2", {"OPENAI_API_KEY": "two words"}, "holds a space"),
        ("openai:gpt-5.2", {"OPENAI_API_KEY": KEY}, ""),
        ("shop:llama", {}, "set `SHOP_KEY`"),
        ("ollama:qwen3", {}, ""),
        ("vllm:qwen3", {}, ""),
        ("anthropic:claude-haiku-4-5", {"ANTHROPIC_AUTH_TOKEN": KEY}, ""),
        ("bedrock:amazon.nova-pro-v1:0", {"AWS_REGION": "us-east-1"}, "AWS_BEARER_TOKEN_BEDROCK"),
        ("bedrock:amazon.nova-pro-v1:0", {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": KEY}, ""),
    ],
)
def test_what_is_missing_is_told_as_the_call_would(name: str, credentials: dict[str, str], said: str) -> None:
    """With the name to set, and never with a value."""
    lack = find_lack_of(name, credentials)
    assert said in lack if said else lack == ""
    assert "two words" not in lack


def test_of_a_pool_one_key_is_enough() -> None:
    """Each is looked for under its own name."""
    pool = PoolRule(provider="openai", keys=("TEAM_A", "TEAM_B"))
    assert find_lack_of("openai:gpt-5.2", {"TEAM_B": KEY}, pool=pool) == ""
    assert "no credential of its pool is there" in find_lack_of("openai:gpt-5.2", {"OPENAI_API_KEY": KEY}, pool=pool)


def test_variables_are_listed_without_their_values() -> None:
    """Each once, with what it is for."""
    provider = Provider(
        name="x",
        otel="x",
        base_url="https://{REGION|OTHER_REGION}.host/{REGION}",
        dialect="openai",
        key_env="X_KEY",
        base_url_env="X_URL",
    )
    listed = list_variables(provider, {"REGION": "eu"}.get)
    assert [(one.name, one.is_set) for one in listed] == [
        ("X_KEY", False),
        ("REGION", True),
        ("OTHER_REGION", False),
        ("X_URL", False),
    ]
    assert "eu" not in [one.purpose for one in listed]


def test_an_own_provider_needs_no_shipped_one() -> None:
    """A table of one's own is enough."""
    provider = Provider(name="y", otel="y", base_url="https://y/v1", dialect="openai", free=True)
    table = Table(providers={"y": provider}, models={})
    target = find_target("y:m", credentials={}.get, base_urls={}, table=table)
    assert target.price is not None
    assert target.price.input == 0
