"""Are rules data that a file can hold, and do guards come out of them whole or not at all?"""

import subprocess
import sys
import tomllib

import msgspec
import pytest

from quorate.errors import InvalidInput, MissingExtra, UnknownName
from quorate.models.guards.guard import build_guards, clean_reason
from quorate.models.guards.rules import (
    FunctionRule,
    GuardRule,
    PatternsRule,
    PiiRule,
    SchemaRule,
    SecretsRule,
    SizeRule,
    WordsRule,
)

FILE = """
[[guard]]
kind = "pii"
name = "persons"
entities = ["email", "card"]
mode = "strict"
tenants = ["acme"]

[[guard]]
kind = "secrets"
name = "keys"
restore = false

[[guard]]
kind = "words"
name = "code-names"
words = ["project zeus"]
on = "output"

[[guard]]
kind = "patterns"
name = "tickets"
patterns = ['\\bTICKET-\\d{1,8}\\b']

[[guard]]
kind = "size"
name = "size"
max_chars = 100000

[[guard]]
kind = "schema"
name = "shape"
json_schema = { type = "object" }

[[guard]]
kind = "function"
name = "tone"
function = "tone"
mode = "lenient"
"""


def test_every_kind_is_read_from_a_file_and_built() -> None:
    """One table of an array for each guard, told apart by `kind`."""
    rules = msgspec.convert(tomllib.loads(FILE)["guard"], tuple[GuardRule, ...])
    assert rules == (
        PiiRule(name="persons", entities=("email", "card"), mode="strict", tenants=("acme",)),
        SecretsRule(name="keys", restore=False),
        WordsRule(name="code-names", words=("project zeus",), on="output"),
        PatternsRule(name="tickets", patterns=(r"\bTICKET-\d{1,8}\b",)),
        SizeRule(name="size", max_chars=100_000),
        SchemaRule(name="shape", json_schema={"type": "object"}),
        FunctionRule(name="tone", function="tone", mode="lenient"),
    )
    guards = build_guards(rules, functions={"tone": lambda _: None})
    assert [guard.rule for guard in guards] == list(rules)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "regex", "name": "x"}, "Invalid value 'regex'"),
        ({"kind": "pii", "name": "X"}, r"matching regex .* at `\$\.name`"),
        ({"kind": "pii", "name": "x", "mode": "soft"}, "Invalid enum value 'soft'"),
        ({"kind": "pii", "name": "x", "entities": ["shoe"]}, "Invalid enum value 'shoe'"),
        ({"kind": "pii", "name": "x", "entitys": []}, "unknown field `entitys`"),
        ({"kind": "words", "name": "x", "words": []}, "length >= 1"),
        ({"kind": "size", "name": "x", "max_chars": 0}, "`int` >= 1"),
    ],
)
def test_what_is_no_rule_is_refused(rule: dict[str, object], said: str) -> None:
    """The reader says where."""
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(rule, GuardRule)


def test_guards_that_cannot_hold_are_refused_when_they_are_built() -> None:
    """Not at the first call that needs them."""
    with pytest.raises(InvalidInput, match="Two guards are named 'x': a block must say which it was"):
        build_guards((PiiRule(name="x"), SecretsRule(name="x")))
    with pytest.raises(UnknownName, match="There is no guard function 'tone'"):
        build_guards((FunctionRule(name="x", function="tone"),), functions={"tune": lambda _: None})
    with pytest.raises(InvalidInput, match="is no word that can be found"):
        build_guards((WordsRule(name="x", words=("\u200b ",)),))
    with pytest.raises(InvalidInput, match="have more than 400000 characters in all"):
        build_guards((WordsRule(name="x", words=tuple(f"{number:0200}" for number in range(2001))),))


def test_a_reason_is_one_short_line() -> None:
    """Whatever a function says cannot break a log's line."""
    assert clean_reason("a\r\n\x1b[31mb  c.") == "a [31mb c"
    assert clean_reason("") == "no reason given"
    assert len(clean_reason("x" * 1000)) == 200


def test_reading_rules_loads_no_guard() -> None:
    """A gateway without guards does not pay for them."""
    probe = "import sys, quorate.models.guards.rules; print([m for m in sys.modules if m.startswith('quorate.models.guards.')])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['quorate.models.guards.rules']"


def test_a_missing_library_is_named() -> None:
    """With the extra that brings it, and without a weaker engine in its place."""
    probe = """
import sys
sys.modules["re2"] = None
from quorate.models.guards.guard import build_guards
from quorate.models.guards.rules import PatternsRule
try:
    build_guards((PatternsRule(name="x", patterns=("a",)),))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == (
        f"{MissingExtra.__name__} A guard with expressions needs the extra `guards`: pip install 'quorate[guards]'"
    )
