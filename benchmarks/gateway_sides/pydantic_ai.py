"""pydantic-ai's direct requests: its model layer without an agent."""

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Direct:
    def __init__(self, url: str) -> None:
        self._model = OpenAIChatModel("gpt-5.2", provider=OpenAIProvider(base_url=url, api_key="test"))

    async def ask(self, question: str) -> str:
        reply = await model_request(self._model, [ModelRequest.user_text_prompt(question)])
        return "".join(part.content for part in reply.parts if isinstance(part, TextPart))

    async def stream(self, question: str) -> int:
        count = 0
        async with model_request_stream(self._model, [ModelRequest.user_text_prompt(question)]) as stream:
            async for event in stream:
                begins = isinstance(event, PartStartEvent) and isinstance(event.part, TextPart) and event.part.content
                goes_on = isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta)
                count += bool(begins or goes_on)
        return count

    async def aclose(self) -> None:
        pass


open_side = Direct
