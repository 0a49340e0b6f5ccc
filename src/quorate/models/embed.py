"""How are texts turned into vectors by a model at a provider?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from msgspec import structs

from quorate.errors import InvalidInput, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.connections import Connections
from quorate.models.cost import cost_usd, estimate_usage
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.providers import EmbedDialect, find_embedding
from quorate.models.sender import Sender
from quorate.models.target import Target
from quorate.specs import EmbedRequest


@runtime_checkable
class SizedByModel(Protocol):
    """What a dialect's module `embed` offers where one call may have more texts with one model than with another."""

    def find_max_texts(self, target: Target) -> int:
        """Find how many texts one call may have."""
        ...


class RemoteEmbedder:
    """An `Embedder` at a provider.

    More texts than one call may have are sent in several, one after the other.

    Args:
        target: Where the model is, and what is known about it.
        credentials: Gives the credential, anew for every call.
        timeouts: The deadlines of each call.
        connections: The clients of a gateway; one of its own when there are none.

    Raises:
        InvalidInput: The provider turns no texts into vectors.
    """

    def __init__(
        self,
        target: Target,
        *,
        credentials: Credentials,
        timeouts: Timeouts = TIMEOUTS,
        connections: Connections | None = None,
    ) -> None:
        self.target = target
        self._dialect: EmbedDialect = find_embedding(target.provider)
        self._sender = Sender(target, credentials=credentials, timeouts=timeouts, connections=connections)

    def __repr__(self) -> str:
        return f"<RemoteEmbedder {self.target.name}>"

    @property
    def name(self) -> str:
        """The model's name in full."""
        return self.target.name

    @property
    def max_texts(self) -> int:
        """How many texts one call may have."""
        dialect = self._dialect
        return dialect.find_max_texts(self.target) if isinstance(dialect, SizedByModel) else dialect.MAX_TEXTS

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors, in their order; raises what the port says."""
        self._check(request)
        vectors: list[tuple[float, ...]] = []
        usage, model = Usage(), ""
        for part in self._split(request):
            got = await self._ask(part)
            vectors += got.vectors
            usage, model = usage + got.usage, got.model
        if len({len(vector) for vector in vectors}) > 1:
            raise UpstreamError("The model's vectors are not all of the same length.", retryable=True)
        return Embeddings(vectors=tuple(vectors), usage=usage, model=model, cost_usd=cost_usd(usage, self.target.price))

    async def aclose(self) -> None:
        """Close its connections, if nobody shares them; they open again when it is used again."""
        await self._sender.aclose()

    def _check(self, request: EmbedRequest) -> None:
        for place, text in enumerate(request.texts):
            if not text.strip():
                raise InvalidInput(f"Text {place} of {len(request.texts)} is empty, and nothing has no vector.")
        facts, asked = self.target.facts, request.dimensions
        if facts is not None and facts.kind != "embedding":
            raise InvalidInput(f"`{self.name}` answers questions and gives no vectors: choose a model that embeds.")
        most = facts.dimensions if facts is not None else None
        if asked is not None and (asked < 1 or (most is not None and asked > most)):
            known = f"; `{self.name}` gives up to {most}" if most else ""
            raise InvalidInput(f"`dimensions` cannot be {asked}{known}.")

    def _split(self, request: EmbedRequest) -> Iterator[EmbedRequest]:
        texts, most = request.texts, self.max_texts
        if len(texts) <= most:
            if texts:
                yield request
            return
        for start in range(0, len(texts), most):
            yield structs.replace(request, texts=texts[start : start + most])

    async def _ask(self, request: EmbedRequest) -> Embeddings:
        sending = self._dialect.encode(request, self.target)
        body, _ = await self._sender.fetch(sending)
        got = self._dialect.decode(body, self.target)
        if len(got.vectors) != len(request.texts):
            raise UpstreamError(
                f"The model gave {len(got.vectors)} vectors for {len(request.texts)} texts.", retryable=True
            )
        if request.dimensions is not None and any(len(vector) != request.dimensions for vector in got.vectors):
            raise UpstreamError(f"The model's vectors have not the {request.dimensions} numbers that were asked for.")
        if not got.usage.input_tokens:
            counted = sum(len(text.encode()) for text in request.texts)
            return structs.replace(got, usage=estimate_usage(sent_bytes=counted, received_chars=0))
        return got
