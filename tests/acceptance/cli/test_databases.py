"""Does the same work on either kind of database, with nothing changed but `QUORATE_DATABASE`?"""

import json
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import Run


@pytest.fixture
def typed(quorate: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type commands that work with a database."""
    monkeypatch.setenv("QUORATE_DATABASE", database)
    return quorate


def read(typed: Run, *words: str) -> object:
    """Type a command that must succeed, and read its JSON."""
    done = typed(*words, "--json")
    assert done.code == 0, done.out + done.err
    return json.loads(done.out)


def test_a_day_with_runs_sessions_and_a_backup(typed: Run, tmp_path: Path) -> None:
    """Run, queue, work, list, replay, talk in a session, keep a value and a file, look at the audit trail, back all of
    it up, lose the database, restore it, and find everything as it was. row: E13"""
    ran = read(typed, "run", "--agent", "disk-watch", "--session", "day", "watch the disk")
    assert isinstance(ran, dict)
    run = str(ran["run_id"])
    queued = read(typed, "run", "--detach", "--agent", "disk-watch", "--session", "day", "watch the disk")
    assert isinstance(queued, dict)
    assert typed("worker", "--until-idle", "--quiet").code == 0
    listed = read(typed, "runs", "list")
    assert isinstance(listed, list)
    assert {one["status"] for one in listed} == {"completed"}
    assert len(listed) == 2
    assert "the same to the byte" in typed("runs", "replay", run).out
    assert typed("sessions", "show", "day").code == 0
    assert typed("state", "set", "greeting", "hello").code == 0
    (tmp_path / "note.txt").write_text("a note\n" * 2000)
    saved = read(typed, "artifacts", "save", str(tmp_path / "note.txt"))
    assert typed("audit", "verify").code == 0
    before = {
        "runs": read(typed, "runs", "list"),
        "events": read(typed, "runs", "show", run, "--events"),
    }
    backup = str(tmp_path / "day.backup")
    assert typed("backup", "create", backup).code == 0
    fresh = {"QUORATE_DATABASE": str(tmp_path / "fresh.db")}
    restored = typed("backup", "restore", backup, env=fresh)
    assert restored.code == 0, restored.err
    for what, words in {
        "runs": ("runs", "list"),
        "events": ("runs", "show", run, "--events"),
    }.items():
        assert json.loads(typed(*words, "--json", env=fresh).out) == before[what], what
    assert typed("audit", "verify", env=fresh).code == 0
    assert isinstance(saved, dict)
    assert typed("artifacts", "verify", env=fresh).code == 0
    assert "hello" in typed("state", "get", "greeting", env=fresh).out
    assert "the same to the byte" in typed("runs", "replay", run, env=fresh).out


def test_no_word_shows_the_password(quorate: Run, postgres_dsn: str) -> None:
    """Settings, the doctor and errors name the database without its password."""
    password = postgres_dsn.split("://")[1].split("@")[0].split(":")[1]
    wrong = postgres_dsn.rsplit("/", 1)[0] + "/not-there"
    for url, *words in (
        (wrong, "config", "show"), (wrong, "config", "show", "--json"), (postgres_dsn, "doctor", "--json"),
        (wrong, "doctor", "--json"), (wrong, "runs", "list"),
    ):  # fmt: skip
        done = quorate(*words, env={"QUORATE_DATABASE": url})
        assert password not in done.out + done.err, words


def test_the_words_of_an_unreachable_server_say_what_to_do(quorate: Run) -> None:
    """A server that is not there is told with its address and a code of its own."""
    done = quorate("runs", "list", env={"QUORATE_DATABASE": "postgresql://ada:secret@127.0.0.1:9/quorate"})
    assert done.code == 6
    assert "127.0.0.1:9" in done.err
    assert "secret" not in done.err
