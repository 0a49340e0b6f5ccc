"""What of a request may go to a model, and what stands in it for what may not?

Everything that is text is looked at. What people and tools said can block a call; what the model said before, and the
instructions, are redacted alike but never block: they were looked at when they were said, or are the operator's own.
Reasoning goes back as it came, since its maker signs it. Pictures, sound and files are not looked into.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct, structs

from quorate.messages import AnyPart, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.guards.chosen import Chosen, Record, check_whole, describe, look
from quorate.models.guards.guard import Inspection
from quorate.models.guards.placeholders import Placeholders
from quorate.models.guards.spans import FinderFailed, Found
from quorate.models.tokens import iterate_texts
from quorate.specs import Request

MOST_TEXTS = 512
MOST_CHARS = 4_000_000
_STRUCTURE = re.compile(r"\\.|\"", re.DOTALL)

Pieces = Sequence[str | Found]


class Screened(Struct, frozen=True):
    """A request that may go out."""

    request: Request
    values: dict[str, str]
    """What its placeholders stand for."""


class Incoming:
    """The guards of what goes to a model; what they found in a text is remembered, as a conversation says it again."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._known: OrderedDict[tuple[str, bool, bool], Pieces] = OrderedDict()
        self._chars = 0

    async def screen(self, request: Request, record: Record) -> Screened:
        """Look at a request, and write it anew where something must not go out.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed.
        """
        chosen = self._chosen
        if chosen.sizes or chosen.whole:
            text = "\n".join(_iterate_said(request))
            await check_whole(chosen, Inspection(side="input", text=text, request=request), record)
        if chosen.noting:
            for text in _iterate_said(request):
                await chosen.note(text, record)
        if not chosen.acting:
            return Screened(request, {})
        placeholders = Placeholders(lambda: _iterate_written(request))
        instructions = await self._redact(request.instructions, placeholders, record, said=False)
        messages = [await self._screen_message(message, placeholders, record) for message in request.messages]
        same = instructions == request.instructions and all(map(_is_same, messages, request.messages))
        if not same:
            changed = structs.replace(request, instructions=instructions, messages=tuple(messages))
            return Screened(changed, placeholders.values)
        return Screened(request, placeholders.values)

    async def _screen_message(self, message: Message, placeholders: Placeholders, record: Record) -> Message:
        said = message.role != "assistant"
        parts: list[AnyPart] = []
        for part in message.parts:
            parts.append(await self._screen_part(part, placeholders, record, said=said))
        return message if all(map(_is_same, parts, message.parts)) else structs.replace(message, parts=tuple(parts))

    async def _screen_part(self, part: AnyPart, placeholders: Placeholders, record: Record, *, said: bool) -> AnyPart:
        if isinstance(part, Text):
            text = await self._redact(part.text, placeholders, record, said=said)
            return part if text is part.text else structs.replace(part, text=text)
        if isinstance(part, ToolCall):
            text = await self._redact(part.arguments, placeholders, record, said=said, json=True)
            return part if text is part.arguments else structs.replace(part, arguments=text)
        if not isinstance(part, ToolResult):
            return part
        content = part.content
        if isinstance(content, str):
            json = content.lstrip()[:1] in ("{", "[", '"')
            text = await self._redact(content, placeholders, record, said=said, json=json)
            return part if text is content else structs.replace(part, content=text)
        pieces: list[AnyPart] = []
        for piece in content:
            pieces.append(await self._screen_part(piece, placeholders, record, said=said))
        return part if all(map(_is_same, pieces, content)) else structs.replace(part, content=tuple(pieces))

    async def _redact(
        self, text: str, placeholders: Placeholders, record: Record, *, said: bool, json: bool = False
    ) -> str:
        """Return a text as it may go out: the same object when nothing was found."""
        guards = self._chosen.acting if said else self._chosen.redacting
        if not text or not guards:
            return text
        try:
            pieces = await self._find(text, json=json, said=said)
        except FinderFailed as error:
            raise record.fail_finder(guards, "input", error) from None
        if len(pieces) == 1 and isinstance(pieces[0], str):
            return text
        redacted: list[str] = []
        in_string = False
        for piece in pieces:
            if isinstance(piece, str):
                in_string = in_string != is_odd_quoted(piece) if json else False
                redacted.append(piece)
                continue
            guard, what = guards[piece.owner], describe(piece.label)
            if guard.rule.mode == "strict":
                raise record.block(guard.rule, "input", what)
            if said:
                record.count(guard.rule, "input", what, "redacted")
            token = placeholders.replace(piece.text, piece.label, restore=guard.restore)
            redacted.append(f'"{token}"' if json and not in_string else token)
        return "".join(redacted)

    async def _find(self, text: str, *, json: bool, said: bool) -> Pieces:
        key = (text, json, said)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        pieces: Pieces = await look(self._chosen.begin(json=json, blocks=said), text)
        if not any(isinstance(piece, Found) for piece in pieces):
            pieces = [text]
        self._remember(key, pieces)
        return pieces

    def _remember(self, key: tuple[str, bool, bool], pieces: Pieces) -> None:
        self._known[key] = pieces
        self._chars += len(key[0])
        while len(self._known) > MOST_TEXTS or self._chars > MOST_CHARS:
            (gone, _, _), _ = self._known.popitem(last=False)
            self._chars -= len(gone)


def is_odd_quoted(piece: str) -> bool:
    """Whether a piece of JSON, beginning outside of an escape, turns what is inside a string into what is outside."""
    return sum(match[0] == '"' for match in _STRUCTURE.finditer(piece)) % 2 == 1 if '"' in piece else False


def _iterate_said(request: Request) -> list[str]:
    """List what people and tools said."""
    said = tuple([message for message in request.messages if message.role != "assistant"])
    return iterate_texts(Request(messages=said))


def _iterate_written(request: Request) -> list[str]:
    """List all words but reasoning, which holds our placeholders where the model thought of them."""
    messages = [
        structs.replace(message, parts=tuple([part for part in message.parts if not isinstance(part, Thinking)]))
        for message in request.messages
    ]
    return iterate_texts(structs.replace(request, messages=tuple(messages)))


def _is_same(one: object, other: object) -> bool:
    return one is other
