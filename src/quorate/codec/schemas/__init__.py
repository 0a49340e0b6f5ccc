"""Which kinds of messages do parts and programs send to each other, and of which version is each?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from quorate.codec.schemas import agents, learning, models, retrieval
from quorate.errors import UnknownName

VERSION = "1.0"
"""The version of all kinds: a new field raises the number behind the point, anything else the one before it."""

KINDS: Mapping[str, type[Struct]] = MappingProxyType({
    "agent_message": agents.AgentMessage,
    "agent_task": agents.AgentTask,
    "memory_item": agents.MemoryItem,
    "prompt_template": agents.PromptTemplate,
    "llm_request": models.LlmRequest,
    "llm_response": models.LlmResponse,
    "llm_operation": models.LlmOperation,
    "embedding_request": models.EmbeddingRequest,
    "rag_document": retrieval.RagDocument,
    "rag_query": retrieval.RagQuery,
    "rag_result": retrieval.RagResult,
    "ml_training_job": learning.MlTrainingJob,
    "ml_prediction": learning.MlPrediction,
})  # fmt: skip
"""Every kind by the word that stands in its envelope."""


def find_schema(kind: str) -> type[Struct]:
    """Find what a kind of message looks like.

    Raises:
        UnknownName: There is no such kind; the nearest is suggested.
    """
    found = KINDS.get(kind)
    if found is None:
        raise UnknownName("kind of message", kind, KINDS)
    return found


def name_kind(value: object) -> str:
    """Return the word for a message's kind.

    Raises:
        UnknownName: It is of no kind that can be sent.
    """
    for kind, type_ in KINDS.items():
        if type(value) is type_:
            return kind
    raise UnknownName("kind of message", type(value).__name__, (type_.__name__ for type_ in KINDS.values()))
