"""Does every test exist that the page of faults names, and does every fault have one?"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/faults.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| (\d+) \|.*$", re.MULTILINE)


@cache
def find_tests(path: str) -> set[str]:
    """Find the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize(
    "row", list(ROW.finditer(PAGE.read_text(encoding="utf-8"))), ids=lambda found: f"row {found[1]}"
)
def test_the_tests_of_a_fault_exist(row: re.Match[str]) -> None:
    """A test that is renamed or removed is renamed or removed on the page, too."""
    named = NAMED.findall(row[0])
    assert named, "no test is named"
    for path, name in named:
        assert (ROOT / path).is_file(), f"there is no {path}"
        assert name in find_tests(path), f"there is no {name} in {path}"


def test_there_are_twenty_two_faults() -> None:
    """None is left out."""
    assert ROW.findall(PAGE.read_text(encoding="utf-8")) == [str(number) for number in range(1, 23)]
