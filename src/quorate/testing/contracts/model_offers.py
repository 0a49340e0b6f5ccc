"""What must a provider do beside answering: turn texts into vectors, and list its models?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from quorate.errors import Incomplete, InvalidInput, QuorateError, RateLimited, Unauthenticated, UpstreamError
from quorate.models.embed import RemoteEmbedder
from quorate.models.listing import list_models
from quorate.models.providers import find_listing
from quorate.specs import EmbedRequest
from quorate.testing.contracts.building import expect
from quorate.testing.contracts.model_case import CANARY, TIMEOUTS, ModelCase
from quorate.testing.provider_server.script import Answer, Script, choose_vectors
from quorate.testing.provider_server.server import ProviderServer, provider_server

TEXTS = ("one", "two and more", "Grüße 🌍", "one")
PAIR = EmbedRequest(texts=("a", "b"))
GARBAGE = (b"", b"null", b"[]", b"{}", b"\xff", b'{"data": [{"embedding": "x"}], "embeddings": 7, "embedding": {}}')
STATUSES: tuple[tuple[int, type[QuorateError]], ...] = (
    (401, Unauthenticated),
    (429, RateLimited),
    (500, UpstreamError),
    (503, UpstreamError),
)


class ModelOffersContract:
    """What every provider must do that embeds or lists; see `quorate.testing.contracts`. The fixture is `case`."""

    async def test_texts_become_vectors(self, case: ModelCase) -> None:
        """In their order, the same for the same text, with what was read and its price."""
        async with _open(case, lambda _: Answer()) as (embedder, _):
            if embedder is None:
                return
            got = await embedder.embed(EmbedRequest(texts=TEXTS))
            priced = embedder.target.price is not None
        assert got.vectors == tuple(tuple(vector) for vector in choose_vectors(Answer(), TEXTS))
        assert embedder.name == case.embedding
        assert got.usage.input_tokens > 0
        assert got.usage.requests >= 1
        assert got.usage.output_tokens == 0
        assert (got.cost_usd is not None) == priced

    async def test_no_texts_give_no_vectors(self, case: ModelCase) -> None:
        """And nobody is asked."""
        async with _open(case, ()) as (embedder, server):
            if embedder is None:
                return
            got = await embedder.embed(EmbedRequest(texts=()))
        assert (got.vectors, got.usage.requests, server.requests) == ((), 0, [])

    async def test_more_texts_than_a_call_may_have(self, case: ModelCase) -> None:
        """They are sent in several, and come back in their order."""
        async with _open(case, lambda _: Answer()) as (embedder, server):
            if embedder is None:
                return
            texts = tuple(f"text {number}" for number in range(embedder.max_texts + 3))
            got = await embedder.embed(EmbedRequest(texts=texts))
        assert got.vectors == tuple(tuple(vector) for vector in choose_vectors(Answer(), texts))
        assert got.usage.requests == len(server.requests) == -(-len(texts) // embedder.max_texts)

    async def test_what_has_no_vector_is_refused(self, case: ModelCase) -> None:
        """An empty text, by its place, before anything is sent."""
        async with _open(case, ()) as (embedder, server):
            if embedder is None:
                return
            with expect(InvalidInput, "Text 1 of 2"):
                await embedder.embed(EmbedRequest(texts=("a", " ")))
            with expect(InvalidInput, "`dimensions`"):
                await embedder.embed(EmbedRequest(texts=("a",), dimensions=0))
        assert server.requests == []

    async def test_how_long_vectors_are_is_said(self, case: ModelCase) -> None:
        """Or refused; and what comes is checked against it."""
        async with _open(case, lambda _: Answer()) as (embedder, server):
            if embedder is None:
                return
            await embedder.embed(EmbedRequest(texts=("a",)))
            error = await _fail(embedder, EmbedRequest(texts=("a",), dimensions=2))
        if isinstance(error, InvalidInput):
            assert len(server.requests) == 1
            return
        assert isinstance(error, UpstreamError)
        assert "2 numbers" in error.message
        assert server.requests[0].body != server.requests[1].body

    async def test_a_vector_too_few_is_no_success(self, case: ModelCase) -> None:
        """Whose the others are would be a guess."""
        async with _open(case, lambda _: Answer(vectors=((1.0, 2.0, 3.0),))) as (embedder, _):
            if embedder is None or embedder.max_texts == 1:
                return
            with expect(UpstreamError, "1 vectors for 2 texts"):
                await embedder.embed(EmbedRequest(texts=("a", "b")))

    async def test_vectors_that_are_none_are_no_success(self, case: ModelCase) -> None:
        """Garbage, refusals, and answers that were cut."""
        script = [*(Answer(raw=body) for body in GARBAGE), *(Answer(status=status) for status, _ in STATUSES)]
        async with _open(case, [*script, Answer(cut_at=20), Answer(cut_at=20, cut="abort")]) as (embedder, _):
            if embedder is None:
                return
            for _body in GARBAGE:
                assert isinstance(await _fail(embedder), UpstreamError)
            for _status, kind in STATUSES:
                error = await _fail(embedder)
                assert isinstance(error, kind)
                assert CANARY not in f"{error!r} {error.context} {embedder!r}"
            for _how in ("end", "abort"):
                assert isinstance(await _fail(embedder), (Incomplete, UpstreamError))

    async def test_models_are_listed(self, case: ModelCase) -> None:
        """By the names they are asked with."""
        answer = Answer(models=("first-model", "second-model"))
        async with provider_server([answer], key=case.key) as server:
            target = case.find_target(server)
            if not (case.listing and target.provider.listing):
                return
            models = await list_models(target, credentials=case.get_credential, timeouts=TIMEOUTS)
        assert [model.name for model in models] == ["first-model", "second-model"]
        assert [sent.method for sent in server.requests] == ["GET"]
        for garbage in (b"", b"7", b"\xff"):
            with expect(UpstreamError):
                find_listing(target.provider).decode(garbage)


@asynccontextmanager
async def _open(case: ModelCase, script: Script) -> AsyncGenerator[tuple[RemoteEmbedder | None, ProviderServer]]:
    """Open a server and what asks it for vectors; nothing of the sort where the provider has none."""
    async with provider_server(script, key=case.key) as server:
        if not case.embedding:
            yield None, server
            return
        target = case.find_target(server, case.embedding)
        embedder = RemoteEmbedder(target, credentials=case.get_credential, timeouts=TIMEOUTS)
        try:
            yield embedder, server
        finally:
            await embedder.aclose()


async def _fail(embedder: RemoteEmbedder, request: EmbedRequest = PAIR) -> QuorateError:
    try:
        got = await embedder.embed(request)
    except QuorateError as error:
        return error
    raise AssertionError(f"this was taken for a success: {got!r}")
