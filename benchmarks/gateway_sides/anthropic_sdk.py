"""Anthropic's own client; its stream is another format, so only whole answers are measured."""

from anthropic import AsyncAnthropic


class AnthropicSdk:
    def __init__(self, url: str) -> None:
        self._client = AsyncAnthropic(api_key="test", base_url=url.removesuffix("/v1"))

    async def ask(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        reply = await self._client.messages.create(model="claude-sonnet-4-5", messages=messages, max_tokens=500)
        return reply.content[0].text

    async def aclose(self) -> None:
        await self._client.close()


open_side = AnthropicSdk
