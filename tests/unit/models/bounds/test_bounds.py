"""Is what a hostile server sends refused before memory is filled with it?"""

from __future__ import annotations

import json

import pytest
from tests.unit.models.providers.test_calls import ALL, find

from quorate.errors import QuorateError, TooLarge
from quorate.models.bounds import MAX_NODES, check_document
from quorate.models.framing import build_parser
from quorate.models.providers import find_dialect
from quorate.testing.provider_server.bedrock import build_frame

FLOOD = b'{"choices":[' + b"{}," * (MAX_NODES + 1) + b"{}]}"


def test_many_objects_are_too_many() -> None:
    with pytest.raises(TooLarge, match="more than 250000 objects and lists"):
        check_document(FLOOD)
    check_document(b"{}" * 100)
    check_document(b"x" * (8 << 20))


def test_a_long_answer_is_read() -> None:
    """As long as any model writes, and full of braces."""
    words = json.dumps([{"a": [place]} for place in range(60_000)])
    body = json.dumps({"choices": [{"message": {"content": words}, "finish_reason": "stop"}]}).encode()
    assert find_dialect(find("openai:gpt-5.2").provider).decode(body, find("openai:gpt-5.2")).message.text == words


@pytest.mark.parametrize("name", ALL)
def test_a_flood_is_refused_whole(name: str) -> None:
    target = find(name)
    with pytest.raises(TooLarge):
        find_dialect(target.provider).decode(FLOOD, target)


@pytest.mark.parametrize("framing", ["events", "lines", "frames"])
def test_a_flood_is_refused_in_a_stream(framing: str) -> None:
    written = {"events": b"data: " + FLOOD + b"\n\n", "lines": FLOOD + b"\n", "frames": b""}
    written["frames"] = build_frame("metadata", json.loads(FLOOD))
    parser = build_parser(framing)  # type: ignore[arg-type]
    with pytest.raises(QuorateError, match="objects and lists"):
        parser.feed(written[framing])
