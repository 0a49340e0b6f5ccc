"""Quorate: the model that a name stands for, with retries and a breaker."""

from quorate.messages import TextDelta, build_user_message
from quorate.models.gateway import build_model
from quorate.ports import Model
from quorate.specs import Request

NAME = "openai:gpt-5.2"
KEYS = {"OPENAI_API_KEY": "test"}


async def ask(model: Model, question: str) -> str:
    return (await model.complete(Request(messages=(build_user_message(question),)))).message.text


async def stream(model: Model, question: str) -> int:
    items = model.stream(Request(messages=(build_user_message(question),)))
    return sum([isinstance(item, TextDelta) async for item in items])


class OneModel:
    def __init__(self, url: str) -> None:
        self._model = build_model(NAME, credentials=KEYS.get, base_urls={"openai": url})

    async def ask(self, question: str) -> str:
        return await ask(self._model, question)

    async def stream(self, question: str) -> int:
        return await stream(self._model, question)

    async def aclose(self) -> None:
        await self._model.aclose()


open_side = OneModel
