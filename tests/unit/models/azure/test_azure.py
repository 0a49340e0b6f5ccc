"""Are Azure's addresses, credentials and versions what it wants?"""

import json

import pytest

from quorate.errors import InvalidInput, Unauthenticated
from quorate.messages import build_user_message
from quorate.models.providers import azure
from quorate.models.providers.azure.embed import encode as encode_texts
from quorate.models.providers.azure.listing import encode as encode_list
from quorate.models.target import Sending, Target, find_target
from quorate.specs import EmbedRequest, Request

ASKED = Request(messages=(build_user_message("Hi"),))
V1 = "https://x.test/openai/v1/chat/completions"
DATED = "https://x.test/openai/deployments/mine/chat/completions"


def find(base: str = "https://x.test", name: str = "azure:mine") -> Target:
    return find_target(name, credentials={}.get, base_urls={"azure": base})


def sign(target: Target, **credentials: str) -> Sending:
    return azure.sign(azure.encode(ASKED, target), target, credentials=credentials.get, now=0.0)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://x.test", V1),
        ("https://x.test/", V1),
        ("https://x.test/openai/v1", V1),
        ("https://x.test/openai/v1/", V1),
        ("https://x.test/openai", DATED),
    ],
)
def test_the_address_follows_the_base_url(base: str, url: str) -> None:
    """The undated one, unless the base URL is where the dated ones begin."""
    assert azure.encode(ASKED, find(base)).url == url


def test_it_is_found_by_the_name_of_the_resource() -> None:
    target = find_target("azure:mine", credentials={"AZURE_OPENAI_RESOURCE": "acme"}.get, base_urls={})
    assert azure.encode(ASKED, target).url == "https://acme.openai.azure.com/openai/v1/chat/completions"


def test_a_deployment_is_the_model() -> None:
    """One that is named like its model has that one's facts."""
    assert json.loads(azure.encode(ASKED, find()).body)["model"] == "mine"
    assert find().facts is None
    known = find(name="azure:gpt-5.2")
    assert known.facts is not None
    assert known.price == find_target("openai:gpt-5.2", credentials={}.get, base_urls={}).price


def test_a_name_stays_one_part_of_the_address() -> None:
    url = azure.encode(ASKED, find("https://x.test/openai", "azure:a/../b?c#d")).url
    assert url == "https://x.test/openai/deployments/a%2F..%2Fb%3Fc%23d/chat/completions"


def test_a_key_has_a_header_of_its_own() -> None:
    headers = sign(find(), AZURE_OPENAI_API_KEY="k").headers
    assert headers["api-key"] == "k"
    assert "Authorization" not in headers


def test_a_token_stands_above_the_key() -> None:
    headers = sign(find(), AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_AD_TOKEN="t").headers
    assert headers["Authorization"] == "Bearer t"
    assert "api-key" not in headers


def test_without_either_both_are_named() -> None:
    with pytest.raises(Unauthenticated, match="set `AZURE_OPENAI_API_KEY` or `AZURE_OPENAI_AD_TOKEN`"):
        sign(find())
    with pytest.raises(Unauthenticated, match="`AZURE_OPENAI_AD_TOKEN` holds a space"):
        sign(find(), AZURE_OPENAI_AD_TOKEN="a b")


def test_a_dated_address_has_its_version() -> None:
    target = find("https://x.test/openai")
    signed = sign(target, AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_API_VERSION="2024-10-21")
    assert signed.url == f"{DATED}?api-version=2024-10-21"
    with pytest.raises(InvalidInput, match="`AZURE_OPENAI_API_VERSION` is not set"):
        sign(target, AZURE_OPENAI_API_KEY="k")
    with pytest.raises(InvalidInput, match="is '1&x=y': set it to a version such as"):
        sign(target, AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_API_VERSION="1&x=y")


@pytest.mark.parametrize(("version", "end"), [("preview", "?api-version=preview"), ("2024-10-21", ""), ("", "")])
def test_an_undated_address_has_no_date(version: str, end: str) -> None:
    assert sign(find(), AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_API_VERSION=version).url == V1 + end


def test_vectors_and_lists_have_the_same_addresses() -> None:
    asked = EmbedRequest(texts=("a",))
    assert encode_texts(asked, find()).url == "https://x.test/openai/v1/embeddings"
    assert encode_texts(asked, find("https://x.test/openai")).url == "https://x.test/openai/deployments/mine/embeddings"
    for base in ("https://x.test", "https://x.test/openai", "https://x.test/openai/v1"):
        assert encode_list(find(base)).url == "https://x.test/openai/v1/models"
