"""Do the commands about memories show a tenant's, and delete for good?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from quorate.cli.memory import add_commands
from quorate.context.memory.memories import Memories
from quorate.context.memory.places import Member
from quorate.errors import InvalidInput, NotFound, UnknownName
from quorate.state.backends.sqlite import open_sqlite_store

pytestmark = pytest.mark.blocking
Type = Callable[..., str]


@pytest.fixture
def memory(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type commands at a database in which two agents remember something, and another tenant, too."""
    (tmp_path / "quorate.toml").write_text('database = "q.db"\n[memory.episodic]\nttl_s = 1\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    async def fill() -> None:
        async with open_sqlite_store(tmp_path / "q.db") as store:
            hive = Memories(store.values, prefix="memory/default/")
            for agent in ("net", "db"):
                by = Member(principal="ann", agent=agent, run="run-1")
                await hive.remember("the pump is \x1b[31mred\n", by, visibility="shared")
            await hive.remember("the valve is blue", Member(principal="bob", agent="net"), kind="procedural")
            other = Memories(store.values, prefix="memory/zeta/")
            await other.remember("zeta's pump", Member(principal="ann", agent="net"), visibility="shared")

    asyncio.run(fill())
    app = typer.Typer(pretty_exceptions_enable=False)
    add_commands(app)
    app.callback()(lambda: None)
    command = get_command(app)

    def type_words(*words: str) -> str:
        command.main(args=["memory", *words], standalone_mode=False)
        return capfdbinary.readouterr().out.decode()

    return type_words


def test_memories_are_listed_found_shown_and_forgotten(memory: Type) -> None:
    """The tenant's alone, whatever text is in them, as words and as JSON."""
    listed = memory("list")
    assert "the pump is \\x1b[31mred" in listed
    assert "db,net" in listed
    assert "zeta" not in listed
    found: list[dict[str, Any]] = json.loads(memory("list", "--principal", "ann", "--json"))
    (red,) = [one["entry"] for one in found]
    assert red["text"] == "the pump is \x1b[31mred"

    assert memory("recall", "is the pump red?").startswith("0.")
    recalled: dict[str, Any] = json.loads(memory("recall", "pump", "--kind", "long_term", "--json"))
    assert [one["entry"]["id"] for one in recalled["found"]] == [red["id"]]
    assert "Nothing that is remembered" in memory("recall", "pump", "--space", "other")

    shown = memory("show", red["id"])
    assert "db for ann, net for ann" in shown
    assert json.loads(memory("show", red["id"], "--json"))[0]["entry"]["recalls"] == 0

    assert memory("forget", red["id"], "--yes") == f"{red['id']} is forgotten, with all 2 notes of it.\n"
    with pytest.raises(NotFound, match="list what there is with `quorate memory list`"):
        memory("show", red["id"])
    with pytest.raises(NotFound):
        memory("forget", red["id"], "--yes")
    assert "the valve is blue" in memory("list")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("list", "--kind", "sematic"), UnknownName),
        (("list", "--space", "a/b"), InvalidInput),
        (("show", "../zeta"), InvalidInput),
        (("forget", "a*", "--yes"), InvalidInput),
    ],
)
def test_what_is_none_is_refused(memory: Type, words: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        memory(*words)
