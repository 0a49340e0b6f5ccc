"""Can runs be played again, gone on from, traced and exported over HTTP?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, serve

from quorate import Agent, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.run import PAYER
from quorate.errors import DeadlineExceeded, InvalidInput
from quorate.events import RunCreated
from quorate.models.scripted import call
from quorate.server.replays import MAX_OF_TENANT, Bench, stay
from quorate.settings import Settings
from quorate.specs import Request
from quorate.tools.toolsets import Approved

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A server, how often its tool was called, and a model that can be held up."""

    def __init__(self) -> None:
        self.api: Api
        self.looked: list[str] = []
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    def build_agents(self) -> list[AnyAgent]:
        @tool(effect="unsafe")
        async def look(at: str) -> str:
            """Look."""
            self.looked.append(at)
            return f"{at} is fine"

        def reply(request: Request) -> Any:
            if request.messages[-1].role == "tool":
                return f"I saw: {request.messages[-1].parts[0].content}"  # type: ignore[union-attr]
            return call("look", at="disk" if "disk" in request.instructions else "net")

        @tool(effect="unsafe")
        async def pay(amount: int) -> str:
            """Pay."""
            return f"paid {amount}"

        def ask(request: Request) -> Any:
            return "Paid." if request.messages[-1].role == "tool" else call("pay", amount=5)

        model = ScriptedModel(reply)
        return [
            Agent("looker", instructions="Look.", model=model, tools=[look]),
            Agent("payer", model=ScriptedModel(ask), tools=[Approved(pay)]),
            Agent("stuck", model=Stuck(self, model)),
        ]

    async def run(self, agent: str = "looker") -> str:
        answer = await self.api.ask(
            "POST", "/v1/runs?wait=30", body={"task": "x", "agent": agent, "labels": {"a": "b"}}
        )
        return str(answer.json["id"])

    async def end(self, run: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            await (await self.api.runtime.for_tenant("acme").attach(run)).wait()
        return dict((await self.api.ask("GET", f"/v1/runs/{run}")).json)


class Stuck:
    """A model that answers the first time, and never again."""

    def __init__(self, world: World, inner: ScriptedModel) -> None:
        self.world = world
        self.profile = inner.profile
        self.inner = ScriptedModel(["Done."])

    async def complete(self, request: Request) -> Any:
        if not self.inner.requests:
            return await self.inner.complete(request)
        self.world.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.world.left.set()

    def stream(self, request: Request) -> Any:
        async def items() -> AsyncIterator[Any]:
            if not self.inner.requests:
                async for item in self.inner.stream(request):
                    yield item
                return
            await self.complete(request)

        return items()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    world = World()
    settings = Settings()
    async with serve(
        tmp_path_factory.mktemp("replays") / "quorate.db", *world.build_agents(), settings=settings
    ) as world.api:
        yield world


@pytest.fixture
def world(shared: World) -> World:
    shared.looked.clear()
    return shared


async def test_a_run_is_played_again_offline(world: World) -> None:
    """It is the same to the byte, and nothing is done again. part of row C14"""
    run = await world.run()
    done = await world.api.ask("POST", f"/v1/runs/{run}/replay")
    assert done.status == 200, done.data
    assert (done.json["mode"], done.json["identical"], done.json["output"]) == (
        "exact",
        True,
        "I saw: net is fine",
    )
    assert done.json["events"] == (await world.api.ask("GET", f"/v1/runs/{run}")).json["events"]
    assert world.looked == ["net"]
    both = await world.api.ask("POST", f"/v1/runs/{run}/replay", body={"mode": "exact", "model": "x"})
    assert (both.status, both.json["code"]) == (400, "invalid_input")


async def test_a_run_is_played_anew_with_something_changed(world: World) -> None:
    """Both sides are compared; a call that was not recorded is not made, and is named."""
    run = await world.run()
    path = f"/v1/runs/{run}/replay"
    same = (await world.api.ask("POST", path, body={"mode": "modified"})).json
    assert (same["mode"], same["output_similarity"], same["recorded"]["output"]) == (
        "modified",
        1.0,
        same["replayed"]["output"],
    )
    other = (await world.api.ask("POST", path, body={"instructions": "Look at the disk."})).json
    assert ("error" in other, other["refused"], "divergence" in other) == (True, ["1/tool/call-1-1"], True)
    told = (await world.api.ask("POST", path, body={"instructions": "Look at the disk.", "missing": "refuse"})).json
    assert (told["replayed"]["status"], "error" in told) == ("completed", False)
    assert {row["change"] for row in told["rows"]} <= {"same", "changed", "added", "removed"}
    assert world.looked == ["net"]
    for body in ({"without_tools": ["none"]}, {"model": "nobody:none"}, {"limits": {"seconds": -1}}):
        assert (await world.api.ask("POST", path, body=body)).status == 400, body


async def test_a_replay_ends_with_whoever_asked(world: World) -> None:
    """Its model is not asked on when nobody reads the answer."""
    run = await world.run("stuck")
    path = f"{world.api.url}/v1/runs/{run}/replay"
    headers = {"Authorization": f"Bearer {await world.api.key()}"}
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(world.api, path, headers))
        async with asyncio.timeout(30):
            await world.entered.wait()
        asking.cancel()
    async with asyncio.timeout(30):
        await world.left.wait()
    assert (await world.api.ask("POST", f"/v1/runs/{run}/replay")).json["identical"]  # there is room again


