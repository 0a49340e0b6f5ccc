"""Do bytes go in and come out over HTTP as they are, for those who may, and never all of them at once?"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from msgspec import structs
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.shared import find_end, read_audit, until, wipe

from quorate import Settings
from quorate.server.protocol import Bounds
from quorate.server.transfers import Transfers
from quorate.settings.values import ArtifactSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_S = 60
HERE = "/v1/artifacts"
PLAIN = {"Content-Type": "text/plain"}
MEGABYTE = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """A server that keeps bytes in files, and not many of them."""
    tmp_path = tmp_path_factory.mktemp("artifacts")
    settings = structs.replace(Settings(), artifacts=ArtifactSettings(store=str(tmp_path / "bytes"), max_mb=3))
    bounds = Bounds(head_s=100, body_s=100, write_s=100, linger_s=0.5)
    async with serve(tmp_path / "quorate.db", *build_agents(), settings=settings, bounds=bounds) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def api(served: Api) -> AsyncIterator[Api]:
    await wipe(served)
    yield served


async def save(api: Api, name: str, data: Any, query: str = "", **options: Any) -> Any:
    headers = {**PLAIN, **options.pop("headers", {})}
    return await api.ask("POST", f"{HERE}?name={name}{query}", data=data, headers=headers, **options)


async def keep(api: Api, name: str, data: Any, query: str = "", **options: Any) -> str:
    answer = await save(api, name, data, query, **options)
    assert answer.status == 201, answer.data
    return f"{HERE}/{answer.json['id']}"


async def as_principal(api: Api, principal: str) -> dict[str, Any]:
    key = await api.keys.create(tenant="acme", principal=principal, role="operator")
    return {"role": None, "headers": {"Authorization": f"Bearer {key.text.reveal()}"}}


@asynccontextmanager
async def send_raw(api: Api, head: str, *, key: str | None = None) -> AsyncIterator[Any]:
    """Send the head of a request by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    try:
        given = f"{head}\r\nHost: x\r\nAuthorization: Bearer {key or await api.key()}\r\n\r\n"
        writer.write(given.encode())
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def count_bytes(api: Api) -> int:
    return len(await api.runtime.store.blobs.list_blobs())


def find_files(api: Api) -> list[Path]:
    return [one for one in Path(api.runtime.settings.artifacts.store or "").rglob("*") if one.is_file()]


async def test_bytes_come_back_as_they_were(api: Api) -> None:
    """With what is known of them, as a download that no browser shows. part of row E11"""
    data, end = os.urandom(200_000), await find_end(api)
    saved = await save(api, "capture.bin", data, "&label=host=web-1", headers={"Content-Type": "Application/Zip"})
    view = saved.json
    assert (saved.status, saved.headers["Location"]) == (201, f"{HERE}/{view['id']}")
    assert view.items() >= {
        "object": "artifact", "name": "capture.bin", "version": 1, "media_type": "application/zip", "size": 200_000,
        "sha256": hashlib.sha256(data).hexdigest(), "owner": "operator-acme", "labels": {"host": "web-1"},
    }.items()  # fmt: skip
    shown = await api.ask("GET", f"{HERE}/{view['id']}")
    assert shown.json.items() >= {**view, "access": "principal"}.items()
    for method, expected in (("GET", data), ("HEAD", b"")):
        read = await api.ask(method, f"{HERE}/{view['id']}/content")
        assert (read.status, read.data) == (200, expected)
        assert read.headers["Content-Length"] == "200000"
        assert read.headers["Content-Disposition"] == 'attachment; filename="capture.bin"'
        assert read.headers["ETag"] == f'"{view["sha256"]}"'
        assert read.headers["Accept-Ranges"] == "bytes"
        assert read.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in read.headers["Content-Security-Policy"]
    seen = {"If-None-Match": read.headers["ETag"]}
    assert (await api.ask("GET", f"{HERE}/{view['id']}/content", headers=seen)).status == 304
    assert (await api.ask("GET", f"{HERE}/{view['id']}/content", headers={"If-Match": '"x"'})).status == 412
    checked = await api.ask("POST", f"{HERE}/{view['id']}/verify")
    assert checked.json == {"object": "artifact.checked", "id": view["id"], "is_whole": True}
    [noted] = await read_audit(api, end, "artifact")
    assert noted.facts["artifact"] == view["id"]


