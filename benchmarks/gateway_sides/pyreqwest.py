"""pyreqwest alone: hyper in Rust behind Python."""

import json

from pyreqwest.client import ClientBuilder


class Reqwest:
    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._client = ClientBuilder().build()

    async def ask(self, question: str) -> str:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}]}
        response = await self._client.post(self._url).body_json(body).build().send()
        return json.loads(bytes(await response.bytes()))["choices"][0]["message"]["content"]

    async def stream(self, question: str) -> int:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": question}], "stream": True}
        count, held = 0, b""
        # Without the limit, the first words wait for 64 KB.
        request = self._client.post(self._url).body_json(body).build_streamed()
        async with request as response:
            while chunk := await response.body_reader.read_chunk():
                *lines, held = (held + bytes(chunk)).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: {"):
                        choices = json.loads(line[6:])["choices"]
                        count += bool(choices and choices[0]["delta"].get("content"))
        return count

    async def aclose(self) -> None:
        await self._client.close()


open_side = Reqwest