async def _ask(api: Api, path: str, headers: dict[str, str]) -> None:
    async with api.http.post(path, json={"mode": "modified"}, headers=headers) as response:
        await response.read()


async def test_a_replay_that_takes_too_long_is_ended() -> None:
    """And so is one whose reader leaves; either is told apart."""

    class There:
        async def receive(self) -> Any:
            await asyncio.Event().wait()

    class Left:
        async def receive(self) -> Any:
            return {"type": "http.disconnect"}

    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.01 seconds"):
        await stay(There(), asyncio.Event().wait(), most_s=0.01)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="left"):
        await stay(Left(), asyncio.Event().wait())  # type: ignore[arg-type]


async def test_replays_at_once_are_bounded() -> None:
    bench = Bench()
    with bench.take("acme"), bench.take("acme"):
        with pytest.raises(Exception, match="Too many runs"):
            bench.take("acme").__enter__()
        with bench.take("globex"):
            pass
    assert MAX_OF_TENANT == 2
    with bench.take("acme"):
        pass


async def test_a_run_goes_on_from_any_event_as_another(world: World) -> None:
    """It is whoever asks for it; what was recorded until there is not done again, and is marked with where it is from."""
    run = await world.run()
    kinds = [event["kind"] for event in (await world.api.ask("GET", f"/v1/runs/{run}/events")).json["data"]]
    at = kinds.index("tool.finished") + 1
    forked = await world.api.ask(
        "POST", f"/v1/runs/{run}/fork", body={"at": at, "result": "net is on fire"}, role="admin"
    )
    assert (forked.status, forked.headers["Location"]) == (201, f"/v1/runs/{forked.json['id']}")
    ended = await world.end(forked.json["id"])
    assert (ended["output"], world.looked) == ("I saw: net is on fire", ["net"])
    assert ended["labels"] == {"a": "b", "fork.run": run, "fork.seq": str(at)}
    rested = await world.api.ask("POST", f"/v1/runs/{run}/fork", body={"at": 1, "rest": True})
    assert rested.json["status"] == "waiting"
    runtime = world.api.runtime.for_tenant("acme")
    begun, before = [(await runtime.log.read(one, limit=1))[0] for one in (forked.json["id"], run)]
    assert isinstance(begun, RunCreated)
    assert isinstance(before, RunCreated)
    assert (begun.principal, before.principal) == ("admin-acme", "operator-acme")
    assert begun.labels[PAYER] != before.labels[PAYER]  # whoever forks it pays
    rows = await runtime.audit.read(limit=1000)
    assert ("run.fork", "admin-acme", f"run/{run}") in [(row.action, row.principal, row.object) for row in rows]
    path = f"/v1/runs/{run}/fork"
    for body, status in (
        ({"at": 999}, 404), ({"at": 0}, 400), ({}, 400), ({"at": 1, "reply": "x"}, 400),
        ({"at": at, "reply": "x", "result": "y"}, 400), ({"at": 1, "model": "nobody:none"}, 400),
        ({"at": 1, "approved": True}, 400),
    ):  # fmt: skip
        assert (await world.api.ask("POST", path, body=body)).status == status, body


async def test_a_fork_is_made_once_under_one_key(world: World) -> None:
    """part of row B11"""
    run = await world.run()
    options: dict[str, Any] = {"headers": {"Idempotency-Key": "fork-1"}}
    answers = [await world.api.ask("POST", f"/v1/runs/{run}/fork", body={"at": 1}, **options) for _ in range(2)]
    assert len({answer.json["id"] for answer in answers}) == 1
    other = await world.api.ask("POST", f"/v1/runs/{run}/fork", body={"at": 2}, **options)
    assert (other.status, other.json["code"]) == (409, "conflict")


