"""Can a person see and answer what runs ask, with nothing but the command line?"""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from tests.acceptance.cli.conftest import Run
from tests.unit.agent.waiting import by_turn

from quorate import Agent, Approved, Settings, tool
from quorate.assembly import open_runtime
from quorate.models.scripted import call
from quorate.tools.waits import AskPerson

TRICK = "\x1b[2J\u202e"


def build(done: list[str], *turns: object) -> Any:
    @tool(effect="unsafe")
    async def pay(amount: float, to: str = "") -> str:
        """Pay."""
        done.append(f"pay {amount:g} {to}")
        return "paid"

    guarded = Approved(pay, editable=["amount"], by_other=True, expires_s=3600)
    return cast("Any", Agent("payer", model=by_turn(*turns), tools=[guarded, AskPerson()]))


def begin(database: str, *turns: object) -> tuple[str, list[str]]:
    """Begin a run that comes to rest."""
    done: list[str] = []

    async def work() -> str:
        async with open_runtime(Settings(database=database)) as runtime:
            run = await runtime.submit("pay the bill", agent=build(done, *turns), principal="pat")
            assert (await run.wait()).status == "waiting"
            return run.id

    return asyncio.run(work()), done


def finish(database: str, run: str, done: list[str], *turns: object) -> object:
    """Go on with it in another process's place."""

    async def work() -> object:
        async with open_runtime(Settings(database=database)) as runtime:
            return (await (await runtime.resume(run, agent=build(done, *turns))).wait()).output

    return asyncio.run(work())


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where runs are kept, for the commands and for the test."""
    chosen = str(project / "runs.db") if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    monkeypatch.setenv("QUORATE_DATABASE", chosen)
    return chosen


def test_a_call_is_listed_shown_and_approved_with_a_change(quorate: Run, database: str) -> None:
    """From the list to the exact call to the answer: what was approved happens, once. row: B6"""
    turns = (call("pay", amount=120, to=f"bob {TRICK}"), "done")
    run, done = begin(database, *turns)

    listed = quorate("approvals", "list")
    assert (listed.code, run in listed.out, "payer" in listed.out) == (0, True, True)
    assert "min" in listed.out, "it says how long there is"
    assert f"quorate approvals show {run}" in listed.err

    shown = quorate("approvals", "show", run)
    assert TRICK[0] not in shown.out
    assert TRICK[-1] not in shown.out
    for words in (
        '{"amount":120,"to":"bob ',
        "payer, asked for by pat",
        "editable   amount",
        "somebody other than pat",
    ):
        assert words in shown.out

    refused = quorate("approvals", "approve", run, "--set", "amount=80", "--by", "pat")
    assert (refused.code, "somebody else must answer" in refused.err) == (7, True)
    wrong = quorate("approvals", "approve", run, "--set", "to=eve", "--by", "ann")
    assert (wrong.code, "differ in 'to'; what may be changed is `amount`" in wrong.err) == (2, True)

    approved = quorate("approvals", "approve", run, "--set", "amount=80", "--by", "ann", "--reason", "half of it")
    assert (approved.code, '{"amount":80,"to":"bob ' in approved.out) == (0, True)
    again = quorate("approvals", "reject", run, "--by", "bob")
    assert (again.code, "asks nothing" in again.err) == (2, True)
    again = quorate("approvals", "reject", run, "1/tool/call-1-1/approval", "--by", "bob")
    assert (again.code, "answered already by 'ann'" in again.err) == (2, True)
    assert "No run asks anything" in quorate("approvals", "list").out

    assert finish(database, run, done, *turns) == "done"
    assert done == [f"pay 80 bob {TRICK}"]


def test_a_rejection_is_for_programs_too(quorate: Run, database: str) -> None:
    """Every command has a document; the reason is recorded with who gave it."""
    turns = (call("pay", amount=120), "not paid")
    run, done = begin(database, *turns)
    (listed,) = json.loads(quorate("approvals", "list", "--json").out)
    assert (listed["run"], listed["kind"], listed["principal"]) == (run, "approval", "pat")
    shown = quorate("approvals", "show", run, listed["key"], "--json").json
    assert shown == listed
    assert cast("dict[str, Any]", shown["question"])["call"]["arguments"] == '{"amount":120}'
    said = quorate("approvals", "reject", run, "--reason", "too much", "--by", "ann", "--json").json
    assert said == {"run": run, "key": listed["key"], "approved": False, "by": "ann", "reason": "too much"}
    assert finish(database, run, done, *turns) == "not paid"
    assert done == []
    assert '"reason":"too much"' in quorate("runs", "events", run, "--json").out


def test_words_are_told(quorate: Run, database: str) -> None:
    """A question for words is answered with one of its choices; a yes is none, and several need a key."""
    turns = ([call("ask", question="Which shelf?", choices=["1", "2"]), call("pay", amount=1)], "done")
    run, done = begin(database, *turns)
    unclear = quorate("approvals", "show", run)
    assert (unclear.code, "asks several things" in unclear.err) == (2, True)
    key = "1/tool/call-1-1/input"
    assert "  | Which shelf?" in quorate("approvals", "show", run, key).out
    assert "asks for words" in quorate("approvals", "approve", run, key).err
    wrong = quorate("approvals", "answer", run, key, "--text", "3")
    assert (wrong.code, "no choice '3'" in wrong.err) == (2, True)
    assert quorate("approvals", "answer", run, key, "--text", "2", "--json").json["text"] == "2"
    whole = quorate("approvals", "approve", run, "--arguments", '{"amount": 2}', "--by", "ann", "--json")
    assert whole.json["arguments"] == '{"amount": 2}'
    assert finish(database, run, done, *turns) == "done"
    assert done == ["pay 2 "]


def test_what_is_not_there_says_what_is(quorate: Run, database: str) -> None:
    """An unknown run, an unknown key, an empty list: each says what to do next."""
    empty = quorate("approvals", "list")
    assert (empty.code, "quorate runs list --status waiting" in empty.out) == (0, True)
    assert quorate("approvals", "list", "--json").json == []
    missing = quorate("approvals", "show", "run-nothing")
    assert (missing.code, "quorate runs list" in missing.err) == (2, True)
    run, _ = begin(database, call("pay", amount=1), "done")
    other = quorate("approvals", "approve", run, "nothing")
    assert (other.code, "it asked under: 1/tool/call-1-1/approval" in other.err) == (2, True)
