"""What of a model's answer may be given out, as a whole and piece by piece?

Both give the same text. A piece is given out as soon as nothing that may follow could change it; where a strict guard
must see everything first, nothing is given out before the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import structs

from quorate.messages import (
    AnyPart,
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
from quorate.models.guards.chosen import SLICE, Chosen, Record, check_whole, describe
from quorate.models.guards.guard import Inspection
from quorate.models.guards.incoming import is_odd_quoted
from quorate.models.guards.placeholders import Restoring
from quorate.models.guards.spans import FinderFailed, Found, Scan
from quorate.specs import FINAL_TOOL, Request

MOST_TAIL = 1024
"""Characters that are remembered of reasoning that stopped for a while."""


class Channel:
    """One text of an answer: redacted, then given back what placeholders stand for."""

    __slots__ = ("_chosen", "_counts", "_in_string", "_json", "_record", "_restoring", "_scan", "_skip", "_tail")

    def __init__(
        self, chosen: Chosen, values: Mapping[str, str], record: Record, *, json: bool = False, counts: bool = False
    ) -> None:
        """Build it.

        Args:
            chosen: The guards.
            values: What placeholders stand for; none where they are not to come back.
            record: Where it is said that something was found.
            json: Whether the text is JSON.
            counts: Whether what is redacted is counted; it is for one of the two times that a streamed text is seen.
        """
        self._chosen = chosen
        self._record = record
        self._json = json
        self._counts = counts
        self._in_string = False
        self._scan: Scan | None = chosen.begin(json=json) if chosen.acting else None
        self._tail = ""
        """The end of what was given out when the text paused."""
        self._skip = 0
        """How much of what comes out next was given out before."""
        self._restoring: Restoring | None = Restoring(values, json=json) if values else None

    def feed(self, piece: str) -> str:
        """Take more of the text, and return what may be given out now.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed.
        """
        if self._scan is not None:
            if self._tail:
                piece, self._tail = self._tail + piece, ""
            try:
                piece = self._redact(self._scan.feed(piece))
            except FinderFailed as error:
                raise self._record.fail_finder(self._chosen.acting, "output", error) from None
        return piece if self._restoring is None else self._restoring.feed(piece)

    def finish(self, rest: str = "") -> str:
        """Take the last of the text, and return the rest; raises what `feed` raises."""
        if self._scan is not None:
            try:
                rest = self._redact(self._scan.finish(rest))
            except FinderFailed as error:
                raise self._record.fail_finder(self._chosen.acting, "output", error) from None
        return rest if self._restoring is None else self._restoring.feed(rest) + self._restoring.finish()

    def pause(self) -> str:
        """Return all that is held back, as something else follows; raises what `feed` raises.

        Where the text goes on after all, what began before the pause is still found: its rest is not given out.
        """
        tail = "" if self._scan is None else self._scan.held[-MOST_TAIL:]
        if not tail:
            return ""
        rest = self.finish()
        self._scan, self._tail, self._skip = self._chosen.begin(json=self._json), tail, len(tail)
        return rest

    def _leave_out(self, pieces: Sequence[str | Found]) -> list[str | Found]:
        """Leave out what was given out before, but for what goes on behind it."""
        left: list[str | Found] = []
        for piece in pieces:
            size = len(piece if isinstance(piece, str) else piece.text)
            if size > self._skip:
                left.append(piece[self._skip :] if isinstance(piece, str) else piece)
            self._skip = max(0, self._skip - size)
        return left

    def _redact(self, pieces: Sequence[str | Found]) -> str:
        if self._skip:
            pieces = self._leave_out(pieces)
        if len(pieces) == 1 and isinstance(pieces[0], str) and not self._json:
            return pieces[0]
        redacted: list[str] = []
        for piece in pieces:
            if isinstance(piece, str):
                if self._json:
                    self._in_string = self._in_string != is_odd_quoted(piece)
                redacted.append(piece)
                continue
            guard, what = self._chosen.acting[piece.owner], describe(piece.label)
            if guard.rule.mode == "strict":
                raise self._record.block(guard.rule, "output", what)
            if self._counts:
                self._record.count(guard.rule, "output", what, "redacted")
            token = f"[{piece.label}]"
            redacted.append(f'"{token}"' if self._json and not self._in_string else token)
        return "".join(redacted)


class Outgoing:
    """The guards of what comes from a model, for one call."""

    def __init__(self, chosen: Chosen, values: Mapping[str, str], request: Request, record: Record) -> None:
        self._chosen = chosen
        self._values = values
        self._request = request
        self._record = record
        self._json = request.output is not None
        self._idle = not (chosen.acting or chosen.waits or chosen.sizes or values)
        self._held: list[StreamItem] | None = [] if chosen.waits else None
        self._size = 0
        self._text = self._begin(json=self._json)
        self._thinking = self._begin(restore=False)
        self._calls: dict[str, tuple[str, Channel]] = {}

    def feed(self, item: StreamItem) -> Sequence[StreamItem]:
        """Take a piece of the stream, the end excepted, and return what may be given out now.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed.
        """
        if self._idle:
            return (item,)
        given = self._feed(item)
        if self._held is None:
            return given
        self._held += given
        return ()

    async def finish(self, reply: Reply) -> list[StreamItem]:
        """Take the end of the stream, and return all that was held back, and the end.

        Raises what `screen` raises.
        """
        rest = self._pause_thinking()
        if text := self._text.finish():
            rest.append(TextDelta(text))
        for call, (name, channel) in self._calls.items():
            if arguments := channel.finish():
                rest.append(ToolCallDelta(call, name, arguments))
        reply = await self.screen(reply)
        return [*(self._held or ()), *rest, ReplyDone(reply)]

    async def screen(self, reply: Reply) -> Reply:
        """Look at a whole answer, and write it anew where something must not be said, or may be said again.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed.
        """
        if self._chosen.sizes or self._chosen.whole or self._chosen.noting:
            await self._look(reply)
        if not self._chosen.acting and not self._values:
            return reply
        parts = [await self._screen_part(part) for part in await self._screen_texts(reply.message.parts)]
        message = structs.replace(reply.message, parts=tuple(parts))
        return structs.replace(reply, message=message)

    async def screen_partial(self, text: str) -> str:
        """Look at the words of an answer that was cut; raises what `screen` raises."""
        return await self._screen_text(text, json=self._json)

    def _feed(self, item: StreamItem) -> list[StreamItem]:
        if isinstance(item, TextDelta):
            self._count(item.text)
            rest = self._pause_thinking()
            text = self._text.feed(item.text)
            return [*rest, TextDelta(text, item.path)] if text else rest
        if isinstance(item, ThinkingDelta):
            text = self._thinking.feed(item.text)
            return [ThinkingDelta(text, item.path)] if text else []
        if isinstance(item, ToolCallDelta):
            self._count(item.arguments)
            rest = self._pause_thinking()
            begun = item.call_id not in self._calls
            if begun:
                self._calls[item.call_id] = (self._screen_name(item.name), self._begin(json=True))
            name, channel = self._calls[item.call_id]
            arguments = channel.feed(item.arguments)
            # That a call has begun is said at once, whatever of its arguments is held back.
            return [*rest, ToolCallDelta(item.call_id, name, arguments, item.path)] if arguments or begun else rest
        return [item]

    def _pause_thinking(self) -> list[StreamItem]:
        rest = self._thinking.pause()
        return [ThinkingDelta(rest)] if rest else []

    def _count(self, piece: str) -> None:
        self._size += len(piece)
        for guard in self._chosen.sizes:
            if self._size > guard.max_chars and guard.rule.mode == "strict":
                raise self._record.block(guard.rule, "output", guard.reason)

    async def _look(self, reply: Reply) -> None:
        calls = [call.arguments for call in reply.message.tool_calls]
        text = "\n".join([reply.message.text, *calls]) if calls else reply.message.text
        seen = Inspection(side="output", text=text, request=self._request, reply=reply)
        await check_whole(self._chosen, seen, self._record)
        if self._chosen.noting:
            await self._chosen.note(text, self._record)

    async def _screen_texts(self, parts: Sequence[AnyPart]) -> Sequence[AnyPart]:
        """Look at all words as one text, since what is shown joins them; what changed stands in the first part."""
        texts = [part for part in parts if isinstance(part, Text)]
        whole = "".join([part.text for part in texts])
        said = await self._screen_text(whole, json=self._json)
        if said == whole:
            return parts
        first = texts[0]
        signature = first.signature if len(texts) == 1 else None
        replaced = Text(text=said, signature=signature)
        return [replaced if part is first else part for part in parts if part is first or not isinstance(part, Text)]

    async def _screen_part(self, part: AnyPart) -> AnyPart:
        if isinstance(part, Thinking):
            text = await self._screen_text(part.text, restore=False)
            # Words that were changed are no longer those that were signed.
            return part if text == part.text else structs.replace(part, text=text, signature=None, id="")
        if isinstance(part, ToolCall):
            arguments = await self._screen_text(part.arguments, json=True)
            name = self._screen_name(part.name, counts=True)
            is_same = arguments == part.arguments and name == part.name
            return part if is_same else structs.replace(part, name=name, arguments=arguments)
        return part

    def _screen_name(self, name: str, *, counts: bool = False) -> str:
        """Look at the name of a tool that is none; those there are were named by the operator."""
        if name == FINAL_TOOL or any(tool.name == name for tool in self._request.tools):
            return name
        said = self._begin(restore=False, counts=counts).finish(name)
        # A name goes back to the provider, and has no brackets.
        return name if said == name else said.replace("[", "_").replace("]", "_")

    async def _screen_text(self, text: str, *, json: bool = False, restore: bool = True) -> str:
        if not text:
            return text
        channel = self._begin(json=json, restore=restore, counts=True)
        said: list[str] = []
        begin = 0
        while len(text) - begin > SLICE:
            said.append(channel.feed(text[begin : begin + SLICE]))
            begin += SLICE
            await asyncio.sleep(0)
        return "".join(said) + channel.finish(text[begin:])

    def _begin(self, *, json: bool = False, restore: bool = True, counts: bool = False) -> Channel:
        return Channel(self._chosen, self._values if restore else {}, self._record, json=json, counts=counts)
