"""Does every complaint of PostgreSQL become the right error, with a way out and without a password?"""

import pytest

from quorate.errors import (
    CorruptState,
    Forbidden,
    InvalidInput,
    QuorateError,
    StorageFull,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from quorate.state.backends._postgres_errors import build_name, is_lost, map_error
from quorate.state.backends._postgres_lines import Target
from quorate.state.backends._postgres_rows import escape, quote, unescape, write_array


class ServerError(Exception):
    def __init__(self, sqlstate: str, words: str = "something happened") -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("dsn", "name"),
    [
        ("postgresql://me:secret@db.internal:5432/app", "postgresql://db.internal:5432/app"),
        ("postgres://db.internal/app?password=secret", "postgresql://db.internal/app"),
        ("postgresql://me:p@ss@w0rd@db.internal/app", "postgresql://db.internal/app"),
        ("postgresql://me:sec/ret@db.internal/app", "postgresql://db.internal/app"),
        ("postgresql://me:secret@[::1]:5432/app", "postgresql://[::1]:5432/app"),
        ("postgresql://me:secret@[::1]/app", "postgresql://[::1]/app"),
        ("postgresql://me:secret@one:5432,two:5433/app", "postgresql://one:5432,two:5433/app"),
        ("postgresql:///app?host=/run/postgresql", "postgresql:///app"),
        ("postgresql://me:secret", "postgresql://(address not shown)"),
        ("postgresql://me:secret/app", "postgresql://(address not shown)"),
        ("postgresql://me:se cret;x", "postgresql://(address not shown)"),
        ("me:secret", "postgresql://"),
    ],
)
def test_a_name_never_holds_a_password(dsn: str, name: str) -> None:
    assert build_name(dsn) == name
    target = Target(dsn=dsn, schema="s", connect_timeout_s=1.0, statement_timeout_s=1.0, lock_timeout_s=1.0)
    assert "cret" not in repr(target) + str(target)


@pytest.mark.parametrize(
    ("sqlstate", "kind", "words"),
    [
        ("53100", StorageFull, "free some space"),
        ("53200", Unavailable, "out of memory"),
        ("53300", Unavailable, "max_connections"),
        ("53400", Unavailable, "not enough resources"),
        ("57P03", Unavailable, "starting up"),
        ("57014", Unavailable, "too slow"),
        ("55P03", Unavailable, "pg_stat_activity"),
        ("40P01", Unavailable, "the same rows"),
        ("25006", Unavailable, "name the primary"),
        ("42501", Forbidden, "grant"),
        ("28P01", Unauthenticated, "password"),
        ("28000", Unauthenticated, "pg_hba.conf"),
        ("3D000", InvalidInput, "createdb"),
        ("42P01", Unavailable, "lost tables"),
        ("54000", TooLarge, "of that size"),
        ("22021", InvalidInput, "cannot keep or look up"),
        ("23505", CorruptState, "backup"),
        ("XX001", CorruptState, "damaged"),
        ("XX000", Unavailable, "Look before you try again"),
    ],
)
def test_every_sqlstate_has_its_error(sqlstate: str, kind: type[QuorateError], words: str) -> None:
    error = ServerError(sqlstate, "the server's words")
    mapped = map_error(error, "postgresql://host/db", is_sent=True)
    assert type(mapped) is kind
    assert words in mapped.message
    assert "database 'postgresql://host/db'" in mapped.message
    assert "PostgreSQL says: the server's words." in mapped.message
    assert mapped.__cause__ is error
    assert mapped.context["sqlstate"] == sqlstate


@pytest.mark.parametrize(
    "error", [OSError("reset"), TimeoutError(), ServerError("08006"), ServerError("57P01"), ServerError("57P02")]
)
def test_a_lost_connection_leaves_open_whether_a_write_is_there(error: Exception) -> None:
    assert is_lost(error)
    assert "may be there or not: look before" in map_error(error, "db", is_sent=True).message
    assert "Nothing was written" in map_error(error, "db", is_sent=False).message


@pytest.mark.parametrize("sqlstate", ["53100", "40P01", "57014", "23505"])
def test_what_the_server_refused_is_not_lost(sqlstate: str) -> None:
    assert not is_lost(ServerError(sqlstate))


@pytest.mark.parametrize("text", ["", "plain", "a\0b", "\x01", "\x01a", "\0\x01b\0", "\x01b\0"])
def test_text_with_nul_comes_back(text: str) -> None:
    written = escape(text)
    assert written is not None
    assert "\0" not in written
    assert unescape(written) == text
    assert escape(None) is None


def test_arrays_are_written_as_the_server_reads_them() -> None:
    assert write_array([quote(text) for text in ("a", 'b"c', "d\\e", "")]) == '{"a","b\\"c","d\\\\e",""}'
    assert write_array(["1", "2"]) == "{1,2}"
    assert write_array([]) == "{}"
