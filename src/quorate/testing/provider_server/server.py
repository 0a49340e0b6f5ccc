"""How does the test server take a request, and send the answer with the faults its script asks for?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgspec
from aiohttp import web

from quorate.testing.provider_server import (
    anthropic,
    azure,
    bedrock,
    gemini,
    mistral,
    ollama,
    openai,
    responses,
    vertex,
)
from quorate.testing.provider_server.script import Answer, Json, Script, Scripted, Sent, build_answer, spoil
from quorate.testing.provider_server.wire import Wire

MAX_BODY_BYTES = 16 << 20
FORMATS: tuple[tuple[str, Wire], ...] = (
    (bedrock.PATHS, bedrock),
    (anthropic.PATHS, anthropic),
    (gemini.PATHS, gemini),
    (vertex.PATHS, vertex),
    (azure.PATHS, azure),
    (mistral.PATHS, mistral),
    (ollama.PATHS, ollama),
    (r"/responses", responses),
    (r"/(chat/completions|embeddings|models)", openai),
)  # fmt: skip
"""Which format the end of a path stands for; the first one that fits, so the longer ones come first."""


class ProviderServer:
    """A server under way; `url` or `origin`, with what a provider's addresses begin with, is a model's base URL."""

    def __init__(self, script: Script, *, key: str | None = None) -> None:
        self.url = ""
        """The base URL for OpenAI's formats: it ends with `/v1`."""
        self.origin = ""
        """The same without a path, for the others."""
        self.sizes: list[int] = []
        """How many bytes the body of each answer has; what a fault leaves out is counted too."""
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
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent = Sent(path=request.path, headers=headers, body={}, query=request.query_string, method=request.method)
        wire = find_wire(request.path)
        if self._key is not None and not (wire or openai).is_allowed(sent, self._key):
            return _refuse(wire, Answer(status=401, code="invalid_api_key"))
        if wire is None:
            return _refuse(wire, Answer(status=404, code="unknown_url"))
        if request.method != "GET":
            try:
                body = msgspec.json.decode(await request.read(), type=Json)
            except msgspec.DecodeError:
                return _refuse(wire, Answer(status=400, code="invalid_json"))
            sent = msgspec.structs.replace(sent, body=body)
            sent = msgspec.structs.replace(sent, is_stream=wire.is_stream(sent))
        self.requests.append(sent)
        answer = build_answer(self._next(sent))
        try:
            await asyncio.sleep(answer.delay_s)
            if not 200 <= answer.status < 300:
                return _refuse(wire, answer)
            pieces = _build_pieces(sent, wire, answer)
            self.sizes.append(sum(map(len, pieces)))
            kind = wire.stream_type if sent.is_stream else "application/json"
            return await _send(request, answer, pieces, kind=kind)
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
        server.origin = f"http://{place}:{address[1]}"
        server.url = f"{server.origin}/v1"
        yield server
    finally:
        await runner.cleanup()


def find_wire(path: str) -> Wire | None:
    """Find the format that a path belongs to, or `None`."""
    return next((wire for end, wire in FORMATS if re.search(f"(?:{end})$", path)), None)


async def _send(request: web.Request, answer: Answer, pieces: Sequence[bytes], *, kind: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": answer.content_type or kind, **answer.headers})
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


def _build_pieces(sent: Sent, wire: Wire, answer: Answer) -> Sequence[bytes]:
    """Build what is written, with the frames that are to be missing or there twice."""
    if answer.raw is not None:
        pieces = [answer.raw]
    elif not sent.is_stream:
        body = wire.build_body(answer, sent)
        pieces = [body if answer.garble is None else spoil(body)]
    else:
        frames = list(wire.build_frames(answer, sent))
        if answer.fail_at is not None:
            frames[answer.fail_at :] = [wire.build_fault(answer.code)]
        if answer.garble is not None:
            frames[answer.garble] = spoil(frames[answer.garble])
        times = [2 if place == answer.repeat else 0 if place == answer.drop else 1 for place in range(len(frames))]
        pieces = [frame for frame, count in zip(frames, times, strict=True) for _ in range(count)]
    if answer.drip is None:
        return pieces
    whole = b"".join(pieces)
    return [whole[start : start + answer.drip] for start in range(0, len(whole), answer.drip)]


def _play(answers: Iterator[Scripted]) -> Callable[[Sent], Scripted]:
    def take(_: Sent) -> Scripted:
        return next(answers, Answer(status=500, code="script_is_at_its_end"))

    return take


def _refuse(wire: Wire | None, answer: Answer) -> web.Response:
    body = (wire or openai).build_error(answer.status, answer.code) if answer.raw is None else answer.raw
    return web.Response(status=answer.status, body=body, headers={"Content-Type": "application/json", **answer.headers})
