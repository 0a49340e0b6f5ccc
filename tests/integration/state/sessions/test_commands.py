"""What do the commands about sessions say and do, over a real database?"""

import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from quorate import Agent, Request, ScriptedModel, Settings, open_runtime
from quorate.cli import sessions as commands
from quorate.errors import Conflict, InvalidInput, NotFound, QuorateError, UnknownName
from quorate.state.sessions import SessionLimits


class Shell:
    """Types commands in this process, at a database of its own."""

    def __init__(self, database: Path) -> None:
        self.database = str(database)
        app = typer.Typer()
        commands.add_commands(app)
        app.command("other")(lambda: None)  # with one command alone, Typer would leave out its name
        self._app = app

    def run(self, *words: str) -> Result:
        result = CliRunner().invoke(self._app, ["sessions", *words], standalone_mode=False)
        if isinstance(result.exception, QuorateError):
            raise result.exception
        assert result.exception is None, result.exception
        return result

    def json(self, *words: str) -> dict:
        return json.loads(self.run(*words, "--json").stdout)

    def say(self, session: str, *tasks: str) -> list[str]:
        """Take turns, and return the ids of the runs."""

        def answer(request: Request) -> str:
            return f"You said: {request.messages[-1].text}"

        async def take() -> list[str]:
            agent, runs = Agent("chatter", model=ScriptedModel(answer)), list[str]()
            async with open_runtime(Settings(database=self.database)) as runtime:
                for task in tasks:
                    handle = await runtime.submit(task, agent=agent, session=session)
                    await handle.wait()
                    runs.append(handle.id)
            return runs

        return asyncio.run(take())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path / "quorate.db")
    monkeypatch.setenv("QUORATE_DATABASE", shell.database)
    monkeypatch.chdir(tmp_path)
    return shell


def test_from_creation_to_the_archive(shell: Shell) -> None:
    """Each command does what it says, and says what can be done next."""
    made = shell.run(
        "create", "shop", "--title", "Slow shop", "--tag", "b", "--tag", "a", "--metadata", '{"ticket": 7}',
        "-l", "max_runs=9", "--share", "bob",
    )  # fmt: skip
    assert made.stdout == "Session shop is there.\n"
    assert 'quorate run --session shop "…"' in made.stderr
    assert shell.run("suspend", "shop", "--reason", "lunch").stdout == "Session shop is suspended.\n"
    shown = shell.json("show", "shop")
    assert shown["session"] | {"tags": None} == shown["session"] | {
        "id": "shop", "status": "suspended", "reason": "lunch", "principal": "local", "title": "Slow shop",
        "metadata": {"ticket": 7}, "shared_with": ["bob"], "tags": None,
    }  # fmt: skip
    assert "is suspended: go on with it by `quorate sessions resume shop`" in shown["refusal"]
    assert shell.run("resume", "shop").stdout == "Session shop is active.\n"
    changed = shell.json("update", "shop", "--title", "Quick shop", "-l", "max_cost_usd=2", "-l", "max_runs=none")
    assert (changed["title"], changed["tags"]) == ("Quick shop", ["a", "b"])
    assert (changed["limits"]["max_runs"], changed["limits"]["max_cost_usd"]) == (None, 2.0)
    assert shell.json("complete", "shop")["status"] == "completed"
    assert shell.json("archive", "shop")["status"] == "archived"
    with pytest.raises(Conflict, match="is archived and cannot become active: nothing can follow"):
        shell.run("resume", "shop")


def test_what_was_said_is_shown(shell: Shell) -> None:
    first, second = shell.say("shop", "one", "two")
    assert shell.run("history", "shop").stdout.splitlines() == [
        "user: one",
        "assistant: You said: one",
        "user: two",
        "assistant: You said: two",
    ]
    assert [message["role"] for message in shell.json("history", "shop")] == ["user", "assistant"] * 2
    shown = shell.run("show", "shop").stdout
    assert first in shown
    assert second in shown
    runs = shell.json("show", "shop")["runs"]
    assert [(run["run"]["run"], run["previous"]) for run in runs] == [(first, ""), (second, first)]


def test_a_fork_goes_on_from_where_it_is_told(shell: Shell) -> None:
    first, _ = shell.say("shop", "one", "two")
    fork = shell.json("fork", "shop", first, "--seq", "1", "--name", "again")
    assert (fork["parent"]["run"], fork["parent"]["seq"]) == (first, 1)
    assert shell.run("history", "again").stdout == "user: one\n"
    last = shell.run("fork", "shop", "--name", "onwards")
    assert last.stdout == "Session onwards goes on from shop.\n"
    assert len(shell.json("history", "onwards")) == 4
    shell.run("create", "empty")
    with pytest.raises(NotFound, match="has no runs to go on from"):
        shell.run("fork", "empty")


