"""Is a token fetched over real sockets, kept until shortly before its end, and fetched by one for all?"""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quorate.errors import Forbidden, Unauthenticated, UpstreamError
from quorate.messages import build_user_message
from quorate.models.gateway import build_model
from quorate.models.grants import Grant, build_grant, check_credential
from quorate.models.target import find_target
from quorate.specs import Request
from quorate.testing.provider_server import provider_server

NAME, FILE = "GOOGLE_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"
PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
Give = Callable[[int], web.Response]


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.gone = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.gone


def give_token(count: int) -> web.Response:
    return web.json_response({"access_token": f"token-{count}", "expires_in": 3600})


@asynccontextmanager
async def token_server(give: Give = give_token) -> AsyncGenerator[tuple[str, list[dict]]]:
    """A token server on loopback: what it was asked, in order, and each time another token."""
    asked: list[dict] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(parse_qs(await request.text()))
        await asyncio.sleep(0.02)
        return give(len(asked))

    app = web.Application()
    app.router.add_post("/token", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token", asked
    finally:
        await runner.cleanup()


def write_key(uri: str) -> str:
    account = {"type": "service_account", "client_email": "a@b.test", "private_key": PEM, "token_uri": uri}
    return json.dumps(account)


@asynccontextmanager
async def open_grant(source: str, clock: Hands, *, is_near: bool = True) -> AsyncGenerator[Grant]:
    values = {FILE: source, "GOOGLE_CLOUD_LOCATION": "eu", "GOOGLE_CLOUD_PROJECT": "p"}
    near = {"vertex": "http://127.0.0.1:1/v1"} if is_near else {}
    target = find_target("vertex:m", credentials=values.get, base_urls=near)
    grant = build_grant(target, credentials=values.get, clock=clock)
    assert grant is not None
    try:
        yield grant
    finally:
        await grant.aclose()


async def get(grant: Grant) -> str | None:
    return (await grant.get())(NAME)


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Hands()
    async with token_server() as (uri, asked), open_grant(write_key(uri), clock) as grant:
        assert await get(grant) == "token-1"
        clock.gone = 3200
        assert await get(grant) == "token-1"
        clock.gone = 3301
        assert await get(grant) == "token-2"
        assert len(asked) == 2
        assert asked[0].keys() == {"grant_type", "assertion"}


async def test_clock_jumps_do_no_harm() -> None:
    """How long a token lasts is counted, not read from the wall."""
    clock = Hands()
    async with token_server() as (uri, asked), open_grant(write_key(uri), clock) as grant:
        await get(grant)
        for jump in (-3600, 7200):
            clock.wall += jump
            assert await get(grant) == "token-1"
        assert len(asked) == 1


async def test_many_callers_share_one_fetch() -> None:
    async with token_server() as (uri, asked), open_grant(write_key(uri), Hands()) as grant:
        got = await asyncio.gather(*(get(grant) for _ in range(50)))
    assert set(got) == {"token-1"}
    assert len(asked) == 1


async def test_a_caller_that_leaves_does_not_take_the_token_with_it() -> None:
    async with token_server() as (uri, asked), open_grant(write_key(uri), Hands()) as grant:
        first = asyncio.create_task(get(grant))
        second = asyncio.create_task(get(grant))
        while not asked:
            await asyncio.sleep(0)
        first.cancel()
        assert (await second) is not None
        assert first.cancelled() or first.done()


async def test_a_token_that_was_refused_is_fetched_anew() -> None:
    async with token_server() as (uri, _), open_grant(write_key(uri), Hands()) as grant:
        assert await get(grant) == "token-1"
        assert grant.forget()
        assert not grant.forget()
        assert await get(grant) == "token-2"


async def test_an_old_token_does_while_it_lasts_when_no_other_can_be_had() -> None:
    def give(count: int) -> web.Response:
        return give_token(count) if count == 1 else web.json_response({"error": "busy"}, status=503)

    clock = Hands()
    async with token_server(give) as (uri, asked), open_grant(write_key(uri), clock) as grant:
        await get(grant)
        clock.gone = 3400
        assert await get(grant) == "token-1"
        assert len(asked) == 2
        clock.gone = 3595
        with pytest.raises(UpstreamError, match="token server failed") as caught:
            await get(grant)
        assert caught.value.retryable


async def test_a_refused_key_is_said_so_and_not_hidden_by_an_old_token() -> None:
    def give(count: int) -> web.Response:
        return give_token(count) if count == 1 else web.json_response({"error": "invalid_grant"}, status=400)

    clock = Hands()
    async with token_server(give) as (uri, _), open_grant(write_key(uri), clock) as grant:
        await get(grant)
        clock.gone = 3400
        with pytest.raises(Unauthenticated, match="HTTP 400, code `invalid_grant`") as caught:
            await get(grant)
        assert "PRIVATE" not in f"{caught.value!r} {caught.value.context} {grant!r}"


async def test_a_wrong_clock_is_set_right_by_the_servers() -> None:
    """What is signed holds the time, so it is signed once more with the time that the refusal bears."""
    clock = Hands()

    def give(count: int) -> web.Response:
        if count > 1:
            return give_token(count)
        return web.json_response(
            {"error": "invalid_grant"}, status=400, headers={"Date": formatdate(clock.wall + 7200, usegmt=True)}
        )

    async with token_server(give) as (uri, asked), open_grant(write_key(uri), clock) as grant:
        assert await get(grant) == "token-2"
    first, second = (json.loads(_decode(one["assertion"][0].split(".")[1]))["iat"] for one in asked)
    assert second - first == 7200


async def test_a_key_in_a_file_is_read_again_when_the_name_is(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    async with token_server() as (uri, _):
        path.write_text(write_key(uri), encoding="utf-8")
        async with open_grant(str(path), Hands()) as grant:
            assert await get(grant) == "token-1"
        for data, said in ((b"\xff", "it is no text"), (b"x" * 70_000, "more than 65536 bytes")):
            path.write_bytes(data)
            async with open_grant(str(path), Hands()) as grant:
                with pytest.raises(Unauthenticated, match=said):
                    await get(grant)
        path.unlink()
        async with open_grant(str(path), Hands()) as grant:
            with pytest.raises(Unauthenticated, match="No such file"):
                await get(grant)


async def test_a_private_token_address_is_for_private_models_alone() -> None:
    """A key file cannot make a call inside the house when the model is outside."""
    async with token_server() as (uri, asked):
        async with open_grant(write_key(uri), Hands(), is_near=False) as grant:
            with pytest.raises(Forbidden, match="is a loopback address"):
                await get(grant)
        async with open_grant(write_key("http://169.254.169.254/token"), Hands()) as grant:
            with pytest.raises(Forbidden, match="never reached"):
                await get(grant)
    assert not asked


async def test_a_given_token_is_never_fetched_and_others_need_none() -> None:
    values = {NAME: "given"}
    target = find_target("vertex:m", credentials=values.get, base_urls={"vertex": "https://x.test/v1"})
    grant = build_grant(target, credentials=values.get)
    assert grant is not None
    assert (await grant.get())(NAME) == "given"
    check_credential(target, values.get)
    check_credential(target, {FILE: "/x"}.get)
    with pytest.raises(Unauthenticated, match=FILE):
        check_credential(target, {}.get)
    other = find_target("anthropic:claude-opus-5-5", credentials={}.get, base_urls={})
    assert build_grant(other, credentials={}.get) is None
    with pytest.raises(Unauthenticated, match="ANTHROPIC_API_KEY"):
        check_credential(other, {}.get)


async def test_a_model_signs_in_with_its_key_file_and_again_when_the_token_is_refused() -> None:
    """The first token is none for the model's server; the call is made again with another."""
    asked = Request(messages=(build_user_message("Hi"),))
    async with token_server() as (uri, fetched), provider_server(lambda _: "Hello.", key="token-2") as server:
        base = f"{server.origin}/v1/projects/p/locations/eu"
        values = {FILE: write_key(uri)}
        async with build_model("vertex:gemini-3.8-flash", credentials=values.get, base_urls={"vertex": base}) as model:
            replies = [await model.complete(asked) for _ in range(3)]
    assert [reply.message.text for reply in replies] == ["Hello."] * 3
    assert (len(fetched), len(server.requests)) == (2, 3)


def test_one_grant_serves_one_event_loop_after_the_other() -> None:
    values: dict[str, str] = {}
    target = find_target("vertex:m", credentials=values.get, base_urls={"vertex": "http://127.0.0.1:1/v1"})
    clock = Hands()
    grant = build_grant(target, credentials=values.get, clock=clock)
    assert grant is not None

    async def use() -> set[str | None]:
        async with token_server() as (uri, _):
            values[FILE] = write_key(uri)
            got = await asyncio.gather(*(get(grant) for _ in range(5)))
            await grant.aclose()
            return set(got)

    assert [asyncio.run(use()) for _ in range(2)] == [{"token-1"}, {"token-1"}]


def _decode(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
