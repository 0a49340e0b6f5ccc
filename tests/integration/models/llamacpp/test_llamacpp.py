"""Does a real server of language models understand us: llama.cpp, with a tiny model made on the spot?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from subprocess import PIPE

import msgspec
import pytest

from quorate.errors import TooLarge
from quorate.messages import Message, ReplyDone, TextDelta, ToolCall, ToolResult, build_user_message
from quorate.models.gateway import build_model
from quorate.models.retry import Retrying
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

SERVER = Path(__file__).with_name("serve.py")
HI = (build_user_message("Hi there"),)
SCHEMA = {
    "type": "object",
    "properties": {
        "pet": {"type": "string", "enum": ["cat", "dog"]},
        "old": {"type": "boolean"},
        "ages": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 2},
    },
    "required": ["pet", "old", "ages"],
}


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    pet: str
    old: bool
    ages: list[int]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of llama.cpp in a process of its own, so that its threads and its words stay there."""
    place = tmp_path_factory.mktemp("llamacpp") / "tiny.gguf"
    command = [sys.executable, str(SERVER), str(place)]
    log = place.with_suffix(".log")
    with log.open("w") as said, subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=said, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), log.read_text()[-2_000:]
        yield f"{line}/v1"
        process.stdin.close()
        process.wait(timeout=60)


def connect(address: str) -> Retrying:
    return build_model("llamacpp:tiny", credentials={}.get, base_urls={"llamacpp": address})


def ask(**settings: object) -> Request:
    return Request(messages=HI, settings=ModelSettings(**{"seed": 3, "temperature": 1.0, **settings}))


async def test_it_answers(address: str) -> None:
    """With words, counts, and why it stopped; it costs nothing."""
    async with connect(address) as model:
        reply = await model.complete(ask(max_tokens=9))
    assert reply.stop == "length"
    assert reply.message.text
    assert (reply.usage.output_tokens, reply.estimated, reply.cost_usd) == (9, False, 0.0)
    assert reply.usage.input_tokens > 10


async def test_it_answers_in_pieces(address: str) -> None:
    """Which are the answer that comes whole, for the same seed; its bytes are often no UTF-8."""
    async with connect(address) as model:
        whole = await model.complete(ask(max_tokens=60))
        async with aclosing(model.stream(ask(max_tokens=60))) as stream:
            items = [item async for item in stream]
    last = items[-1]
    assert isinstance(last, ReplyDone)
    assert sum(isinstance(item, TextDelta) for item in items) > 10
    assert "".join(item.text for item in items if isinstance(item, TextDelta)) == last.reply.message.text
    assert last.reply.message == whole.message
    assert last.reply.usage.output_tokens == 60


async def test_an_answer_keeps_its_schema(address: str) -> None:
    """Random numbers write what the schema says, as llama.cpp makes a grammar of it: whole and in pieces."""
    output = OutputSpec(name="answer", json_schema=SCHEMA)
    async with connect(address) as model:
        assert model.profile.native_output
        for seed in range(5):
            settings = ModelSettings(seed=seed, max_tokens=400)
            request = Request(messages=HI, output=output, settings=settings)
            reply = await model.complete(request)
            assert reply.stop == "end", reply
            found = msgspec.json.decode(reply.message.text, type=Answer)
            assert found.pet in ("cat", "dog")
            assert len(found.ages) <= 2
            async with aclosing(model.stream(request)) as stream:
                items = [item async for item in stream]
            assert isinstance(items[-1], ReplyDone)
            msgspec.json.decode(items[-1].reply.message.text, type=Answer)


async def test_an_answer_keeps_a_grammar(address: str) -> None:
    """A field that this server alone knows is sent as it is."""
    async with connect(address) as model:
        for seed in range(5):
            reply = await model.complete(ask(seed=seed, extra={"grammar": 'root ::= "yes" | "no"'}))
            assert reply.message.text in ("yes", "no")


async def test_a_conversation_with_tools_is_taken(address: str) -> None:
    """With a call and its result in it."""
    call = ToolCall(id="call-a", name="look", arguments='{"place":"here"}')
    result = ToolResult(call_id="call-a", name="look", content="a cat")
    history = (*HI, Message(role="assistant", parts=(call,)), Message(role="tool", parts=(result,)))
    look = ToolSpec(name="look", parameters={"type": "object", "properties": {"place": {"type": "string"}}})
    async with connect(address) as model:
        reply = await model.complete(Request(messages=history, tools=(look,), settings=ModelSettings(max_tokens=5)))
    assert 1 <= reply.usage.output_tokens <= 5


async def test_what_is_too_long_is_said_to_be(address: str) -> None:
    """By the server, which counts its own tokens."""
    async with connect(address) as model:
        with pytest.raises(TooLarge):
            await model.complete(Request(messages=(build_user_message("word " * 3_000),)))
