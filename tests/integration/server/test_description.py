"""Is what the server says of itself whole and true, and does it say what will go?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar, get
from msgspec import Struct
from tests.integration.server.conftest import Api, serve

from quorate.server.keys import KeyRequest
from quorate.server.openai.wire import ChatRequest
from quorate.server.schemas import build_example
from quorate.server.versions import deprecate, mark
from quorate.server.views import RunRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("description") / "quorate.db") as api:
        yield api


async def test_the_description_is_whole(api: Api) -> None:
    """All groups are told about, whatever is referred to is there, and each route says its right. part of row C11"""
    answer = await api.ask("GET", "/schema/openapi.json", role=None)
    document: dict[str, Any] = answer.json
    assert document["openapi"] == "3.1.0"
    assert all(tag["description"] for tag in document["tags"])
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(set(ids)) == len(ids)
    assert {"/v1/runs", "/openai/v1/chat/completions", "/anthropic/v1/messages", "/livez"} <= set(document["paths"])
    for name in {part.partition('"')[0] for part in answer.data.decode().split('"$ref":"#/')[1:]}:
        found: Any = document
        for part in name.split("/"):
            found = found[part]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"], operation
            assert operation["description"], operation["operationId"]
            assert ("x-quorate-needs" in operation) != (operation.get("security") == []), operation["operationId"]
    again = {"If-None-Match": answer.headers["ETag"]}
    assert (await api.ask("GET", "/schema/openapi.json", role=None, headers=again)).status == 304


async def test_examples_are_what_routes_take(api: Api) -> None:
    """part of row C11"""
    document = api.server.describe()
    components: Any = document["components"]
    schemas: Mapping[str, Any] = components["schemas"]
    kinds: tuple[type[Struct], ...] = (KeyRequest, RunRequest, ChatRequest)
    for kind in kinds:
        example = build_example({"$ref": f"#/components/schemas/{kind.__name__}"}, schemas)
        assert msgspec.convert(example, kind)
    fields = schemas["KeyRequest"]["properties"]
    assert fields["scopes"]["items"]["pattern"].startswith("^")
    assert fields["lasts_s"]["description"].startswith("For how many seconds")
    assert schemas["KeyRequest"]["additionalProperties"] is False


async def test_every_answer_says_which_version_it_is_of(api: Api) -> None:
    """So do refusals, whoever refuses. part of row C11"""
    for path in ("/v1/runs", "/v1/nothing", "/livez", "/openai/v1/models", "/openai/v1/nothing", "/v1/keys?limit=x"):
        assert (await api.ask("GET", path)).headers["Quorate-Version"] == "v1", path
    assert (await api.ask("GET", "/v1/runs", headers={"Host": "x"}, role=None)).headers["Quorate-Version"] == "v1"


@pytest.mark.parametrize("word", ["null", "NULL"])
async def test_nothing_is_not_a_value(api: Api, word: str) -> None:
    """A choice that is said to be `null` is refused; a text may be called so. part of row C11"""
    assert (await api.ask("GET", f"/v1/keys?role={word}", role="admin")).status == 400
    assert (await api.ask("GET", f"/v1/keys?principal={word}", role="admin")).json["data"] == []


async def test_what_will_go_says_so_with_every_answer() -> None:
    """By the headers of RFC 9745, RFC 8594 and RFC 8288; what stays says nothing. part of row C11"""

    @get(
        "/v1/old",
        opt=deprecate("2027-01-31", until="2027-07-31", instead="/v1/new", page="https://example.com/changes"),
        deprecated=True,
        sync_to_thread=False,
    )
    def old() -> None:
        """Answer nothing."""

    @get("/v1/new", sync_to_thread=False)
    def new() -> None:
        """Answer nothing."""

    app = Litestar([old, new], before_send=[mark], openapi_config=None)

    async def ask(path: str) -> dict[str, str]:
        found: dict[str, str] = {}

        async def send(message: Any) -> None:
            found.update({name.decode(): value.decode() for name, value in message.get("headers", ())})

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
            "raw_path": path.encode(), "root_path": "", "query_string": b"", "scheme": "http",
            "server": ("x", 80), "client": ("127.0.0.1", 1), "headers": [],
        }  # fmt: skip
        await app(scope, receive, send)  # type: ignore[arg-type]
        return found

    told = await ask("/v1/old")
    assert told["deprecation"] == "@1801353600"
    assert told["sunset"] == "Sat, 31 Jul 2027 00:00:00 GMT"
    assert told["link"] == (
        '</v1/new>; rel="successor-version", <https://example.com/changes>; rel="deprecation"; type="text/html"'
    )
    assert not {"deprecation", "sunset", "link"} & set(await ask("/v1/new"))
    assert "deprecation" not in await ask("/v1/nothing")
