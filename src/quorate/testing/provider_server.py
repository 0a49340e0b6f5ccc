"""How does an agent behave against a real provider? A server on loopback that speaks chat completions, by script.

```python
async with provider_server(["Hello.", Answer(status=429, headers={"Retry-After": "1"}), "Hello again."]) as server:
    model = build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": "test"}.get, base_urls={"openai": server.url})
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, cast

import msgspec
from aiohttp import web
from msgspec import Struct

from quorate.messages import ToolCall, Usage

Json = dict[str, object]
MAX_BODY_BYTES = 16 << 20
_encode = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True, kw_only=True):
    """One answer of the script, whole, slow, cut or refused."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    refusal: str = ""
    finish: str | None = ""
    """The reason given for stopping; worked out when empty, left out when `None`."""
    usage: Usage | None = Usage(input_tokens=12, output_tokens=7)
    status: int = 200
    """Anything but a success is answered as an error."""
    code: str = "server_error"
    """The error's word, with a `status` that is no success."""
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    """Before anything is sent."""
    pause_s: float = 0.0
    """Before each piece of a stream but the first."""
    piece: int = 8
    """Characters in a piece of a stream."""
    cut_at: int | None = None
    """How many bytes of the body are sent before it ends."""
    cut: Literal["end", "abort"] = "end"
    """Whether a cut body ends as if it were whole, or its connection breaks."""
    raw: bytes | None = None
    """Sent as the body, instead of everything above."""


class Sent(Struct, frozen=True, kw_only=True):
    """A request the server received."""

    path: str
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: Json

    @property
    def is_stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.body.get("stream") is True


Scripted = str | ToolCall | Answer | Sequence[ToolCall]
Script = Sequence[Scripted] | Callable[[Sent], Scripted]


class ProviderServer:
    """A server under way; `url` is the base URL to give a model."""

    def __init__(self, script: Script, *, key: str | None = None) -> None:
        self.url = ""
        self.requests: list[Sent] = []
        """Every request that was understood, in order."""
        self.dropped = 0
        """Answers whose client left before their end."""
        self._key = key
        self._changed = asyncio.Event()
        self._next: Callable[[Sent], Scripted] = script if callable(script) else _play(iter(script))

    async def wait_dropped(self, count: int = 1) -> None:
        """Wait until that many clients have left before their answer's end."""
        while self.dropped < count:
            self._changed.clear()
            await self._changed.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as the script says."""
        if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
            return _refuse(401, "invalid_api_key", {})
        if not request.path.endswith("/chat/completions"):
            return _refuse(404, "unknown_url", {})
        try:
            body = msgspec.json.decode(await request.read(), type=Json)
        except msgspec.DecodeError:
            return _refuse(400, "invalid_json", {})
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent = Sent(path=request.path, headers=headers, body=body)
        self.requests.append(sent)
        answer = build_answer(self._next(sent))
        try:
            await asyncio.sleep(answer.delay_s)
            return await _send(request, sent, answer)
        except (asyncio.CancelledError, ConnectionResetError):
            self.dropped += 1
            self._changed.set()
            raise


@asynccontextmanager
async def provider_server(
    script: Script = (), *, key: str | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[ProviderServer]:
    """Open a server on loopback that gives these answers, one for each request.

    Args:
        script: The answers in order, or a function that gives one for each request; the end of it is an error 500.
        key: The only key that is accepted; any is when there is none.
        host: The loopback address to listen on.
    """
    server = ProviderServer(script, key=key)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        address = cast("tuple[str, int]", runner.addresses[0])
        place = f"[{host}]" if ":" in host else host
        server.url = f"http://{place}:{address[1]}/v1"
        yield server
    finally:
        await runner.cleanup()


def build_answer(scripted: Scripted) -> Answer:
    """Build an answer from its short forms."""
    if isinstance(scripted, Answer):
        return scripted
    if isinstance(scripted, str):
        return Answer(text=scripted)
    return Answer(calls=(scripted,) if isinstance(scripted, ToolCall) else tuple(scripted))


def build_body(answer: Answer, *, model: str = "test-model") -> bytes:
    """Build the body of an answer in one piece."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal or None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [_build_call(call) for call in answer.calls]
    choice = {"index": 0, "message": message, "finish_reason": _choose_finish(answer)}
    body: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    if answer.usage is not None:
        body["usage"] = _build_usage(answer.usage)
    return _encode(body)


def build_events(answer: Answer, *, model: str = "test-model", with_usage: bool = True) -> list[bytes]:
    """Build the events of a streamed answer, each with the empty line that ends it."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for name, text in (("reasoning_content", answer.thinking), ("content", answer.text), ("refusal", answer.refusal)):
        deltas.extend({name: piece} for piece in _split(text, answer.piece))
    for place, call in enumerate(answer.calls):
        first = _build_call(call)
        cast("Json", first["function"])["arguments"] = ""
        deltas.append({"tool_calls": [{"index": place, **first}]})
        for piece in _split(call.arguments, answer.piece):
            deltas.append({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    choices: list[list[Json]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    finish = _choose_finish(answer)
    if finish is not None:
        choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    common: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model}
    chunks: list[Json] = [{**common, "choices": one} for one in choices]
    if with_usage and answer.usage is not None:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**common, "choices": [], "usage": _build_usage(answer.usage)})
    return [*(b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


async def _send(request: web.Request, sent: Sent, answer: Answer) -> web.StreamResponse:
    if not 200 <= answer.status < 300:
        return _refuse(answer.status, answer.code, answer.headers, answer.raw)
    model = str(sent.body.get("model", ""))
    if sent.is_stream:
        options = sent.body.get("stream_options")
        with_usage = isinstance(options, dict) and cast("Json", options).get("include_usage") is True
        pieces = build_events(answer, model=model, with_usage=with_usage) if answer.raw is None else [answer.raw]
        kind = "text/event-stream"
    else:
        pieces, kind = [build_body(answer, model=model) if answer.raw is None else answer.raw], "application/json"
    response = web.StreamResponse(headers={"Content-Type": kind, **answer.headers})
    await response.prepare(request)
    left = answer.cut_at
    for place, piece in enumerate(pieces):
        if place and answer.pause_s:
            await asyncio.sleep(answer.pause_s)
        await response.write(piece if left is None else piece[:left])
        if left is not None:
            left -= len(piece)
            if left <= 0:
                break
    if answer.cut_at is not None and answer.cut == "abort" and request.transport is not None:
        request.transport.close()
    else:
        await response.write_eof()
    return response


def _play(answers: Iterator[Scripted]) -> Callable[[Sent], Scripted]:
    def take(_: Sent) -> Scripted:
        return next(answers, Answer(status=500, code="script_is_at_its_end"))

    return take


def _refuse(status: int, code: str, headers: Mapping[str, str], raw: bytes | None = None) -> web.Response:
    error = {"message": f"The test server refuses: {code}.", "type": "invalid_request_error", "code": code}
    body = _encode({"error": {**error, "param": None}}) if raw is None else raw
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **headers})


def _build_call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _build_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _choose_finish(answer: Answer) -> str | None:
    if answer.finish is None or answer.finish:
        return answer.finish
    return "tool_calls" if answer.calls else "stop"


def _split(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))
