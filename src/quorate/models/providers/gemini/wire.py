"""What does Gemini's format look like on the wire? Only what is read is named; everything else is skipped."""

from __future__ import annotations

from msgspec import Raw, Struct

NOTHING = Raw(b"{}")


class Call(Struct, gc=False):
    """A call of a function."""

    name: str | None = None
    id: str | None = None
    args: Raw = NOTHING
    """The arguments, as they are written."""


class Blob(Struct, rename="camel", gc=False):
    """A picture or sound, in Base64."""

    mime_type: str = ""
    data: bytes = b""


class Part(Struct, rename="camel", gc=False):
    """A piece of the content."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None


class Content(Struct, gc=False):
    """What the model said."""

    parts: list[Part] | None = None


class Candidate(Struct, rename="camel", gc=False):
    """One of the answers; only one is asked for."""

    index: int = 0
    content: Content | None = None
    finish_reason: str | None = None


class Feedback(Struct, rename="camel", gc=False):
    """What was thought of the question."""

    block_reason: str | None = None


class Counts(Struct, rename="camel", gc=False):
    """Tokens used up; a stream's later counts contain the earlier ones."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class Detail(Struct, rename={"type": "@type", "retry_delay": "retryDelay"}, gc=False):
    """More about a fault: among other things, when to come again."""

    type: str | None = None
    reason: str | None = None
    retry_delay: str | None = None


class Fault(Struct, gc=False):
    """What went wrong, in Google's words (`google.rpc.Status`)."""

    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[Raw] | None = None


class Response(Struct, rename="camel", gc=False):
    """A whole answer, or a piece of a streamed one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Fault | None = None


class Refusal(Struct, gc=False):
    """The body of an error."""

    error: Fault | None = None


class Vector(Struct, gc=False):
    """One text's vector."""

    values: list[float]


class Vectors(Struct, rename="camel", gc=False):
    """The vectors of all texts, in their order."""

    embeddings: list[Vector]
    usage_metadata: Counts | None = None


class Model(Struct, rename="camel", gc=False):
    """A model that is listed."""

    name: str
    input_token_limit: int | None = None


class Page(Struct, rename="camel", gc=False):
    """One page of the models."""

    models: list[Model] | None = None
    next_page_token: str | None = None
