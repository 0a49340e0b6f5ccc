"""Does search put the agent first that a person means?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.catalog.files import SAMPLES

from quorate.catalog.find import Match
from quorate.catalog.load import load_catalog

CATALOG = load_catalog([SAMPLES], builtin=None)


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("tls certificate", "network-diagnostics"),
        ("certificates", "network-diagnostics"),
        ("cert", "network-diagnostics"),
        ("out of memory", "system-monitoring"),
        ("disk", "system-monitoring"),
        ("stack traces", "log-analysis"),
        ("systemd", "infrastructure"),
        ("docker contaners", "infrastructure"),
        ("secrets in code", "code-review"),
        ("incident", "incident-lead"),
        ("network-diagnostics", "network-diagnostics"),
        ("dns_lookup", "network-diagnostics"),
        ("LOGS", "log-analysis"),
    ],
)
def test_the_best_match_comes_first(text: str, agent: str) -> None:
    """By words of the name, triggers, tools and the rest; beginnings and slips of the pen included. row: E2"""
    assert CATALOG.find(text)[0].agent == agent


def test_a_match_says_why() -> None:
    """The reason names the words and where they stand. row: E2"""
    match = CATALOG.find("tls certificate", limit=1)[0]
    assert match.reason == "`tls` in its triggers, `certificate` in its triggers"


def test_nothing_is_found_for_nothing() -> None:
    """No words, unknown words and no room give no matches."""
    assert CATALOG.find("") == CATALOG.find("zebra giraffe") == CATALOG.find("memory", limit=0) == []


def test_ties_go_by_name() -> None:
    """Equal agents come in the order of their names."""
    one = CATALOG.get("log-analysis")
    twins = load_catalog([SAMPLES], builtin=None).with_agents([one])
    assert [match.agent for match in twins.find("log")][:1] == ["log-analysis"]
    assert twins.find("machine") == CATALOG.find("machine")


@given(st.text(max_size=60), st.integers(0, 8))
def test_any_text_gives_sorted_matches(text: str, limit: int) -> None:
    """At most as many as asked for, best first, the same every time."""
    matches = CATALOG.find(text, limit=limit)
    assert len(matches) <= limit
    assert matches == sorted(matches, key=lambda match: (-match.score, match.agent)) == CATALOG.find(text, limit=limit)
    assert all(isinstance(match, Match) and match.score > 0 for match in matches)
