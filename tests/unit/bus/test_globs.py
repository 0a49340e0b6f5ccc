"""Which kinds of events does a pattern mean, for any words anywhere in it?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.bus.event_subjects import build_event_pattern, build_event_subject
from quorate.bus.globs import Glob, check_kind
from quorate.bus.subjects import is_match
from quorate.errors import InvalidInput

WORDS = st.lists(st.sampled_from(["a", "b", "cc"]), min_size=1, max_size=6)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=6)


def match_slowly(wanted: list[str], words: list[str]) -> bool:
    """Say the same by trying everything."""
    if not wanted:
        return not words
    if wanted[0] == "**":
        return any(match_slowly(wanted[1:], words[at:]) for at in range(len(words) + 1))
    return bool(words) and wanted[0] in ("*", words[0]) and match_slowly(wanted[1:], words[1:])


@given(PATTERNS, WORDS)
def test_a_pattern_means_what_trying_everything_says(pattern: list[str], words: list[str]) -> None:
    """And whatever it means is heard at the subject that the broker is asked for."""
    glob, kind = Glob(".".join(pattern)), ".".join(words)
    is_meant = match_slowly(pattern, words)
    assert glob.matches(kind) is is_meant
    for key, wanted_key in (("k", None), ("k", "k"), ("", None), ("a b", "a b")):
        subject = build_event_subject("told", "acme", tenant="acme", kind=kind, key=key)
        asked, is_exact = build_event_pattern(None, "acme", tenant=None, glob=glob, key=wanted_key)
        if is_meant:
            assert is_match(asked, subject)
        elif is_exact:
            assert not is_match(asked, subject)


def test_a_pattern_is_compared_in_no_time() -> None:
    """Sixty wildcards and a kind that nearly matches: what tries everything would not end."""
    glob = Glob(".".join(["**", "a"] * 25))
    assert not glob.matches(".".join(["a"] * 60 + ["b"]))
    assert glob.matches(".".join(["a"] * 60))


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "a*", "***", "a.**b", "a b", "a.>", "é", "a." * 80])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """By its value, and with what one may write."""
    with pytest.raises(InvalidInput, match=re.escape(f"event pattern {pattern[:80]!r} is none")):
        Glob(pattern)


@pytest.mark.parametrize("kind", ["", "a.", "a..b", "*", "a.**", "a b", "a.>", "a\n", "x" * 129])
def test_what_is_no_kind_is_refused(kind: str) -> None:
    """A kind has no wildcards."""
    with pytest.raises(InvalidInput, match=re.escape(f"event kind {kind[:80]!r} is none")):
        check_kind(kind)


def test_a_glob_remembers_a_bounded_number_of_kinds() -> None:
    """However many kinds there are, it answers the same."""
    glob = Glob("run.*")
    assert all(glob.matches(f"run.k{number}") for number in range(5000))
    assert not glob.matches("other.k1")
    assert glob.matches("run.k1")
