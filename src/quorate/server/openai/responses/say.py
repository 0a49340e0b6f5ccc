"""What does a response look like, and which events tell how it comes about (Open Responses)?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from quorate.messages import Reply, Usage
from quorate.server.blocks import Begun, Block, Ended, Grown, Step
from quorate.server.openai.responses.wire import ResponsesRequest
from quorate.server.problems import Problem

Json = dict[str, object]
REASONS = {"length": "max_output_tokens", "filtered": "content_filter"}
"""Why a response is not whole."""
CODES = {"rate_limited": "rate_limit_exceeded", "invalid_input": "invalid_prompt"}
"""What OpenAI calls the reasons why a response failed; all others are `server_error`."""
DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


class Head(Struct, frozen=True, kw_only=True):
    """What is the same in a response from its beginning to its end."""

    id: str
    created: float
    settings: Json
    """What was asked for, as a response repeats it."""


def build_head(asked: ResponsesRequest, *, id: str, created: float, is_kept: bool) -> Head:
    """Build what a response repeats of what was asked for."""
    text = msgspec.to_builtins(asked.text.format) if asked.text is not None and asked.text.format is not None else None
    reasoning = asked.reasoning
    settings: Json = {
        "model": asked.model,
        "previous_response_id": asked.previous_response_id,
        "instructions": asked.instructions,
        "tools": [msgspec.to_builtins(tool) for tool in asked.tools or ()],
        "tool_choice": "auto" if asked.tool_choice is None else msgspec.to_builtins(asked.tool_choice),
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "truncation": "disabled",
        "text": {"format": text or {"type": "text"}},
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "presence_penalty": asked.presence_penalty or 0.0,
        "frequency_penalty": asked.frequency_penalty or 0.0,
        "top_logprobs": 0,
        "reasoning": None if reasoning is None else {"effort": reasoning.effort, "summary": reasoning.summary},
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": None,
        "store": is_kept,
        "background": asked.background is True,
        "service_tier": "default",
        "metadata": asked.metadata or {},
        "user": asked.user,
        "safety_identifier": asked.safety_identifier,
        "prompt_cache_key": asked.prompt_cache_key,
    }
    return Head(id=id, created=created, settings=settings)


def build_open(head: Head, status: str) -> Json:
    """Build a response that has no answer yet, or never will."""
    return {
        "id": head.id,
        "object": "response",
        "created_at": int(head.created),
        "completed_at": None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **head.settings,
    }


def build_done(head: Head, reply: Reply, blocks: Iterable[Block], *, now: float) -> Json:
    """Build a response with its answer."""
    reason = REASONS.get(reply.stop)
    status = "completed" if reason is None else "incomplete"
    return {
        **build_open(head, status),
        "completed_at": int(now) if reason is None else None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": [build_item(head.id, block, status) for block in blocks],
        "usage": build_usage(reply.usage),
    }


def build_failed(head: Head, *, code: str, message: str) -> Json:
    """Build a response that failed."""
    return {
        **build_open(head, "failed"),
        "error": {"code": CODES.get(code, "server_error"), "message": message, "type": code},
    }


def build_usage(usage: Usage) -> Json:
    """Write what was used."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def build_item(response: str, block: Block, status: str) -> Json:
    """Write one thing that a response holds."""
    name = find_item_id(response, block)
    if block.kind == "call":
        return {
            "id": name,
            "type": "function_call",
            "status": status,
            "call_id": block.call_id,
            "name": block.name,
            "arguments": block.text,
        }
    if block.kind == "thinking":
        item: Json = {"id": name, "type": "reasoning", "summary": _list_summary(block), "status": status}
        return item | ({"encrypted_content": block.seal} if block.seal else {})
    content = [_build_words(block.text)] if block.pieces else []
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def find_item_id(response: str, block: Block) -> str:
    """Name one thing that a response holds."""
    kind = {"call": "fc", "thinking": "rs", "text": "msg"}[block.kind]
    return f"{kind}_{response}-{block.place}"


class Events:
    """Writes the events of one response, in their order and with their numbers.

    Args:
        head: What is the same in all of them.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._number = 0
        self._around: tuple[bytes, bytes] = (b"", b"")
        """What stands around a piece of the part that grows, but for its number."""

    def begin(self) -> bytes:
        """Write that the response begins."""
        response = build_open(self._head, "in_progress")
        return self._frame("response.created", response=response) + self._frame(
            "response.in_progress", response=response
        )

    def write(self, step: Step) -> bytes:
        """Write how it goes on."""
        if isinstance(step, Grown):
            before, after = self._around
            number = self._number
            self._number += 1
            return before + _encode(step.text) + after + b"%d}\n\n" % number
        if isinstance(step, Begun):
            return b"".join(self._begin_part(step.block))
        return b"".join(self._end_part(step.block)) if isinstance(step, Ended) else b""

    def end(self, response: Json) -> bytes:
        """Write how it ended, and that nothing more comes."""
        return self._frame(f"response.{response['status']}", response=response) + DONE

    def fail(self, problem: Problem) -> bytes:
        """Write what broke it off."""
        failed = build_failed(self._head, code=problem.code, message=problem.detail)
        return self._frame("response.failed", response=failed) + DONE

    def _begin_part(self, block: Block) -> Iterator[bytes]:
        at = self._find_place(block)
        empty = Block(place=block.place, kind=block.kind, call_id=block.call_id, name=block.name)
        item = build_item(self._head.id, empty, "in_progress")
        yield self._frame("response.output_item.added", output_index=block.place, item=item)
        if block.kind == "call":
            kind = "response.function_call_arguments.delta"
        elif block.kind == "text":
            yield self._frame("response.content_part.added", **at, content_index=0, part=_build_words(""))
            kind, at = "response.output_text.delta", {**at, "content_index": 0, "logprobs": ()}
        else:
            part = {"type": "summary_text", "text": ""}
            if not block.redacted:
                yield self._frame("response.reasoning_summary_part.added", **at, summary_index=0, part=part)
            kind, at = "response.reasoning_summary_text.delta", {**at, "summary_index": 0}
        before = f"event: {kind}\ndata: ".encode() + _encode({"type": kind, **at, "delta": ""})[:-3]
        self._around = before, b',"sequence_number":'

    def _end_part(self, block: Block) -> Iterator[bytes]:
        at, text = self._find_place(block), block.text
        if block.kind == "call":
            kind = "response.function_call_arguments.done"
            yield self._frame(kind, **at, name=block.name, arguments=text)
        elif block.kind == "text":
            yield self._frame("response.output_text.done", **at, content_index=0, logprobs=(), text=text)
            yield self._frame("response.content_part.done", **at, content_index=0, part=_build_words(text))
        elif not block.redacted:
            yield self._frame("response.reasoning_summary_text.done", **at, summary_index=0, text=text)
            part = {"type": "summary_text", "text": text}
            yield self._frame("response.reasoning_summary_part.done", **at, summary_index=0, part=part)
        item = build_item(self._head.id, block, "completed")
        yield self._frame("response.output_item.done", output_index=block.place, item=item)

    def _find_place(self, block: Block) -> Json:
        return {"item_id": find_item_id(self._head.id, block), "output_index": block.place}

    def _frame(self, kind: str, **facts: object) -> bytes:
        data = _encode({"type": kind, **facts, "sequence_number": self._number})
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + data + b"\n\n"


def _build_words(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _list_summary(block: Block) -> list[Mapping[str, str]]:
    return [{"type": "summary_text", "text": block.text}] if block.pieces and not block.redacted else []
