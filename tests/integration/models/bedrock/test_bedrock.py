"""Does Bedrock take what we send: signed as it came over the wire, by one who checks it byte by byte?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import cast

import pytest
from aiohttp import web
from tests.unit.models.bedrock.steps import work_out

from quorate.errors import Forbidden, Incomplete, RateLimited, Unauthenticated
from quorate.messages import ReplyDone, TextDelta, build_user_message
from quorate.models.breaking import BreakerPolicy
from quorate.models.gateway import build_model
from quorate.models.listing import list_models
from quorate.models.remote import RemoteModel
from quorate.models.target import find_target
from quorate.specs import ModelSettings, Request
from quorate.testing.provider_server import Answer, provider_server
from quorate.testing.provider_server.bedrock import build_body, build_frame, build_frames
from quorate.testing.provider_server.script import Sent

MODEL = "bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "bedrock:arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
SECRET = "canary-secret"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": "canary-session",
    "AWS_REGION": "us-east-1",
}
HI = Request(messages=(build_user_message("Grüße"),))
SENT = Sent(path="/converse", headers={}, body={})
LEEWAY_S = 300


class Checker:
    """A server that answers what is signed rightly, and is five minutes strict about the time."""

    def __init__(self, *, ahead_s: float = 0.0) -> None:
        self.url = ""
        self.ahead_s = ahead_s
        self.paths: list[str] = []
        self.refused = 0

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.paths.append(request.raw_path)
        fault = self._find_fault(request, body)
        now = datetime.now(UTC).timestamp() + self.ahead_s
        date = {"Date": format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)}
        if fault:
            self.refused += 1
            header = {"x-amzn-ErrorType": "InvalidSignatureException:http://internal.amazon.com/", **date}
            return web.json_response({"message": fault}, status=403, headers=header)
        if request.path.endswith("-stream"):
            frames = b"".join(build_frames(Answer(text="Hello."), SENT))
            return web.Response(body=frames, content_type="application/vnd.amazon.eventstream", headers=date)
        if request.method == "GET":
            if "profiles" not in request.path:
                return web.json_response({"modelSummaries": [{"modelId": "a.b-v1:0"}]})
            rows = {"inferenceProfileSummaries": [{"inferenceProfileId": f"us.{request.query.get('nextToken', 'x')}"}]}
            return web.json_response(rows if "nextToken" in request.query else {**rows, "nextToken": "a/b+c="})
        return web.Response(body=build_body(Answer(text="Hello."), SENT), content_type="application/json", headers=date)

    def _find_fault(self, request: web.Request, body: bytes) -> str:
        given = request.headers.get("Authorization", "")
        fields = dict(part.strip().split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256 ").split(","))
        names = fields["SignedHeaders"].split(";")
        stamp = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        now = datetime.now(UTC).timestamp() + self.ahead_s
        if abs(now - stamp) > LEEWAY_S:
            return "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z"
        path, _, query = request.raw_path.partition("?")
        headers = {name: request.headers[name] for name in names}
        wanted = work_out(
            method=request.method, path=path, query=query, headers=headers, body=body, secret=SECRET, region="us-east-1"
        )
        return "" if fields["Signature"] == wanted else "The request signature we calculated does not match."


@asynccontextmanager
async def checker(*, ahead_s: float = 0.0) -> AsyncGenerator[Checker]:
    found = Checker(ahead_s=ahead_s)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{cast('tuple[str, int]', runner.addresses[0])[1]}"
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connect(url: str, name: str = MODEL, keys: Mapping[str, str] = KEYS) -> AsyncGenerator[RemoteModel]:
    model = RemoteModel(find_target(name, credentials=keys.get, base_urls={"bedrock": url}), credentials=keys.get)
    try:
        yield model
    finally:
        await model.aclose()


@pytest.mark.parametrize("name", [MODEL, ARN, "bedrock:amazon.nova-lite-v1:0"])
async def test_what_is_signed_is_what_is_sent(name: str) -> None:
    """Path, host, session and body, whole and streamed, for ids with colons and ARNs with slashes."""
    async with checker() as server, connect(server.url, name) as model:
        reply = await model.complete(HI)
        async with aclosing(model.stream(HI)) as stream:
            items = [item async for item in stream]
    assert reply.message.text == "Hello."
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.estimated) == (12, 7, False)
    assert "".join(item.text for item in items if isinstance(item, TextDelta)) == "Hello."
    assert isinstance(items[-1], ReplyDone)
    assert items[-1].reply == reply
    assert (reply.cost_usd is not None) == model.profile.priced
    assert (server.refused, len(server.paths)) == (0, 2)


async def test_models_and_profiles_are_listed() -> None:
    """Page by page, each page signed with its token."""
    async with checker() as server:
        target = find_target(MODEL, credentials=KEYS.get, base_urls={"bedrock": server.url})
        models = await list_models(target, credentials=KEYS.get)
    assert [model.name for model in models] == ["a.b-v1:0", "us.x", "us.a/b+c="]
    assert server.refused == 0


async def test_a_wrong_secret_is_refused() -> None:
    """And not shown."""
    async with checker() as server, connect(server.url, keys={**KEYS, "AWS_SECRET_ACCESS_KEY": "canary"}) as model:
        with pytest.raises(Unauthenticated, match="Check `AWS_BEARER_TOKEN_BEDROCK`") as caught:
            await model.complete(HI)
    assert "canary" not in f"{caught.value!r} {caught.value.context} {model!r}"


async def test_a_wrong_clock_is_said_to_be_one_and_made_up_for() -> None:
    """The server's own time is believed at the next attempt."""
    async with checker(ahead_s=3_600) as server, connect(server.url) as model:
        with pytest.raises(Unauthenticated, match="check this machine's clock") as caught:
            await model.complete(HI)
        assert caught.value.retryable
        assert (await model.complete(HI)).message.text == "Hello."
        assert (await model.complete(HI)).message.text == "Hello."
    assert server.refused == 1