async def test_no_fork_gets_around_an_approval(world: World) -> None:
    """What was asked is asked anew, also where it was answered and not done."""
    run = await world.run("payer")
    at = (await world.api.ask("GET", f"/v1/runs/{run}")).json["events"]
    forked = (await world.api.ask("POST", f"/v1/runs/{run}/fork", body={"at": at})).json["id"]
    asked = (await world.api.ask("GET", f"/v1/runs/{forked}/approvals")).json["data"]
    before = (await world.api.ask("GET", f"/v1/runs/{run}/approvals")).json["data"]
    assert [one["digest"] for one in asked] != [one["digest"] for one in before]
    assert len(asked) == len(before) == 1


async def test_a_trace_says_where_the_time_went(world: World) -> None:
    """Spans hang together under the run's, and what was said is in them on demand only. part of row A8"""
    run = await world.run()
    trace = (await world.api.ask("GET", f"/v1/runs/{run}/trace", role="viewer")).json
    spans = {span["id"]: span for span in trace["spans"]}
    roots = [span for span in spans.values() if span.get("parent", "") not in spans]
    assert (len(roots), roots[0]["kind"], len(trace["trace_id"])) == (1, "run", 32)
    assert sorted(span["kind"] for span in spans.values()) == ["model", "model", "run", "tool"]
    assert "net is fine" not in json.dumps(trace)
    told = await world.api.ask("GET", f"/v1/runs/{run}/trace?content=true")
    assert b"net is fine" in told.data


async def test_a_run_is_exported_as_lines(world: World) -> None:
    run = await world.run()
    exported = await world.api.ask("GET", f"/v1/runs/{run}/export")
    lines = [json.loads(line) for line in exported.data.splitlines()]
    count = (await world.api.ask("GET", f"/v1/runs/{run}")).json["events"]
    assert (exported.headers["Content-Type"], len(lines)) == ("application/x-ndjson", count + 2)
    assert exported.headers["Content-Disposition"] == f'attachment; filename="{run}.ndjson"'


async def test_a_run_is_deleted_for_good_with_a_certificate(world: World) -> None:
    """It can be checked later; a run that has not ended stays, and so does one that was changed since it was read."""
    from quorate.state.erasure import read_certificate, verify_erasure

    resting = await world.run("payer")
    assert (await world.api.ask("DELETE", f"/v1/runs/{resting}")).status == 409
    run = await world.run()
    shown = await world.api.ask("GET", f"/v1/runs/{run}")
    again = await world.api.ask("GET", f"/v1/runs/{run}", headers={"If-None-Match": shown.headers["ETag"]})
    assert (again.status, again.data) == (304, b"")
    stale = await world.api.ask("DELETE", f"/v1/runs/{run}", headers={"If-Match": '"r1"'})
    assert stale.status == 412
    done = await world.api.ask(
        "DELETE", f"/v1/runs/{run}?reason=asked%20for", headers={"If-Match": shown.headers["ETag"]}
    )
    assert done.status == 200, done.data
    certificate = read_certificate(done.data)
    assert (certificate.by, certificate.reason, certificate.counts["run"]) == ("operator-acme", "asked for", 1)
    runtime = world.api.runtime.for_tenant("acme")
    assert (await verify_erasure(runtime.store, certificate, audit=runtime.audit)).ok
    assert (await world.api.ask("GET", f"/v1/runs/{run}")).status == 404
    assert (await world.api.ask("DELETE", f"/v1/runs/{run}")).status == 404


async def test_another_tenants_run_is_not_there(world: World) -> None:
    """The same in every byte but the ids, and nothing is done to it. part of row C12"""
    run, nobody = await world.run(), f"run-{'0' * 32}"
    ways = [("POST", "/fork"), ("POST", "/replay"), ("GET", "/trace"), ("GET", "/export"), ("DELETE", "")]
    for method, path in ways:
        body = {"at": 1} if path == "/fork" else None
        theirs = await world.api.ask(method, f"/v1/runs/{run}{path}", tenant="globex", body=body)
        nobodys = await world.api.ask(method, f"/v1/runs/{nobody}{path}", tenant="globex", body=body)
        assert theirs.status == nobodys.status == 404, path
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace(run, "ID") == str(same[1]).replace(nobody, "ID")
    assert (await world.api.ask("GET", f"/v1/runs/{run}")).json["status"] == "completed"
