"""What does a model or an agent say, as one stream of pieces, whichever of the two is asked?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from quorate.errors import Conflict, Incomplete, Unauthenticated, UpstreamError
from quorate.events import ModelReplied, RunCompleted, RunIncomplete, RunWaiting
from quorate.messages import (
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
)
from quorate.ports import Model
from quorate.runtime import RunHandle
from quorate.specs import Request

UNKNOWN_THERE = (
    "The provider of this model lets us in with no credential that is set here: its operator has to set one."
)
Said = AsyncGenerator[StreamItem]


async def ask_model(model: Model, request: Request) -> Reply:
    """Ask a model for a whole reply.

    Raises:
        UpstreamError: Its provider does not know us; whoever asks is known, and cannot mend that.
        QuorateError: What the port says.
    """
    try:
        return await model.complete(request)
    except Unauthenticated as error:
        raise UpstreamError(UNKNOWN_THERE) from error


async def hear_model(model: Model, request: Request) -> Said:
    """Yield what a model says, `ReplyDone` last.

    Raises:
        Incomplete: The stream ended before its end.
        UpstreamError: Its provider does not know us.
        QuorateError: What the port says.
    """
    streamed = cast("Said", model.stream(request))  # all of ours are generators
    done = False
    try:
        async with aclosing(streamed) as items:
            async for item in items:
                done = type(item) is ReplyDone
                yield item
    except Unauthenticated as error:
        raise UpstreamError(UNKNOWN_THERE) from error
    if not done:
        raise Incomplete("The model's stream was cut before its end.", limit="stream")


async def hear_run(handle: RunHandle) -> Said:
    """Yield what an agent says while it says it, and its answer where it said nothing before; `ReplyDone` last.

    Raises:
        Conflict: The run waits for somebody, or was stopped.
        QuorateError: The run failed.
    """
    said = ""
    async with aclosing(handle.stream()) as items:
        async for item in items:
            if isinstance(item, TextDelta) and not item.path:
                said += item.text
                yield item
            elif isinstance(item, ModelReplied) and item.reply.stop == "tool_calls":
                said = ""
    reply = await await_reply(handle)
    if not said.endswith(reply.message.text):
        yield TextDelta(reply.message.text)
    yield ReplyDone(reply)


async def await_reply(handle: RunHandle) -> Reply:
    """Wait for an agent's answer.

    Raises:
        Conflict: The run waits for somebody, or was stopped.
        QuorateError: The run failed.
    """
    result = await handle.wait()
    last = result.events[-1]
    if isinstance(last, RunWaiting):
        raise Conflict(
            f"Run {handle.id!r} waits ({last.reason}): answer it, and read its result at `/v1/runs/{handle.id}`.",
            run=handle.id,
        )
    if isinstance(last, RunIncomplete):
        return build_answer(last.partial or last.message, last, stop="length")
    if isinstance(last, RunCompleted):
        return build_answer(last.output, last, stop="end")
    raise Conflict(f"Run {handle.id!r} was stopped.", run=handle.id)


def build_answer(text: str, last: RunCompleted | RunIncomplete, *, stop: str) -> Reply:
    """Build what an agent answered as a reply, with what its whole run used."""
    message = Message(role="assistant", parts=(Text(text),) if text else ())
    return Reply(
        message=message,
        usage=last.usage,
        stop="length" if stop == "length" else "end",
        cost_usd=last.cost_usd,
        model="",
    )


async def replay_reply(reply: Reply) -> Said:
    """Yield a reply that is there already as if it were said now."""
    for part in reply.message.parts:
        if isinstance(part, Text):
            yield TextDelta(part.text)
        elif isinstance(part, Thinking) and not part.redacted:
            yield ThinkingDelta(part.text)
        elif isinstance(part, ToolCall):
            yield ToolCallDelta(part.id, part.name, part.arguments)
    yield ReplyDone(reply)
