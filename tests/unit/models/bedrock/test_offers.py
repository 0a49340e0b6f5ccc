"""How does Bedrock turn texts into vectors, and list its models?"""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.models.bedrock.cases import build_target

from quorate.errors import InvalidInput, UpstreamError
from quorate.models.providers.bedrock import embed, listing
from quorate.specs import EmbedRequest

TITAN, COHERE, NOVA = "amazon.titan-embed-text-v2:0", "cohere.embed-v4:0", "amazon.nova-2-multimodal-embeddings-v1:0"


@pytest.mark.parametrize(
    ("name", "request_", "wanted"),
    [
        (TITAN, EmbedRequest(texts=("a",)), {"inputText": "a"}),
        (TITAN, EmbedRequest(texts=("a",), dimensions=256), {"inputText": "a", "dimensions": 256}),
        (
            COHERE,
            EmbedRequest(texts=("a", "b"), purpose="query", dimensions=512),
            {"texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 512},
        ),
        (
            NOVA,
            EmbedRequest(texts=("a",), purpose="query"),
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_RETRIEVAL",
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
    ],
)
def test_each_family_has_a_form_of_its_own(name: str, request_: EmbedRequest, wanted: dict[str, object]) -> None:
    sending = embed.encode(request_, build_target(name))
    assert sending.url.endswith(f"/model/{name}/invoke")
    assert msgspec.json.decode(sending.body) == wanted


def test_how_many_texts_a_call_takes() -> None:
    assert embed.find_max_texts(build_target(COHERE)) == 96
    assert embed.find_max_texts(build_target(TITAN)) == embed.MAX_TEXTS == 1


@pytest.mark.parametrize(
    ("name", "request_", "words"),
    [
        (TITAN, EmbedRequest(texts=("a", "b")), "takes one text a call, not 2"),
        ("amazon.titan-embed-text-v1", EmbedRequest(texts=("a",), dimensions=9), "one length alone"),
        ("cohere.embed-english-v3", EmbedRequest(texts=("a",), dimensions=9), "one length alone"),
        ("meta.llama3-3-70b-instruct-v1:0", EmbedRequest(texts=("a",)), "is unknown; known: Amazon Titan"),
    ],
)
def test_what_cannot_be_asked_is_refused(name: str, request_: EmbedRequest, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        embed.encode(request_, build_target(name))


@pytest.mark.parametrize(
    "body",
    [
        b'{"embedding":[1.0,2],"inputTextTokenCount":3}',
        b'{"embeddings":{"float":[[1,2]]}}',
        b'{"embeddings":[[1,2]]}',
        b'{"embeddings":[{"embeddingType":"TEXT","embedding":[1,2]}]}',
    ],
)
def test_vectors_are_read(body: bytes) -> None:
    assert embed.decode(body, build_target(TITAN)).vectors == ((1.0, 2.0),)


def test_what_they_cost_is_read() -> None:
    found = embed.decode(b'{"embedding":[1],"inputTextTokenCount":3}', build_target(TITAN))
    assert (found.usage.input_tokens, found.model) == (3, TITAN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"embedding":[]}',
        b'{"embedding":["a"]}',
        b'{"embeddings":{}}',
        b'{"embeddings":[[1],[1,2]]}',
        b"\xff",
    ],
)
def test_vectors_that_are_none_are_named(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="vectors are"):
        embed.decode(body, build_target(TITAN))


def test_models_and_then_profiles_are_asked_for() -> None:
    """Of the other host; a page's token goes back as it came."""
    target = build_target()
    first = listing.encode(target)
    assert (first.method, first.url) == ("GET", "https://bedrock.us-east-1.amazonaws.com/foundation-models")
    models = listing.decode(b'{"modelSummaries":[{"modelId":"a.b-v1:0"}]}')
    assert [model.name for model in models.models] == ["a.b-v1:0"]
    second = listing.encode(target, page=models.next)
    assert second.url == "https://bedrock.us-east-1.amazonaws.com/inference-profiles?maxResults=200"
    profiles = listing.decode(
        b'{"inferenceProfileSummaries":[{"inferenceProfileId":"us.a.b-v1:0"}],"nextToken":"a/b+c="}'
    )
    assert [model.name for model in profiles.models] == ["us.a.b-v1:0"]
    assert listing.encode(target, page=profiles.next).url.endswith("?maxResults=200&nextToken=a%2Fb%2Bc%3D")
    assert listing.decode(b'{"inferenceProfileSummaries":[]}').next == ""


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"modelSummaries":[{}]}', b'{"inferenceProfileSummaries":[],"nextToken":"\\u0000"}']
)
def test_a_list_that_is_none_is_named(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="list of models"):
        listing.decode(body)
