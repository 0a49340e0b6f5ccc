"""What does a response say, once the whole of it is here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, Usage
from quorate.models.bounds import check_document
from quorate.models.providers.calls import build_call, check_count
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.wire import Fault
from quorate.models.providers.outcome import Stop, read_count
from quorate.models.providers.responses.request import PHASE
from quorate.models.providers.responses.wire import Counts, Item, Response

STOPS: Mapping[str, Stop] = {"max_output_tokens": "length", "content_filter": "filtered"}
UNDER_WAY = frozenset({"in_progress", "queued"})
_decode = msgspec.json.Decoder(Response).decode


def decode(body: bytes, *, provider: str = "") -> Reply:
    """Read a whole response; `provider` is whose reasoning it holds.

    Raises:
        UpstreamError: It is not a response, failed, or ended for a reason nobody knows.
        Incomplete: It has no end.
    """
    check_document(body)
    try:
        response = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The model's reply is garbled: it is no response.", retryable=True) from error
    return build_reply(response, response.output or (), provider=provider)


def build_reply(response: Response, items: Sequence[Item], *, provider: str) -> Reply:
    """Build the reply from a response and what it holds."""
    parts: list[AnyPart] = []
    refused = False
    for item in items:
        if item.type == "message":
            text, is_refusal = read_message(item)
            refused = refused or is_refusal
            if text:
                parts.append(Text(text=text, signature=f"{PHASE}{item.phase}" if item.phase else None))
        elif item.type == "reasoning":
            thought = read_reasoning(item)
            if thought or item.encrypted_content:
                parts.append(
                    Thinking(
                        text=thought,
                        signature=item.encrypted_content,
                        id=item.id or "",
                        provider=provider,
                        redacted=not thought,
                    )
                )
        elif item.type == "function_call":
            parts.append(build_call(item.call_id or "", item.name or "", read_arguments(item), place=len(parts)))
    message = Message(role="assistant", parts=tuple(parts))
    check_count(len(message.tool_calls))
    stop = read_stop(response, partial=message.text)
    if stop == "end":
        stop = "filtered" if refused else "tool_calls" if message.tool_calls else "end"
    return Reply(
        message=message,
        usage=read_usage(response.usage),
        model=response.model or "",
        stop=stop,
        id=response.id or "",
    )


def read_arguments(item: Item) -> str:
    """Read a call's arguments; some servers give them as an object."""
    arguments = item.arguments
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def read_message(item: Item) -> tuple[str, bool]:
    """Read a message's words, and whether they are a refusal."""
    said = [content.text for content in item.content or () if content.text]
    refused = [content.refusal for content in item.content or () if content.refusal]
    return "".join(said + refused), bool(refused)


def read_reasoning(item: Item) -> str:
    """Read the words of a piece of reasoning, or their summary where the words are kept."""
    pieces = item.content or item.summary or ()
    return "\n\n".join([piece.text for piece in pieces if piece.text])


def read_stop(response: Response, *, partial: str) -> Stop:
    """Say why the model stopped.

    Raises:
        Incomplete: It did not say so.
        UpstreamError: It failed, or gave a reason nobody knows.
    """
    status = response.status
    if status == "completed":
        return "end"
    if response.error is not None or status == "failed":
        raise build_stream_error(response.error or Fault())
    if not status or status in UNDER_WAY:
        raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=partial)
    why = response.incomplete_details.reason if response.incomplete_details else None
    stop = STOPS.get(why or "") if status == "incomplete" else None
    if stop is None:
        known = ", ".join(f"`{name}`" for name in ("completed", *STOPS))
        raise UpstreamError(
            f"The model stopped for an unknown reason {(why or status)[:40]!r}; known: {known}.", partial=partial
        )
    return stop


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; a count that is missing or makes no sense is 0."""
    if counts is None:
        return Usage(requests=1)
    read, written = counts.input_tokens_details, counts.output_tokens_details
    return Usage(
        input_tokens=read_count(counts.input_tokens),
        output_tokens=read_count(counts.output_tokens),
        cached_tokens=read_count(read.cached_tokens) if read else 0,
        cache_write_tokens=read_count(read.cache_write_tokens) if read else 0,
        reasoning_tokens=read_count(written.reasoning_tokens) if written else 0,
        requests=1,
    )
