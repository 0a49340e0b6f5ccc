"""OpenAI's own client."""

from openai import AsyncOpenAI


class OpenAISdk:
    def __init__(self, url: str) -> None:
        self._client = AsyncOpenAI(api_key="test", base_url=url)

    async def ask(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        reply = await self._client.chat.completions.create(model="gpt-5.2", messages=messages)
        return reply.choices[0].message.content

    async def stream(self, question: str) -> int:
        messages = [{"role": "user", "content": question}]
        stream = await self._client.chat.completions.create(model="gpt-5.2", messages=messages, stream=True)
        count = 0
        async for chunk in stream:
            count += bool(chunk.choices and chunk.choices[0].delta.content)
        return count

    async def aclose(self) -> None:
        await self._client.close()


open_side = OpenAISdk
