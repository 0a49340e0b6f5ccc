"""Are vectors put in the order of their texts, and lists of models read, whoever writes them?"""

import json

import pytest

from quorate.errors import InvalidInput, UpstreamError
from quorate.messages import Usage
from quorate.models.embed import RemoteEmbedder
from quorate.models.providers.openai import embed, listing
from quorate.models.target import Target, find_target
from quorate.specs import EmbedRequest


def find(name: str = "openai:text-embedding-3-small") -> Target:
    return find_target(name, credentials={}.get, base_urls={})


def read(*rows: dict, **rest: object) -> tuple[tuple[float, ...], ...]:
    return embed.decode(json.dumps({"data": list(rows), **rest}).encode(), find()).vectors


def test_a_request_is_short() -> None:
    sending = embed.encode(EmbedRequest(texts=("a", "b")), find())
    assert sending.url == "https://api.openai.com/v1/embeddings"
    assert json.loads(sending.body) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "encoding_format": "float",
    }
    assert json.loads(embed.encode(EmbedRequest(texts=("a",), dimensions=9), find()).body)["dimensions"] == 9


def test_vectors_are_put_in_order() -> None:
    assert read({"embedding": [3, 4], "index": 1}, {"embedding": [1, 2], "index": 0}) == ((1.0, 2.0), (3.0, 4.0))
    assert read({"embedding": [1]}, {"embedding": [2]}) == ((1.0,), (2.0,))


@pytest.mark.parametrize("indexes", [(0, 0), (0, 2), (1, 2), (0, None)])
def test_a_vector_that_is_missing_or_there_twice_is_no_success(indexes: tuple) -> None:
    with pytest.raises(UpstreamError, match="missing, or there twice"):
        read(*({"embedding": [1], "index": index} for index in indexes))


def test_what_was_read_is_counted() -> None:
    body = json.dumps({"data": [{"embedding": [1], "index": 0}], "usage": {"prompt_tokens": 7}, "model": "m"}).encode()
    got = embed.decode(body, find())
    assert (got.usage, got.model) == (Usage(input_tokens=7, requests=1), "m")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data": [{"embedding": "x"}]}', b'{"data": [{}]}', b"\xff"])
def test_garbage_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        embed.decode(body, find())


async def test_a_model_that_answers_gives_no_vectors() -> None:
    embedder = RemoteEmbedder(find("openai:gpt-5.2"), credentials={}.get)
    with pytest.raises(InvalidInput, match=r"`openai:gpt-5\.2` answers questions"):
        await embedder.embed(EmbedRequest(texts=("a",)))


async def test_more_numbers_than_the_model_has_are_refused() -> None:
    embedder = RemoteEmbedder(find(), credentials={}.get)
    with pytest.raises(InvalidInput, match=r"`dimensions` cannot be 2000; .* gives up to 1536"):
        await embedder.embed(EmbedRequest(texts=("a",), dimensions=2000))


def test_a_provider_without_vectors_says_so() -> None:
    with pytest.raises(InvalidInput, match="`deepseek` turns no texts into vectors"):
        RemoteEmbedder(find("deepseek:x"), credentials={}.get)


@pytest.mark.parametrize("name", ["context_length", "context_window", "max_context_length", "max_model_len"])
def test_how_much_a_model_reads_has_many_names(name: str) -> None:
    rows = [{"id": "m", "created": 5, name: 4096, "owned_by": "x"}, {"id": "n", name: None}]
    first, second = listing.decode(json.dumps({"object": "list", "data": rows}).encode()).models
    assert (first.name, first.context_tokens, first.created) == ("m", 4096, 5.0)
    assert (second.name, second.context_tokens, second.created) == ("n", None, None)


def test_a_bare_list_of_models_is_one() -> None:
    """As Together gives it."""
    assert [model.name for model in listing.decode(b'[{"id": "m"}]').models] == ["m"]
