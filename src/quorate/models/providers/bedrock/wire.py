"""What does Converse look like on the wire? Only what is read is named; everything else is skipped."""

from __future__ import annotations

from msgspec import Raw, Struct


class ToolUse(Struct, gc=False):
    """A wish to call a tool, whole or its beginning."""

    toolUseId: str | None = None  # noqa: N815  # the wire's own spelling, here and below
    name: str | None = None
    input: Raw = Raw(b"{}")
    type: str | None = None
    """`server_tool_use` is a call that the provider makes itself."""


class ReasoningText(Struct, gc=False):
    """Reasoning in words."""

    text: str | None = None
    signature: str | None = None


class Reasoning(Struct, gc=False):
    """Reasoning in a whole reply."""

    reasoningText: ReasoningText | None = None  # noqa: N815
    redactedContent: str | None = None  # noqa: N815


class Source(Struct, gc=False):
    """Where the bytes of a picture are."""

    bytes: str | None = None


class Picture(Struct, gc=False):
    """A picture that the model made."""

    format: str | None = None
    source: Source | None = None


class Said(Struct, gc=False):
    """Words inside other content."""

    text: str | None = None


class Citations(Struct, gc=False):
    """Words with their sources; the words alone are kept."""

    content: list[Said] | None = None


class Block(Struct, gc=False):
    """A piece of a message."""

    text: str | None = None
    toolUse: ToolUse | None = None  # noqa: N815
    reasoningContent: Reasoning | None = None  # noqa: N815
    image: Picture | None = None
    citationsContent: Citations | None = None  # noqa: N815


class Message(Struct, gc=False):
    """What the model said."""

    content: list[Block] | None = None


class Output(Struct, gc=False):
    """The answer of a reply."""

    message: Message | None = None


class Kept(Struct, gc=False):
    """Tokens written to the cache for so long."""

    ttl: str | None = None
    inputTokens: int | None = None  # noqa: N815


class Counts(Struct, gc=False):
    """Tokens used up; those read from the cache and written to it are not among `inputTokens`."""

    inputTokens: int | None = None  # noqa: N815
    outputTokens: int | None = None  # noqa: N815
    cacheReadInputTokens: int | None = None  # noqa: N815
    cacheWriteInputTokens: int | None = None  # noqa: N815
    cacheDetails: list[Kept] | None = None  # noqa: N815


class Body(Struct, gc=False):
    """A whole reply."""

    output: Output | None = None
    stopReason: str | None = None  # noqa: N815
    usage: Counts | None = None


class Fault(Struct, gc=False):
    """What went wrong, in the provider's words."""

    message: str | None = None
    code: str | None = None


class Start(Struct, gc=False):
    """How a piece begins."""

    toolUse: ToolUse | None = None  # noqa: N815
    toolResult: Said | None = None  # noqa: N815
    image: Picture | None = None


class BlockStart(Struct, gc=False):
    """A piece begins; words begin without it."""

    contentBlockIndex: int  # noqa: N815
    start: Start | None = None


class InputPiece(Struct, gc=False):
    """A little more of a call's arguments."""

    input: str | None = None


class ReasoningPiece(Struct, gc=False):
    """A little more reasoning."""

    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None  # noqa: N815


class Piece(Struct, gc=False):
    """A little more of a piece."""

    text: str | None = None
    toolUse: InputPiece | None = None  # noqa: N815
    reasoningContent: ReasoningPiece | None = None  # noqa: N815
    image: Picture | None = None


class BlockDelta(Struct, gc=False):
    """More of the piece with that number."""

    contentBlockIndex: int  # noqa: N815
    delta: Piece | None = None


class BlockStop(Struct, gc=False):
    """A piece is whole."""

    contentBlockIndex: int  # noqa: N815


class MessageStop(Struct, gc=False):
    """The message is whole."""

    stopReason: str | None = None  # noqa: N815


class Metadata(Struct, gc=False):
    """What comes last."""

    usage: Counts | None = None


class Event(Struct, gc=False):
    """One event of a stream; one field is there."""

    contentBlockDelta: BlockDelta | None = None  # noqa: N815
    contentBlockStart: BlockStart | None = None  # noqa: N815
    contentBlockStop: BlockStop | None = None  # noqa: N815
    messageStart: Said | None = None  # noqa: N815
    messageStop: MessageStop | None = None  # noqa: N815
    metadata: Metadata | None = None