async def test_what_a_browser_would_run_is_bytes_of_no_kind(api: Api) -> None:
    """part of row E11"""
    for kind, shown in (
        ("text/html", "application/octet-stream"), ("image/svg+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"), ("application/pdf", "application/octet-stream"),
        ("application/xhtml+xml; charset=utf-8", "application/octet-stream"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"), ("image/png", "image/png"),
    ):  # fmt: skip
        path = await keep(api, "x", b"<script>alert(1)</script>", headers={"Content-Type": kind})
        read = await api.ask("GET", f"{path}/content")
        assert (read.headers["Content-Type"], read.data) == (shown, b"<script>alert(1)</script>")
        assert read.headers["Content-Disposition"].startswith("attachment")
        assert (await api.ask("GET", path)).json["media_type"] == kind


async def test_parts_are_read(api: Api) -> None:
    """One range, from either end; what is several or none is answered with all. part of row E11"""
    data = random.Random(7).randbytes(2_500_000)
    path = await keep(api, "large.bin", data) + "/content"
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    for header, begin, end in (
        ("bytes=0-0", 0, 1), ("bytes=1000000-2000000", 1_000_000, 2_000_001), ("bytes=-10", 2_499_990, 2_500_000),
        ("bytes=2499999-9999999", 2_499_999, 2_500_000), ("bytes=1048575-1048576", 1_048_575, 1_048_577),
    ):  # fmt: skip
        for more in ({}, {"If-Range": etag}):
            part = await api.ask("GET", path, headers={"Range": header, **more})
            assert (part.status, part.data == data[begin:end]) == (206, True), header
            assert part.headers["Content-Range"] == f"bytes {begin}-{end - 1}/2500000"
            assert part.headers["Content-Length"] == str(end - begin)
            assert part.headers["ETag"] == etag
    for headers in (
        {"Range": "bytes=0-1", "If-Range": '"other"'}, {"Range": "bytes=0-1", "If-Range": f"W/{etag}"},
        {"Range": "bytes=0-1", "If-Range": "Sat, 21 Nov 2026 22:00:00 GMT"}, {"Range": "bytes=0-1,4-5"},
        {"Range": "pages=1"},
    ):  # fmt: skip
        whole = await api.ask("GET", path, headers=headers)
        assert (whole.status, whole.data == data, "Content-Range" in whole.headers) == (200, True, False), headers
    beyond = await api.ask("GET", path, headers={"Range": "bytes=2500000-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */2500000")
    assert beyond.headers["Content-Type"] == "application/problem+json"
    head = await api.ask("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (head.status, head.headers["Content-Length"]) == (200, "2500000")
    empty = await keep(api, "empty", b"") + "/content"
    assert (await api.ask("GET", empty)).data == b""
    assert (await api.ask("GET", empty, headers={"Range": "bytes=0-"})).status == 416


async def test_bytes_pass_through_and_are_never_all_here(tmp_path: Path) -> None:
    """Up and down, in pieces: what is held meanwhile does not grow with how many there are. part of row E11"""
    settings = structs.replace(Settings(), artifacts=ArtifactSettings(store=str(tmp_path / "bytes"), max_mb=50))
    piece, count = os.urandom(256 << 10), 128

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    async with serve(tmp_path / "quorate.db", settings=settings) as api:
        await keep(api, "small", b"warm")
        tracemalloc.start()
        try:
            path = await keep(api, "large.bin", pieces())
            size, digest = 0, hashlib.sha256()
            headers = {"Authorization": f"Bearer {await api.key()}"}
            async with api.http.get(f"{api.url}{path}/content", headers=headers) as response:
                async for some in response.content.iter_any():
                    size += len(some)
                    digest.update(some)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == count * len(piece)
        assert digest.hexdigest() == hashlib.sha256(piece * count).hexdigest()
        assert most < 20 << 20  # of 32 MiB, client and server together


async def test_too_many_bytes_are_refused(api: Api) -> None:
    """Before any is read where their number is told, and at the bound where it is not; nothing is left. part of row E11"""
    head = f"POST {HERE}?name=x HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: {3 * MEGABYTE + 1}"
    async with send_raw(api, head) as (reader, _):
        answer = await reader.readuntil(b"\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")  # and no byte of a body was sent

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * (64 << 10)

    answer = await save(api, "x", pieces())
    assert (answer.status, answer.json["code"]) == (413, "too_large")
    assert (await save(api, "x", b"x" * (3 * MEGABYTE))).status == 201
    assert len((await api.ask("GET", HERE)).json["data"]) == await count_bytes(api) == len(find_files(api)) == 1


async def test_all_other_bodies_stay_small(api: Api) -> None:
    """One route takes a stream: no other spelling of it, and no other method or path, does. part of row C11"""
    large = b'"' + b"x" * (2 * MEGABYTE) + b'"'
    for method, path in (
        ("POST", f"{HERE}/?name=x"), ("POST", f"/{HERE}?name=x"), ("PUT", f"{HERE}?name=x"), ("POST", "/v1/sessions"),
        ("POST", f"{HERE}/x/shares"), ("PUT", "/v1/state/tenant/values/x"), ("POST", f"{HERE}/../artifacts?name=x"),
        ("POST", "/v1/Artifacts?name=x"), ("POST", "/v1/%61rtifacts/x?name=x"),
    ):  # fmt: skip
        for kind in ("application/json", "application/octet-stream"):
            answer = await api.ask(method, path, data=large, headers={"Content-Type": kind})
            assert answer.status == 413, (method, path)
    assert (await api.ask("PUT", "/v1/state/tenant/values/x", data=b"x", headers=PLAIN)).status == 415
    packed = await save(api, "x", b"x" * 100, headers={"Content-Encoding": "gzip"})
    assert (packed.status, packed.json["code"]) == (415, "unsupported_media_type")


async def test_an_upload_is_taken_where_the_server_is_mounted(api: Api) -> None:
    """Below the path of another application the same bound holds: what is behind it is not read. part of row C11"""
    key = f"Bearer {await api.key()}".encode()

    async def post(path: str, *, root: str, size: int) -> tuple[int, bool]:
        statuses, left = list[int](), [b"x" * (64 << 10)] * size

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> Any:
            return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
            "raw_path": path.encode(), "root_path": root, "query_string": b"name=x", "scheme": "http",
            "server": ("x", 80), "client": ("127.0.0.1", 1), "headers": [(b"authorization", key)],
        }  # fmt: skip
        await api.server.asgi(scope, receive, send)  # type: ignore[arg-type]
        return statuses[0], bool(left)

    assert await post(f"/agents{HERE}", root="/agents", size=32) == (201, False)
    assert await post(f"/agents{HERE}", root="/agents", size=100) == (413, True)
    assert await post(f"/elsewhere{HERE}", root="/agents", size=32) == (413, True)  # it is bounded like all others


async def test_whoever_leaves_halfway_leaves_nothing(api: Api) -> None:
    """Whatever was sent till then, told or in pieces: no artifact, no bytes, no turn. part of row E11"""
    transfers: Transfers = api.server.routes.state.transfers
    for size, sent in ((2 * MEGABYTE, 1000), (2 * MEGABYTE, 2 * MEGABYTE - 1), (0, 1500)):
        kind = f"Content-Length: {size}" if size else "Transfer-Encoding: chunked"
        async with send_raw(api, f"POST {HERE}?name=x HTTP/1.1\r\n{kind}") as (_, writer):
            writer.write(b"x" * sent if size else f"{sent:x}\r\n".encode() + b"x" * sent + b"\r\n")
            await writer.drain()
            await until(lambda: len(transfers) == 1)
        await until(lambda: not api.listener.server_state.tasks and len(transfers) == 0)
    assert (await api.ask("GET", HERE)).json["data"] == []
    assert await count_bytes(api) == len(find_files(api)) == 0


async def test_a_body_that_trickles_is_refused(tmp_path: Path) -> None:
    """part of row C11"""
    bounds = Bounds(head_s=100, body_s=0.3, write_s=100, linger_s=0.5)
    async with serve(tmp_path / "quorate.db", bounds=bounds) as api:
        async with send_raw(api, f"POST {HERE}?name=x HTTP/1.1\r\nContent-Length: 1000") as (reader, writer):
            writer.write(b"x")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408 ")
        await until(lambda: not api.listener.server_state.tasks)
        assert (await api.ask("GET", HERE)).json["data"] == []


async def test_whoever_stops_reading_leaves_nothing_open(api: Api) -> None:
    """part of row E11"""
    path = await keep(api, "large.bin", os.urandom(3 * MEGABYTE))
    transfers: Transfers = api.server.routes.state.transfers
    for _ in range(3):
        async with send_raw(api, f"GET {path}/content HTTP/1.1") as (reader, _):
            await reader.readexactly(1000)
        await until(lambda: not api.listener.server_state.tasks and len(transfers) == 0)
    opened = [os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")]
    assert not [one for one in opened if one.startswith(f"{api.runtime.settings.artifacts.store}/")]


async def test_bytes_that_are_others_are_never_given_as_whole(api: Api) -> None:
    """Small ones are refused, of large ones the end is missing, also in a part of them. part of row E11"""
    paths = [await keep(api, "small", os.urandom(1000)), await keep(api, "large", os.urandom(3 * MEGABYTE))]
    for file in find_files(api):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    small = await api.ask("GET", f"{paths[0]}/content")
    assert (small.status, small.json["code"]) == (500, "corrupt_state")
    for headers in ({}, {"Range": "bytes=0-2000000"}):
        with pytest.raises(aiohttp.ClientPayloadError):
            await api.ask("GET", f"{paths[1]}/content", headers=headers)
    assert (await api.ask("GET", f"{paths[1]}/content", headers={"Range": "bytes=0-9"})).status == 500
    for path in paths:
        assert (await api.ask("POST", f"{path}/verify")).json["is_whole"] is False


async def test_an_artifact_is_for_its_own_people(api: Api) -> None:
    """By access and share; to all others it is absent, in the words for what never was. part of row E11"""
    bob = await as_principal(api, "bob")
    await api.ask("POST", "/v1/sessions", body={"id": "ours", "shared_with": ["bob"]})
    await api.ask("POST", "/v1/sessions", body={"id": "mine"})
    run = (await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"})).json["id"]
    own = await keep(api, "own", b"1")
    ours = await keep(api, "ours", b"2", "&session=ours")
    mine = await keep(api, "mine", b"3", "&session=mine")
    runs = await keep(api, "runs", b"4", f"&run={run}")
    everybody = await keep(api, "everybody", b"5", "&access=tenant")
    for path, query, status in (
        (own, "", 404), (ours, "", 404), (ours, "?session=ours", 200), (mine, "?session=mine", 404),
        (mine, "?session=ours", 404), (runs, "", 404), (everybody, "", 200),
    ):  # fmt: skip
        for end in ("", "/content"):
            assert (await api.ask("GET", f"{path}{end}{query}", **bob)).status == status, (path, query)
            assert (await api.ask("GET", f"{path}{end}", role="admin")).status == 200
            assert (await api.ask("GET", f"{path}{end}", role="admin", tenant="globex")).status == 404
            assert (await api.ask("GET", f"{path}{end}")).status == 200
    names = {one["name"] for one in (await api.ask("GET", f"{HERE}?session=ours", **bob)).json["data"]}
    assert names == {"ours"}
    assert [one["name"] for one in (await api.ask("GET", HERE, **bob)).json["data"]] == ["everybody"]
    assert (await api.ask("GET", f"{HERE}?session=mine", **bob)).status == 404
    for query in ("&session=mine", "&session=none", "&run=none"):
        assert (await save(api, "x", b"x", query, **bob)).status == 404, query
    assert (await save(api, "x", b"x", f"&run={run}", **bob)).status == 403
    assert (await save(api, "x", b"x", f"&run={run}&session=mine")).status == 400

    known = await api.ask("GET", own, **bob | {"headers": {**bob["headers"], "X-Request-ID": "r"}})
    other = f"{HERE}/art-{'0' * 28}"
    absent = await api.ask("GET", other, **bob | {"headers": {**bob["headers"], "X-Request-ID": "r"}})
    assert known.data.replace(own.rpartition("/")[2].encode(), b"art-" + b"0" * 28) == absent.data


async def test_an_artifact_is_shared_taken_back_and_deleted(api: Api) -> None:
    """part of row E11"""
    bob = await as_principal(api, "bob")
    path = await keep(api, "plan", b"The plan")
    same = await keep(api, "copy", b"The plan")
    assert await count_bytes(api) == 1  # the same bytes once
    before = (await api.ask("GET", path)).headers["ETag"]
    shared = await api.ask("POST", f"{path}/shares", body={"principal": "bob"}, headers={"If-Match": before})
    assert shared.json["shares"] == [{"kind": "principal", "who": "bob"}]
    assert (await api.ask("GET", f"{path}/content", **bob)).data == b"The plan"
    for method, where, body in (("POST", "/shares", {"everybody": True}), ("DELETE", "", None)):
        assert (await api.ask(method, f"{path}{where}", body=body, **bob)).status == 403
    assert (await api.ask("DELETE", path, headers={"If-Match": before})).status == 412
    for body in ({}, {"principal": "a", "everybody": True}, {"principal": "a", "until": 1.0}, {"session": "A B"}):
        assert (await api.ask("POST", f"{path}/shares", body=body)).status == 400, body
    assert (await api.ask("DELETE", f"{path}/shares?principal=bob")).status == 204
    assert (await api.ask("DELETE", f"{path}/shares?principal=bob")).status == 404
    assert (await api.ask("GET", f"{path}/content", **bob)).status == 404
    for each in (path, same):
        assert (await api.ask("DELETE", each)).status == 204
        assert (await api.ask("GET", each)).status == 404
    assert await count_bytes(api) == len(find_files(api)) == 0


async def test_artifacts_are_found(api: Api) -> None:
    """By name, version, kind, label, size and time, in pages. part of row E11"""
    for number in range(3):
        await keep(api, "report.csv", f"{number}".encode() * 10, headers={"Content-Type": "text/csv"})
    await keep(api, "a/b", b"x" * 100, "&label=kind=dump&label=host=web-1", headers={"Content-Type": "image/png"})
    found = (await api.ask("GET", f"{HERE}?name=report*")).json["data"]
    assert [one["version"] for one in found] == [3, 2, 1]
    for query, names in (
        ("media_type=image/*", ["a/b"]), ("label=kind=dump&label=host=web-1", ["a/b"]), ("label=kind=other", []),
        ("min_size=50", ["a/b"]), ("max_size=50&limit=1", ["report.csv"]), ("since=1e12", []), ("before=1", []),
        ("owner=nobody", []), (f"sha256={hashlib.sha256(b'x' * 100).hexdigest()}", ["a/b"]),
    ):  # fmt: skip
        listed = await api.ask("GET", f"{HERE}?{query}")
        assert [one["name"] for one in listed.json["data"]] == names, query
    pages, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"{HERE}?limit=1{cursor}")).json
        pages += [f"{one['name']} {one['version']}" for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(pages) == ["a/b 1", "report.csv 1", "report.csv 2", "report.csv 3"]
    assert (await api.ask("GET", f"{HERE}/named?name=report.csv")).json["version"] == 3
    assert (await api.ask("GET", f"{HERE}/named?name=report.csv&version=1")).json["version"] == 1
    assert (await api.ask("GET", f"{HERE}/named?name=report.csv&version=9")).status == 404
    for query in ("limit=0", "cursor=x", "label=x", f"name={'*' * 300}", "min_size=-1", "session=A"):
        assert (await api.ask("GET", f"{HERE}?{query}")).status == 400, query


async def test_what_cannot_be_kept_is_refused(api: Api) -> None:
    """part of row C11"""
    for query, kind, status in (
        ("", "text/plain", 400), ("?name=", "text/plain", 400), ("?name=..", "text/plain", 400),
        ("?name=a%00b", "text/plain", 400), ("?name=a%0d%0ab", "text/plain", 400), ("?name=x&label=x", "text/plain", 400),
        ("?name=x&access=all", "text/plain", 400), ("?name=x&access=run", "text/plain", 400), ("?name=x", "text", 400),
        ("?name=x", "multipart/form-data; boundary=x", 415), ("?name=x", "application/x-www-form-urlencoded", 415),
    ):  # fmt: skip
        answer = await api.ask("POST", f"{HERE}{query}", data=b"x", headers={"Content-Type": kind})
        assert answer.status == status, (query, kind, answer.data)
    for name in ("plan", "..", "a%2Fb", f"art-{'g' * 28}", "art-"):
        assert (await api.ask("GET", f"{HERE}/{name}")).status == 404, name
    assert await count_bytes(api) == 0


async def test_the_same_upload_is_kept_once(api: Api) -> None:
    """However often it is sent, also at once; another one under its key is a conflict. part of row B11"""
    once = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*[save(api, "x", b"same" * 1000, headers=once) for _ in range(10)])
    assert {answer.status for answer in answers} == {201}
    [kept] = {answer.json["id"] for answer in answers}
    again = await save(api, "x", b"same" * 1000, headers=once)
    assert (again.json["id"], again.headers["Idempotent-Replayed"]) == (kept, "true")
    for name, data, more in (("x", b"other", ""), ("y", b"same" * 1000, ""), ("x", b"same" * 1000, "&access=tenant")):
        answer = await save(api, name, data, more, headers=once)
        assert (answer.status, answer.json["code"]) == (409, "conflict"), (name, more)
    bob = await as_principal(api, "bob")
    theirs = await save(api, "x", b"other", role=None, headers={**bob["headers"], **once})
    assert theirs.status == 201  # keys of two people are two
    assert len((await api.ask("GET", HERE)).json["data"]) == 1
    await api.ask("DELETE", f"{HERE}/{kept}")
    assert (await save(api, "x", b"same" * 1000, headers=once)).status == 409


async def test_transfers_are_bounded(api: Api) -> None:
    """part of row C11"""
    path = await keep(api, "x", b"x" * 100)
    transfers = api.server.routes.state.transfers = Transfers(each=1)
    async with send_raw(api, f"POST {HERE}?name=y HTTP/1.1\r\nContent-Length: 1000") as (_, _writer):
        await until(lambda: len(transfers) == 1)
        for answer in (await save(api, "z", b"x"), await api.ask("GET", f"{path}/content")):
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert (await api.ask("HEAD", f"{path}/content")).status == 200
        assert (await save(api, "z", b"x", tenant="globex")).status == 201
    await until(lambda: len(transfers) == 0)
    assert (await api.ask("GET", f"{path}/content")).data == b"x" * 100


async def test_old_artifacts_are_taken_away(api: Api) -> None:
    """part of row E11"""
    kept = [await keep(api, f"x-{number}", b"%d" % number) for number in range(3)]
    assert (await api.ask("POST", "/v1/upkeep/artifacts/collect", body={})).status == 403
    assert (await api.ask("POST", "/v1/upkeep/artifacts/collect", role="admin", body={"grace_s": 1})).status == 400
    done = (await api.ask("POST", "/v1/upkeep/artifacts/collect", role="admin", body={"max_count": 1})).json
    assert [f"{HERE}/{one['id']}" for one in done["deleted"]] == kept[:2]
    assert await count_bytes(api) == 1
