"""LiteLLM's SDK, called as its users call it."""

import litellm


class LiteLLM:
    def __init__(self, url: str) -> None:
        self._given = {"model": "openai/gpt-5.2", "api_base": url, "api_key": "test"}

    async def ask(self, question: str) -> str:
        reply = await litellm.acompletion(**self._given, messages=[{"role": "user", "content": question}])
        return reply.choices[0].message.content

    async def stream(self, question: str) -> int:
        messages = [{"role": "user", "content": question}]
        count = 0
        async for chunk in await litellm.acompletion(**self._given, messages=messages, stream=True):
            count += bool(chunk.choices and chunk.choices[0].delta.content)
        return count

    async def aclose(self) -> None:
        pass


open_side = LiteLLM
