"""How is a model at a provider asked: encode, sign, send, decode, and nothing else?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from time import time
from typing import TYPE_CHECKING

from msgspec import structs

from quorate.errors import Incomplete, QuorateError, UpstreamError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.connections import Connections
from quorate.models.cost import cost_usd, estimate_usage
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.framing import Framing, build_parser
from quorate.models.providers import Decoding
from quorate.models.sender import Sender
from quorate.models.target import Sending, Target
from quorate.specs import Request

if TYPE_CHECKING:
    from quorate.models.http import Received

REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-goog-request-id", "cf-ray")
"""Where providers say which call it was."""


class RemoteModel:
    """A `Model` at a provider.

    It opens connections when they are needed and can be used in one event loop after the other; `aclose` closes them,
    and the end of an event loop does.

    Args:
        target: Where the model is, and what is known about it.
        credentials: Gives the credential, anew for every call.
        timeouts: The deadlines of each call.
        connections: The clients of a gateway; one of its own when there are none.
        now: Wall time, which some providers want signed.
    """

    def __init__(
        self,
        target: Target,
        *,
        credentials: Credentials,
        timeouts: Timeouts = TIMEOUTS,
        connections: Connections | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self.profile = target.build_profile()
        self.target = target
        self.sender = Sender(target, credentials=credentials, timeouts=timeouts, connections=connections, now=now)
        self._dialect = self.sender.dialect
        self._now = now

    def __repr__(self) -> str:
        return f"<RemoteModel {self.target.name}>"

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the port says."""
        sending = self._dialect.encode(request, self.target)
        data, headers = await self.sender.fetch(sending)
        return self._book(self._dialect.decode(data, self.target), sending, find_request_id(headers))

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; what fails once a piece was given out is `Incomplete`."""
        sending = self._dialect.encode(request, self.target, stream=True)
        decoder = self._dialect.build_decoder(self.target)
        feed = decoder.feed
        given = False
        try:
            async with self.sender.open_stream(sending) as received:
                check_is_stream(received, self._dialect.framing)
                parser = build_parser(self._dialect.framing)
                while not decoder.is_done:
                    piece = await received.read_chunk(has_begun=given)
                    if not piece:
                        break
                    for event in parser.feed(piece):
                        for item in feed(event):
                            given = True
                            yield item
                await received.drain()
            done = decoder.finish()
        except QuorateError as error:
            if not given:
                raise
            raise build_cut(decoder, error) from error
        yield ReplyDone(self._book(done.reply, sending, find_request_id(received.headers)))

    async def aclose(self) -> None:
        """Close this event loop's connections; they open again when the model is used again."""
        await self.sender.aclose()

    def _book(self, reply: Reply, sending: Sending, request_id: str) -> Reply:
        """Add what the call cost, counting for ourselves where the provider did not."""
        usage = reply.usage
        estimated = not usage.total_tokens
        if estimated:
            text = sum(len(call.arguments) + len(call.name) for call in reply.message.tool_calls)
            usage = estimate_usage(sent_bytes=len(sending.body), received_chars=len(reply.message.text) + text)
        return structs.replace(
            reply,
            usage=usage,
            cost_usd=cost_usd(usage, self.target.price, now=self._now()),
            request_id=request_id,
            estimated=estimated,
        )


def find_request_id(headers: Mapping[str, str]) -> str:
    """Find the provider's id for a call, or return nothing."""
    for name in REQUEST_IDS:
        found = headers.get(name)
        if found is not None and found.isprintable():
            return found[:128]
    return ""


def check_is_stream(received: Received, framing: Framing) -> None:
    """Raise `UpstreamError` when a server answers in one piece where a stream was asked for."""
    kind = received.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "text/plain") or (kind == "application/json" and framing == "events"):
        raise UpstreamError(f"The server answered {kind!r} where a stream of events was asked for.")


def build_cut(decoder: Decoding, error: QuorateError) -> Incomplete:
    """Say that an answer was cut after a part of it was given out: it is never joined with another."""
    if isinstance(error, Incomplete) and "partial" in error.context:
        return error
    return Incomplete(
        f"The model's reply is not whole: {error.message}", limit="stream", partial=decoder.partial, cause=error.code
    )
