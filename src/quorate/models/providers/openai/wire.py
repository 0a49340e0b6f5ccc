"""What do chat completions look like on the wire? Only what is read is named; everything else is skipped."""

from __future__ import annotations

from msgspec import Struct


class Function(Struct, gc=False):
    """The function a call names, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class Call(Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Piece(Struct, gc=False):
    """One of several pieces of a message's content, as Mistral gives them."""

    type: str = ""
    text: str | None = None
    thinking: list[Piece] | str | None = None


class Detail(Struct, gc=False, omit_defaults=True):
    """A piece of reasoning that is to be given back, as OpenRouter gives it."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None


class Body(Struct, gc=False):
    """A message, or a piece of one."""

    content: str | list[Piece] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None


class Choice(Struct, gc=False):
    """One of the answers; only one is asked for."""

    index: int = 0
    message: Body | None = None
    delta: Body | None = None
    finish_reason: str | None = None


class InputDetails(Struct, gc=False):
    """How input tokens were read."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """What output tokens were."""

    reasoning_tokens: int | None = None


class Counts(Struct, gc=False):
    """Tokens used up."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None


class Aside(Struct, gc=False):
    """What Groq says beside the words of others: the usage of a stream."""

    usage: Counts | None = None


class Fault(Struct, gc=False):
    """What went wrong, in the provider's words."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class Chunk(Struct, gc=False):
    """A whole reply, or one event of a streamed one."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Counts | None = None
    error: Fault | str | None = None
    x_groq: Aside | None = None


class Refusal(Struct, gc=False):
    """The body of an error; some servers leave out the envelope."""

    error: Fault | str | None = None
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
