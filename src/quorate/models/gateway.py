"""Which layers stand between an agent and a provider, and which provider does a model's name mean?

The gateway is a stack of layers with the same methods; `build_model` builds it, and reads inside out.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct, structs

from quorate.errors import Incomplete, InvalidInput, QuorateError, UpstreamError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.addresses import Guard, check_base_url, is_loopback_name
from quorate.models.cost import Price, cost_usd, estimate_usage
from quorate.models.credentials import Credentials, find_key
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.facts import Provider, load_table
from quorate.models.providers import Decoding, Dialect, find_dialect
from quorate.models.retry import RETRY_POLICY, Retrying, RetryPolicy, read_retry_after
from quorate.models.sse import EventParser
from quorate.specs import ModelProfile, Request

if TYPE_CHECKING:
    from quorate.models.http import HttpClient, Received

MAX_ERROR_BYTES = 64 << 10
_MODEL_NAME = re.compile(r"[!-~]{1,128}")


class Target(Struct, frozen=True, kw_only=True):
    """Where a model is, and what is known about it."""

    provider: Provider
    model_name: str
    base_url: str
    guard: Guard
    price: Price | None = None
    context_tokens: int | None = None

    @property
    def name(self) -> str:
        """The model's name in full."""
        return f"{self.provider.name}:{self.model_name}"


def build_model(
    name: str,
    *,
    credentials: Credentials,
    base_urls: Mapping[str, str] | None = None,
    timeouts: Timeouts = TIMEOUTS,
    retry: RetryPolicy = RETRY_POLICY,
) -> Retrying:
    """Build a model from its name, such as `openai:gpt-5.2`; nothing is connected before it is used.

    Args:
        name: `provider:model`; any model the provider serves, known here or not.
        credentials: Gives the value of an environment name, for the key and for the base URL; `os.environ.get` will do.
        base_urls: Where providers are, by name, instead of what `credentials` or the table says.
        timeouts: The deadlines of each attempt.
        retry: How a failed call is made again.

    Raises:
        UnknownName: There is no such provider.
        InvalidInput: The name or the base URL is not one.
        Unauthenticated: The provider needs a key and there is none.
    """
    target = find_target(name, credentials=credentials, base_urls=base_urls or {})
    find_key(target.provider, credentials)
    return Retrying(RemoteModel(target, credentials=credentials, timeouts=timeouts), policy=retry)


def find_target(name: str, *, credentials: Credentials, base_urls: Mapping[str, str]) -> Target:
    """Find where a named model is: what the operator says, else what the table says."""
    table = load_table()
    provider_name, _, model_name = name.partition(":")
    provider = table.find_provider(provider_name)
    if not _MODEL_NAME.fullmatch(model_name):
        raise InvalidInput(f"{name!r} names no model: write `{provider_name}:MODEL`, such as `openai:gpt-5.2`.")
    stated, what = base_urls.get(provider_name), f"The base URL of {provider_name!r}"
    if not stated and provider.base_url_env is not None:
        stated, what = credentials(provider.base_url_env), f"`{provider.base_url_env}`"
    base_url = (stated or "").strip() or provider.base_url
    is_named = base_url.rstrip("/") != provider.base_url
    scheme = check_base_url(base_url, what=what)
    host = urlsplit(base_url).hostname or ""
    facts = table.find_facts(name)
    return Target(
        provider=provider,
        model_name=model_name,
        base_url=base_url,
        guard=Guard(scheme=scheme, private=is_named or is_loopback_name(host)),
        price=table.find_price(name),
        context_tokens=facts.context_tokens if facts else None,
    )


