"""Which pieces of what is said belong together: words, reasoning, calls, one after the other?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Literal

import msgspec
from msgspec import Struct

from quorate.messages import (
    Message,
    Reply,
    ReplyDone,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
)
from quorate.server.parts import seal
from quorate.server.speech import Said

Kind = Literal["text", "thinking", "call"]
_decode = msgspec.json.decode


class Block(Struct):
    """A part of an answer, as far as it is there."""

    place: int
    """Which part of the answer it is."""
    kind: Kind
    pieces: list[str] = []
    call_id: str = ""
    name: str = ""
    """Of the tool that is called."""
    seal: str = ""
    """What goes with reasoning, so that it can be given back."""
    redacted: bool = False

    @property
    def text(self) -> str:
        """All its words so far, or a call's arguments."""
        return "".join(self.pieces)


class Begun(Struct, frozen=True, gc=False):
    """A part begins."""

    block: Block


class Grown(Struct, frozen=True, gc=False):
    """A part has some more words."""

    block: Block
    text: str


class Ended(Struct, frozen=True, gc=False):
    """A part is whole."""

    block: Block


class Whole(Struct, frozen=True):
    """The answer is whole."""

    reply: Reply
    blocks: tuple[Block, ...]


Step = Begun | Grown | Ended | Whole


async def read_blocks(said: Said) -> AsyncGenerator[Step]:
    """Yield how an answer grows part by part; `Whole` is last.

    One part of words or calls is open at a time. Reasoning stays open to the end, as its seal is known then only.
    """
    reader = _Reader()
    async with aclosing(said) as items:
        async for item in items:
            if isinstance(item, TextDelta) and reader.words is not None:  # most of what is said
                reader.words.pieces.append(item.text)
                yield Grown(reader.words, item.text)
            elif isinstance(item, ReplyDone):
                for step in reader.finish(item.reply):
                    yield step
            else:
                for step in reader.take(item):
                    yield step


class _Reader:
    """Puts pieces together."""

    def __init__(self) -> None:
        self.words: Block | None = None
        """The open part of words."""
        self._blocks: list[Block] = []
        self._open: Block | None = None
        self._thoughts: list[Block] = []
        self._calls: dict[str, Block] = {}
        self._waiting: set[str] = set()
        """Calls that began while another one was not done: they are told whole, at the end."""

    def take(self, item: TextDelta | ThinkingDelta | ToolCallDelta) -> Iterator[Step]:
        """Take a piece."""
        if isinstance(item, ToolCallDelta):
            yield from self._take_call(item)
            return
        kind: Kind = "text" if isinstance(item, TextDelta) else "thinking"
        block = self._open
        if block is None or block.kind != kind:
            yield from self._close()
            block = self._add(Block(place=len(self._blocks), kind=kind))
            yield Begun(block)
        block.pieces.append(item.text)
        yield Grown(block, item.text)

    def _take_call(self, item: ToolCallDelta) -> Iterator[Step]:
        if item.call_id in self._waiting:
            return
        block = self._calls.get(item.call_id)
        if block is None:
            current = self._open
            if current is not None and current.kind == "call" and not _is_json(current.text):
                self._waiting.add(item.call_id)
                return
            yield from self._close()
            block = Block(place=len(self._blocks), kind="call", call_id=item.call_id, name=item.name)
            self._calls[item.call_id] = self._add(block)
            yield Begun(block)
        if item.arguments and block is self._open:
            block.pieces.append(item.arguments)
            yield Grown(block, item.arguments)

    def finish(self, reply: Reply) -> Iterator[Step]:
        """Take the end: what is there and was not told is told now."""
        yield from self._close()
        given = list_blocks(reply.message)
        thoughts = [block for block in given if block.kind == "thinking"]
        shown = [block for block in thoughts if not block.redacted]
        if len(shown) == len(self._thoughts):
            for block, known in zip(self._thoughts, shown, strict=True):
                block.seal = known.seal
        for block in self._thoughts:
            yield Ended(block)
        has_words = any(block.kind == "text" for block in self._blocks)
        for block in given:
            is_told = (
                block.call_id in self._calls
                if block.kind == "call"
                else has_words
                if block.kind == "text"
                else bool(self._thoughts) and not block.redacted
            )
            if not is_told:
                block.place = len(self._blocks)
                self._blocks.append(block)
                yield Begun(block)
                if block.text:
                    yield Grown(block, block.text)
                yield Ended(block)
        yield Whole(reply, tuple(self._blocks))

    def _add(self, block: Block) -> Block:
        self._blocks.append(block)
        self._open = block
        self.words = block if block.kind == "text" else None
        if block.kind == "thinking":
            self._thoughts.append(block)
        return block

    def _close(self) -> Iterator[Step]:
        block, self._open, self.words = self._open, None, None
        if block is not None and block.kind != "thinking":
            if block.kind == "call" and not block.pieces:
                block.pieces.append("{}")  # a tool without arguments
            yield Ended(block)


def list_blocks(message: Message) -> list[Block]:
    """List the parts of an answer that is there as a whole."""
    return [_build_block(place, part) for place, part in enumerate(_find_parts(message))]


def _find_parts(message: Message) -> Sequence[Text | Thinking | ToolCall]:
    return [part for part in message.parts if isinstance(part, (Text, Thinking, ToolCall))]


def _build_block(place: int, part: Text | Thinking | ToolCall) -> Block:
    if isinstance(part, ToolCall):
        return Block(place=place, kind="call", pieces=[part.arguments], call_id=part.id, name=part.name)
    if isinstance(part, Text):
        return Block(place=place, kind="text", pieces=[part.text])
    return Block(place=place, kind="thinking", pieces=[part.text], seal=seal(part), redacted=part.redacted)


def _is_json(text: str) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
