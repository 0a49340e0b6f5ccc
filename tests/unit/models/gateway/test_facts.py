"""Do the facts about models hold together, and are all faults found at once?"""

import pytest

from quorate.errors import InvalidFiles, UnknownName
from quorate.models.facts import check_models, load_table

GOOD = """
[[provider]]
name = "a"
otel = "a"
base_url = "https://a.test/v1"
dialect = "openai"

[[model]]
name = "a:m"
context_tokens = 10
price = { input = 1.0, output = 2.0 }
"""


def test_the_shipped_facts_hold_together() -> None:
    table = load_table()
    assert {"openai", "ollama"} <= set(table.providers)
    assert all(name.partition(":")[0] in table.providers for name in table.models)


def test_a_dated_name_has_the_facts_of_the_undated_one() -> None:
    table = load_table()
    assert table.find_facts("openai:gpt-5.2-2025-12-11") is table.find_facts("openai:gpt-5.2")
    assert table.find_facts("openai:gpt-5.2-mine") is None


def test_what_runs_on_ones_own_machine_is_free_and_the_unknown_is_not() -> None:
    table = load_table()
    free = table.find_price("ollama:anything")
    assert free is not None
    assert free.input == 0
    assert table.find_price("openai:anything") is None


def test_every_fault_is_listed_with_its_line() -> None:
    """One reading finds them all."""
    bad = """[[provider]]
name = "A!"
otel = "a"
base_url = "https://a.test/v1"
dialect = "openai"

[[provider]]
name = "b"
otel = "b"
base_url = "ftp://b.test"
dialect = "openai"

[[provider]]
name = "c"
otel = "c"
base_url = "https://c.test"
dialect = "klingon"
color = "red"

[[model]]
name = "nobody:m"
context_tokens = 10
price = { input = 1.0, output = 2.0 }

[[model]] # twice
name = "b:m"
context_tokens = -1
price = { input = 1.0, output = 2.0 }

[[mood]]
"""
    with pytest.raises(InvalidFiles) as caught:
        check_models(bad, where="facts.toml")
    said = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 6
    for line in ("facts.toml:1: provider", "facts.toml:7:", "facts.toml:13:", "facts.toml:20: model", "facts.toml:25:"):
        assert line in said
    assert "unknown table 'mood'" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("input = 1.0", "input = -1.0", "price.input"),
        ("input = 1.0", "input = 1.0, cached = 5.0", "above `price.input`"),
        ('name = "a:m"', 'name = "a"', "name"),
        ("[[model]]", GOOD.split("[[model]]")[1].join(["[[model]]"] * 2), "there twice"),
        ("[[model]]", "[model]", "list of tables"),
        ("[[model]]", "[[model", "facts.toml: "),
    ],
)
def test_a_fault_says_what_is_wrong(old: str, new: str, said: str) -> None:
    check_models(GOOD)
    with pytest.raises(InvalidFiles, match=said):
        check_models(GOOD.replace(old, new), where="facts.toml")


def test_a_pattern_that_is_none_is_found_when_it_is_read() -> None:
    """And not when a tool is named to the provider."""
    with pytest.raises(InvalidFiles, match="`tool_names` is no pattern"):
        check_models(GOOD.replace('dialect = "openai"', 'dialect = "openai"\ntool_names = "[a-z"'))


def test_an_unknown_provider_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean `openai`"):
        load_table().find_provider("opneai")
