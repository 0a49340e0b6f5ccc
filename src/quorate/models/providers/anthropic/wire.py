"""What does Anthropic's Messages format look like on the wire? Only what is read is named; the rest is skipped."""

from __future__ import annotations

from msgspec import Raw, Struct

NOTHING = Raw(b"{}")


class Block(Struct, gc=False):
    """A piece of an answer's content."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NOTHING
    """A tool's arguments, as they are written."""


class OutputDetails(Struct, gc=False):
    """What output tokens were."""

    thinking_tokens: int | None = None


class Written(Struct, gc=False):
    """How long what was written to the cache is kept."""

    ephemeral_1h_input_tokens: int | None = None


class Counts(Struct, gc=False):
    """Tokens used up; input that was read from the cache or written to it is counted apart."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: Written | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class Fault(Struct, gc=False):
    """What went wrong, in the provider's words."""

    type: str | None = None
    message: str | None = None


class Change(Struct, gc=False):
    """What was changed in a request before the model saw it."""

    type: str = ""
    reason: str | None = None


class Body(Struct, gc=False):
    """A whole answer, or its beginning in a stream."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Counts | None = None
    error: Fault | None = None
    input_transformations: list[Change] | None = None


class Delta(Struct, gc=False):
    """What an event adds to a block, or to the whole answer."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class Event(Struct, gc=False):
    """One event of a stream."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Body | None = None
    usage: Counts | None = None
    error: Fault | None = None
    input_transformations: list[Change] | None = None


class Refusal(Struct, gc=False):
    """The body of an error."""

    error: Fault | None = None


class Model(Struct, gc=False):
    """A model that is listed."""

    id: str
    created_at: str | None = None
    max_input_tokens: int | None = None


class Page(Struct, gc=False):
    """One page of the models."""

    data: list[Model]
    has_more: bool = False
    last_id: str | None = None
