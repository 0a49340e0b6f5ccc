"""A socket, and HTTP by hand: what cannot be beaten."""

import asyncio
import json


class Raw:
    def __init__(self, url: str) -> None:
        host, _, path = url.removeprefix("http://").partition("/")
        self._host, _, port = host.partition(":")
        self._port = int(port)
        self._path = f"/{path}/chat/completions"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, question: str) -> str:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        body = json.dumps({"model": "gpt-5.2", "messages": [{"role": "user", "content": question}]}).encode()
        head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        top = await reader.readuntil(b"\r\n\r\n")
        size = int(top.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(size))
        self._idle.append((reader, writer))
        return answer["choices"][0]["message"]["content"]

    async def aclose(self) -> None:
        for _, writer in self._idle:
            writer.close()


open_side = Raw
