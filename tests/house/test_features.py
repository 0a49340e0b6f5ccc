"""Is every feature that is claimed proven by a test, and every proof claimed?"""

import functools
import re

from scripts.build_docs import find_rows, load_sections
from tests.house.source import ROOT

load_proven = functools.cache(find_rows)


def load_claimed() -> set[str]:
    """The rows of the tables in docs/features.md; what is planned is no claim."""
    text = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| ([A-E]\d+) \|", text, re.MULTILINE))


def test_every_row_named_in_a_test_is_a_row() -> None:
    """A `row:` line in a docstring names a row of docs/features.toml."""
    known = {row for _, rows in load_sections() for row in rows}
    unknown = {row: tests for row, tests in load_proven().items() if row not in known}
    assert not unknown, unknown


def test_what_is_claimed_is_what_is_proven() -> None:
    """docs/features.md claims exactly the rows some test names; `make docs` brings it up to date."""
    claimed, proven = load_claimed(), set(load_proven())
    assert not (claimed - proven), f"claimed without a test: {sorted(claimed - proven)}"
    assert not (proven - claimed), f"proven and not claimed, run `make docs`: {sorted(proven - claimed)}"


def test_a_row_is_listed_once() -> None:
    """No row stands in two sections."""
    rows = [row for _, section in load_sections() for row in section]
    assert len(rows) == len(set(rows))
