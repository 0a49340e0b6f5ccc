"""What did Ollama answer, once the whole answer is here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.bounds import check_document
from quorate.models.providers.calls import build_call, check_count, read_raw
from quorate.models.providers.ollama.wire import Call, Chunk
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.outcome import Stop, read_count

STOPS: Mapping[str, Stop] = {"stop": "end", "length": "length"}
_decode = msgspec.json.Decoder(Chunk).decode


def decode(body: bytes, *, provider: str = "") -> Reply:
    """Read a whole reply; `provider` is whose reasoning it holds.

    Raises:
        UpstreamError: It is not a reply, or ends for a reason nobody knows.
        Incomplete: It has no end.
    """
    check_document(body)
    chunk = decode_chunk(body)
    said = chunk.message
    if said is None:
        raise UpstreamError("The model's reply holds no message.", retryable=True)
    calls = [read_call(call, place) for place, call in enumerate(said.tool_calls or ())]
    if not chunk.done:
        raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=said.content or "")
    return build_reply(chunk, text=said.content or "", thinking=said.thinking or "", calls=calls, provider=provider)


def decode_chunk(data: bytes) -> Chunk:
    """Read one JSON document of the reply.

    Raises:
        UpstreamError: It is none, nests too deep, or says that the server failed.
    """
    try:
        chunk = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The model's reply is garbled: it is none of Ollama's.", retryable=True) from error
    if chunk.error is not None:
        raise build_stream_error(chunk.error)
    return chunk


def read_call(call: Call, place: int) -> ToolCall:
    """Read a tool call; its arguments stay text, as the tool checks them.

    Raises:
        UpstreamError: It names no tool, or there are too many.
    """
    check_count(place + 1)
    arguments = read_raw(call.function.arguments)
    return build_call(call.id or "", call.function.name, "" if arguments == "null" else arguments, place=place)


def build_reply(chunk: Chunk, *, text: str, thinking: str, calls: Sequence[ToolCall], provider: str) -> Reply:
    """Build the reply from what was gathered; `chunk` is the last one.

    Raises:
        Incomplete: It does not say why it ended.
        UpstreamError: It gives a reason nobody knows.
    """
    parts: list[AnyPart] = []
    if thinking:
        parts.append(Thinking(text=thinking, provider=provider))
    if text:
        parts.append(Text(text=text))
    parts += calls
    stop = read_stop(chunk.done_reason, partial=text)
    return Reply(
        message=Message(role="assistant", parts=tuple(parts)),
        usage=Usage(
            input_tokens=read_count(chunk.prompt_eval_count),
            output_tokens=read_count(chunk.eval_count),
            requests=1,
        ),
        model=chunk.model or "",
        stop="tool_calls" if stop == "end" and calls else stop,
    )


def read_stop(reason: str | None, *, partial: str) -> Stop:
    """Say why the model stopped; raises what `build_reply` raises."""
    if not reason:
        raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=partial)
    stop = STOPS.get(reason)
    if stop is None:
        known = ", ".join(f"`{name}`" for name in STOPS)
        raise UpstreamError(
            f"The model stopped for an unknown reason {reason[:40]!r}; known: {known}.", partial=partial
        )
    return stop
