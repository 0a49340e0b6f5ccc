"""What is called when model calls are measured? A server on loopback that costs little and answers at once.

Used as `python -m benchmarks.gateway_server [PACE_S]`; prints its port. A path that begins with `/20ms/` is answered
after that long. A stream has `PIECES` pieces of text, each written by itself, and `PACE_S` after the one before.
"""

from __future__ import annotations

import asyncio
import json
import sys

PIECES = 200
PACE_S = float(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 0.0
WORDS = "The service is slow because its connection pool is used up. " * 4
Json = dict[str, object]


def _chat(delta: str | None, finish: str | None) -> Json:
    body = {"role": "assistant", "content": delta}
    return {"index": 0, "message" if finish and delta else "delta": body if delta else {}, "finish_reason": finish}


def _build_chat() -> bytes:
    usage = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
    whole: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5.2", "usage": usage}
    return json.dumps({**whole, "choices": [_chat(WORDS, "stop")]}).encode()


def _build_chat_frames() -> list[bytes]:
    head: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.2"}
    usage = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
    bodies = [{**head, "choices": [_chat(f"word{number} ", None)]} for number in range(PIECES)]
    bodies += [{**head, "choices": [_chat(None, "stop")]}, {**head, "choices": [], "usage": usage}]
    return [*(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies), b"data: [DONE]\n\n"]


def _build_message() -> bytes:
    content = [{"type": "text", "text": WORDS}]
    usage = {"input_tokens": 40, "output_tokens": 60}
    head: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "usage": usage}
    return json.dumps({**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None}).encode()


CHAT, CHAT_FRAMES, MESSAGE = _build_chat(), _build_chat_frames(), _build_message()


class Connection(asyncio.Protocol):
    """One connection, whose requests are answered one after another."""

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            head, _, rest = self._held.partition(b"\r\n\r\n")
            lower = head.lower()
            if b"expect: 100-continue" in lower and not rest:
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = 0
            for line in lower.split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    size = int(line[15:])
            if len(rest) < size:
                return
            body, self._held = rest[:size], rest[size:]
            self._answer(head.split(b" ", 2)[1], body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _answer(self, path: bytes, body: bytes) -> None:
        data = MESSAGE if path.endswith(b"/messages") else CHAT
        if b'"stream":true' in body.replace(b" ", b""):
            task = asyncio.get_running_loop().create_task(self._stream())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
        if path.startswith(b"/20ms/"):
            asyncio.get_running_loop().call_later(0.02, self._write, head + data)
        else:
            self._write(head + data)

    async def _stream(self) -> None:
        self._write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for frame in CHAT_FRAMES:
            self._write(b"%x\r\n%b\r\n" % (len(frame), frame))
            await asyncio.sleep(PACE_S)
        self._write(b"0\r\n\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
