"""How does a model write to other agents, and ask them?

```python
async with open_mailbox("lead", bus=bus, values=store.values) as mailbox:
    lead = Agent("lead", tools=mail_tools(mailbox), model="openai:gpt-5.2")
```
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from msgspec import Meta, Struct

from quorate.errors import DeadlineExceeded, InvalidInput, RateLimited, TooLarge, ToolError, UpstreamError
from quorate.orchestration.letters import get_text
from quorate.orchestration.mailbox import Mailbox
from quorate.ports import RunContext
from quorate.tools.define import AnyTool, tool

MAIL_TAG = "mail"
"""Marks the tools about messages."""
MAX_TEXT = 100_000
"""The most characters of a message that a model writes."""
GRACE_S = 5.0
"""How much longer a call may take than the answer that it waits for."""

Name = Annotated[str, Meta(min_length=1, max_length=63, description="An agent's name; `list_agents` tells them.")]
Words = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, description="What it is told, with all it must know.")]


class Known(Struct, frozen=True):
    """An agent that can be written to."""

    agent: str
    is_awake: bool
    """Whether somebody reads its messages at the moment; otherwise they wait for it."""


class Sent(Struct, frozen=True):
    """A message that is in somebody's inbox."""

    to: str
    id: str


class Answer(Struct, frozen=True):
    """What an agent answered."""

    agent: str
    text: str
    id: str
    """The question's id."""


def mail_tools(mailbox: Mailbox, *, timeout_s: float = 60.0) -> list[AnyTool]:
    """Build the tools by which an agent's model writes to others: `list_agents`, `send_message`, `ask_agent` and
    `broadcast_message`.

    What a run writes goes in one conversation of its own, so that it is read in order. A call that is made again, after
    a crash, is the same message, and is dealt with once.

    Args:
        mailbox: In whose name, and over what.
        timeout_s: How long an answer is waited for.
    """

    @tool(effect="idempotent", tags=(MAIL_TAG,))
    async def list_agents() -> list[Known]:
        """List the agents that can be written to."""
        now = mailbox.clock.now()
        return [
            Known(listener.agent, listener.is_awake(now))
            for listener in await mailbox.directory.list_listeners()
            if listener.agent != mailbox.agent
        ]

    @tool(effect="keyed", tags=(MAIL_TAG,))
    async def send_message(context: RunContext[object], to: Name, text: Words) -> Sent:
        """Write to another agent without waiting for an answer; it reads it when it can."""
        with _told():
            sent = await mailbox.send(to, text, conversation=context.run, id=context.idempotency_key)
        return Sent(to, sent.id)

    @tool(effect="keyed", timeout_s=timeout_s + GRACE_S, tags=(MAIL_TAG,))
    async def ask_agent(context: RunContext[object], to: Name, question: Words) -> Answer:
        """Ask another agent, and wait for its answer."""
        left = min(timeout_s, context.deadline - context.clock.monotonic())
        if left <= 0:
            raise ToolError("There is no time left to wait for an answer.")
        with _told():
            reply = await mailbox.request(
                to, question, timeout_s=left, conversation=context.run, id=context.idempotency_key
            )
        return Answer(to, get_text(reply), reply.correlation)

    @tool(effect="keyed", tags=(MAIL_TAG,))
    async def broadcast_message(context: RunContext[object], text: Words) -> list[Sent]:
        """Write to every other agent."""
        with _told():
            sent = await mailbox.broadcast(text, conversation=context.run, id=context.idempotency_key)
        return [Sent(message.recipient, message.id) for message in sent]

    return [list_agents, send_message, ask_agent, broadcast_message]


@contextmanager
def _told() -> Generator[None]:
    """Tell the model what it can mend, or do without."""
    try:
        yield
    except (DeadlineExceeded, InvalidInput, RateLimited, TooLarge, UpstreamError) as error:
        raise ToolError(error.message) from error
