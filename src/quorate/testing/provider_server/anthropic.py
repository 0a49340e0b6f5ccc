"""How are Anthropic's Messages served?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.messages import ToolCall, Usage
from quorate.testing.provider_server.script import Answer, Json, Sent, split

PATHS = r"/messages|/anthropic/v1/models"
stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key."""
    return sent.headers.get("x-api-key") == key and "anthropic-version" in sent.headers


def is_stream(sent: Sent) -> bool:
    """Whether a request asks for a stream."""
    return sent.body.get("stream") is True


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a message, or the models there are."""
    if sent.method == "GET":
        return build_models(answer)
    content: list[Json] = []
    if answer.thinking or answer.signature:
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": answer.signature or "signed"})
    if answer.text or answer.refusal:
        content.append({"type": "text", "text": answer.text + answer.refusal})
    content += [{**_build_call(call), "input": msgspec.Raw(call.arguments.encode())} for call in answer.calls]
    return _encode(_build_message(answer, sent) | {"content": content, "stop_reason": _choose_stop(answer)})


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer."""
    blocks: list[tuple[Json, list[Json]]] = []
    if answer.thinking or answer.signature:
        thoughts: list[Json] = [
            {"type": "thinking_delta", "thinking": piece} for piece in split(answer.thinking, answer.piece)
        ]
        thoughts.append({"type": "signature_delta", "signature": answer.signature or "signed"})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thoughts))
    if answer.text or answer.refusal:
        words = split(answer.text + answer.refusal, answer.piece)
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in words]))
    for call in answer.calls:
        pieces = ["", *split(call.arguments, answer.piece)] if call.arguments != "{}" else [""]
        deltas: list[Json] = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        blocks.append(({**_build_call(call), "input": {}}, deltas))
    frames = [_frame("message_start", {"message": _build_message(answer, sent, is_start=True)})]
    for index, (block, deltas) in enumerate(blocks):
        frames.append(_frame("content_block_start", {"index": index, "content_block": block}))
        frames += [_frame("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        frames.append(_frame("content_block_stop", {"index": index}))
    end: Json = {"delta": {"stop_reason": _choose_stop(answer), "stop_sequence": None}}
    if answer.usage is not None:
        end["usage"] = {"output_tokens": answer.usage.output_tokens, **_build_details(answer.usage)}
    return [*frames, _frame("message_delta", end), _frame("message_stop", {})]


def build_error(status: int, code: str) -> bytes:
    """Build the body of a refusal."""
    error = {"type": code, "message": f"The test server refuses: {code}."}
    return _encode({"type": "error", "error": error, "request_id": "request-1"})


def build_fault(code: str) -> bytes:
    """Build an event that says that the provider failed."""
    return b"event: error\ndata: " + build_error(500, code) + b"\n\n"


def build_models(answer: Answer) -> bytes:
    """Build the list of models."""
    rows: list[Json] = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"}
        for name in answer.models
    ]
    return _encode({"data": rows, "has_more": False, "first_id": None, "last_id": None})


def _frame(kind: str, facts: Json) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **facts}) + b"\n\n"


def _build_message(answer: Answer, sent: Sent, *, is_start: bool = False) -> Json:
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": sent.body.get("model")}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = answer.usage
    if usage is not None:
        read, kept = usage.cached_tokens, usage.cache_write_tokens
        message["usage"] = {
            "input_tokens": usage.input_tokens - read - kept,
            "cache_creation_input_tokens": kept,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": kept - usage.cache_write_long_tokens,
                "ephemeral_1h_input_tokens": usage.cache_write_long_tokens,
            },
            "output_tokens": 1 if is_start else usage.output_tokens,
            **({} if is_start else _build_details(usage)),
        }
    return message


def _build_details(usage: Usage) -> Json:
    return {"output_tokens_details": {"thinking_tokens": usage.reasoning_tokens}}


def _build_call(call: ToolCall) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _choose_stop(answer: Answer) -> str | None:
    if answer.finish is None or answer.finish:
        return answer.finish
    if answer.stop or answer.refusal:
        return "max_tokens" if answer.stop == "length" else "refusal"
    return "tool_use" if answer.calls else "end_turn"
