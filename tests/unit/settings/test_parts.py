"""Do the small parts of settings do what they say: `.env` files, references, limits, the reference page?"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.settings import cap_limits
from quorate.settings.dotenv import parse_dotenv
from quorate.settings.keys import list_keys
from quorate.settings.references import expand
from quorate.settings.values import LimitSettings
from quorate.specs import Limits

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/settings.md"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A = b c ", "b c"),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=#c", ""),
        ("A='b # c'", "b # c"),
        ('A="b\\n\\"c\\"" # d', 'b\n"c"'),
        ("A='b\\n'", "b\\n"),
    ],
)
def test_a_line_sets_a_variable(line: str, value: str) -> None:
    """The forms that other readers of such files know. row: C6"""
    found, faults = parse_dotenv(f"# first\n\n{line}\n")
    assert not faults
    assert [(item.name, item.value, item.line) for item in found] == [("A", value, 3)]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No file makes the reader fail, and each line is a variable, a fault, or nothing."""
    found, faults = parse_dotenv(text)
    assert len(found) + len(faults) <= len(text.splitlines())


@given(st.text())
def test_text_without_references_stays_as_it_is(text: str) -> None:
    """Only `${` has a meaning."""
    plain = text.replace("${", "")
    assert expand(plain, {}.get) == plain


@given(st.text(min_size=1), st.text())
def test_a_value_is_put_in_as_it_is(value: str, rest: str) -> None:
    """Whatever it holds, references included."""
    plain = rest.replace("${", "").replace("$", "")
    assert expand(plain + "${A}", {"A": value}.get) == plain + value


def test_limits_are_capped_by_the_settings() -> None:
    """The smaller of the agent's and the settings' own; what is unset on either side does not bind. row: C6"""
    caps = LimitSettings(steps=10, seconds=9999.0, cost_usd=0.5)
    assert cap_limits(Limits(steps=25, seconds=60), caps) == Limits(steps=10, seconds=60, cost_usd=0.5)
    assert cap_limits(Limits(cost_usd=0.1), LimitSettings()) == Limits(cost_usd=0.1)


def test_every_limit_can_be_capped() -> None:
    """A new limit of runs is a new setting, too."""
    assert LimitSettings.__struct_fields__ == Limits.__struct_fields__


def test_every_setting_is_documented() -> None:
    """The page names each key, its variable and what it means; nothing else is named there. row: C6"""
    page = PAGE.read_text(encoding="utf-8")
    for key in list_keys():
        assert f"| `{key.name}` | `{key.variable}` | {key.description} |" in page
    assert page.count("| `QUORATE_") == len(list_keys())
