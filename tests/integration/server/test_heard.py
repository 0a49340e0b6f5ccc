"""Is every request heard of: how it went, how long it took, whose trace it is in?"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.server.conftest import PEPPER, Api, build_agents
from tests.integration.telemetry.receivers import http_receiver

from quorate import Agent, ScriptedModel
from quorate.assembly import open_runtime
from quorate.security.keys import KeyRing
from quorate.server.access import Doorkeeper
from quorate.server.app import Server
from quorate.server.heard import Heard
from quorate.server.listen import open_listener
from quorate.settings import Settings
from quorate.settings.values import ServerSettings, TelemetrySettings
from quorate.telemetry.logs import JsonFormatter
from quorate.telemetry.requests import RequestRecord, is_shown, open_place
from quorate.telemetry.sampling import Sampling

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = f"00-{TRACE}-{CALLER}-01"
TASK = {"task": "Is it up?", "agent": "net"}


@asynccontextmanager
async def serve_counted(database: Path, *, endpoint: str = "", log_format: Any = "text") -> AsyncIterator[Api]:
    settings = Settings(
        database=str(database),
        server=ServerSettings(operator_tenant="platform"),
        telemetry=TelemetrySettings(share=0.0, endpoint=endpoint),
        log_format=log_format,
    )
    agents = [*build_agents(), Agent("chatty", model=Chatty(["Hello."] * 9))]
    async with (
        open_runtime(settings, agents=agents, counts=True) as runtime,
        aiohttp.ClientSession() as http,
    ):
        keys = KeyRing(runtime.store.values, pepper=PEPPER, clock=runtime.clock)
        server = Server(runtime, Doorkeeper(keys))
        async with open_listener(server, host="127.0.0.1", port=0) as (listener, port):
            yield Api(f"http://127.0.0.1:{port}", runtime, keys, server, listener, http)


class Chatty(ScriptedModel):
    """A model that logs while it is asked."""

    async def complete(self, request: Any) -> Any:
        logging.getLogger("chatty").warning("asked")
        return await super().complete(request)

    async def stream(self, request: Any) -> Any:
        logging.getLogger("chatty").warning("asked")
        async for item in super().stream(request):
            yield item


async def scrape(api: Api) -> dict[str, float]:
    """What a scrape over HTTP shows, by name and labels."""
    answer = await api.ask("GET", "/metrics", role="viewer", tenant="platform")
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"].startswith("text/plain")
    found: dict[str, float] = {}
    wanted = ("http_request_method", "http_route", "http_response_status_code", "error_type", "quorate_outcome")
    for family in text_string_to_metric_families(answer.data.decode()):
        for sample in family.samples:
            if "le" not in sample.labels:
                labels = [sample.labels[name] for name in wanted if name in sample.labels]
                found[" ".join([sample.name, *labels])] = sample.value
    return found


async def test_requests_are_counted_by_route_and_status(tmp_path: Path) -> None:
    """Ids, paths of nobody and made-up methods are no labels; who is turned away at the edge is counted, too."""
    count = "http_server_request_duration_seconds_count"
    async with serve_counted(tmp_path / "q.db") as api:
        run = (await api.ask("POST", "/v1/runs?wait=30", body=TASK)).json["id"]
        for _ in range(2):
            await api.ask("GET", f"/v1/runs/{run}")
        await api.ask("GET", "/v1/runs/run-nobody")
        await api.ask("GET", "/my-name-is-bob")
        await api.ask("GET", "/v1/runs", role=None)
        await api.ask("PROPFIND", "/v1/runs")
        await api.ask("POST", "/v1/runs", headers={"Content-Type": "text/plain"}, data=b"x")
        chat = {"model": "chatty", "messages": [{"role": "user", "content": "Hello?"}]}
        await api.ask("POST", "/openai/v1/chat/completions", body=chat)
        async with api.http.get(
            f"{api.url}/v1/runs/{run}/events",
            headers={"Accept": "text/event-stream", "Authorization": f"Bearer {await api.key()}"},
        ) as stream:
            await stream.read()
        async with asyncio.timeout(30):  # who reads its end is there before it is counted
            while (found := await scrape(api))["quorate_http_server_streams"]:
                await asyncio.sleep(0.01)
        assert found[f"{count} POST /v1/runs 200"] == 1
        assert found[f"{count} GET /v1/runs/{{run_id}} 200"] == 2
        assert found[f"{count} GET /v1/runs/{{run_id}} 404"] == 1
        assert found[f"{count} GET 404"] == 1
        assert found[f"{count} GET /v1/runs 401"] == 1
        assert found[f"{count} GET /v1/runs/{{run_id}}/events 200"] == 1
        assert found[f"{count} POST 415"] == 1
        assert found[f"{count} POST /openai/v1/chat/completions 200"] == 1
        assert sum(value for name, value in found.items() if name.startswith(f"{count} _OTHER")) == 1
        assert found["quorate_http_server_time_to_answer_seconds_count POST /v1/runs 200"] == 1
        assert found["quorate_runs_total completed"] == 1
        assert found["http_server_active_requests GET"] == 1, "the scrape itself"
        assert found["quorate_http_server_streams"] == 0
        text = (await api.ask("GET", "/metrics", role="viewer", tenant="platform")).data
        assert run.encode() not in text
        assert b"bob" not in text.lower()


async def test_streams_are_counted_while_they_are_open(tmp_path: Path) -> None:
    async with serve_counted(tmp_path / "q.db") as api:
        run = (await api.ask("POST", "/v1/runs", body=TASK | {"agent": "slow"})).json["id"]
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {await api.key()}"}
        async with api.http.get(f"{api.url}/v1/runs/{run}/events", headers=headers) as stream:
            await stream.content.readany()
            assert (await scrape(api))["quorate_http_server_streams"] == 1
        async with asyncio.timeout(30):
            while (await scrape(api))["quorate_http_server_streams"]:
                await asyncio.sleep(0.01)
        await api.ask("POST", f"/v1/runs/{run}/cancel", body={})


async def test_a_run_stands_below_the_request_that_asked_for_it(tmp_path: Path) -> None:
    """In the trace of whoever asks, or in one of its own; of two traces that are named, none is believed."""
    async with http_receiver() as received, serve_counted(tmp_path / "q.db", endpoint=received.url) as api:
        seen: list[RequestRecord] = []
        watcher = api.runtime.watching.watcher  # type: ignore[union-attr]
        note = watcher.note_request
        watcher.note_request = lambda record: (seen.append(record), note(record))[0]  # type: ignore[method-assign]
        for headers, belongs in (({"traceparent": ASKED}, True), ({}, False), ({"traceparent": "garbage"}, False)):
            run = (await api.ask("POST", "/v1/runs?wait=30", body=TASK, headers=headers)).json["id"]
            [created, *_] = await api.runtime.for_tenant("acme").log.read(run)
            place = seen[-1].place
            assert created.trace == place.context.traceparent  # type: ignore[union-attr]
            assert (place.context.trace_id == TRACE) == belongs
            assert (place.parent.span_id if place.parent else "") == (CALLER if belongs else "")
        connection = aiohttp.ClientSession()
        async with connection:
            twice = [("traceparent", ASKED), ("traceparent", ASKED.replace(CALLER, "1" * 16))]
            async with connection.get(f"{api.url}/livez", headers=twice) as answer:
                await answer.read()
        assert seen[-1].place.parent is None


async def test_where_nobody_sees_traces_those_of_others_are_handed_on(tmp_path: Path) -> None:
    """A run then stands below whoever asked, as no span of ours is between."""
    async with serve_counted(tmp_path / "q.db") as api:
        for headers, trace in (({"traceparent": ASKED}, ASKED), ({}, ""), ({"traceparent": "garbage"}, "")):
            run = (await api.ask("POST", "/v1/runs?wait=30", body=TASK, headers=headers)).json["id"]
            [created, *_] = await api.runtime.for_tenant("acme").log.read(run)
            assert created.trace == trace  # type: ignore[union-attr]


async def test_what_is_logged_in_a_request_bears_its_trace(tmp_path: Path) -> None:
    """Each line, of the server, of a run that it does, and of a model that is asked: trace, and request or run.
    part of row A10
    """
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        async with serve_counted(tmp_path / "q.db", log_format="json") as api:
            headers = {"traceparent": ASKED, "X-Request-ID": "req-mine"}
            await api.ask("POST", "/v1/runs?wait=30", body=TASK | {"agent": "chatty"}, headers=headers)
            api.runtime.store.log.list_runs = break_  # type: ignore[method-assign]
            assert (await api.ask("GET", "/v1/runs", headers=headers)).status == 500
    finally:
        root.removeHandler(handler)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    told = {line["logger"]: line for line in lines if line["logger"] in ("chatty", "quorate.server")}
    assert {line["trace_id"] for line in told.values()} == {TRACE}
    assert told["chatty"]["key"] == "1/model"
    assert told["chatty"]["run"].startswith("run-")
    assert told["quorate.server"]["request_id"] == "req-mine"


async def break_(*_: object, **__: object) -> None:
    raise RuntimeError("broken")


async def test_only_the_operator_reads_what_was_counted(tmp_path: Path) -> None:
    """Counts are those of all tenants. part of rows A9 and B13"""
    async with serve_counted(tmp_path / "q.db") as api:
        assert (await api.ask("GET", "/metrics", role="admin")).status == 403
        assert (await api.ask("GET", "/metrics", role=None)).status == 401
        assert (await api.ask("GET", "/metrics", role="viewer", tenant="platform", scopes=("runs:*",))).status == 403
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = await api.ask("GET", "/metrics", role="viewer", tenant="platform", headers=wanted)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.data.endswith(b"# EOF\n")
        for odd in ("application/openmetrics-text; version=new", "text/plain; version=x.y", "image/png"):
            answer = await api.ask("GET", "/metrics", role="viewer", tenant="platform", headers={"Accept": odd})
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.parametrize(
    ("sampling", "status", "duration_s", "shown"),
    [
        (Sampling(), 200, 0.1, True),
        (Sampling(share=0), 200, 0.1, False),
        (Sampling(share=0), 500, 0.1, True),
        (Sampling(share=0, keep_errors=False), 500, 0.1, False),
        (Sampling(share=0, keep_slower_s=1), 200, 2.0, True),
    ],
)
def test_which_requests_are_shown_is_chosen(sampling: Sampling, status: int, duration_s: float, shown: bool) -> None:
    place = open_place("", sampling)
    record = RequestRecord(place=place, method="GET", status=status, began=0, duration_s=duration_s)
    assert is_shown(record, sampling) == shown


def test_strangers_do_not_choose_what_is_shown() -> None:
    """Who is let in says whether a trace is shown; who is turned away does not."""
    few = Sampling(share=0)
    for status, shown in ((200, True), (401, False), (404, False), (429, False)):
        record = RequestRecord(place=open_place(ASKED, few), method="GET", status=status, began=0, duration_s=0.1)
        assert is_shown(record, few) == shown


async def test_a_request_that_breaks_or_is_left_is_an_error() -> None:
    """Whatever becomes of the application inside, what was counted as under way is counted off again."""
    seen: list[RequestRecord] = []

    class Listening:
        shows_traces = True

        def look(self, *_: object) -> None: ...

        def open_request(self, header: str) -> Any:
            return open_place(header, Sampling())

        def note_request(self, record: RequestRecord) -> None:
            seen.append(record)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    async def break_down(*_: object) -> None:
        raise RuntimeError("broken")

    async def leave(*_: object) -> None:
        return

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        raise asyncio.CancelledError

    scope: Any = {"type": "http", "method": "GET", "scheme": "http", "headers": [], "path": "/"}

    async def deny(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    async def wait(*_: object) -> None:
        raise asyncio.CancelledError

    found = (
        (break_down, 500, "500"),
        (leave, 0, "client_left"),
        (stream, 200, ""),
        (deny, 401, ""),
        (wait, 503, "503"),
    )
    for inner, status, error in found:
        heard = Heard(inner, Listening())  # type: ignore[arg-type]
        with pytest.raises((RuntimeError, asyncio.CancelledError)) if inner not in (leave, deny) else _nothing():
            await heard(scope, receive, send)
        assert (seen[-1].status, seen[-1].error) == (status, error)
        assert (heard._streams, sum(heard._active.values())) == (0, 0)
    assert scope["headers"] == [], "whoever serves us sees what came"


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
