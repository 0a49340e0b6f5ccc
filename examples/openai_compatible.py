"""The same agent on a language model: any server that speaks OpenAI's chat completions.

Here the server is the one that Quorate ships for tests, on loopback. With yours, set `OPENAI_API_KEY` and, where it is
not OpenAI's own, `OPENAI_BASE_URL`, and write `model="openai:NAME"`: nothing else changes.

Prints:

    Two disk|s, and s|db is fa|iling.
    2 requests, both streamed; the model was offered: read_disks
    38 tokens
"""

import asyncio

from quorate import Agent, TextDelta, ToolCall, tool
from quorate.events import RunCompleted
from quorate.models.gateway import build_model
from quorate.testing.provider_server import provider_server


@tool(effect="idempotent")
async def read_disks() -> dict[str, str]:
    """Read the health of every disk."""
    return {"sda": "PASSED", "sdb": "FAILING"}


async def main() -> None:
    script = [ToolCall(id="call-1", name="read_disks"), "Two disks, and sdb is failing."]
    async with provider_server(script, key="a-key") as server:
        credentials = {"OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": server.url}
        model = build_model("openai:gpt-5.2", credentials=credentials.get)
        agent = Agent("disks", instructions="You look after disks.", model=model, tools=[read_disks])
        words: list[str] = []
        async for item in agent.run_stream("How are my disks?"):
            if isinstance(item, TextDelta):
                words.append(item.text)
            elif isinstance(item, RunCompleted):
                tokens = item.usage.total_tokens
        await model.aclose()
    print("|".join(words))
    streamed = "both streamed" if all(sent.is_stream for sent in server.requests) else "not streamed"
    offered = [each["function"]["name"] for each in server.requests[0].body["tools"]]  # type: ignore[index]
    print(f"{len(server.requests)} requests, {streamed}; the model was offered:", *offered)
    print(tokens, "tokens")


asyncio.run(main())
