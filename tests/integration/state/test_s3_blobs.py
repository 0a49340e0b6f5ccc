"""Are blobs kept by an S3-speaking server there as a whole or not at all, and are its failures told?"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator

import pytest
from tests.integration.state.artifacts.s3_server import BUCKET, S3Server, open_s3_server

from quorate.errors import (
    Forbidden,
    InvalidInput,
    MissingExtra,
    NotFound,
    QuorateError,
    StorageFull,
    TooLarge,
    Unavailable,
)
from quorate.state.backends.s3 import PART, S3Blobs, open_s3_blobs


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(blobs: S3Blobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.get(name)])


@pytest.fixture
async def server() -> AsyncIterator[S3Server]:
    async with open_s3_server() as server:
        yield server


@pytest.fixture
async def blobs(server: S3Server) -> AsyncIterator[S3Blobs]:
    async with open_s3_blobs(f"s3://{BUCKET}/quorate/blobs", config=server.config) as blobs:
        yield blobs


async def test_names_begin_with_the_prefix_of_the_url(server: S3Server, blobs: S3Blobs) -> None:
    """Whoever else uses the bucket is left alone, and every request was signed."""
    await blobs.put("t/a", pieces(b"mine"))
    server.objects["quorate/other"] = server.objects["elsewhere"] = (b"theirs", server.objects["quorate/blobs/t/a"][1])
    assert sorted(server.objects) == ["elsewhere", "quorate/blobs/t/a", "quorate/other"]
    assert [blob.name for blob in await blobs.list_blobs()] == ["t/a"]
    assert await read(blobs, "t/a") == b"mine"


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 3 * PART + 5])
async def test_large_blobs_go_in_parts(server: S3Server, blobs: S3Blobs, size: int) -> None:
    """And come back whole, in pieces of a bounded size."""
    body = bytes(range(251)) * (size // 251 + 1)
    assert await blobs.put("big", pieces(*[body[:size][at : at + 100_000] for at in range(0, size, 100_000)])) == size
    found = [piece async for piece in blobs.get("big")]
    assert b"".join(found) == body[:size]
    assert max(map(len, found)) <= 1 << 20
    assert server.uploads == {}
    parts = [asked for asked in server.asked if "partNumber" in asked]
    assert (len(parts) > 0) == (size >= PART)


@pytest.mark.parametrize("error", [RuntimeError("cut off"), OSError(5, "cut off"), TooLarge("cut off")])
@pytest.mark.parametrize("count", [1, 20])
async def test_an_upload_that_fails_leaves_nothing(
    server: S3Server, blobs: S3Blobs, count: int, error: Exception
) -> None:
    """What was there stays, no half upload stays on the server, and the error is the giver's own."""

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(1 << 20)
        raise error

    await blobs.put("a", pieces(b"before"))
    with pytest.raises(type(error), match="cut off"):
        await blobs.put("a", broken())
    assert await read(blobs, "a") == b"before"
    assert server.uploads == {}


async def test_an_upload_that_is_cancelled_leaves_no_blob(server: S3Server, blobs: S3Blobs) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for number in range(20):
            if number == 15:
                me.cancel()
            yield bytes(1 << 20)

    me = asyncio.ensure_future(blobs.put("a", slow()))
    with pytest.raises(asyncio.CancelledError):
        await me
    with pytest.raises(NotFound, match="There is no blob 'a'"):
        await read(blobs, "a")


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (507, "StorageFull", StorageFull, "there is no room in s3://kept"),
        (503, "SlowDown", Unavailable, "cannot be reached or used"),
        (500, "InternalError", Unavailable, "cannot be reached or used"),
        (403, "AccessDenied", Forbidden, "does not allow that with these credentials"),
    ],
)
async def test_what_the_server_says_is_told(
    server: S3Server, blobs: S3Blobs, status: int, code: str, expected: type[QuorateError], words: str
) -> None:
    """By each method, as one of our errors, whatever numbers are in the name; a server that comes back is used."""
    name = "t/507-404-403"
    await blobs.put(name, pieces(b"1"))
    server.fail_with = (status, code)
    works = [lambda: blobs.put(name, pieces(b"2")), lambda: read(blobs, name), lambda: blobs.delete(name)]
    for work in [*works, lambda: blobs.list_blobs()]:
        with pytest.raises(expected, match=words) as told:
            await work()
        assert "a-secret-for-tests" not in str(told.value)
    server.fail_with = None
    assert await read(blobs, name) == b"1"


@pytest.mark.parametrize(
    ("url", "change", "expected", "words"),
    [
        (f"s3://{BUCKET}", {"secret_access_key": "wrong"}, Forbidden, "does not allow that with these credentials"),
        (f"s3://{BUCKET}", {"access_key_id": "nobody"}, Forbidden, "does not allow that with these credentials"),
        ("s3://nonesuch/x", {}, InvalidInput, "There is no bucket at 's3://nonesuch/x'"),
        ("s3://", {}, InvalidInput, "write it like `s3://bucket/prefix`"),
        ("https://host/bucket", {}, InvalidInput, "write it like `s3://bucket/prefix`"),
        (f"s3://user:pass@{BUCKET}", {}, InvalidInput, "write it like"),
        (f"s3://{BUCKET}", {"no_such_setting": "x"}, InvalidInput, "the configuration of"),
        (f"s3://{BUCKET}", {"endpoint": "http://127.0.0.1:9"}, Unavailable, "cannot be reached or used"),
    ],
)
async def test_what_cannot_work_is_told_when_it_is_opened(
    server: S3Server, url: str, change: dict[str, str], expected: type[QuorateError], words: str
) -> None:
    """Before anything is stored."""
    with pytest.raises(expected, match=re.escape(words)):
        async with open_s3_blobs(url, config=server.config | change):
            pass


async def test_plain_http_is_for_this_machine_alone() -> None:
    """Elsewhere it takes TLS, unless somebody says otherwise in so many words."""
    with pytest.raises((InvalidInput, Unavailable)):
        async with open_s3_blobs(
            "s3://b", config={"endpoint": "http://192.0.2.1", "region": "x", "skip_signature": "true"}
        ):
            pass


async def test_pages_of_the_server_are_read_to_the_end(server: S3Server, blobs: S3Blobs) -> None:
    """It lists a thousand at a time."""
    when = (await _put_one(server, blobs))[1]
    server.objects |= {f"quorate/blobs/t/{number:05}": (b"1", when) for number in range(2500)}
    listed = await blobs.list_blobs("t/", limit=2400)
    assert [blob.name for blob in listed] == [f"t/{number:05}" for number in range(2400)]
    rest = await blobs.list_blobs("t/", after=listed[-1].name, limit=2400)
    assert [blob.name for blob in rest] == [f"t/{number:05}" for number in range(2400, 2500)]
    assert [blob.name for blob in await blobs.list_blobs("t/0123")] == [
        f"t/{number:05}" for number in range(1230, 1240)
    ]


async def _put_one(server: S3Server, blobs: S3Blobs):
    await blobs.put("z", pieces(b"1"))
    return server.objects["quorate/blobs/z"]


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[s3\]'"):
        async with open_s3_blobs("s3://bucket"):
            pass


async def test_a_bucket_may_be_memory() -> None:
    """For trials, as long as the block lasts."""
    async with open_s3_blobs("memory://") as blobs:
        await blobs.put("t/a", pieces(b"1", b"2"))
        assert await read(blobs, "t/a") == b"12"
        assert [blob.name for blob in await blobs.list_blobs("t/")] == ["t/a"]
        assert await blobs.delete("t/a")
        assert not await blobs.delete("t/a")
