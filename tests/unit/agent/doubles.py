"""Models and tools that the tests of the agent share."""

import asyncio

from quorate import tool
from quorate.messages import Message, Reply, Text, ToolCall, Usage


class Effects:
    """A journal of what tools really did."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def tools(self) -> list[object]:
        @tool(effect="idempotent")
        async def look(name: str) -> str:
            """Look at something."""
            self.done.append(f"look {name}")
            return f"{name} is fine"

        @tool(effect="unsafe")
        async def pay(amount: int) -> str:
            """Pay."""
            self.done.append(f"pay {amount}")
            return f"paid {amount}"

        @tool(effect="idempotent", timeout_s=30)
        async def hang() -> str:
            """Never answer."""
            self.done.append("hang")
            try:
                await asyncio.Event().wait()
            finally:
                self.done.append("freed")
            return ""

        return [look, pay, hang]


def reply(
    text: str = "", *calls: ToolCall, tokens: int = 0, cost_usd: float | None = 0.0, stop: str | None = None
) -> Reply:
    """Build a whole reply."""
    parts = (*((Text(text=text),) if text else ()), *calls)
    return Reply(
        message=Message(role="assistant", parts=parts),
        usage=Usage(input_tokens=tokens, requests=1),
        cost_usd=cost_usd,
        stop=stop or ("tool_calls" if calls else "end"),  # pyright: ignore[reportArgumentType]
    )
