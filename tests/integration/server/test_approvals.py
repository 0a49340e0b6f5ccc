"""Can people answer over HTTP what runs ask, in every way that they may and in no other?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Answer, Api, serve

from quorate import Agent, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.assembly import open_runtime
from quorate.models.scripted import call
from quorate.runtime.worker import Worker
from quorate.settings import Settings
from quorate.specs import Request
from quorate.tools.toolsets import Approved
from quorate.tools.waits import AskPerson

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A server whose agents pay, and what was paid."""

    def __init__(self) -> None:
        self.api: Api
        self.paid: list[tuple[int, str]] = []

    def build_agents(self) -> list[AnyAgent]:
        @tool(effect="unsafe")
        async def pay(amount: int, to: str = "pat") -> str:
            """Pay."""
            self.paid.append((amount, to))
            return f"paid {amount} to {to}"

        def build(name: str, asks: Any, tools: list[object]) -> AnyAgent:
            def reply(request: Request) -> Any:
                return "Done." if request.messages[-1].role == "tool" else asks

            return Agent(name, model=ScriptedModel(reply), tools=tools)

        one, two = call("pay", amount=5), call("pay", amount=6, to="x/y")
        guarded = Approved(pay, editable=["amount"])
        return [
            build("payer", one, [guarded]),
            build("twice", [one, two], [guarded]),
            build("other", one, [Approved(pay, by_other=True)]),
            build("clerk", call("ask", question="Where?", choices=["north", "south"]), [AskPerson()]),
            build("late", one, [Approved(pay, expires_s=0.000001)]),
        ]

    async def begin(self, agent: str, **options: Any) -> str:
        answer = await self.api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": agent}, **options)
        assert answer.json["status"] == "waiting", answer.json
        return str(answer.json["id"])

    async def asked(self, run: str) -> list[dict[str, Any]]:
        return list((await self.api.ask("GET", f"/v1/runs/{run}/approvals")).json["data"])

    async def answer(self, run: str, way: str, *, at: int = 0, **options: Any) -> Answer:
        question = (await self.asked(run))[at]
        return await self.api.ask("POST", f"/v1/runs/{run}/approvals/{question['id']}/{way}", **options)

    async def end(self, run: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            handle = await self.api.runtime.for_tenant("acme").attach(run)
            await handle.wait()
        return dict((await self.api.ask("GET", f"/v1/runs/{run}")).json)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    world = World()
    async with serve(tmp_path_factory.mktemp("approvals") / "quorate.db", *world.build_agents()) as world.api:
        yield world


@pytest.fixture
def world(shared: World) -> World:
    shared.paid.clear()
    return shared


async def test_a_yes_makes_the_exact_call_once(world: World) -> None:
    """It is shown in full, approved by its digest, made once; a second answer is a conflict. part of row B6"""
    run = await world.begin("payer")
    (question,) = await world.asked(run)
    assert question["call"] == {"name": "pay", "arguments": '{"amount":5}'}
    assert (question["kind"], question["editable"], question["principal"]) == (
        "approval",
        ["amount"],
        "operator-acme",
    )
    shown = await world.api.ask("GET", f"/v1/runs/{run}/approvals/{question['id']}", role="viewer")
    assert shown.json == question
    done = await world.answer(run, "approve", body={"digest": question["digest"], "reason": "fine"}, role="admin")
    assert (done.status, done.json["by"], done.json["arguments"]) == (200, "admin-acme", '{"amount":5}')
    assert (await world.end(run))["output"] == "Done."
    for way in ("approve", "reject"):
        again = await world.api.ask("POST", f"/v1/runs/{run}/approvals/{question['id']}/{way}")
        assert (again.status, again.json["code"]) == (409, "conflict")
    assert (await world.api.ask("GET", f"/v1/runs/{run}/approvals/{question['id']}")).status == 409
    assert world.paid == [(5, "pat")]
    decided = next(e for e in await world.api.runtime.log.read(run) if e.key == question["key"] and hasattr(e, "by"))
    assert (decided.by, decided.reason) == ("admin-acme", "fine")  # type: ignore[attr-defined]


async def test_of_many_at_once_one_answers(world: World) -> None:
    """part of row B6"""
    run = await world.begin("payer")
    (question,) = await world.asked(run)
    path = f"/v1/runs/{run}/approvals/{question['id']}/approve"
    answers = await asyncio.gather(*(world.api.ask("POST", path) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    await world.end(run)
    assert world.paid == [(5, "pat")]


async def test_edited_arguments_are_what_is_executed(world: World) -> None:
    """Only those that the question lets be changed; the call itself is never sent. part of row B6"""
    run = await world.begin("payer")
    for body, words in (
        ({"changes": {"to": "eve"}}, "differ in 'to'"),
        ({"changes": {"amount": 5, "more": 1}}, "differ in 'more'"),
        ({"call": {"name": "pay", "arguments": "{}"}}, "unknown field"),
        ({"arguments": '{"amount": 1}'}, "unknown field"),
    ):
        refused = await world.answer(run, "approve", body=body)
        assert (refused.status, refused.json["code"]) == (400, "invalid_input")
        assert words in refused.json["detail"]
    stale = await world.answer(run, "approve", body={"digest": "0" * 64})
    assert (stale.status, "something else" in stale.json["detail"]) == (409, True)
    done = await world.answer(run, "approve", body={"changes": {"amount": 80}})
    assert done.json["arguments"] == '{"amount":80}'
    await world.end(run)
    assert world.paid == [(80, "pat")]


async def test_a_no_lets_the_run_go_on_without_the_call(world: World) -> None:
    """part of row B6"""
    run = await world.begin("payer")
    done = await world.answer(run, "reject", body={"reason": "too much"})
    assert (done.status, done.json["approved"]) == (200, False)
    assert (await world.end(run))["status"] == "completed"
    assert world.paid == []


async def test_whoever_asked_for_the_run_may_not_answer_where_it_says_so(world: World) -> None:
    """part of row B6"""
    run = await world.begin("other")
    refused = await world.answer(run, "approve")
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert (await world.answer(run, "approve", role="admin")).status == 200
    await world.end(run)
    assert world.paid == [(5, "pat")]


async def test_several_questions_are_told_apart(world: World) -> None:
    """The short way answers one; of several it names them. The run goes on when the last one is answered."""
    run = await world.begin("twice")
    keys = [question["key"] for question in await world.asked(run)]
    assert len(keys) == 2
    for way in ("approve", "reject"):
        several = await world.api.ask("POST", f"/v1/runs/{run}/{way}")
        assert (several.status, several.json["code"]) == (409, "conflict")
        assert all(key in several.json["detail"] for key in keys)
    first = await world.api.ask("POST", f"/v1/runs/{run}/approve", body={"key": keys[1]})
    assert (first.status, first.json["status"]) == (200, "queued")
    assert [question["key"] for question in await world.asked(run)] == keys[:1]
    last = await world.api.ask("POST", f"/v1/runs/{run}/reject", body={"reason": "once is enough"})
    assert (last.status, last.json["key"]) == (200, keys[0])
    assert (await world.end(run))["status"] == "completed"
    assert world.paid == [(6, "x/y")]
    nothing = await world.api.ask("POST", f"/v1/runs/{run}/approve")
    assert (nothing.status, nothing.json["code"]) == (409, "conflict")
    unknown = await world.api.ask("POST", f"/v1/runs/{run}/approve", body={"key": "9/tool/x/approval"})
    assert unknown.status == 409  # it has ended


async def test_a_run_is_told_what_it_asked(world: World) -> None:
    """part of row B6"""
    run = await world.begin("clerk")
    (question,) = await world.asked(run)
    assert (question["kind"], question["question"], question["choices"]) == ("input", "Where?", ["north", "south"])
    path = f"/v1/runs/{run}/inputs/{question['id']}"
    wrong = await world.api.ask("POST", path, body={"text": "east"})
    assert (wrong.status, wrong.json["code"]) == (400, "invalid_input")
    assert (await world.answer(run, "approve")).status == 400
    assert (await world.api.ask("POST", f"/v1/runs/{run}/approve")).status == 409
    given = await world.api.ask("POST", path, body={"text": "north"})
    assert (given.status, given.json["text"]) == (200, "north")
    assert (await world.end(run))["status"] == "completed"
    assert (await world.api.ask("POST", path, body={"text": "south"})).status == 409


async def test_too_late_is_a_conflict(world: World) -> None:
    """part of row B6"""
    run = await world.begin("late")
    late = await world.answer(run, "approve")
    assert (late.status, late.json["code"]) == (409, "conflict")
    assert world.paid == []


async def test_all_that_is_asked_is_listed_a_page_at_a_time(world: World) -> None:
    """Across runs, in order, whatever is answered between two pages. part of row C11"""
    api = world.api
    options: dict[str, Any] = {"tenant": "initech"}
    runs = [await world.begin(agent, **options) for agent in ("twice", "clerk", "twice", "payer")]
    found, cursor = list[dict[str, Any]](), ""
    while True:
        page = (await api.ask("GET", f"/v1/approvals?limit=2{cursor}", **options)).json
        found += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
        if len(found) == 2:
            answered = found[0]
            path = f"/v1/runs/{answered['run']}/approvals/{answered['id']}/approve"
            assert (await api.ask("POST", path, **options)).status == 200
    assert [one["run"] for one in found] == [runs[0]] * 2 + [runs[1]] + [runs[2]] * 2 + [runs[3]]
    assert len({one["id"] + one["run"] for one in found}) == 6

    async def count(query: str) -> int:
        return len((await api.ask("GET", f"/v1/approvals?{query}", **options)).json["data"])

    assert [await count(f"kind={kind}") for kind in ("approval", "input", "unknown")] == [4, 1, 0]
    assert [await count(f"agent={agent}") for agent in ("twice", "payer", "nobody")] == [3, 1, 0]
    assert await count("session=none") == 0
    for wrong in ("limit=0", "kind=gone", f"cursor={'x' * 201}"):
        assert (await api.ask("GET", f"/v1/approvals?{wrong}", **options)).json["code"] == "invalid_input"
    assert (await api.ask("GET", "/v1/approvals?cursor=nonsense/x", **options)).status == 200


async def test_another_tenants_questions_are_not_there(world: World) -> None:
    """The same in every byte but the ids, whatever is asked of them; nothing is answered. part of row C12"""
    run = await world.begin("payer")
    (question,) = await world.asked(run)
    ways = [
        ("GET", "/approvals"), ("GET", f"/approvals/{question['id']}"), ("POST", f"/approvals/{question['id']}/approve"),
        ("POST", f"/approvals/{question['id']}/reject"), ("POST", "/approve"), ("POST", "/reject"),
        ("POST", f"/inputs/{question['id']}"),
    ]  # fmt: skip
    nobody = f"run-{'0' * 32}"
    for method, path in ways:
        body = {"text": "x"} if "inputs" in path else None
        theirs = await world.api.ask(method, f"/v1/runs/{run}{path}", tenant="globex", body=body)
        nobodys = await world.api.ask(method, f"/v1/runs/{nobody}{path}", tenant="globex", body=body)
        assert theirs.status == nobodys.status == 404
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace(run, "ID") == str(same[1]).replace(nobody, "ID")
    listed = (await world.api.ask("GET", f"/v1/approvals?cursor={run}/0", tenant="globex")).json
    assert [one for one in listed["data"] if one["run"] == run] == []
    assert len(await world.asked(run)) == 1
    assert (await world.api.ask("GET", f"/v1/runs/{run}/approvals/ask-{'0' * 32}")).status == 404


async def test_answers_are_audited(world: World) -> None:
    """Those that were given, and those that were refused."""
    run = await world.begin("other")
    await world.answer(run, "approve")
    await world.answer(run, "reject", role="admin")
    rows = await world.api.runtime.for_tenant("acme").audit.read(limit=1000)
    about = [(row.action, row.principal, row.outcome) for row in rows if row.object.startswith(f"run/{run}/")]
    assert about == [("approval.approve", "operator-acme", "refused"), ("approval.reject", "admin-acme", "done")]


async def test_an_answer_counts_after_a_restart_and_is_left_to_workers(tmp_path: Path) -> None:
    """A server that does no runs queues what was answered, and a worker makes the edited call once. part of row B6"""
    world = World()
    async with serve(tmp_path / "quorate.db", *world.build_agents()) as world.api:
        run = await world.begin("payer")
    async with serve(tmp_path / "quorate.db", *world.build_agents(), works=False) as world.api:
        done = await world.answer(run, "approve", body={"changes": {"amount": 7}}, role="admin")
        assert (done.status, done.json["status"], world.paid) == (200, "queued", [])
        async with open_runtime(
            Settings(database=str(tmp_path / "quorate.db")), agents=world.build_agents()
        ) as elsewhere:
            await Worker(elsewhere).run(until_idle=True)
        shown = (await world.api.ask("GET", f"/v1/runs/{run}")).json
    assert (shown["status"], world.paid) == ("completed", [(7, "pat")])


async def test_a_call_of_unknown_outcome_is_made_again_on_a_yes_only(tmp_path: Path) -> None:
    """Nobody knows whether it took effect: a person decides. part of row B6"""
    entered = asyncio.Event()
    made = list[str]()

    def build() -> AnyAgent:
        @tool(effect="unsafe")
        async def launch() -> str:
            """Launch."""
            made.append("launched")
            if len(made) == 1:
                entered.set()
                await asyncio.Event().wait()
            return "gone"

        def reply(request: Request) -> Any:
            return "Done." if request.messages[-1].role == "tool" else call("launch")

        return Agent("rocket", model=ScriptedModel(reply), tools=[launch])

    world = World()
    async with serve(tmp_path / "quorate.db", build()) as world.api:
        run = (await world.api.ask("POST", "/v1/runs", body={"task": "x", "agent": "rocket"})).json["id"]
        async with asyncio.timeout(30):
            await entered.wait()
    async with serve(tmp_path / "quorate.db", build()) as world.api:
        await world.api.ask("POST", f"/v1/runs/{run}/resume")
        async with asyncio.timeout(30):
            await (await world.api.runtime.for_tenant("acme").attach(run)).wait()
        (question,) = await world.asked(run)
        assert (question["kind"], question["call"]["name"]) == ("unknown", "launch")
        listed = (await world.api.ask("GET", "/v1/approvals?kind=unknown")).json["data"]
        assert listed == [question]
        assert (await world.answer(run, "approve")).status == 200
        assert (await world.end(run))["status"] == "completed"
    assert made == ["launched"] * 2
