"""Do the facts about providers and models hold together?"""

import pytest

from quorate.messages import Usage
from quorate.models.cost import cost_usd
from quorate.models.facts import Provider, list_providers, load_provider, load_table
from quorate.models.providers import find_dialect, find_embedding, find_listing
from quorate.models.target import find_target

ROWS = [load_provider(name).find_provider(name) for name in list_providers()]
OWN = {"llamacpp", "lmstudio", "ollama", "vllm"}
ENDPOINT = {"AZURE_OPENAI_RESOURCE": "acme", "AWS_REGION": "eu-central-1", "GOOGLE_CLOUD_PROJECT": "p"}
VALUES = {**ENDPOINT, "GOOGLE_CLOUD_LOCATION": "eu", "LITELLM_MODEL": "x"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_provider_is_said_to_do_there_is_code_for(row: Provider) -> None:
    find_dialect(row)
    if row.embeddings:
        assert find_embedding(row).MAX_TEXTS >= 1
    if row.listing:
        assert find_listing(row)


@pytest.mark.parametrize("row", [row for row in ROWS if row.base_url_env], ids=lambda row: row.name)
def test_every_provider_can_be_somewhere_else(row: Provider) -> None:
    """Its environment name says where."""
    values = {str(row.base_url_env): "https://x.test/v1"}
    assert find_target(f"{row.name}:any", credentials=values.get, base_urls={}).base_url == "https://x.test/v1"


@pytest.mark.parametrize("row", [row for row in ROWS if row.dialect == "openai"], ids=lambda row: row.name)
def test_an_imitation_says_where_it_is_and_what_it_wants(row: Provider) -> None:
    assert row.base_url_env
    assert row.name in OWN or row.key_env
    assert row.free == (row.name in OWN)
    assert row.base_url.startswith("http://127.0.0.1:" if row.name in OWN else "https://")


def test_facts_about_models_make_sense() -> None:
    """Cached input costs no more, an embedding model writes nothing, and no reply is longer than what is read."""
    for row in load_table().models.values():
        assert (row.max_output_tokens or 0) <= row.context_tokens, row.name
        assert (row.price.cached or 0) <= row.price.input, row.name
        if row.kind == "embedding":
            assert row.price.output == 0, row.name
            assert row.dimensions, row.name
        assert not row.efforts or row.reasoning, row.name
        assert [tier.above for tier in row.price.tiers] == sorted(tier.above for tier in row.price.tiers), row.name


def test_models_are_lent_with_their_prices() -> None:
    """Azure serves those of OpenAI; what one is told about them holds for the other."""
    lent, own = load_provider("azure").models, load_provider("openai").models
    assert {name.partition(":")[2] for name in lent} == {name.partition(":")[2] for name in own}
    assert lent["azure:gpt-5.2"].price == own["openai:gpt-5.2"].price
    assert lent["azure:gpt-5.2"].name == "azure:gpt-5.2"
    assert load_provider("openai-responses").find_price("openai-responses:gpt-5.2-2025-12-11") is not None


def test_a_long_question_costs_more() -> None:
    """The whole call does, and not only what is beyond the line."""
    price = load_provider("openai").find_price("openai:gpt-5.4")
    assert cost_usd(Usage(input_tokens=272_000), price) == pytest.approx(0.272 * 2.50)
    assert cost_usd(Usage(input_tokens=272_001), price) == pytest.approx(0.272001 * 5.00)
