"""Is Vertex AI asked where it is, with a token, in the words of Gemini?"""

import json

import pytest

from quorate.errors import InvalidInput, Unauthenticated, UpstreamError
from quorate.messages import Message, Text, build_user_message
from quorate.models.providers import vertex
from quorate.models.providers.vertex import embed, listing
from quorate.models.target import Target, find_target
from quorate.specs import EmbedRequest, Request

ASKED = Request(messages=(build_user_message("Hi"),))


def find(place: str = "europe-west4", name: str = "gemini-3.8-flash") -> Target:
    values = {"GOOGLE_CLOUD_LOCATION": place, "GOOGLE_CLOUD_PROJECT": "shop-1"}
    return find_target(f"vertex:{name}", credentials=values.get, base_urls={})


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_each_place_has_its_address(place: str, host: str) -> None:
    base = f"https://{host}/v1/projects/shop-1/locations/{place}/publishers/google/models/gemini-3.8-flash"
    assert vertex.encode(ASKED, find(place)).url == f"{base}:generateContent"
    assert vertex.encode(ASKED, find(place), stream=True).url == f"{base}:streamGenerateContent?alt=sse"
    assert listing.encode(find(place)).url == f"https://{host}/v1beta1/publishers/google/models?pageSize=100"


def test_an_address_of_ones_own_is_kept() -> None:
    base = "https://proxy.test/v1/projects/p/locations/global"
    target = find_target("vertex:m", credentials={}.get, base_urls={"vertex": base})
    assert vertex.encode(ASKED, target).url == f"{base}/publishers/google/models/m:generateContent"


def test_a_missing_project_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"`GOOGLE_CLOUD_PROJECT` is not set.*`VERTEX_BASE_URL`"):
        find_target("vertex:m", credentials={"GOOGLE_CLOUD_LOCATION": "eu"}.get, base_urls={})


def test_the_token_is_borne() -> None:
    sending = vertex.encode(ASKED, find())
    signed = vertex.sign(sending, find(), credentials={"GOOGLE_ACCESS_TOKEN": "ya29.x"}.get, now=0)
    assert signed.headers == {"Content-Type": "application/json", "Authorization": "Bearer ya29.x"}
    with pytest.raises(Unauthenticated, match="GOOGLE_ACCESS_TOKEN"):
        vertex.sign(sending, find(), credentials={}.get, now=0)


def test_signatures_are_not_shown_to_the_other_house() -> None:
    """What the Gemini API signed is none of Vertex AI's, and what it signed itself is."""
    parts = (Text(text="a", signature="gcp.gemini:no"), Text(text="b", signature="gcp.vertex_ai:yes"))
    asked = Request(messages=(build_user_message("Hi"), Message(role="assistant", parts=parts)))
    said = json.loads(vertex.encode(asked, find()).body)["contents"][1]["parts"]
    assert said == [{"text": "a"}, {"text": "b", "thoughtSignature": "yes"}]


def test_newer_models_take_one_text_for_a_vector() -> None:
    target = find(name="gemini-embedding-2")
    sending = embed.encode(EmbedRequest(texts=("a",), dimensions=3, purpose="document"), target)
    assert sending.url.endswith("/models/gemini-embedding-2:embedContent")
    assert json.loads(sending.body) == {
        "content": {"parts": [{"text": "title: none | text: a"}]},
        "embedContentConfig": {"outputDimensionality": 3},
    }
    got = embed.decode(b'{"embedding": {"values": [1, 2]}, "usageMetadata": {"promptTokenCount": 4}}', target)
    assert (got.vectors, got.usage.input_tokens) == (((1.0, 2.0),), 4)


def test_older_models_predict_a_vector() -> None:
    target = find(name="gemini-embedding-001")
    sending = embed.encode(EmbedRequest(texts=("a",), dimensions=3, purpose="query"), target)
    assert sending.url.endswith("/models/gemini-embedding-001:predict")
    assert json.loads(sending.body) == {
        "instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}],
        "parameters": {"outputDimensionality": 3},
    }
    got = embed.decode(
        b'{"predictions": [{"embeddings": {"values": [1], "statistics": {"token_count": 4.0}}}]}', target
    )
    assert (got.vectors, got.usage.input_tokens) == (((1.0,),), 4)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"embedding": {"values": []}}', b'{"predictions": [{}]}', b"\xff"])
def test_a_vector_that_is_none_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        embed.decode(body, find())


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Text 0 is empty"):
        embed.encode(EmbedRequest(texts=(" ",)), find())


def test_models_are_listed_by_their_short_names() -> None:
    page = listing.decode(b'{"publisherModels": [{"name": "publishers/google/models/a"}], "nextPageToken": "t"}')
    assert ([one.name for one in page.models], page.next) == (["a"], "t")
    with pytest.raises(UpstreamError, match="garbled"):
        listing.decode(b'{"publisherModels": 7}')
