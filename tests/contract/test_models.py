"""Does every provider keep the contract of models, over real sockets?"""

import pytest

from quorate.models.facts import load_table
from quorate.testing.contracts.model import ModelContract
from quorate.testing.contracts.model_case import CANARY, ModelCase
from quorate.testing.contracts.model_faults import ModelFaultsContract
from quorate.testing.contracts.model_offers import ModelOffersContract

CASES = (
    ModelCase(
        model="openai:gpt-5.2",
        credentials={"OPENAI_API_KEY": CANARY},
        parts=frozenset({"image", "image_url", "audio", "file"}),
        embedding="openai:text-embedding-3-small",
    ),
    ModelCase(
        model="openai-responses:gpt-5.2",
        credentials={"OPENAI_API_KEY": CANARY},
        parts=frozenset({"image", "image_url", "file"}),
        counts=frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"}),
        signatures=True,
    ),
    ModelCase(
        model="azure:gpt-5.2",
        credentials={"AZURE_OPENAI_API_KEY": CANARY},
        locate=lambda server: server.origin,
        parts=frozenset({"image", "image_url", "audio", "file"}),
        embedding="azure:text-embedding-3-small",
    ),
    ModelCase(
        model="azure:my-deployment",
        credentials={"AZURE_OPENAI_AD_TOKEN": CANARY, "AZURE_OPENAI_API_VERSION": "2024-10-21"},
        locate=lambda server: f"{server.origin}/openai",
        parts=frozenset({"image", "image_url", "audio", "file"}),
        embedding="azure:my-other-deployment",
        listing=False,
    ),
    ModelCase(
        model="mistral:mistral-small-2603",
        credentials={"MISTRAL_API_KEY": CANARY},
        locate=lambda server: f"{server.origin}/mistral/v1",
        parts=frozenset({"image", "image_url", "audio", "file"}),
        ids=False,
        embedding="mistral:mistral-embed",
    ),
    ModelCase(
        model="ollama:qwen3:8b",
        credentials={},
        locate=lambda server: server.origin,
        key=None,
        counts=frozenset(),
        refusals=False,
        filtered=False,
        embedding="ollama:nomic-embed-text",
    ),
    ModelCase(
        model="anthropic:claude-haiku-4-5",
        credentials={"ANTHROPIC_API_KEY": CANARY},
        locate=lambda server: f"{server.origin}/anthropic/v1",
        parts=frozenset({"image", "image_url", "file"}),
        counts=frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"}),
        signatures=True,
        refusals=False,
    ),
    ModelCase(
        model="bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        credentials={
            "AWS_ACCESS_KEY_ID": CANARY,
            "AWS_SECRET_ACCESS_KEY": "canary-secret",
            "AWS_SESSION_TOKEN": "canary-session",
            "AWS_REGION": "us-east-1",
        },
        locate=lambda server: server.origin,
        parts=frozenset({"image", "audio", "file"}),
        counts=frozenset({"cached_tokens", "cache_write_tokens"}),
        signatures=True,
        embedding="bedrock:amazon.titan-embed-text-v2:0",
        listing=False,  # it takes two questions
    ),
    ModelCase(
        model="gemini:gemini-3.8-flash",
        credentials={"GEMINI_API_KEY": CANARY},
        locate=lambda server: f"{server.origin}/v1beta",
        parts=frozenset({"image", "image_url", "audio", "file"}),
        signatures=True,
        refusals=False,
        embedding="gemini:gemini-embedding-2",
    ),
    ModelCase(
        model="vertex:gemini-3.8-flash",
        credentials={"GOOGLE_ACCESS_TOKEN": CANARY},
        locate=lambda server: f"{server.origin}/v1/projects/p/locations/global",
        parts=frozenset({"image", "image_url", "audio", "file"}),
        signatures=True,
        refusals=False,
        embedding="vertex:gemini-embedding-2",
    ),
)


def build_imitations() -> tuple[ModelCase, ...]:
    """Build a case for every server that imitates OpenAI; the one that calls no tools has a test of its own."""
    rows = [row for row in load_table().providers.values() if row.dialect == "openai" and row.tools]
    return tuple(
        ModelCase(
            model=f"{row.name}:any-model",
            credentials={str(row.key_env or row.token_env): CANARY},
            parts=frozenset({"image", "image_url", "audio", "file"}),
            signatures=row.thinking_field == "reasoning_details",
            embedding=f"{row.name}:any-embedding" if row.embeddings else "",
        )
        for row in rows
        if row.name not in ("openai", "mistral")
    )


IMITATIONS = build_imitations()


@pytest.fixture(params=CASES, ids=[case.model.replace(":", "-") for case in CASES])
def case(request: pytest.FixtureRequest) -> ModelCase:
    return request.param


class TestModels(ModelContract):
    """Pieces come before the end and add up to the reply; usage and cost are told for streams also.

    row: A12
    """


class TestImitations(ModelContract):
    """Their faults are those of `openai`, which is the same code; what they are asked is not the same."""

    @pytest.fixture(params=IMITATIONS, ids=[case.model.partition(":")[0] for case in IMITATIONS])
    def case(self, request: pytest.FixtureRequest) -> ModelCase:
        return request.param


class TestModelFaults(ModelFaultsContract):
    pass


class TestModelOffers(ModelOffersContract):
    """Vectors come in the order of their texts, with their usage and cost.

    row: A12
    """
