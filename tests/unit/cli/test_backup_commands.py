"""Do the commands about the audit trail, backups, and keeping runs say what they do, and end with the right code?"""

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from quorate import Agent, ScriptedModel, Settings, open_runtime
from quorate.cli import audit, backup, runs_keep
from quorate.cli.failures import get_exit_code
from quorate.cli.watch import run_async
from quorate.errors import Conflict, InvalidInput, NotFound, QuorateError, UnknownName
from quorate.settings.values import WebhookSettings

Run = Callable[..., tuple[int, str]]
pytestmark = pytest.mark.blocking


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with four runs, two of them of one session."""
    path = tmp_path / "quorate.db"
    monkeypatch.setenv("QUORATE_DATABASE", str(path))
    monkeypatch.chdir(tmp_path)

    async def fill() -> None:
        async with open_runtime(Settings(database=str(path))) as runtime:
            for number in range(4):
                agent = Agent("helper", model=ScriptedModel(["done"]))
                handle = await runtime.submit(f"task {number}", agent=agent, session="talk" if number < 2 else None)
                await handle.wait()

    run_async(fill())
    return path


@pytest.fixture
def run(database: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command; returns its exit code and what it printed."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    audit.add_commands(app)
    backup.add_commands(app)
    group = typer.Typer(rich_markup_mode=None)
    runs_keep.add_keep_commands(group)
    app.add_typer(group, name="runs")

    def invoke(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = get_command(app).main(list(words), prog_name="quorate", standalone_mode=False)
        return (code if isinstance(code, int) else 0), capsys.readouterr().out

    return invoke


def list_ids(run: Run) -> list[str]:
    lines = run("runs", "export", "--all", "-o", "all.jsonl", "--force")
    assert lines[0] == 0
    documents = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    return [one["run"] for one in documents if one["kind"] == "export.run"]


def test_the_trail_is_listed_and_verified(run: Run) -> None:
    """What was done is shown, filtered, and checked from the first row on."""
    code, out = run("audit", "list", "--action", "run")
    assert (code, out.count("run.submit")) == (0, 4)
    assert "There are no such rows" in run("audit", "list", "--outcome", "refused")[1]
    assert len(json.loads(run("audit", "list", "--limit", "2", "--json")[1])["rows"]) == 2
    rows = json.loads(run("audit", "list", "--after", "1", "--limit", "2", "--json")[1])["rows"]
    assert [row["seq"] for row in rows] == [2, 3]
    code, out = run("audit", "verify")
    assert code == 0
    assert "All 4 rows verify" in out
    anchor = out.split("--anchor ")[1].split()[0]
    assert run("audit", "verify", "--anchor", anchor)[0] == 0
    code, out = run("audit", "verify", "--anchor", anchor.replace("4:", "9:"))
    assert (code, "truncated" in out) == (1, True)
    with pytest.raises(InvalidInput, match="--anchor"):
        run("audit", "verify", "--anchor", "nonsense")
    with pytest.raises(UnknownName):
        run("audit", "list", "--outcome", "maybe")


def test_exported_rows_are_checked_with_sha256sum(run: Run, tmp_path: Path) -> None:
    """A row that was exported is exactly what was hashed."""
    assert run("audit", "export", "-o", "rows.jsonl")[0] == 0
    for line in Path("rows.jsonl").read_bytes().splitlines():
        hashed = json.loads(line)["hash"]
        assert "sha256:" + sha256(line.replace(hashed.encode(), b"")).hexdigest() == hashed
    with pytest.raises(InvalidInput, match="--force"):
        run("audit", "export", "-o", "rows.jsonl")


def test_tampering_is_found_by_the_command(run: Run, database: Path) -> None:
    """A row that somebody changed in the database is named, with exit code 1."""
    import sqlite3

    with sqlite3.connect(database) as connection:
        (table,) = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if {"key", "value"} <= {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
        ]
        changed = connection.execute(
            f"UPDATE {table} SET value = CAST(replace(CAST(value AS TEXT), 'run.submit', 'run.cancel') AS BLOB) "
            "WHERE key LIKE 'audit/%3'"
        ).rowcount
    connection.close()
    assert changed == 1
    code, out = run("audit", "verify")
    assert code == 1
    assert "Row 3 is changed" in out
    document = json.loads(run("audit", "verify", "--json")[1])
    assert (document["ok"], document["report"]["fault"]["seq"]) == (False, 3)


def test_a_backup_is_created_verified_and_restored(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the command line: create, verify, and restore into a new database; the acts are in its trail."""
    assert "4 runs with 20 events" in run("backup", "create", "b.quorate")[1]
    with pytest.raises(Conflict, match="--force"):
        run("backup", "create", "b.quorate")
    code, out = run("backup", "verify", "b.quorate")
    assert (code, "Everything verifies" in out) == (0, True)
    assert json.loads(run("backup", "verify", "b.quorate", "--json")[1])["ok"]
    with pytest.raises(Conflict, match="is not empty"):
        run("backup", "restore", "b.quorate")
    assert "refused" in run("audit", "list", "--action", "backup.restore")[1]
    before = list_ids(run)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "new.db"))
    assert run("backup", "restore", "b.quorate", "--dry-run")[0] == 0
    code, out = run("backup", "restore", "b.quorate")
    assert (code, "20 events" in out) == (0, True)
    assert list_ids(run) == before
    assert "All 5 rows verify" in run("audit", "verify")[1]
    code, out = run("backup", "restore", "b.quorate", "--into-nonempty", "--json")
    assert json.loads(out)["restored"]["events"] == 0


