"""How is a request written, and a reply read, in each provider's own words?

A dialect is a module of pure functions: nothing here touches the network, the clock or the environment. What a
provider offers beside answers has modules of its own: `embed` for vectors and `listing` for the models there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from msgspec import Struct

from quorate.errors import InvalidInput, QuorateError
from quorate.messages import Embeddings, Reply, ReplyDone, StreamItem
from quorate.models.credentials import Credentials
from quorate.models.facts import Provider
from quorate.models.framing import Framing
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest, Request


class Decoding(Protocol):
    """A reply that arrives piece by piece; it has a state, and does no I/O."""

    @property
    def is_done(self) -> bool:
        """Whether the provider said that nothing more comes."""
        ...

    @property
    def partial(self) -> str:
        """The text so far."""
        ...

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take the data of one event and return what it says."""
        ...

    def finish(self) -> ReplyDone:
        """Return the whole reply, or raise `Incomplete` with the partial text when it was cut."""
        ...


class Dialect(Protocol):
    """What a dialect's module offers."""

    framing: Framing
    """How its streams are cut into events."""

    def encode(self, request: Request, target: Target, *, stream: bool = False) -> Sending:
        """Write a request, without its credential.

        Raises:
            InvalidInput: It holds something that this format cannot carry; nothing is left out in silence.
        """
        ...

    def sign(self, sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
        """Add the credential.

        Raises:
            Unauthenticated: There is none; the message says which name to set.
        """
        ...

    def decode(self, body: bytes, target: Target) -> Reply:
        """Read a whole reply."""
        ...

    def decode_error(
        self, status: int, body: bytes, target: Target, *, retry_after_s: float | None = None
    ) -> QuorateError:
        """Read a refusal; neither the provider's sentences nor the body are repeated."""
        ...

    def build_decoder(self, target: Target) -> Decoding:
        """Build the reader of one streamed reply."""
        ...


class EmbedDialect(Protocol):
    """What a dialect's module `embed` offers."""

    MAX_TEXTS: int
    """How many texts one call may have."""

    def encode(self, request: EmbedRequest, target: Target) -> Sending:
        """Write a request, without its credential."""
        ...

    def decode(self, body: bytes, target: Target) -> Embeddings:
        """Read the vectors, in the order of the texts."""
        ...


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model that a provider says it serves."""

    name: str
    """As the provider writes it."""
    context_tokens: int | None = None
    created: float | None = None
    """Seconds since 1970."""


class Listing(Struct, frozen=True, kw_only=True):
    """One page of a provider's models."""

    models: tuple[ListedModel, ...]
    next: str = ""
    """What to ask for the next page with; empty at the end."""


class ListDialect(Protocol):
    """What a dialect's module `listing` offers."""

    def encode(self, target: Target, *, page: str = "") -> Sending:
        """Write a request, without its credential."""
        ...

    def decode(self, body: bytes) -> Listing:
        """Read the models."""
        ...


class Token(Struct, frozen=True, kw_only=True):
    """A token that was fetched; it is never shown."""

    value: str
    lasts_s: float
    """Seconds from when it was given."""

    def __repr__(self) -> str:
        return f"<Token for {self.lasts_s:g} s>"


class GrantDialect(Protocol):
    """What a dialect's module `grant` offers, where a call may need a token that is fetched first."""

    def find_source(self, target: Target, credentials: Credentials) -> str | None:
        """Find what a token is fetched with: a file's path, or its text; `None` where the token itself is given.

        Raises:
            Unauthenticated: There is neither; the message says which names to set.
        """
        ...

    def encode(self, source: str, target: Target, *, now: float) -> Sending:
        """Write the request for a token, from the file's text.

        Raises:
            Unauthenticated: It cannot be used.
            MissingExtra: What signs it is not installed.
        """
        ...

    def decode(self, body: bytes) -> Token:
        """Read the token."""
        ...

    def decode_error(
        self, status: int, body: bytes, target: Target, *, retry_after_s: float | None = None
    ) -> QuorateError:
        """Read a refusal; the body is not repeated."""
        ...


def find_dialect(provider: Provider) -> Dialect:
    """Find the module that speaks a provider's dialect; it is loaded at its first use."""
    return cast("Dialect", _load(provider.dialect))  # each module is checked against it in the tests


def find_embedding(provider: Provider) -> EmbedDialect:
    """Find the module that asks a provider for vectors.

    Raises:
        InvalidInput: It has none.
    """
    if not provider.embeddings:
        raise InvalidInput(f"`{provider.name}` turns no texts into vectors: choose another provider for embeddings.")
    return cast("EmbedDialect", _load(provider.dialect, "embed"))  # as above


def find_listing(provider: Provider) -> ListDialect:
    """Find the module that asks a provider for its models.

    Raises:
        InvalidInput: It lists none.
    """
    if not provider.listing:
        raise InvalidInput(f"`{provider.name}` does not list its models: see its documentation.")
    return cast("ListDialect", _load(provider.dialect, "listing"))  # as above


def find_grant(provider: Provider) -> GrantDialect | None:
    """Find the module that fetches a provider's tokens; `None` for one that needs none."""
    return cast("GrantDialect", _load(provider.dialect, "grant")) if provider.file_env else None  # as above


@cache
def _load(*names: str) -> object:
    return import_module(".".join((__name__, *names)))
