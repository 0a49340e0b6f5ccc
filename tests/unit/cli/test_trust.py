"""Does `quorate trust` show what was learned, and why?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from quorate.cli.failures import get_exit_code
from quorate.cli.trust import add_commands
from quorate.clock import SYSTEM_CLOCK
from quorate.council.ledger import TrustLedger
from quorate.council.trust import Evidence, Source
from quorate.errors import QuorateError
from quorate.events import RunCompleted, RunCreated, StepFinished, StepStarted
from quorate.state.backends.sqlite import open_sqlite_store

pytestmark = pytest.mark.blocking

Type = Callable[..., tuple[int, str]]


@pytest.fixture
def trust(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type a command at a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "quorate.db"))
    app = typer.Typer(pretty_exceptions_enable=False)
    add_commands(app)
    app.callback()(lambda: None)
    command = get_command(app)

    def type_words(*words: str) -> tuple[int, str]:
        said = ""
        try:
            code = command.main(args=["trust", *words], standalone_mode=False) or 0
        except QuorateError as error:
            code, said = get_exit_code(error), error.message
        return code, capfdbinary.readouterr()[0].decode() + said

    return type_words


def fill(path: Path) -> None:
    """Know something of two members, and have a run that one of them worked for, and one that goes on."""

    async def work() -> None:
        now = SYSTEM_CLOCK.now()
        async with open_sqlite_store(path / "quorate.db") as store:
            told = [
                Evidence(
                    id=f"dec-{number}", member=name, kind="decision", score=score, at=now - 60 - number,
                    source=Source(principal="ann"), topic="storage",
                )
                for number, (name, score) in enumerate((("disk", 1.0), ("disk", 1.0), ("disk", 0.0), ("net", 0.0)))
            ]  # fmt: skip
            await TrustLedger(store.values, "trust/default/").note(told)
            for run, ends in (("run-1", True), ("run-2", False)):
                head = RunCreated(run=run, seq=1, time=now, agent="team", messages=())
                begun = StepStarted(run=run, seq=2, time=now, key="1/tool/a/", name="logs")
                ended = StepFinished(run=run, seq=3, time=now, key="1/tool/a/", name="logs")
                last = [RunCompleted(run=run, seq=4, time=now, output="done")] if ends else []
                await store.log.append(run, [head, begun, ended, *last], expected=0)

    asyncio.run(work())


def test_trust_is_listed_and_explained(trust: Type, tmp_path: Path) -> None:
    """With what the latest outcomes changed. part of row D13"""
    assert trust("list") == (0, "Nothing is known of anybody: see `quorate trust learn`.\n")
    fill(tmp_path)
    _, listed = trust("list", "--topic", "storage")
    assert [line.split() for line in listed.splitlines()] == [
        ["member", "trust", "outcomes", "sources"],
        ["disk", "0.63", "3", "1"],
        ["net", "0.27", "1", "1"],
    ]  # fmt: skip
    _, page = trust("list", "--limit", "1", "--json")
    assert json.loads(page)["next"] == "disk"
    assert [one["member"] for one in json.loads(trust("list", "--after", "disk", "--json")[1])["members"]] == ["net"]
    assert trust("show", "disk", "--topic", "storage") == (0, "disk: 0.63 in storage, 0.60 in general\n")
    _, why = trust("explain", "disk")
    assert "3 outcomes in general count as 2.00 good and 1.00 bad, beside the prior, 0.50" in why
    rows = [line.split() for line in why.splitlines() if "decision" in line]
    assert [(row[2], row[4], row[5][0], row[6]) for row in rows] == [
        ("decision", "1.00", "+", "dec-0"), ("decision", "1.00", "+", "dec-1"), ("decision", "0.00", "-", "dec-2"),
    ]  # fmt: skip
    found = json.loads(trust("explain", "disk", "--json")[1])
    assert (found["value"], found["counts"]["decision"], len(found["last"])) == (pytest.approx(0.6, abs=1e-3), 3, 3)


def test_runs_are_learned_from_and_members_forgotten(trust: Type, tmp_path: Path) -> None:
    fill(tmp_path)
    assert trust("learn", "run-1") == (0, "1 new, 0 corrected, 0 known, 0 left out.\n")
    assert json.loads(trust("learn", "run-1", "--json")[1])["known"] == 1
    assert json.loads(trust("learn", "--last", "10", "--json")[1]) == {
        "counted": 0,
        "corrected": 0,
        "known": 1,
        "left_out": 0,
    }
    assert trust("learn") == (2, "There is nothing to learn from: name runs, or give `--last 100`.")
    code, said = trust("learn", "run-2")
    assert (code, said) == (2, "Run 'run-2' has not ended: learn from it when it has.")
    assert trust("forget", "logs") == (0, "What was known of logs is forgotten.\n")
    code, said = trust("forget", "logs")
    assert (code, said) == (2, "Nothing is known of 'logs'.")
    code, said = trust("show", "\x1b[2J")
    assert (code, "is no member" in said) == (2, True)