def test_lists(shell: Shell) -> None:
    for number in range(5):
        shell.run("create", f"s-{number}", "--tag", "odd" if number % 2 else "even")
    assert [one["id"] for one in shell.json("list", "--tag", "odd", "--order", "id")["sessions"]] == ["s-1", "s-3"]
    page = shell.run("list", "--order", "id", "--limit", "2")
    assert [line.split()[:3] for line in page.stdout.splitlines()] == [
        ["s-0", "active", "local"],
        ["s-1", "active", "local"],
    ]
    cursor = page.stderr.split("--cursor ")[1].strip()
    assert shell.run("list", "--order", "id", "--cursor", cursor).stdout.count("\n") == 3
    assert "Begin one: `quorate sessions create" in shell.run("list", "--status", "failed").stdout
    with pytest.raises(UnknownName, match="Did you mean `active`"):
        shell.run("list", "--status", "activ")


def test_deleting_asks(shell: Shell) -> None:
    """Nothing is deleted by a script that did not say so."""
    shell.say("shop", "one")
    with pytest.raises(InvalidInput, match=r"Delete session shop and its 1 runs for good.* add `--yes`"):
        shell.run("delete", "shop")
    assert shell.run("delete", "shop", "--yes").stdout == "Session shop is deleted, and 1 runs with it.\n"
    with pytest.raises(NotFound, match="There is no session 'shop'"):
        shell.run("show", "shop")


def test_recovery(shell: Shell) -> None:
    """A session whose record is lost is found by its runs, and told of."""
    shell.say("shop", "one")
    shell.say("fine", "one")

    async def lose() -> None:
        async with open_runtime(Settings(database=shell.database)) as runtime:
            await runtime.store.values.delete("session/default/shop")
            await runtime.store.values.put("session/default/bad", b"{")

    asyncio.run(lose())
    assert "These cannot be read: bad. Mend them: quorate sessions recover" in shell.run("list").stderr
    lines = shell.run("recover").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["bad", "shop"]
    assert "The record was missing: it was built again" in lines[1]
    assert shell.run("recover", "fine").stdout == "1 session looked at: nothing to mend.\n"
    assert shell.run("history", "shop").stdout.startswith("user: one\n")


def test_pruning(shell: Shell) -> None:
    """What has expired is ended; what ended long ago is archived, and deleted when told so."""

    async def make() -> None:
        async with open_runtime(Settings(database=shell.database)) as runtime:
            who = {"tenant": "default", "principal": "local"}
            await runtime.sessions.create("old", **who, limits=SessionLimits(max_age_s=1e-9))

    asyncio.run(make())
    shell.say("parent", "one")
    shell.run("fork", "parent", "--name", "fork")
    shell.run("complete", "parent")
    assert shell.run("prune").stdout.split() == ["old", "completed", "expired"]
    assert shell.run("prune").stdout == "There was nothing to end, archive or delete.\n"
    with pytest.raises(InvalidInput, match="Delete 2 sessions that ended more than 0s ago"):
        shell.run("prune", "--delete-after", "0s")
    done = shell.json("prune", "--archive-after", "0s", "--delete-after", "0s", "--yes")
    assert [one["id"] for one in done["changed"]] == ["old", "parent"]
    assert done["deleted"] == ["old"]
    assert "Session 'fork' goes on from session 'parent'" in done["kept"]["parent"]
    shell.run("complete", "fork")
    assert shell.json("prune", "--delete-after", "0s", "--yes")["deleted"] == ["fork", "parent"]


def test_every_act_and_refusal_is_noted(shell: Shell) -> None:
    """The audit trail has who did what to which session, and what was refused."""
    shell.run("create", "shop")
    shell.run("archive", "shop")
    with pytest.raises(Conflict):
        shell.run("resume", "shop")
    shell.run("delete", "shop", "--yes")

    async def read() -> list[tuple[str, str, str]]:
        async with open_runtime(Settings(database=shell.database)) as runtime:
            return [(row.action, row.object, row.outcome) for row in await runtime.audit.read()]

    assert asyncio.run(read()) == [
        ("session.create", "session/shop", "done"),
        ("session.archive", "session/shop", "done"),
        ("session.resume", "session/shop", "refused"),
        ("session.delete", "session/shop", "done"),
    ]
