"""Are the pieces of an answer put together in one order, whatever the order in which they come?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from quorate.messages import (
    AnyPart,
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
from quorate.server.blocks import Begun, Ended, Grown, Step, Whole, list_blocks, read_blocks
from quorate.server.parts import unseal
from quorate.server.speech import Said, replay_reply


async def read(items: Sequence[StreamItem], *parts: AnyPart) -> list[Step]:
    async def say() -> AsyncIterator[StreamItem]:
        for item in items:
            yield item
        yield ReplyDone(Reply(message=Message(role="assistant", parts=parts)))

    return [step async for step in read_blocks(cast("Said", say()))]


def write(steps: Sequence[Step]) -> list[str]:
    """What is told, in short."""
    told: list[str] = []
    for step in steps:
        if isinstance(step, Begun):
            told.append(f"+{step.block.place} {step.block.kind} {step.block.name}".strip())
        elif isinstance(step, Grown):
            told.append(f" {step.block.place} {step.text}")
        elif isinstance(step, Ended):
            told.append(f"-{step.block.place} {step.block.text}")
    return told


async def test_parts_come_one_after_the_other() -> None:
    items = [
        ThinkingDelta("Hm"), ThinkingDelta("m."), TextDelta("I "), TextDelta("look."), ToolCallDelta("a", "see", ""),
        ToolCallDelta("a", "see", '{"x":'), ToolCallDelta("a", "see", "1}"), ToolCallDelta("b", "hear", "{}"),
    ]  # fmt: skip
    thought = Thinking(text="Hmm.", signature="s", provider="p")
    calls = (ToolCall(id="a", name="see", arguments='{"x":1}'), ToolCall(id="b", name="hear"))
    steps = await read(items, thought, Text(text="I look."), *calls)
    assert write(steps) == [
        "+0 thinking", " 0 Hm", " 0 m.", "+1 text", " 1 I ", " 1 look.", "-1 I look.", "+2 call see", ' 2 {"x":', " 2 1}",
        '-2 {"x":1}', "+3 call hear", " 3 {}", "-3 {}", "-0 Hmm.",
    ]  # fmt: skip
    assert isinstance(steps[-1], Whole)
    assert [block.place for block in steps[-1].blocks] == [0, 1, 2, 3]
    assert unseal(steps[-1].blocks[0].seal, text="Hmm.") == thought


async def test_calls_that_come_mixed_are_told_whole() -> None:
    items = [
        ToolCallDelta("a", "see", '{"x":'), ToolCallDelta("b", "hear", '{"y":'), ToolCallDelta("a", "see", "1}"),
        ToolCallDelta("b", "hear", "2}"),
    ]  # fmt: skip
    calls = (ToolCall(id="a", name="see", arguments='{"x":1}'), ToolCall(id="b", name="hear", arguments='{"y":2}'))
    assert write(await read(items, *calls)) == [
        "+0 call see", ' 0 {"x":', " 0 1}", '-0 {"x":1}', "+1 call hear", ' 1 {"y":2}', '-1 {"y":2}',
    ]  # fmt: skip


async def test_what_was_not_told_is_told_at_the_end() -> None:
    """A model that streams nothing, a call without arguments, and reasoning that nobody may read."""
    hidden = Thinking(text="", signature="s", provider="p", redacted=True)
    told = write(await read([], hidden, Text(text="Yes."), ToolCall(id="a", name="see", arguments="{}")))
    assert told == ["+0 thinking", "-0 ", "+1 text", " 1 Yes.", "-1 Yes.", "+2 call see", " 2 {}", "-2 {}"]
    told = write(await read([ToolCallDelta("a", "see", "")], ToolCall(id="a", name="see", arguments="{}")))
    assert told == ["+0 call see", "-0 {}"]


async def test_reasoning_that_does_not_match_is_not_sealed() -> None:
    """A seal on other words would be refused for ever."""
    thoughts = (Thinking(text="A", signature="s", provider="p"), Thinking(text="B", signature="t", provider="p"))
    steps = await read([ThinkingDelta("AB"), TextDelta("x")], *thoughts, Text(text="x"))
    assert isinstance(steps[-1], Whole)
    assert [block.seal for block in steps[-1].blocks] == ["", ""]


async def test_a_reply_that_is_replayed_has_the_same_parts() -> None:
    message = Message(
        role="assistant",
        parts=(Thinking(text="Hm."), Text(text="I look."), ToolCall(id="a", name="see", arguments='{"x":1}')),
    )
    steps = [step async for step in read_blocks(replay_reply(Reply(message=message)))]
    assert isinstance(steps[-1], Whole)
    assert list(steps[-1].blocks) == list_blocks(message)