class RemoteModel:
    """A `Model` at a provider: encode, send, decode, and nothing else.

    It opens connections when they are needed and can be used in one event loop after the other; `aclose` closes them,
    and the end of an event loop does.
    """

    def __init__(self, target: Target, *, credentials: Credentials, timeouts: Timeouts = TIMEOUTS) -> None:
        provider = target.provider
        self.profile = ModelProfile(
            name=target.name,
            provider=provider.otel,
            native_output=provider.native_output,
            context_tokens=target.context_tokens,
            priced=target.price is not None,
        )
        self._target = target
        self._credentials = credentials
        self._timeouts = timeouts
        self._dialect: Dialect = find_dialect(provider)
        self._client: HttpClient | None = None

    def __repr__(self) -> str:
        return f"<RemoteModel {self._target.name}>"

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the port says."""
        body = self._encode(request, stream=False)
        async with self._send(body, stream=False) as received:
            data = await received.read()
        return self._book(self._dialect.decode(data), body)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; what fails once a piece was given out is `Incomplete`."""
        body = self._encode(request, stream=True)
        decoder = self._dialect.build_decoder()
        given: list[bool] = []
        try:
            async with self._send(body, stream=True) as received:
                check_is_stream(received)
                events = EventParser()
                while not decoder.is_done:
                    piece = await received.read_chunk(has_begun=bool(given))
                    if not piece:
                        break
                    for event in events.feed(piece):
                        for item in decoder.feed(event):
                            if not given:
                                given.append(True)
                            yield item
                await received.drain()
            done = decoder.finish()
        except QuorateError as error:
            if not given:
                raise
            raise build_cut(decoder, error) from error
        yield ReplyDone(self._book(done.reply, body))

    async def aclose(self) -> None:
        """Close this event loop's connections; they open again when the model is used again."""
        if self._client is not None:
            await self._client.aclose()

    def _encode(self, request: Request, *, stream: bool) -> bytes:
        target = self._target
        return self._dialect.encode(
            request, target.model_name, stream=stream, max_tokens_field=target.provider.max_tokens_field
        )

    @asynccontextmanager
    async def _send(self, body: bytes, *, stream: bool) -> AsyncGenerator[Received]:
        """Send a request and give the answer, if it is one of success."""
        target = self._target
        headers = self._dialect.build_headers(find_key(target.provider, self._credentials))
        if stream:
            headers |= {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        client = await self._get_client()
        url = self._dialect.build_url(target.base_url)
        first_s = self._timeouts.first_s if stream else None
        async with client.send(url, body, headers=headers, first_s=first_s) as received:
            if not 200 <= received.status < 300:
                raise await self._read_error(received)
            yield received

    async def _read_error(self, received: Received) -> QuorateError:
        target = self._target
        try:
            body = await received.read(most=MAX_ERROR_BYTES)
        except QuorateError:  # the status says enough
            body = b""
        return self._dialect.decode_error(
            received.status,
            body[:MAX_ERROR_BYTES],
            provider=target.provider,
            model_name=target.model_name,
            retry_after_s=read_retry_after(received.headers, now=time.time()),
        )

    async def _get_client(self) -> HttpClient:
        if self._client is None:
            # Importing an HTTP client takes longer than an event loop may be held up, so a thread does it.
            client = await asyncio.to_thread(load_client, self._target.guard, self._timeouts)
            self._client = self._client or client
        return self._client

    def _book(self, reply: Reply, body: bytes) -> Reply:
        """Add what the call cost, counting for ourselves where the provider did not."""
        usage = reply.usage
        if not usage.total_tokens:
            text = sum(len(call.arguments) + len(call.name) for call in reply.message.tool_calls)
            usage = estimate_usage(sent_bytes=len(body), received_chars=len(reply.message.text) + text)
        return structs.replace(reply, usage=usage, cost_usd=cost_usd(usage, self._target.price))


def load_client(guard: Guard, timeouts: Timeouts) -> HttpClient:
    """Load the HTTP client, at its first use: it is most of what a start would cost."""
    from quorate.models.http import HttpClient

    return HttpClient(guard=guard, timeouts=timeouts)


def check_is_stream(received: Received) -> None:
    """Raise `UpstreamError` when a server answers in one piece where a stream was asked for."""
    kind = received.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", "text/html", "text/plain"):
        raise UpstreamError(f"The server answered {kind!r} where a stream of events was asked for.")


def build_cut(decoder: Decoding, error: QuorateError) -> Incomplete:
    """Say that an answer was cut after a part of it was given out: it is never joined with another."""
    if isinstance(error, Incomplete) and "partial" in error.context:
        return error
    return Incomplete(
        f"The model's reply is not whole: {error.message}", limit="stream", partial=decoder.partial, cause=error.code
    )
