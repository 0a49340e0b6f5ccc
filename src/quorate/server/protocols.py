"""What do the doors of other protocols take, in words and types?"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from quorate.server.anthropic.door import ROOT as ANTHROPIC
from quorate.server.anthropic.wire import CountRequest, MessagesRequest
from quorate.server.openai.door import ROOT as OPENAI
from quorate.server.openai.embeddings import EmbeddingsRequest
from quorate.server.openai.responses.wire import ResponsesRequest
from quorate.server.openai.wire import ChatRequest


class Dialect(Struct, frozen=True, kw_only=True):
    """What one route of another protocol does."""

    summary: str = ""
    description: str = ""
    takes: type[Struct] | None = None
    has_body: bool = True
    streams: bool = False
    """Whether it can answer with server-sent events."""


PROTOCOLS: Mapping[tuple[str, str], Dialect] = {
    ("POST", f"{OPENAI}/chat/completions"): Dialect(
        summary="Complete a chat",
        description="Ask an agent, or a model of the gateway, in the words of OpenAI's chat completions.",
        takes=ChatRequest,
        streams=True,
    ),
    ("POST", f"{OPENAI}/responses"): Dialect(
        summary="Make a response",
        description="Ask an agent, or a model of the gateway, in the words of OpenAI's responses.",
        takes=ResponsesRequest,
        streams=True,
    ),
    ("POST", f"{OPENAI}/embeddings"): Dialect(
        summary="Turn texts into vectors",
        description="Ask a model of the gateway for the vectors of some texts, in the words of OpenAI.",
        takes=EmbeddingsRequest,
    ),
    ("GET", f"{OPENAI}/models"): Dialect(
        summary="List what can be asked",
        description="List the agents, aliases and routes that can be named as a model, in the words of OpenAI.",
    ),
    ("GET", f"{OPENAI}/models/{{model_id:path}}"): Dialect(
        summary="Show what can be asked",
        description="Show one agent, alias, route or model, in the words of OpenAI.",
    ),
    ("GET", f"{OPENAI}/responses/{{response_id:str}}"): Dialect(
        summary="Show a response",
        description="Show a response that was kept, in the words of OpenAI.",
    ),
    ("DELETE", f"{OPENAI}/responses/{{response_id:str}}"): Dialect(
        summary="Forget a response",
        description="Forget a response that was kept; the run that made it stays.",
    ),
    ("POST", f"{OPENAI}/responses/{{response_id:str}}/cancel"): Dialect(
        summary="Stop a response",
        description="Stop a response that is made in the background.",
        has_body=False,
    ),
    ("GET", f"{ANTHROPIC}/models/{{model_id:path}}"): Dialect(
        summary="Show what can be asked",
        description="Show one agent, alias, route or model, in the words of Anthropic.",
    ),
    ("POST", f"{ANTHROPIC}/messages"): Dialect(
        summary="Answer messages",
        description="Ask an agent, or a model of the gateway, in the words of Anthropic's messages.",
        takes=MessagesRequest,
        streams=True,
    ),
    ("POST", f"{ANTHROPIC}/messages/count_tokens"): Dialect(
        summary="Count tokens",
        description="Count what messages would take, in the words of Anthropic.",
        takes=CountRequest,
    ),
    ("GET", f"{ANTHROPIC}/models"): Dialect(
        summary="List what can be asked",
        description="List the agents, aliases and routes that can be named as a model, in the words of Anthropic.",
    ),
}
"""By method and path; what is not here is described by what its function says."""
