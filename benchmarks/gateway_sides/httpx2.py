"""httpx2 alone: what vendors' own clients are built on."""

import json

import httpx2


class Httpx:
    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=512), timeout=60)

    async def ask(self, question: str) -> str:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}]}
        response = await self._client.post(self._url, json=body)
        return response.json()["choices"][0]["message"]["content"]

    async def stream(self, question: str) -> int:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}], "stream": True}
        count = 0
        async with self._client.stream("POST", self._url, json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:])["choices"]
                    count += bool(choices and choices[0]["delta"].get("content"))
        return count

    async def aclose(self) -> None:
        await self._client.aclose()


open_side = Httpx
