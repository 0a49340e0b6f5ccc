"""What would each provider's server send, as bytes; and who reads it?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import msgspec
from tests.contract.test_models import CASES

from quorate.messages import ReplyDone, StreamItem, Usage
from quorate.models.cost import cost_usd
from quorate.models.framing import build_parser
from quorate.models.providers import Decoding, Dialect, find_dialect
from quorate.models.target import Sending, Target
from quorate.testing.contracts.model_case import CALLS, LOOK, ModelCase, build_request
from quorate.testing.provider_server.script import Answer, Json, Sent
from quorate.testing.provider_server.server import ProviderServer, find_wire
from quorate.testing.provider_server.wire import Wire

NAMES = [case.model.partition(":")[0] for case in CASES]
ASKED = build_request(tools=(LOOK,))
FULL = Usage(input_tokens=100, output_tokens=30, cached_tokens=40, cache_write_tokens=8, reasoning_tokens=5, requests=1)
ANSWERS = (
    Answer(text="Grüße, dear world 🌍.", piece=4, usage=FULL),
    Answer(text="Grüße", thinking="Let me see.", calls=CALLS, signature="c2lnbmVk", piece=5),
    Answer(text="Hel", stop="length", usage=None),
    Answer(refusal="I cannot.", piece=3),
)


class Subject:
    """One provider: its dialect, and what its test server would send."""

    def __init__(self, case: ModelCase) -> None:
        server = ProviderServer(())
        server.origin = "http://127.0.0.1:9"
        server.url = f"{server.origin}/v1"
        self.target: Target = case.find_target(server)
        self.dialect: Dialect = find_dialect(self.target.provider)
        self.embedding: Target | None = case.find_target(server, case.embedding) if case.embedding else None

    def find_wire(self, sending: Sending, *, stream: bool = False) -> tuple[Wire, Sent]:
        """Find who would answer a request, and what they would see."""
        parts = urlsplit(sending.url)
        path = unquote(parts.path)
        wire = find_wire(path)
        assert wire is not None, f"nobody serves {path!r}"
        body = msgspec.json.decode(sending.body, type=Json) if sending.body else {}
        sent = Sent(path=path, headers={}, body=body, query=parts.query, method=sending.method, is_stream=stream)
        return wire, sent

    def build_bodies(self) -> list[bytes]:
        """Build whole replies."""
        wire, sent = self.find_wire(self.dialect.encode(ASKED, self.target))
        return [wire.build_body(answer, sent) for answer in ANSWERS]

    def build_errors(self) -> list[bytes]:
        """Build refusals."""
        wire, _ = self.find_wire(self.dialect.encode(ASKED, self.target))
        return [wire.build_error(status, "rate_limit_exceeded") for status in (400, 404, 429, 500)]

    def build_streams(self) -> list[list[bytes]]:
        """Build streamed replies, as frames, and one that fails in the middle."""
        wire, sent = self.find_wire(self.dialect.encode(ASKED, self.target, stream=True), stream=True)
        streams = [list(wire.build_frames(answer, sent)) for answer in ANSWERS]
        return [*streams, [*streams[0][:2], wire.build_fault("server_error")]]

    def read_whole(self, body: bytes) -> None:
        """Read a whole reply, and do with it what is done with replies."""
        reply = self.dialect.decode(body, self.target)
        check_reply(ReplyDone(reply), self.target)

    def read_error(self, status: int, body: bytes) -> None:
        """Read a refusal; it is raised, as every other fault is."""
        raise self.dialect.decode_error(status, body, self.target)

    def read_stream(self, pieces: Sequence[bytes]) -> list[StreamItem]:
        """Read a stream as a model behind a provider does."""
        parser, decoder = build_parser(self.dialect.framing), self.dialect.build_decoder(self.target)
        items: list[StreamItem] = []
        for piece in pieces:
            for event in parser.feed(piece):
                items += decoder.feed(event)
            if decoder.is_done:
                break
        return self._finish(decoder, items)

    def read_events(self, events: Sequence[bytes]) -> list[StreamItem]:
        """Read events that a parser has cut."""
        decoder = self.dialect.build_decoder(self.target)
        items: list[StreamItem] = []
        for event in events:
            items += decoder.feed(event)
            if decoder.is_done:
                break
        return self._finish(decoder, items)

    def cut_events(self, frames: Sequence[bytes]) -> list[bytes]:
        """Cut a stream into its events."""
        return list(build_parser(self.dialect.framing).feed(b"".join(frames)))

    def _finish(self, decoder: Decoding, items: list[StreamItem]) -> list[StreamItem]:
        assert not any(isinstance(item, ReplyDone) for item in items), "the end was given out before it came"
        assert isinstance(decoder.partial, str)
        done = decoder.finish()
        check_reply(done, self.target)
        return [*items, done]


def check_reply(done: ReplyDone, target: Target) -> None:
    """Check that a reply can be booked, recorded and shown."""
    reply = done.reply
    assert reply.message.role == "assistant"
    assert min(reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) >= 0
    cost = cost_usd(reply.usage, target.price)
    assert cost is None or cost >= 0
    msgspec.json.encode(reply)


def cut_anywhere(whole: bytes, chance: random.Random) -> list[bytes]:
    """Cut bytes into some pieces."""
    if len(whole) < 2:
        return [whole]
    ends = sorted(chance.sample(range(1, len(whole)), k=min(len(whole) - 1, chance.randrange(4))))
    return [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]
