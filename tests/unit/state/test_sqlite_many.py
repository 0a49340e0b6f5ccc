"""Do the forms of a statement for several rows do what it does for one?"""

import sqlite3

import pytest

from quorate.state.backends._sqlite_many import COUNTS, build_repeated
from quorate.state.backends._sqlite_read import load_statements

ADD = "INSERT INTO marks (name, times) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET times = times + excluded.times"


@pytest.fixture
def connection() -> sqlite3.Connection:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("CREATE TABLE marks (name TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
    return opened


def test_each_form_writes_its_rows_and_what_follows_the_values_stays(connection: sqlite3.Connection) -> None:
    for _ in range(2):
        for count, statement in build_repeated(ADD):
            connection.execute(statement, [value for number in range(count) for value in (f"{count}/{number}", 1)])
    found = dict(connection.execute("SELECT name, times FROM marks").fetchall())
    assert found == {f"{count}/{number}": 2 for count in COUNTS for number in range(count)}


def test_what_fails_in_the_middle_is_rolled_back_with_its_transaction(connection: sqlite3.Connection) -> None:
    """The rows before it stay until then, which is what spares a journal of each statement."""
    count, statement = build_repeated("INSERT INTO marks (name, times) VALUES (?, ?)")[0]
    connection.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement, [value for number in range(count) for value in (str(number % 7), 1)])
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM marks").fetchone() == (0,)


def test_every_statement_of_a_batch_has_its_forms() -> None:
    statements = load_statements()
    for name in ("insert_event", "save_run", "change_run", "advance_run", "advance_run_to_a_minute", "insert_notice"):
        columns = statements[name].partition(")")[0].count(",") + 1
        for count, statement in build_repeated(statements[name]):
            assert statement.count("?") == columns * count, name
            assert statement.startswith("INSERT OR FAIL INTO"), name
