"""What do Responses look like on the wire? Only what is read is named; everything else is skipped."""

from __future__ import annotations

from msgspec import Struct

from quorate.models.providers.openai.wire import Fault, InputDetails, OutputDetails


class Content(Struct, gc=False):
    """A piece of what an item holds."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(Struct, gc=False):
    """One thing a model gave: a message, a piece of reasoning, a call, or what is not ours."""

    type: str = ""
    id: str | None = None
    content: list[Content] | None = None
    phase: str | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: object = None
    """Text; that of what is no call of ours may be anything."""


class Counts(Struct, gc=False):
    """Tokens used up."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Why(Struct, gc=False):
    """Why a response is not whole."""

    reason: str | None = None


class Response(Struct, gc=False):
    """A whole response."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[Item] | None = None
    usage: Counts | None = None
    error: Fault | str | None = None
    incomplete_details: Why | None = None


class Event(Struct, gc=False):
    """One event of a streamed response."""

    type: str = ""
    delta: str | None = None
    output_index: int = 0
    summary_index: int = 0
    item: Item | None = None
    response: Response | None = None
    code: str | int | None = None
    message: str | None = None
    error: Fault | str | None = None
