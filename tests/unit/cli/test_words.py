"""Can text that others wrote move the cursor, hide, or break a line?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cli.console import escape_json
from quorate.cli.words import align, clean, clean_line, measure, show_cost, show_duration, show_time


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("bell\x07 del\x7f csi\x9b", "bell\\x07 del\\x7f csi\\x9b"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone\ud800", "lone\\ud800"),
        ("one\u2028two", "one\\u2028two"),
        ("tab\tand\nline stay: ä 語 é", "tab\tand\nline stay: ä 語 é"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
    ],
)
def test_controls_are_spelled_out(text: str, shown: str) -> None:
    """What a terminal would act on is seen instead. row: C17"""
    assert clean(text) == shown


@given(st.text())
def test_no_text_can_drive_a_terminal(text: str) -> None:
    """Nothing below a blank but tab and newline is left, and it can be encoded."""
    shown = clean(text)
    assert all(c in "\t\n" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0) for c in shown)
    shown.encode("utf-8")
    assert clean(shown) == shown


@given(st.text(), st.integers(2, 50))
def test_a_line_is_one_line_and_fits(text: str, most: int) -> None:
    """Cut by columns, with a mark where something is missing."""
    line = clean_line(text, most=most)
    assert "\n" not in line
    assert measure(line) <= most


@given(st.text())
def test_json_means_the_same_once_escaped(text: str) -> None:
    """What a terminal may act on is spelled as JSON spells it, so that a program reads what was meant."""
    import json

    encodable = text.encode("utf-8", "replace").decode()
    shown = escape_json(json.dumps(encodable, ensure_ascii=False))
    assert json.loads(shown) == encodable
    assert clean(shown) == shown


def test_columns_are_aligned_by_what_is_seen() -> None:
    """Wide characters take two columns."""
    assert align([("a", "b", "c"), ("語語", "", "d")]) == ["a     b  c", "語語     d"]
    assert align([]) == []


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0004, "0 ms"), (0.25, "250 ms"), (1.5, "1.5 s"), (59.94, "59.9 s"), (125, "2 min 5 s")]
)
def test_durations_have_the_unit_that_fits(seconds: float, shown: str) -> None:
    """Milliseconds, seconds, minutes."""
    assert show_duration(seconds) == shown


def test_times_and_costs() -> None:
    """UTC to the second; an unknown cost is never shown as none."""
    assert show_time(0) == "1970-01-01 00:00:00"
    assert show_cost(0.0) == "no cost"
    assert show_cost(0.01234) == "$0.0123"
    assert show_cost(None) == "unknown cost"