def test_a_changed_backup_is_refused(run: Run) -> None:
    """A file that is no backup, or was changed, is told in one line."""
    run("backup", "create", "b.quorate")
    whole = bytearray(Path("b.quorate").read_bytes())
    whole[300] ^= 1
    Path("b.quorate").write_bytes(whole)
    with pytest.raises(QuorateError) as refused:
        run("backup", "verify", "b.quorate")
    assert get_exit_code(refused.value) in (2, 6)
    with pytest.raises(NotFound, match="There is no file 'none'"):
        run("backup", "verify", "none")


def test_keys_come_from_files(run: Run) -> None:
    """Keys are read from files, and never shown."""
    run("backup", "create", "b.quorate")
    Path("key").write_text("a-key-that-is-long-enough\n")
    # The trail has no key, so that whoever asks with one is told.
    code, out = run("backup", "verify", "b.quorate", "--audit-key-file", "key")
    assert (code, "a-key-that" in out) == (1, False)
    assert run("audit", "verify", "--audit-key-file", "key")[0] == 1
    with pytest.raises(InvalidInput, match="cannot be read"):
        run("backup", "verify", "b.quorate", "--artifact-keys-file", "none")


def test_runs_are_exported_and_imported(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All or some, into another database; the second time nothing is new."""
    ids = list_ids(run)
    assert len(ids) == 4
    run("runs", "export", ids[0], "-o", "one.jsonl")
    with pytest.raises(InvalidInput, match="--all"):
        run("runs", "export")
    with pytest.raises(NotFound):
        run("runs", "export", "run-none", "-o", "none.jsonl")
    assert not Path("none.jsonl").exists()
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "new.db"))
    assert "would be imported" in run("runs", "import", "all.jsonl", "--dry-run")[1]
    assert "1 run with 5 events is imported" in run("runs", "import", "one.jsonl")[1]
    report = json.loads(run("runs", "import", "all.jsonl", "--json")[1])["report"]
    assert (report["runs"], report["skipped"]) == (3, 1)
    Path("bad.jsonl").write_text("hello\n")
    with pytest.raises(InvalidInput, match="line 1"):
        run("runs", "import", "bad.jsonl")
    assert "refused" in run("audit", "list", "--action", "run.import")[1]


def test_runs_are_deleted_with_proof(run: Run) -> None:
    """A certificate says that it is gone, and tells when it is there again."""
    ids = list_ids(run)
    assert "1 run" in run("runs", "delete", ids[-1], "--dry-run")[1]
    with pytest.raises(InvalidInput, match="--yes"):
        run("runs", "delete", ids[-1], "--json")
    code, out = run("runs", "delete", ids[-1], "--yes", "--certificate", "c.json", "--reason", "asked to")
    assert (code, "Deleted and looked for again: 1 run." in out) == (0, True)
    assert run("runs", "check-deleted", "c.json")[0] == 0
    run("runs", "import", "all.jsonl")
    code, out = run("runs", "check-deleted", "c.json")
    assert (code, f"run {ids[-1]} is there" in out) == (1, True)
    document = json.loads(run("runs", "delete", "--session", "talk", "--yes", "--json")[1])
    assert document["certificates"][0]["counts"]["run"] == 2
    assert "2 runs" in run("runs", "delete", "--principal", "local", "--dry-run")[1]
    for words in ((), ("--session", "a", "--principal", "b")):
        with pytest.raises(InvalidInput, match="one kind at a time"):
            run("runs", "delete", *words, "--yes")
    with pytest.raises(NotFound):
        run("runs", "delete", ids[0], "--yes")


def test_runs_are_pruned(run: Run) -> None:
    """Old ones go, those of a session that goes on stay, and a dry run deletes nothing."""
    with pytest.raises(InvalidInput, match="--max-age 30d"):
        run("runs", "prune")
    code, out = run("runs", "prune", "--max-runs", "3", "--dry-run")
    assert (code, "1 run would go, 3 would stay" in out) == (0, True)
    assert len(list_ids(run)) == 4
    plan = json.loads(run("runs", "prune", "--max-size", "0", "--dry-run", "--json")[1])
    assert (len(plan["taken"]), plan["held"]) == (2, 2)
    assert "1 run with 5 events" in run("runs", "prune", "--max-runs", "3", "--yes")[1]
    assert len(list_ids(run)) == 3
    with pytest.raises(UnknownName):
        run("runs", "prune", "--max-runs", "1", "--status", "dead")
    with pytest.raises(InvalidInput, match="never taken"):
        run("runs", "prune", "--max-runs", "1", "--status", "running")
    report = json.loads(run("runs", "prune", "--max-age", "0s", "--yes", "--json")[1])
    assert (report["runs"], report["kept"]) == (1, 2)


def test_the_recipe_for_a_row_works_in_a_shell(run: Run) -> None:
    """What the page about the audit trail tells people to type gives the row's hash."""
    run("audit", "export", "-o", "rows.jsonl")
    line = Path("rows.jsonl").read_text().splitlines()[1]
    recipe = 'sed -n 2p rows.jsonl | sed \'s/"hash":"[^"]*"}$/"hash":""}/\' | tr -d \'\\n\' | sha256sum'
    found = subprocess.run(["sh", "-c", recipe], capture_output=True, text=True, check=True).stdout.split()[0]
    assert json.loads(line)["hash"] == f"sha256:{found}"


def test_runs_that_are_brought_back_are_nobodys_news(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what happens is told to others, an import and a restore note nothing of it, and new runs do."""
    assert run("runs", "export", "--all", "-o", "all.jsonl")[0] == 0
    assert run("backup", "create", "all.backup", "--quiet")[0] == 0
    monkeypatch.setenv("QUORATE_WEBHOOKS__ENABLED", "true")

    async def list_notices(path: Path) -> tuple[int, int]:
        settings = Settings(database=str(path), webhooks=WebhookSettings(enabled=True))
        async with open_runtime(settings) as runtime:
            before = len(await runtime.store.outbox.pending())
            await (await runtime.submit("a task", agent=Agent("helper", model=ScriptedModel(["done"])))).wait()
            return before, len(await runtime.store.outbox.pending())

    for name, words in (
        ("imported", ("runs", "import", "all.jsonl")),
        ("restored", ("backup", "restore", "all.backup")),
    ):
        path = tmp_path / f"{name}.db"
        monkeypatch.setenv("QUORATE_DATABASE", str(path))
        assert run(*words, "--quiet")[0] == 0
        assert run_async(list_notices(path)) == (0, 2), name
