"""How does a statement that inserts one row insert several?"""

from __future__ import annotations

COUNTS = (64, 8, 1)
"""How many rows the forms of a statement take: with more, SQLite copies values that left the processor's cache."""


def build_repeated(statement: str) -> list[tuple[int, str]]:
    """Build a statement's forms for several rows, those for the most first.

    What fails must be rolled back as a whole: `OR FAIL` spares the journal of each statement, into which SQLite would
    copy every page that it is about to change.
    """
    head, _, rest = statement.replace("INSERT", "INSERT OR FAIL", 1).partition("VALUES (")
    values, _, tail = rest.partition(")")
    return [(count, f"{head}VALUES {', '.join([f'({values})'] * count)}{tail}") for count in COUNTS]
