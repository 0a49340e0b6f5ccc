"""Is a provider asked for all of its models, and for no more than can be held?"""

import msgspec
import pytest

from quorate.errors import InvalidInput, Unauthenticated, UpstreamError
from quorate.models.listing import MAX_PAGES, list_models
from quorate.models.target import Target, find_target
from quorate.testing.provider_server import Answer, ProviderServer, Sent, provider_server

KEYS = {"ANTHROPIC_API_KEY": "a-key-0123456789", "OPENAI_API_KEY": "a-key-0123456789"}


def find_place(server: ProviderServer, provider: str) -> Target:
    urls = {"anthropic": f"{server.origin}/anthropic/v1", "openai": server.url, "litellm": server.url}
    return find_target(f"{provider}:any", credentials=KEYS.get, base_urls=urls)


def build_page(name: str, *, more: bool) -> Answer:
    page = {"data": [{"id": name, "type": "model"}], "has_more": more, "first_id": name, "last_id": name}
    return Answer(raw=msgspec.json.encode(page))


async def test_all_pages_are_read() -> None:
    """In the provider's order, each model once."""
    pages = [build_page("a", more=True), build_page("b", more=True), build_page("a", more=False)]
    async with provider_server(pages) as server:
        found = await list_models(find_place(server, "anthropic"), credentials=KEYS.get)
    assert [model.name for model in found] == ["a", "b"]
    assert ["after_id" in sent.query for sent in server.requests] == [False, True, True]


async def test_a_list_without_end_is_cut() -> None:
    """A server that always has one page more is left at some time."""
    count = 0

    def answer(_: Sent) -> Answer:
        nonlocal count
        count += 1
        return build_page(f"model-{count}", more=True)

    async with provider_server(answer) as server:
        found = await list_models(find_place(server, "anthropic"), credentials=KEYS.get)
    assert len(found) == MAX_PAGES


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=401), Unauthenticated),
        (Answer(status=500), UpstreamError),
        (Answer(raw=b"<html>"), UpstreamError),
        (Answer(raw=b"[" * 100_000), UpstreamError),
    ],
)
async def test_a_refusal_is_typed(answer: Answer, kind: type[Exception]) -> None:
    """Never a crash."""
    async with provider_server([answer]) as server:
        with pytest.raises(kind):
            await list_models(find_place(server, "openai"), credentials=KEYS.get)


async def test_a_provider_that_lists_none_says_so() -> None:
    """Before anything is sent."""
    async with provider_server() as server:
        with pytest.raises(InvalidInput, match="does not list its models"):
            await list_models(find_place(server, "litellm"), credentials=KEYS.get)
        assert server.requests == []
