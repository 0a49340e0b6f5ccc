"""Each rule for Python fires on what it names, at its line, and not beside it. row: B1"""

import textwrap

import pytest

from quorate.tools.builtin.code.finding import Limits, Source
from quorate.tools.builtin.code.review import review_source

LIMITS = Limits(complexity=5, function_lines=10)


def review(text: str, *, file: str = "app.py", limits: Limits = LIMITS) -> list[tuple[str, int]]:
    text = textwrap.dedent(text).lstrip("\n")
    source = Source(file=file, text=text, lines=tuple(text.split("\n")), is_test=file.startswith("test_"))
    return [(finding.rule, finding.line) for finding in review_source(source, limits)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("eval(x)", "eval"),
        ("import builtins\nbuiltins.exec(x)", "exec"),
        ("__import__(name)", "dynamic-import"),
        ("import subprocess as sp\nsp.run(x, shell=True)", "shell-true"),
        ("from os import system as s\ns(x)", "shell-call"),
        ("from pickle import loads\nloads(x)", "unsafe-load"),
        ("import yaml\nyaml.load(x)", "unsafe-load"),
        ("import yaml\nyaml.load(x, yaml.Loader)", "unsafe-load"),
        ("import requests\nrequests.get(x)", "no-timeout"),
        ("from urllib.request import urlopen\nurlopen(x)", "no-timeout"),
        ("import requests\nrequests.get(x, verify=False, timeout=1)", "tls-unverified"),
        ("import hashlib\nhashlib.md5(x)", "weak-hash"),
        ("import hashlib\nhashlib.new('SHA1')", "weak-hash"),
        ("app.run(debug=True)", "debug-true"),
        ("DEBUG = True", "debug-true"),
        ("import tempfile\ntempfile.mktemp()", "temp-race"),
        ("def f(x=[]): ...", "mutable-default"),
        ("def f(*, x=dict()): ...", "mutable-default"),
        ("def f(x):\n    assert x", "assert-validation"),
        ("try:\n    f()\nexcept:\n    log()", "broad-except"),
        ("try:\n    f()\nexcept (ValueError, Exception) as e:\n    log(e)", "broad-except"),
        ("try:\n    f()\nexcept Exception:\n    pass", "silent-except"),
        ("for x in y:\n    try:\n        f()\n    except BaseException:\n        continue", "silent-except"),
        ("# TODO: later", "todo"),
        ("def f(:", "syntax-error"),
    ],
)
def test_a_rule_fires_at_its_line(text: str, rule: str) -> None:
    """A planted eval and its like are found at file and line. row: B1"""
    # The fault is at `except` where there is one, and otherwise in the last line.
    before = text.partition("except")[0] if "except" in text else text
    assert review(f"pass\npass\n{text}") == [(rule, 3 + before.count("\n"))]


@pytest.mark.parametrize(
    "text",
    [
        "import ast\nast.literal_eval(x)",
        "model.eval()",
        "import subprocess\nsubprocess.run(['ls', x], timeout=3)",
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.safe_load(x)",
        "import requests\nrequests.get(x, timeout=3)",
        "import requests\nrequests.get(x, **options)",
        "import hashlib\nhashlib.md5(x, usedforsecurity=False)",
        "import hashlib\nhashlib.sha256(x)",
        "def f(x=None, y=(), z=1): ...",
        "try:\n    f()\nexcept ValueError:\n    log()",
        "try:\n    f()\nexcept Exception:\n    log()\n    raise",
        "def f(x):\n    y = g(x)\n    assert y",
        "'eval(x)'  # eval(x)",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    assert review(text) == []


@pytest.mark.parametrize(
    "statement",
    [
        "cursor.execute(f\"SELECT * FROM t WHERE n = '{name}'\")",
        "cursor.execute('SELECT * FROM t WHERE n = %s' % name)",
        "cursor.execute('SELECT * FROM t WHERE n = ' + name)",
        "cursor.execute('DELETE FROM t WHERE n = {}'.format(name))",
        "cursor.executemany('INSERT INTO t VALUES (' + ','.join(names) + ')', rows)",
        "session.execute(text(f'UPDATE t SET n = {name}'))",
        "sql = f'SELECT * FROM t WHERE n = {name}'; cursor.execute(sql)",
        "sql = 'SELECT * FROM t'; sql += ' WHERE n = ' + name; cursor.execute(sql)",
        "base = 'SELECT * FROM t'; sql = base + name; cursor.execute(sql)",
        "await connection.fetch(f'SELECT * FROM {table}')",
    ],
)
def test_sql_built_from_values_is_found(statement: str) -> None:
    """SQL put together from strings is found where it is executed. row: B1"""
    assert review(f"async def f(name):\n    {statement}") == [("sql-injection", 2)]


@pytest.mark.parametrize(
    "statement",
    [
        "cursor.execute('SELECT * FROM t WHERE n = %s', (name,))",
        "cursor.execute('SELECT a ' 'FROM t ' + 'WHERE b = ?', [name])",
        "cursor.execute(f'SELECT * FROM {TABLE} WHERE n = ?', [name])",
        "executor.execute(f'job {name}')",
        "print(f'SELECT * FROM t WHERE n = {name}')",
        "sql = 'SELECT 1 FROM t'; sql += ' LIMIT 1'; cursor.execute(sql)",
    ],
)
def test_sql_with_parameters_is_left_alone(statement: str) -> None:
    assert review(f"def f(name):\n    {statement}") == []


def test_complexity_and_length_are_measured_for_each_function() -> None:
    text = """
        def tangled(a, b):
            if a and b or not a:
                return [x for x in b if x]
            for x in b:
                while x:
                    x -= 1
            def inner():
                if a: return 1
            return inner

        def long():
            x = 1
        """
    assert review(text) == [("complexity", 1)]
    assert review("def long():\n" + "    x = 1\n" * 10) == [("long-function", 1)]


def test_asserts_are_welcome_in_tests() -> None:
    assert review("def test_it(x):\n    assert x", file="test_app.py") == []


def test_nesting_too_deep_to_parse_is_a_finding() -> None:
    assert review("x = '\0'") == [("syntax-error", 1)]
    for text in ("(" * 5000 + ")" * 5000, "a." * 20_000 + "b", "x = " + "-" * 50_000 + "1", "[" * 150 + "]" * 150):
        assert {rule for rule, _ in review(text)} <= {"syntax-error"}
