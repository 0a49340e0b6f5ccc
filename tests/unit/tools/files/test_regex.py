"""Patterns from strangers cost time that grows with the text, and no more. row: B7"""

import random
import re
import time

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.files.pattern import compile_pattern
from quorate.tools.builtin.files.regex import LinearPattern


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 100_000 + "b"),
        ("(a|aa)+$", "a" * 100_000 + "b"),
        ("(.*)*x", "a" * 100_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 100_000),
        ("(x+x+)+y", "x" * 100_000),
        (r"(\d+\s*)*;", "1 " * 50_000),
    ],
)
def test_patterns_that_explode_elsewhere_end_quickly(pattern: str, text: str) -> None:
    """A catastrophic pattern is bounded. row: B7"""
    started = time.process_time()
    assert not LinearPattern(pattern).search(text)
    assert time.process_time() - started < 2.0


def _write_pattern(chance: random.Random, depth: int = 0) -> str:
    kind = chance.random()
    if depth > 3 or kind < 0.35:
        return chance.choice(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\W", "^", "$", "[a-c1-3]", "(?:a|b)"])
    if kind < 0.6:
        return _write_pattern(chance, depth + 1) + _write_pattern(chance, depth + 1)
    if kind < 0.75:
        return f"({_write_pattern(chance, depth + 1)}|{_write_pattern(chance, depth + 1)})"
    return f"({_write_pattern(chance, depth + 1)})" + chance.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])


def test_it_agrees_with_the_standard_library() -> None:
    chance = random.Random(7)
    compared = 0
    while compared < 8000:
        pattern = _write_pattern(chance)
        ours, theirs = LinearPattern(pattern), re.compile(pattern, re.DOTALL)
        for _ in range(4):
            text = "".join(chance.choice("abc1 ") for _ in range(chance.randrange(9)))
            assert ours.search(text) is (theirs.search(text) is not None), (pattern, text)
            compared += 1


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"(a)\1", "not supported"),
        ("(?=a)", "look-around"),
        ("(?P<name>a)", "named groups"),
        (r"\ba", "not supported"),
        ("(a", "without its `\\)`"),
        ("a)", "without its `\\(`"),
        ("*a", "nothing to repeat"),
        ("[a", "ends too early"),
        ("a{2", "opens a count"),
        ("a{9999}", "up to 200"),
        ("a{3,2}", "from low to high"),
        ("[z-a]", "runs backwards"),
        ("((a{100}){100}){100}", "more than 2000 states"),
        ("(" * 40 + "a" + ")" * 40, "deeper than 30"),
        ("a" * 501, "at most 500"),
    ],
)
def test_what_is_refused_is_named(pattern: str, word: str) -> None:
    with pytest.raises(ToolError, match=word):
        LinearPattern(pattern)


def test_case_can_be_ignored() -> None:
    assert LinearPattern("err[o-q]r", ignore_case=True).search("an ERROR here")
    assert not LinearPattern("error").search("an ERROR here")
    assert LinearPattern(r"\S+@\S+\.\w{2,4}").search("mail bob@example.com now")


def test_memory_of_a_search_is_bounded() -> None:
    pattern = LinearPattern("[ab]*a[ab]{12}c")
    chance = random.Random(3)
    assert not pattern.search("".join(chance.choice("ab") for _ in range(30_000)))
    assert len(pattern._sets) <= 500


def test_words_come_in_order_with_anything_between() -> None:
    find = compile_pattern("timeout*db", "words", ignore_case=True)
    assert find("ERROR Timeout while calling DB1")
    assert not find("db then timeout")
    assert compile_pattern("(a+)+$")("literally (a+)+$ here")
    with pytest.raises(ToolError, match="no words"):
        compile_pattern("***", "words")
    with pytest.raises(ToolError, match="1 to 500 characters"):
        compile_pattern("")
