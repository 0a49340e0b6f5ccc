"""Messages that differ only in what varies are one kind. row: B1"""

import random
import string

from quorate.tools.builtin.logs.template import MAX_GROUPS, Clusters, mask


def test_what_varies_is_masked_by_kind() -> None:
    text = "user 'bob' 10.0.0.1 0xdeadbeef 550e8400-e29b-41d4-a716-446655440000 d41d8cd98f00b204 took 1.5 s, don't"
    assert mask(text) == "user <quoted> <ip> <hex> <uuid> <hex> took <num> s, don't"


def test_messages_are_counted_by_kind_with_their_lines() -> None:
    clusters = Clusters()
    for number in range(1, 101):
        clusters.add(f"request {number} took {number * 3} ms", line=number, level="info", time_s=float(number))
    for number in range(101, 108):
        clusters.add(f"cannot reach db{number}.local", line=number, level="error", time_s=float(number))
    clusters.add("cannot reach db1.local", line=200, level="info", time_s=None)
    first, *_ = clusters.top(5)
    assert (first.template, first.count, first.lines) == ("request <num> took <num> ms", 100, (1, 2, 3, 4, 5))
    (error,) = clusters.top(5, levels=frozenset({"error"}))
    assert (error.template, error.count, error.level) == ("cannot reach db<num>.local", 7, "error")
    assert error.first_seen == "1970-01-01T00:01:41Z"


def test_words_that_differ_become_a_gap() -> None:
    clusters = Clusters()
    for name in ("cache", "search", "billing"):
        clusters.add(f"connection to {name} was refused", line=1, level="error", time_s=None)
    assert [(one.template, one.count) for one in clusters.top(5)] == [("connection to <*> was refused", 3)]


def test_memory_is_bounded_when_every_message_is_another() -> None:
    chance, clusters = random.Random(1), Clusters()
    for number in range(5000):
        words = ["".join(chance.choices(string.ascii_lowercase, k=8)) for _ in range(4)]
        clusters.add(" ".join(words), line=number, level=None, time_s=None)
    assert len(clusters.top(10_000)) == MAX_GROUPS
    assert clusters.ungrouped == 5000 - MAX_GROUPS


def test_an_empty_message_is_a_kind_too() -> None:
    clusters = Clusters()
    clusters.add("", line=1, level=None, time_s=None)
    assert clusters.top(1)[0].template == ""
