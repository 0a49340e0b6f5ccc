"""How does a store behave when its connection is cut? A proxy that passes bytes on until it is told not to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from quorate.testing.postgres_server import HOST


class Proxy:
    """Passes bytes between clients and a server."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.hold_answers = False
        """Whether what the server says is kept back, and the client's connection cut once it has said something."""
        self.hold_questions = False
        """Whether what the client says is kept back, and its connection cut at once."""
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        ends = (writer, server_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, server_writer, ends, is_answer=False))
            group.create_task(self._pass(server_reader, writer, ends, is_answer=True))

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        is_answer: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.hold_answers if is_answer else self.hold_questions:
                    self.cuts += 1
                    break
                writer.write(data)
                await writer.drain()
        for end in ends:
            end.transport.abort()


@asynccontextmanager
async def open_proxy(port: int) -> AsyncGenerator[Proxy]:
    """Open a proxy in front of a server's port."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