async def test_a_bearer_key_is_enough() -> None:
    """It stands above the others."""
    keys = {"AWS_BEARER_TOKEN_BEDROCK": "canary-bearer", "AWS_REGION": "us-east-1"}
    async with provider_server(["Hello."], key="canary-bearer") as server, connect(server.origin, keys=keys) as model:
        assert (await model.complete(HI)).message.text == "Hello."


async def test_names_of_errors_come_from_a_header() -> None:
    """As AWS sends them: the body holds a sentence alone."""
    named = [
        Answer(
            status=400, raw=b'{"message":"canary"}', headers={"x-amzn-ErrorType": "ServiceQuotaExceededException:x"}
        ),
        Answer(status=403, raw=b'{"message":"canary"}', headers={"x-amzn-ErrorType": "AccessDeniedException"}),
        Answer(
            status=429,
            raw=b'{"message":"canary"}',
            headers={"x-amzn-ErrorType": "ThrottlingException", "Retry-After": "7"},
        ),
    ]
    async with provider_server(named) as server, connect(server.origin) as model:
        for kind in (RateLimited, Forbidden, RateLimited):
            with pytest.raises(kind) as caught:
                await model.complete(HI)
            assert "canary" not in str(caught.value)
    assert isinstance(caught.value, RateLimited)
    assert caught.value.retry_after_s == 7


async def test_a_busy_model_is_asked_again() -> None:
    """By the gateway: before the first token, and never after it."""
    busy = build_frame("modelStreamErrorException", {"message": "x"}, kind="exception")
    begun = build_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}})
    kind = "application/vnd.amazon.eventstream"
    script = [Answer(raw=busy, content_type=kind), "Hello.", Answer(raw=begun + busy, content_type=kind), "never"]
    async with provider_server(script) as server:
        async with build_model(
            MODEL,
            credentials=KEYS.get,
            base_urls={"bedrock": server.origin},
            breaker=BreakerPolicy(failures=100, calls=100),
        ) as model:
            async with aclosing(model.stream(HI)) as stream:
                items = [item async for item in stream]
            assert isinstance(items[-1], ReplyDone)
            with pytest.raises(Incomplete) as caught:
                async with aclosing(
                    model.stream(Request(messages=HI.messages, settings=ModelSettings(max_tokens=9)))
                ) as stream:
                    items = [item async for item in stream]
        assert caught.value.context["partial"] == "Hel"
    assert len(server.requests) == 3
