"""Are subjects built, checked and matched as NATS does?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.bus.headers import MAX_REASON, check_headers, clean_reason
from quorate.bus.streams import check_entry, check_streams, find_rest
from quorate.bus.subjects import (
    build_subject,
    check_pattern,
    check_subject,
    check_tenant,
    is_inbox,
    is_match,
    is_overlap,
)
from quorate.errors import Forbidden, InvalidInput
from quorate.ports.bus import StreamRule

WORDS = st.sampled_from(["a", "b", "c"])
SUBJECTS = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(st.lists(st.sampled_from(["a", "b", "*"]), max_size=3), st.sampled_from(["a", "*", ">"])).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)


def test_a_subject_is_built_of_ids() -> None:
    """No tenant and no addressee can carry a dot, a wildcard or a space."""
    assert build_subject("agent", "tasks", "acme", "net") == "ai.agent.tasks.acme.net"
    assert build_subject("agent", "tasks", "acme") == "ai.agent.tasks.acme"
    for bad in ("", "a.b", "*", ">", "a b", "A", "-a", "a" * 64, "a\n", "é"):
        with pytest.raises(InvalidInput, match="tenant"):
            build_subject("agent", "tasks", bad)
        with pytest.raises(InvalidInput, match="addressee"):
            build_subject("agent", "tasks", "acme", bad)
        with pytest.raises(InvalidInput, match="operation"):
            build_subject("agent", bad, "acme")


@given(st.text(max_size=20))
def test_what_passes_as_a_subject_is_one(text: str) -> None:
    """Nothing with an empty word, a wildcard, a space or a control character passes."""
    try:
        check_subject(text)
    except (InvalidInput, Forbidden):
        return
    assert text
    assert all(text.split("."))
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(" *>")
    assert not text.startswith("$")
    assert check_pattern(text) == text


@given(PATTERNS, SUBJECTS)
def test_patterns_match_word_by_word(pattern: str, subject: str) -> None:
    """The same as a regular expression says that is built from the pattern."""
    import re

    words = {"*": r"[^.]+", ">": r".+"}
    expression = r"\.".join(words.get(word, word) for word in pattern.split("."))
    assert is_match(pattern, subject) == (re.fullmatch(expression, subject) is not None)


@given(PATTERNS, PATTERNS, SUBJECTS)
def test_patterns_that_share_a_subject_overlap(first: str, second: str, subject: str) -> None:
    """Whatever matches both is a proof."""
    if is_match(first, subject) and is_match(second, subject):
        assert is_overlap(first, second)
    assert is_overlap(first, second) == is_overlap(second, first)
    assert is_overlap(first, first)


def test_patterns_that_share_nothing_do_not_overlap() -> None:
    """Different words, or different lengths."""
    for first, second in (("a.b", "a.c"), ("a.*", "b.*"), ("a", "a.b"), ("a.*", "a.b.c"), ("a.>", "a")):
        assert not is_overlap(first, second), (first, second)


def test_a_subject_of_ours_names_its_tenant() -> None:
    """Others are refused, wildcards are let be, and subjects that are not ours too."""
    for good in ("ai.x.y.acme", "ai.x.y.acme.z", "ai.x.y.*", "ai.x.>", "ai.x.y.>", "other.x.y.beta", "_INBOX_x.y.z.q"):
        assert check_tenant(good, "acme") == good
    for bad in ("ai.x.y.beta", "ai.x.y.beta.acme", "ai.*.*.acme2.>"):
        with pytest.raises(Forbidden):
            check_tenant(bad, "acme")


def test_only_an_inbox_is_answered() -> None:
    """A forged reply subject is none."""
    assert is_inbox("_INBOX_local.q1.7")
    for bad in ("ai.agent.tasks.acme", "$JS.API.STREAM.DELETE.x", "_INBOX.*", "_INBOX.a b", "", "_INBOX..a"):
        assert not is_inbox(bad), bad


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4))
def test_headers_stay_in_their_lines(headers: dict[str, str]) -> None:
    """What passes has no line breaks, and nothing that only a broker or a bus may say."""
    try:
        kept = check_headers(headers)
    except InvalidInput:
        return
    for name, value in kept.items():
        assert ":" not in name
        assert (name + value).isprintable()
        assert not name.lower().startswith(("nats-", "quorate-tenant"))


def test_a_reason_is_one_line() -> None:
    """It goes into a header, whatever an error says."""
    assert clean_reason("one\r\ntwo\x00 three") == "one two? three"
    assert len(clean_reason("x" * 5000)) == MAX_REASON


def test_rules_of_streams_are_checked_together() -> None:
    """All faults at once; a queue brings the stream of its dead letters along."""
    tasks = StreamRule(name="tasks", subjects=("ai.t.>",), kind="work", backoff_s=(1.0, 5.0))
    checked = check_streams([tasks], tenant="acme")
    assert [rule.name for rule in checked] == ["tasks", "tasks-dead"]
    assert checked[1].subjects == ("ai.dead.tasks.acme",)
    with pytest.raises(InvalidInput, match="2 faults") as caught:
        check_streams([tasks, StreamRule(name="tasks", subjects=("ai.t.x.acme",), kind="events")], tenant="acme")
    assert "same name" in caught.value.message
    with pytest.raises(InvalidInput, match="dead letters"):
        check_streams([StreamRule(name="x-dead", subjects=("a",), kind="events")], tenant="acme")
    with pytest.raises(InvalidInput, match="below 0"):
        check_streams([StreamRule(name="x", subjects=("a",), kind="work", backoff_s=(-1.0,))], tenant="acme")
    assert [find_rest(tasks, attempt) for attempt in (1, 2, 3, 9)] == [1.0, 5.0, 5.0, 5.0]
    assert find_rest(StreamRule(name="x", subjects=("a",), kind="work", backoff_s=()), 1) == 0.0


def test_a_time_to_live_is_whole_seconds() -> None:
    """At least one, as at a server."""
    assert [check_entry(id="x", ttl_s=seconds)[1] for seconds in (0.1, 1, 1.5, None)] == [1.0, 1.0, 2.0, None]
    assert check_entry(id=None, ttl_s=None)[0].startswith("msg-")
