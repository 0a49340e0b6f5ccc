"""What do the families of models on Bedrock want, beside what Converse has one word for?

Converse has one form for all models but none for how hard to think, nor for `top_k`: those go into fields of each
family's own.
"""

from __future__ import annotations

import re
from typing import Literal

from quorate.errors import InvalidInput
from quorate.models.providers.checks import check_effort, refuse_settings
from quorate.models.target import Target
from quorate.specs import ModelSettings

Family = Literal["claude", "nova", "nova-2", "gpt-oss", "other"]
Level = Literal["none", "minimal", "low", "medium", "high"]
Json = dict[str, object]

_CLAUDE = re.compile(r"\banthropic\.claude-")
_BUDGETED = re.compile(r"claude-(3-|(opus|sonnet)-4(-[015])?-(2\d{7}|v)|(opus|sonnet|haiku)-4-5)")
"""Those that want a number of tokens to think with; later ones decide for themselves, given an effort."""
_SILENT = re.compile(r"claude-(opus|sonnet)-4-[678]")
"""Those that do not think unless they are asked to, some of which cannot be told not to."""
BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384}
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}
LEVELS = {
    "always": ("low", "medium", "high"),
    "between": ("none", "low", "medium", "high"),
    "adaptive": ("none", "low", "medium", "high"),
    "budget": ("none", *BUDGETS),
}
"""The words of `reasoning` that each way of thinking knows."""


def find_family(model_name: str) -> Family:
    """Find a model's family by its id, or the id of an inference profile for it."""
    if _CLAUDE.search(model_name):
        return "claude"
    if "amazon.nova-2" in model_name:
        return "nova-2"
    if "amazon.nova" in model_name:
        return "nova"
    return "gpt-oss" if "openai.gpt-oss" in model_name else "other"


def can_cache_tools(family: Family) -> bool:
    """Whether a family keeps tools in its cache, and not only instructions and messages."""
    return family not in ("nova", "nova-2")


def build_fields(settings: ModelSettings, target: Target) -> tuple[Json, str | None]:
    """Build the fields of a family's own for these settings, and the effort that Converse itself carries.

    Raises:
        InvalidInput: The family has no word for one of them.
    """
    model_name = target.model_name
    family = find_family(model_name)
    if target.facts is not None and not target.facts.sampling:
        refuse_settings(target, settings, "temperature", "top_p", "top_k", why="it chooses its words by itself")
    fields: Json = {}
    effort: str | None = None
    if settings.top_k is not None:
        fields |= _build_top_k(family, settings.top_k, model_name)
    if settings.reasoning is not None:
        more, effort = _build_reasoning(family, settings, target)
        fields |= more
    return fields, effort


def _build_top_k(family: Family, top_k: int, model_name: str) -> Json:
    if family == "claude":
        return {"top_k": top_k}
    if family in ("nova", "nova-2"):
        return {"inferenceConfig": {"topK": top_k}}
    raise InvalidInput(f"`top_k` cannot be sent to {model_name!r}: its field is unknown; put it into `extra`.")


def _build_reasoning(family: Family, settings: ModelSettings, target: Target) -> tuple[Json, str | None]:
    level: Level = settings.reasoning or "none"
    if family == "claude":
        return _build_thinking(level, settings, target)
    if family == "nova-2":
        if level == "none":
            return {"reasoningConfig": {"type": "disabled"}}, None
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": EFFORTS[level]}}, None
    if family == "gpt-oss" and level != "none":
        return {"reasoning_effort": EFFORTS[level]}, None
    if level == "none" and family == "nova":
        return {}, None  # it does not think at all
    raise InvalidInput(
        f"`reasoning={level!r}` cannot be sent to {target.model_name!r}: how hard it thinks cannot be set, or "
        "its field is unknown; put that into `extra`."
    )


def _build_thinking(level: Level, settings: ModelSettings, target: Target) -> tuple[Json, str | None]:
    form = _find_form(target)
    check_effort(target, level, known=LEVELS[form])
    if level == "none":
        return _build_silence(form, target), None
    refuse_settings(target, settings, "temperature", "top_k", why="it is asked to think")
    if form != "budget":
        # Without a wish to see it, all but the first of them keep their reasoning to themselves.
        shown = {} if "-4-6" in target.model_name else {"display": "summarized"}
        return {"thinking": {"type": "adaptive", **shown}}, EFFORTS[level]
    if settings.tool or settings.tool_choice == "required":
        raise InvalidInput(f"`{target.name}` cannot think where a tool call is demanded: leave out one of the two.")
    budget, most = BUDGETS[level], settings.max_tokens
    if most is not None and budget >= most:
        raise InvalidInput(
            f"`reasoning` of {level!r} takes {budget} tokens, and `max_tokens` is {most}: raise it, or ask for less."
        )
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}, None


def _find_form(target: Target) -> str:
    """Find how a Claude is told to think; the newest way when nothing is known about it."""
    if target.facts is not None and target.facts.thinking:
        return target.facts.thinking
    return "budget" if _BUDGETED.search(target.model_name) else "adaptive"


def _build_silence(form: str, target: Target) -> Json:
    if form == "between":
        return {"thinking": {"type": "between_tools"}}
    if form == "budget" or _SILENT.search(target.model_name):
        return {}
    return {"thinking": {"type": "disabled"}}
