"""What may be asked of a model, a tool and a run?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from quorate.messages import Message

FINAL_TOOL = "final_result"
"""The tool by which a model gives its answer, where it cannot be held to a schema otherwise."""


class ModelSettings(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a model is asked to answer; what a provider cannot do is refused, not ignored."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """The most tokens the reply may have."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: Literal["none", "minimal", "low", "medium", "high"] | None = None
    """How hard to think, where the model can."""
    tool_choice: Literal["auto", "none", "required"] = "auto"
    tool: str = ""
    """The one tool that must be called; it stands above `tool_choice`."""
    parallel_tool_calls: bool | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    prompt_cache: Literal["short", "long"] | None = None
    """Keep instructions, tools and the conversation so far in the provider's cache: minutes, or an hour and more."""
    extra: dict[str, object] = {}
    """Fields added to the request's body as they are, for what one provider alone knows."""


class ToolSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a tool is, to a model and to the runtime."""

    name: str
    description: str = ""
    parameters: dict[str, object] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema (2020-12) of the arguments."""
    effect: Literal["idempotent", "keyed", "unsafe"] = "unsafe"
    """What a second call does: nothing more; nothing more if given the same key; or harm, so that a person decides."""
    timeout_s: float = 60.0
    version: str = "1"
    deprecated: str = ""
    """Why, and what to use instead; empty when it is not deprecated."""
    examples: tuple[dict[str, object], ...] = ()
    """Arguments that are valid, to show a model or a person."""
    max_concurrency: int | None = None
    """Calls that may run at once in this process."""
    tags: tuple[str, ...] = ()


class OutputSpec(Struct, frozen=True, kw_only=True, gc=False):
    """The schema of a final answer."""

    name: str
    json_schema: dict[str, object]


class Caller(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """For whom a model is asked: what limits, budgets and caches go by."""

    tenant: str = "default"
    principal: str = "local"
    run: str = ""
    session: str = ""
    agent: str = ""
    cost_usd: float | None = None
    """The most its run may spend in US dollars."""
    payer: str = ""
    """Whose quotas below the tenant's it counts in, as `project/key`; empty for the tenant's alone."""


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a model is asked; built by the loop, encoded by a provider."""

    messages: tuple[Message, ...]
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    output: OutputSpec | None = None
    """The schema the final answer must meet, where the model enforces schemas by itself."""
    settings: ModelSettings = ModelSettings()
    key: str = ""
    """The step's key in its run's log."""
    caller: Caller = Caller()


class EmbedRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Texts to be turned into vectors."""

    texts: tuple[str, ...]
    dimensions: int | None = None
    """How long each vector is to be, where the model lets one choose."""
    purpose: Literal["document", "query"] | None = None
    """What they are for, where the model makes a difference."""
    caller: Caller = Caller()


class Limits(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The bounds of a run; meeting one ends it `incomplete`, with what it has so far."""

    steps: int = 25
    """Model calls of one agent."""
    seconds: float = 3600.0
    """Wall time of the whole run."""
    cost_usd: float | None = None
    """US dollars for the run and all its delegates; needs a model whose price is known."""
    tokens: int | None = None
    """Input and output tokens for the run and all its delegates."""
    repeated_calls: int = 3
    """How often the same tool may be called with the same arguments."""
    depth: int = 5
    """How deep agents may delegate to agents."""
    tool_calls: int = 1000
    """Tool calls of one agent."""


class ModelProfile(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a model can do, as facts the loop and the router read."""

    name: str
    """The name in full, such as `openai:gpt-5.2`."""
    provider: str = ""
    """The provider's name as OpenTelemetry spells it (`gen_ai.provider.name`)."""
    native_output: bool = True
    """Whether it enforces a JSON Schema for its answer."""
    tools: bool = True
    context_tokens: int | None = None
    priced: bool = True
    """Whether its price is known, so that a cost limit can hold."""
    max_output_tokens: int | None = None
    vision: bool = False
    """Whether it sees images."""
    audio: bool = False
    """Whether it hears sound."""
    files: bool = False
    """Whether it reads documents such as PDF."""
    reasoning: bool = False
    """Whether it can be told how hard to think."""
