"""How is Amazon Bedrock served: Converse, its stream of binary frames, vectors, and the lists of models?"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import cast
from zlib import crc32

import msgspec

from quorate.messages import ToolCall, Usage
from quorate.testing.provider_server.script import Answer, Json, Sent, choose_vectors, split

stream_type = "application/vnd.amazon.eventstream"
PATHS = r"/model/.+/(converse|converse-stream|invoke)|/(foundation-models|inference-profiles)"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key, or is signed by the key of that id."""
    given = sent.headers.get("authorization", "")
    return given == f"Bearer {key}" or given.startswith(f"AWS4-HMAC-SHA256 Credential={key}/")


def is_stream(sent: Sent) -> bool:
    """Whether a request asks for a stream."""
    return sent.path.endswith("/converse-stream")


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a reply, vectors, or the models there are."""
    if sent.path.endswith("/invoke"):
        return _encode(_build_vectors(answer, sent))
    if sent.path.endswith("/foundation-models"):
        return _encode({"modelSummaries": [{"modelId": name, "modelName": name} for name in answer.models]})
    if sent.path.endswith("/inference-profiles"):
        return _encode({"inferenceProfileSummaries": [{"inferenceProfileId": f"us.{name}"} for name in answer.models]})
    body: Json = {"output": {"message": {"role": "assistant", "content": _build_content(answer)}}}
    finish = _choose_finish(answer)
    if finish is not None:
        body["stopReason"] = finish
    if answer.usage is not None:
        body["usage"] = _build_usage(answer.usage)
    return _encode({**body, "metrics": {"latencyMs": 7}})


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer."""
    frames = [build_frame("messageStart", {"role": "assistant"})]
    place = 0
    if answer.thinking:
        pieces: list[Json] = [{"text": piece} for piece in split(answer.thinking, answer.piece)]
        if answer.signature is not None:
            pieces.append({"signature": answer.signature})
        frames += _build_block(place, [{"reasoningContent": piece} for piece in pieces])
        place += 1
    text = answer.text or answer.refusal
    if text:
        frames += _build_block(place, [{"text": piece} for piece in split(text, answer.piece)])
        place += 1
    for number, call in enumerate(answer.calls, place):
        start: Json = {"start": {"toolUse": {"toolUseId": call.id, "name": call.name}}, "contentBlockIndex": number}
        frames.append(build_frame("contentBlockStart", start))
        frames += _build_block(number, [{"toolUse": {"input": piece}} for piece in split(call.arguments, answer.piece)])
    finish = _choose_finish(answer)
    if finish is not None:
        frames.append(build_frame("messageStop", {"stopReason": finish}))
    metadata: Json = {"metrics": {"latencyMs": 7}}
    if answer.usage is not None:
        metadata["usage"] = _build_usage(answer.usage)
    return [*frames, build_frame("metadata", metadata)]


def build_error(status: int, code: str) -> bytes:
    """Build the body of a refusal."""
    return _encode({"__type": _NAMES.get(status, "InternalServerException"), "message": f"The test server: {code}."})


def build_fault(code: str) -> bytes:
    """Build the frame that says that the model failed."""
    return build_frame("modelStreamErrorException", {"message": f"The test server: {code}."}, kind="exception")


def build_frame(name: str, payload: Json, *, kind: str = "event") -> bytes:
    """Build one frame with its headers and both checksums."""
    headers = {
        f":{kind}-type": name,
        ":content-type": "application/json",
        ":message-type": kind,
    }
    head = b"".join(_build_header(key, value) for key, value in headers.items())
    data = _encode(payload)
    prelude = pack("!II", 16 + len(head) + len(data), len(head))
    whole = prelude + pack("!I", crc32(prelude)) + head + data
    return whole + pack("!I", crc32(whole))


_NAMES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def _build_header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + pack("!H", len(value)) + value.encode()


def _build_block(place: int, deltas: Sequence[Json]) -> list[bytes]:
    frames = [build_frame("contentBlockDelta", {"contentBlockIndex": place, "delta": delta}) for delta in deltas]
    return [*frames, build_frame("contentBlockStop", {"contentBlockIndex": place})]


def _build_content(answer: Answer) -> list[Json]:
    content: list[Json] = []
    if answer.thinking:
        thought: Json = {"text": answer.thinking}
        if answer.signature is not None:
            thought["signature"] = answer.signature
        content.append({"reasoningContent": {"reasoningText": thought}})
    if answer.text or answer.refusal:
        content.append({"text": answer.text or answer.refusal})
    return [*content, *({"toolUse": _build_call(call)} for call in answer.calls)]


def _build_call(call: ToolCall) -> Json:
    return {"toolUseId": call.id, "name": call.name, "input": msgspec.Raw(call.arguments.encode())}


def _build_usage(usage: Usage) -> Json:
    """Build the counts; what the cache gave and took is not among the input's."""
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    long = usage.cache_write_long_tokens
    kept = {"1h": long, "5m": usage.cache_write_tokens - long}
    return {
        "inputTokens": plain,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
        "cacheDetails": [{"ttl": ttl, "inputTokens": count} for ttl, count in kept.items() if count],
    }


def _build_vectors(answer: Answer, sent: Sent) -> Json:
    body = sent.body
    if "texts" in body:
        texts = cast("Sequence[str]", body["texts"])
        return {"embeddings": {"float": choose_vectors(answer, texts)}, "response_type": "embeddings_by_type"}
    if "singleEmbeddingParams" in body:
        asked = cast("Json", cast("Json", body["singleEmbeddingParams"])["text"])
        vectors = choose_vectors(answer, [str(asked["value"])])
        return {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0]}]}
    vectors = choose_vectors(answer, [str(body.get("inputText", ""))])
    count = answer.usage.input_tokens if answer.usage is not None else 0
    return {"embedding": vectors[0], "inputTextTokenCount": count}


def _choose_finish(answer: Answer) -> str | None:
    if answer.finish is None or answer.finish:
        return answer.finish
    if answer.stop or answer.refusal:
        return "max_tokens" if answer.stop == "length" else "guardrail_intervened"
    return "tool_use" if answer.calls else "end_turn"
