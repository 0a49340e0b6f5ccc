"""What does Ollama say on the wire? Only what is read is named; everything else is skipped."""

from __future__ import annotations

from msgspec import Raw, Struct


class Function(Struct, gc=False):
    """The function a call names; its arguments are an object."""

    name: str = ""
    arguments: Raw = Raw(b"")  # msgspec takes no union with it


class Call(Struct, gc=False):
    """A tool call, always whole."""

    function: Function
    id: str | None = None


class Said(Struct, gc=False):
    """A message, or a piece of one."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Chunk(Struct, gc=False):
    """A whole answer, or one line of a streamed one."""

    model: str | None = None
    message: Said | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: str | None = None
