"""aiohttp alone: a session, JSON, and lines of a stream."""

import json

import aiohttp


class Bare:
    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512))

    async def ask(self, question: str) -> str:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}]}
        async with self._session.post(self._url, json=body) as response:
            return json.loads(await response.read())["choices"][0]["message"]["content"]

    async def stream(self, question: str) -> int:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}], "stream": True}
        count = 0
        async with self._session.post(self._url, json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    count += bool(choices and choices[0]["delta"].get("content"))
        return count

    async def aclose(self) -> None:
        await self._session.close()


open_side = Bare
