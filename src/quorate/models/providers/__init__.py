"""How is a request written, and a reply read, in each provider's own words?

A dialect is a module of pure functions: nothing here touches the network, the clock or the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorate.errors import QuorateError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.facts import Provider
from quorate.models.providers import openai
from quorate.specs import Request


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
    """What a provider's module offers."""

    def build_url(self, base_url: str) -> str:
        """Build the address that requests go to."""
        ...

    def build_headers(self, key: str | None) -> dict[str, str]:
        """Build the headers of a request."""
        ...

    def encode(self, request: Request, model_name: str, *, stream: bool = False, max_tokens_field: str = ...) -> bytes:
        """Write a request."""
        ...

    def decode(self, body: bytes) -> Reply:
        """Read a whole reply."""
        ...

    def decode_error(
        self, status: int, body: bytes, *, provider: Provider, model_name: str, retry_after_s: float | None = None
    ) -> QuorateError:
        """Read a refusal."""
        ...

    def build_decoder(self) -> Decoding:
        """Build the reader of one streamed reply."""
        ...


def find_dialect(provider: Provider) -> Dialect:
    """Find the module that speaks a provider's dialect."""
    return DIALECTS[provider.dialect]


DIALECTS: dict[str, Dialect] = {"openai": openai}
