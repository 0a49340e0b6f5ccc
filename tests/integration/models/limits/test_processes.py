"""Do four processes together keep limits as one does?"""

from collections import Counter
from pathlib import Path

import pytest
from tests.integration.models.processes import open_children, read_words
from tests.valkey import valkey_server, valkey_url

__all__ = ["valkey_server", "valkey_url"]

CALLER = Path(__file__).with_name("caller.py")


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where to count, and its address."""
    fixture = {"postgres": "postgres_dsn", "valkey": "valkey_url"}.get(request.param)
    return request.param, request.getfixturevalue(fixture) if fixture else str(tmp_path / "quorate.db")


def count(rules: str, place: tuple[str, str]) -> Counter[str]:
    """Let four processes make 120 calls each, at once; return how many passed."""
    total: Counter[str] = Counter()
    with open_children(CALLER, [(rules, *place, "120")] * 4) as children:
        for child in children:
            total.update(read_words(child))
    return total


def test_each_of_several_limits_is_exact_over_four_processes(place: tuple[str, str]) -> None:
    """Of 480 calls exactly 30 of one tenant and 50 of the other pass; tokens are settled with real usage. part of row C4"""
    total = count("each", place)
    assert (total["a"], total["b"]) == (30, 50)
    # 400 tokens are set aside and 300 used, 5,000 are there.
    assert total["a-eager"] <= 16
    assert total["b-eager"] <= 16


def test_four_processes_pass_as_many_calls_as_one(place: tuple[str, str]) -> None:
    """Under a limit for all, exactly its number passes, whoever they are. part of row C4"""
    total = count("all", place)
    assert total["all"] == 60
    assert total["a"] <= 30
    assert total["b"] <= 50
