"""Quorate: the whole stack, as a gateway file builds it."""

from __future__ import annotations

from benchmarks.gateway_sides.quorate_model import KEYS, NAME, ask, stream
from quorate.models.gateway import Gateway, GatewayParts
from quorate.models.plan import check_plan
from quorate.ports import Model

PLAN = f"""
[[route]]
name = "best"
models = ["{NAME}", "openai:gpt-5.1"]

[[pool]]
provider = "openai"
keys = ["OPENAI_API_KEY", "OPENAI_API_KEY_2"]

[[limit]]
name = "tenant"
scope = "tenant"
requests = 1_000_000
tokens = 1_000_000_000
per_s = 60

[[budget]]
name = "tenant"
scope = "tenant"
period = "day"
usd = 100_000

[cache]
ttl_s = 60
answers = "all"
"""


class Stack:
    def __init__(self, url: str) -> None:
        keys = KEYS | {"OPENAI_API_KEY_2": "test"}
        self.heard = 0
        parts = GatewayParts(listeners=(self._hear,))
        plan = check_plan(PLAN)
        self._gateway = Gateway(plan, credentials=keys.get, base_urls={"openai": url}, parts=parts)
        self._model: Model | None = None

    def _hear(self, _: object) -> None:
        self.heard += 1

    async def _open(self) -> Model:
        if self._model is None:
            await self._gateway.__aenter__()
            self._model = self._gateway.find_model("best")
        return self._model

    async def ask(self, question: str) -> str:
        return await ask(await self._open(), question)

    async def stream(self, question: str) -> int:
        return await stream(await self._open(), question)

    async def hit(self, question: str) -> None:
        await ask(await self._open(), question)

    async def aclose(self) -> None:
        if self._model is not None:
            await self._gateway.__aexit__(None, None, None)


open_side = Stack
