"""What differs from provider to provider in the contract of models, and how is one asked?"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager

import msgspec
from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.messages import (
    AnyPart,
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    build_user_message,
)
from quorate.models.deadlines import Timeouts
from quorate.models.remote import RemoteModel
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, Request, ToolSpec
from quorate.testing.provider_server.script import Script, Sent
from quorate.testing.provider_server.server import ProviderServer, provider_server

UNSET = ModelSettings()
CANARY = "canary-0123456789abcdef"
"""A key that may be seen in a request's headers, and nowhere else."""
COUNTS = frozenset({"cached_tokens", "reasoning_tokens"})
PARTS = frozenset({"image"})
TIMEOUTS = Timeouts(connect_s=5.0, first_s=10.0, idle_s=10.0, total_s=30.0)
LOOK = ToolSpec(
    name="look",
    description="Looks at a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
WAIT = ToolSpec(name="wait", description="Waits.")
CALLS = (
    ToolCall(id="call-a", name="look", arguments='{"place":"here"}'),
    ToolCall(id="call-b", name="look", arguments='{"place":"there"}'),
)


class ModelCase(Struct, frozen=True, kw_only=True):
    """One provider: how its test server is reached, and what its format has a place for."""

    model: str
    """The name in full, such as `openai:gpt-5.2`."""
    credentials: Mapping[str, str]
    """The values of environment names, `CANARY` where a key stands."""
    locate: Callable[[ProviderServer], str] = lambda server: server.url
    """Gives the base URL of a test server."""
    key: str | None = CANARY
    """What the server takes for the key; `None` where none is sent."""
    parts: frozenset[str] = PARTS
    """Which of `image`, `image_url`, `audio`, `file` it carries; the others must be refused."""
    counts: frozenset[str] = COUNTS
    """Which counts of `Usage` it tells apart, beside input and output."""
    ids: bool = True
    """Whether a call keeps the provider's id."""
    thinking: bool = True
    """Whether reasoning comes with an answer."""
    signatures: bool = False
    """Whether reasoning is signed and given back."""
    refusals: bool = True
    """Whether a refusal has a place of its own."""
    filtered: bool = True
    """Whether a provider says that it cut an answer for its contents."""
    open_stops: bool = True
    """Whether why an answer stopped is any word, so that one can be unknown."""
    embedding: str = ""
    """The name in full of a model that gives vectors, where the provider has one."""
    listing: bool = True
    """Whether it lists its models."""

    def find_target(self, server: ProviderServer, name: str = "") -> Target:
        """Find where a model is: at the test server."""
        provider = self.model.partition(":")[0]
        return find_target(
            name or self.model, credentials=self.get_credential, base_urls={provider: self.locate(server)}
        )

    def get_credential(self, name: str) -> str | None:
        """Return the value of an environment name."""
        return self.credentials.get(name)

    @asynccontextmanager
    async def connect(
        self, script: Script, *, key: str | None = None
    ) -> AsyncGenerator[tuple[RemoteModel, ProviderServer]]:
        """Open a server that plays a script, and a model that asks it."""
        async with provider_server(script, key=key or self.key) as server:
            model = RemoteModel(self.find_target(server), credentials=self.get_credential, timeouts=TIMEOUTS)
            try:
                yield model, server
            finally:
                await model.aclose()


class Watched(Struct, frozen=True, kw_only=True):
    """A stream that was read to its end."""

    items: tuple[StreamItem, ...]

    @property
    def text(self) -> str:
        """The words that came in pieces."""
        return "".join(item.text for item in self.items if isinstance(item, TextDelta))

    @property
    def thinking(self) -> str:
        """The reasoning that came in pieces."""
        return "".join(item.text for item in self.items if isinstance(item, ThinkingDelta))

    @property
    def reply(self) -> Reply:
        """The reply at the end, of which there is exactly one."""
        assert sum(isinstance(item, ReplyDone) for item in self.items) == 1
        last = self.items[-1]
        assert isinstance(last, ReplyDone), f"the stream ended with {type(last).__name__}"
        return last.reply

    def join_arguments(self, call_id: str) -> str:
        """Join the pieces of one call's arguments."""
        return "".join(
            item.arguments for item in self.items if isinstance(item, ToolCallDelta) and item.call_id == call_id
        )


async def watch(model: RemoteModel, request: Request, given: list[StreamItem] | None = None) -> Watched:
    """Read a stream to its end; `given` keeps what came when it fails."""
    items: list[StreamItem] = [] if given is None else given
    async with aclosing(model.stream(request)) as stream:
        async for item in stream:
            items.append(item)
    return Watched(items=tuple(items))


async def ask(model: RemoteModel, request: Request, *, stream: bool, given: list[StreamItem] | None = None) -> Reply:
    """Ask in one of the two ways."""
    return (await watch(model, request, given)).reply if stream else await model.complete(request)


async def is_refused(model: RemoteModel, request: Request) -> bool:
    """Whether a request is refused before it is sent."""
    try:
        await model.complete(request)
    except InvalidInput:
        return True
    return False


def build_request(
    *parts: AnyPart,
    tools: tuple[ToolSpec, ...] = (),
    history: tuple[Message, ...] = (),
    settings: ModelSettings = UNSET,
) -> Request:
    """Build a request of one message, or of some history."""
    messages = history or (build_user_message(parts or "Hi"),)
    return Request(messages=messages, tools=tools, settings=settings)


def write_body(sent: Sent) -> str:
    """Write what was sent as JSON, to look for words in it."""
    return msgspec.json.encode(sent.body).decode()


def encode_bytes(data: bytes) -> str:
    """Write bytes as they stand in JSON, without the padding that some formats leave out."""
    return b64encode(data).decode().rstrip("=")
