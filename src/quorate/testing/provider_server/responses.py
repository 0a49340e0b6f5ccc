"""How are Responses served?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from quorate.messages import Usage
from quorate.testing.provider_server.openai import build_error, is_allowed, is_stream
from quorate.testing.provider_server.script import Answer, Json, Sent, split

__all__ = ["build_body", "build_error", "build_fault", "build_frames", "is_allowed", "is_stream", "stream_type"]

stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece."""
    return _encode(_build_response(answer, sent))


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer: the response begins, each item comes in pieces, the whole stands at the end."""
    begun: Json = {**_build_response(answer, sent), "status": "in_progress", "output": [], "usage": None}
    whole = _build_response(answer, sent)
    end = "response.incomplete" if whole.get("status") == "incomplete" else "response.completed"
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(_build_items(answer)):
        events += _build_item_events(place, item, answer.piece)
    events.append({"type": end, "response": whole})
    return [_write(event, place) for place, event in enumerate(events)]


def build_fault(code: str) -> bytes:
    """Build an event that says that the provider failed."""
    return _write({"type": "error", "code": code, "message": "The test server fails.", "param": None}, 0)


def _write(event: Json, place: int) -> bytes:
    data = _encode({**event, "sequence_number": place})
    return f"event: {event['type']}\ndata: ".encode() + data + b"\n\n"


def _build_response(answer: Answer, sent: Sent) -> Json:
    response: Json = {
        "id": "resp-1",
        "object": "response",
        "model": sent.body.get("model"),
        "error": None,
        "incomplete_details": None,
        "output": _build_items(answer),
        "usage": None if answer.usage is None else _build_usage(answer.usage),
    }
    if answer.stop:
        reason = "max_output_tokens" if answer.stop == "length" else "content_filter"
        response |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    elif answer.finish is not None:
        response["status"] = answer.finish or "completed"
    return response


def _build_items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.thinking or answer.signature:
        summary = [{"type": "summary_text", "text": answer.thinking}] if answer.thinking else []
        reasoning: Json = {"type": "reasoning", "id": "rs-1", "summary": summary}
        items.append(reasoning if answer.signature is None else {**reasoning, "encrypted_content": answer.signature})
    content: list[Json] = []
    if answer.text:
        content.append({"type": "output_text", "text": answer.text, "annotations": []})
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    if content:
        items.append({"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": content})
    for call in answer.calls:
        items.append({
            "type": "function_call",
            "id": f"fc-{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        })  # fmt: skip
    return items


def _build_item_events(place: int, item: Json, size: int) -> Iterator[Json]:
    """Build the events of one item: it begins empty, comes in pieces, and is there whole."""
    at: Json = {"output_index": place, "item_id": item["id"]}
    empty: Json = {name: value for name, value in item.items() if name != "encrypted_content"}
    empty |= {name: [] for name in ("content", "summary") if name in item}
    if "arguments" in empty:
        empty["arguments"] = ""
    yield {"type": "response.output_item.added", "output_index": place, "item": empty}
    if item["type"] == "function_call":
        arguments = str(item["arguments"])
        for piece in split(arguments, size):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **at, "name": item["name"], "arguments": arguments}
    for index, part in enumerate(cast("Sequence[Json]", item.get("content", ()))):
        yield from _build_part_events({**at, "content_index": index}, part, size, "response.content_part")
    for index, part in enumerate(cast("Sequence[Json]", item.get("summary", ()))):
        yield from _build_part_events({**at, "summary_index": index}, part, size, "response.reasoning_summary_part")
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _build_part_events(at: Json, part: Json, size: int, kind: str) -> Iterator[Json]:
    """Build the events of one part of a message or of a summary."""
    field = "refusal" if part["type"] == "refusal" else "text"
    words = {"output_text": "output_text", "refusal": "refusal", "summary_text": "reasoning_summary_text"}
    name, text = words[str(part["type"])], str(part[field])
    yield {"type": f"{kind}.added", **at, "part": {**part, field: ""}}
    for piece in split(text, size):
        yield {"type": f"response.{name}.delta", **at, "delta": piece}
    yield {"type": f"response.{name}.done", **at, field: text}
    yield {"type": f"{kind}.done", **at, "part": part}


def _build_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
