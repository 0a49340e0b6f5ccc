"""How is a model told how hard to think?"""

from __future__ import annotations

from typing import cast

from quorate.errors import InvalidInput
from quorate.messages import Thinking
from quorate.models.providers.checks import Json, check_effort, refuse_settings
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request

BINDING = {"anthropic-beta": "thinking-binding-controls-2026-08-01"}
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
"""Tokens for models that take a number."""
WORDS = {
    "always": ("low", "medium", "high"),
    "between": ("none", "low", "medium", "high"),
    "adaptive": ("none", "low", "medium", "high"),
    "budget": ("none", *BUDGETS),
}


def add_thinking(body: Json, settings: ModelSettings, target: Target) -> None:
    """Say how hard to think, and with which sampling.

    Raises:
        InvalidInput: The model cannot be told so.
    """
    facts = target.facts
    form = facts.thinking if facts is not None and facts.thinking else "adaptive"
    if facts is not None and not facts.sampling:
        refuse_settings(target, settings, "temperature", "top_p", "top_k", why="it chooses its words by itself")
    if settings.temperature is not None and settings.top_p is not None:
        raise InvalidInput(f"`{target.name}` takes `temperature` or `top_p`, not both: leave one out.")
    word = settings.reasoning
    if word is None:
        return
    check_effort(target, word, known=WORDS.get(form, ()))
    if word == "none":
        body["thinking"] = {"type": "between_tools" if form == "between" else "disabled"}
        return
    refuse_settings(target, settings, "temperature", "top_k", why="it is asked to think")
    if form != "budget":
        # Without a wish to see it, newer models keep their reasoning to themselves.
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {"effort": word}
        return
    budget, most = BUDGETS[word], body["max_tokens"]
    if isinstance(most, int) and budget >= most:
        raise InvalidInput(
            f"`reasoning` of {word!r} takes {budget} tokens, and `max_tokens` is {most}: raise it, or ask for less."
        )
    if settings.tool or settings.tool_choice == "required":
        raise InvalidInput(f"`{target.name}` cannot think where a tool call is demanded: leave out one of the two.")
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def bind_thinking(body: Json, request: Request, target: Target) -> dict[str, str]:
    """Ask for earlier reasoning to be dropped where it is not valid any more, and return the headers for it.

    Without that, a model that binds its reasoning to what came before refuses a conversation for ever, once its
    beginning was shortened or its tools have changed. What was dropped stands in the reply's notes.
    """
    facts, provider = target.facts, target.provider.otel
    if facts is None or not facts.bound_thinking:
        return {}
    own = (part for message in request.messages for part in message.parts if isinstance(part, Thinking))
    thinking = cast("Json", body.get("thinking") or {"type": "adaptive"})
    if thinking["type"] != "adaptive" or not any(part.signature and part.provider == provider for part in own):
        return {}
    body["thinking"] = thinking | {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    return BINDING
